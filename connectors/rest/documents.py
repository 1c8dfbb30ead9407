"""JSON documents of an API as columns: where the records are in them, and what types hold those.

As with JSON files, the native reader is strict about the types learnt so far, and what it refuses is looked at again
in Python, which tells broken JSON from values that need wider types. A whole document is one row to the native reader,
its records a list in it; so the next page's mark is read in the same pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyarrow import json

from base.errors import ConnectionFailed
from connectors.connector import Selection
from connectors.files import shapes
from connectors.files.digits import may_be_lost
from connectors.files.elements import parse
from connectors.files.names import refuse_too_many, unique_names
from connectors.files.shapes import NOTHING, Shape
from connectors.files.source import check_utf8
from connectors.rest.paths import Keys, compiled, counted_keys, is_each, plain_keys

VALUE = "value"  # the column of records that are no objects
_ROOT = "records"  # what a document that is an array is put under
_OBJECT = Shape("struct")


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a resource: the shape of its records, and that of what surrounds them in a document."""

    record: Shape = NOTHING
    surroundings: Shape = _OBJECT
    rows: int = 0

    @property
    def columns(self) -> Mapping[str, Shape]:
        """Shapes by key; of records that are no objects, the one column there is."""
        is_table = self.record.kind == "struct" and self.record.fields
        return self.record.fields if is_table else {VALUE: self.record}

    @property
    def are_objects(self) -> bool:
        """Whether the columns are keys of the records."""
        return self.columns is self.record.fields

    @property
    def names(self) -> list[str]:
        """Column names, in the order of the columns."""
        return unique_names(list(self.columns))

    def filled(self, selection: Selection, *, is_part: bool) -> Known:
        """With the types that are stored of what had no value, and in a part of the records with what they lack."""
        stored = selection.stored
        if not (stored and self.are_objects):
            return self
        names = self.names
        fields = shapes.filled(self.columns, names, stored, selection.cursor)
        if is_part:
            lacking = (name for name in stored if name not in {*names, *fields})
            fields |= {name: shapes.with_stored(NOTHING, stored[name]) for name in lacking}
        return replace(self, record=Shape("struct", fields=fields))

    def named(self, names: Iterable[str]) -> Known:
        """Where no record came: the columns of which at least the names are known."""
        fields = dict.fromkeys(names, NOTHING)
        return replace(self, record=Shape("struct", fields=fields)) if fields else self


@dataclass(frozen=True, slots=True)
class Read:
    """A document that was read: its records as columns (None where they need wider types), and what is then known.

    `document` holds at least what is outside the records; all of it where `with_records` was asked for.
    """

    data: pa.RecordBatch | None
    rows: int
    document: Any
    known: Known = field(repr=False)


class Places:
    """Where the records of a resource are: at a JSONPath; without one, where the first document has its one list."""

    def __init__(self, path: str | None) -> None:
        self._text = path
        self._path = None if path is None else compiled(path)
        self.keys: Keys | None = None if self._path is None else plain_keys(self._path)
        self._is_each = self._path is not None and is_each(self._path)
        self._is_settled = path is not None
        self._is_single = False

    def records(self, document: Any) -> list[Any]:
        """The records of a document. Raises ConnectionFailed where there is nothing at their place."""
        if not self._is_settled:
            self._settle(document)
        if self._is_single:
            return [document]
        if self.keys is None:
            assert self._path is not None
            found: list[Any] = []
            for match in self._path.findall(document) if isinstance(document, dict | list) else ():
                found.extend(match if isinstance(match, list) and not self._is_each else [match])
            return found
        value = document
        for key in self.keys:
            if not isinstance(value, dict) or key not in value:
                raise self._missing(document)
            value = value[key]
        if value is None:
            return []
        if isinstance(value, dict):
            return list(value.values()) if self._is_each else [value]
        if isinstance(value, list):
            return value
        raise self._missing(document)

    def paged(self, document: Any, rows: int) -> int:
        """How many elements the list has of which a page is a part: more than `rows` where a filter leaves some out."""
        if self._path is None or self.keys is not None:
            return rows
        keys = counted_keys(self._path)
        if keys is None:
            return rows
        value = document
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return len(value) if isinstance(value, list) else rows

    def to_json(self) -> Any:
        """What was found out, for `settle_at` of a later read."""
        if self._text is not None:
            return None
        return {"keys": None if self.keys is None else list(self.keys), "single": self._is_single}

    def settle_at(self, found: Any) -> None:
        """The inverse of `to_json`."""
        if found is not None and self._text is None:
            self.keys = None if found["keys"] is None else tuple(found["keys"])
            self._is_single = found["single"]
            self._is_settled = True

    def _settle(self, document: Any) -> None:
        if isinstance(document, dict):
            lists = [key for key, value in document.items() if isinstance(value, list)]
            filled = [key for key in lists if any(isinstance(each, dict) for each in document[key])]
            chosen = filled or lists
            if len(chosen) > 1:
                raise ConnectionFailed(
                    f"The answer has several lists: {', '.join(chosen[:10])}.",
                    hint=f"Say in records which one is meant: $.{chosen[0]}.",
                )
            self.keys = (chosen[0],) if chosen else None
            self._is_single = not chosen
        else:
            self.keys = ()
            self._is_single = not isinstance(document, list)
        self._is_settled = True

    def _missing(self, document: Any) -> ConnectionFailed:
        has = ", ".join(list(document)[:10]) if isinstance(document, dict) else "no keys"
        where = self._text or f"$.{'.'.join(self.keys or ())}"
        return ConnectionFailed(
            f"The answer has no list at {where}; it has {has}."[:500],
            hint="Check the resource's records, and whether the answer is an error.",
        )


def read(known: Known, places: Places, body: bytes, *, with_records: bool) -> Read:
    """The records of a document. Raises FileInvalid for broken JSON, ConnectionFailed where there are no records."""
    check_utf8(body, 1, is_json=True)
    fast = _read_fast(known, places.keys, body, with_records=with_records)
    return fast or _read_slowly(known, places, body)


def _read_fast(known: Known, keys: Keys | None, body: bytes, *, with_records: bool) -> Read | None:
    """The native reader's columns, or None where it refuses, or could change a number."""
    if keys is None or not known.are_objects or not shapes.is_native(known.record):
        return None
    if shapes.holds_floats(known.record) and may_be_lost(body):
        return None
    way = keys or (_ROOT,)
    document = _native(known, way, body if keys else b'{"%s":%s}' % (_ROOT.encode(), body))
    if document is None:
        return None
    records = document
    for key in way:
        records = records.field(key)
    if records.null_count:  # no records, or no such key: the slow reader tells
        return None
    found = records.flatten()
    data = pa.RecordBatch.from_arrays(found.flatten(), names=known.names)
    if not with_records:
        return Read(data, len(found), _outside(document, way), known)
    whole = document.to_pylist()[0]
    return Read(data, len(found), whole if keys else whole[_ROOT], known)


def _native(known: Known, keys: Keys, text: bytes) -> pa.StructArray | None:
    """A document as one row."""
    fields = _fields(known.surroundings, keys, shapes.stored(known.record))
    if fields is None:
        return None
    try:
        table = json.read_json(
            pa.BufferReader(text),
            json.ReadOptions(use_threads=False, block_size=len(text) + 1),
            json.ParseOptions(
                explicit_schema=pa.schema(fields),
                newlines_in_values=True,
                unexpected_field_behavior="error",
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != 1:
        return None
    return pa.StructArray.from_arrays(
        [column.combine_chunks() for column in table.columns], names=table.column_names
    )


def _fields(shape: Shape, keys: Keys, record: pa.DataType) -> list[tuple[str, pa.DataType]] | None:
    """The document's fields, with the list of records at its place; None where the native reader cannot read them."""
    key, *rest = keys
    fields = [(name, _outer(each)) for name, each in shape.fields.items() if name != key]
    if rest:
        inner = _fields(shape.fields.get(key, _OBJECT), tuple(rest), record)
        own = None if inner is None else pa.struct(inner)
    else:
        own = pa.list_(record)
    fields.append((key, own))
    return None if any(each is None for _, each in fields) else fields


def _outer(shape: Shape) -> pa.DataType | None:
    """The type of what is not stored, but has to be understood; None where the native reader cannot."""
    if shape.kind == "nothing":
        return pa.null()
    if shape.kind == "struct":
        inner = {name: _outer(each) for name, each in shape.fields.items()}
        return None if None in inner.values() else pa.struct(list(inner.items()))
    if shape.kind == "list":
        item = _outer(shape.item or NOTHING)
        return None if item is None else pa.list_(item)
    return shapes.stored(shape) if shapes.is_native(shape) else None


def _outside(document: pa.StructArray, keys: Keys) -> dict[str, Any]:
    """One document without its records."""
    key, *rest = keys
    found = {
        each.name: document.field(each.name).to_pylist()[0]
        for each in document.type
        if each.name != key
    }
    return {**found, key: _outside(document.field(key), tuple(rest))} if rest else found


def _read_slowly(known: Known, places: Places, body: bytes) -> Read:
    document = parse(body, 1)
    records = places.records(document)
    record = known.record
    for each in records:
        record = shapes.grow(record, each)
        refuse_too_many(len(record.fields))
    around = known.surroundings
    if places.keys and isinstance(document, dict):
        around = shapes.grow(around, _without(document, places.keys))
    grown = replace(known, record=record, surroundings=around, rows=known.rows + len(records))
    if record is not known.record:
        return Read(None, len(records), document, grown)
    return Read(_columns(known, records), len(records), document, replace(grown, rows=known.rows))


def _without(document: dict[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    key, *rest = keys
    others = {name: value for name, value in document.items() if name != key}
    inner = document.get(key)
    return {**others, key: _without(inner, rest)} if rest and isinstance(inner, dict) else others


def _columns(known: Known, records: Sequence[Any]) -> pa.RecordBatch:
    arrays = []
    for key, each in known.columns.items():
        cells = records
        if known.are_objects:
            cells = [None if record is None else record.get(key) for record in records]
        arrays.append(shapes.array(cells, each))
    return pa.RecordBatch.from_arrays(arrays, names=known.names)


def shape_to_json(shape: Shape) -> Any:
    """A shape as a position keeps it."""
    if shape.kind == "list":
        return [shape_to_json(shape.item or NOTHING)]
    if shape.kind == "struct":
        return {name: shape_to_json(each) for name, each in shape.fields.items()}
    return shape.kind


def shape_from_json(value: Any) -> Shape:
    """The inverse of `shape_to_json`; the shapes that are compared by identity are the ones there are."""
    if isinstance(value, list):
        return Shape("list", shape_from_json(value[0]))
    if isinstance(value, dict):
        return Shape("struct", fields={name: shape_from_json(each) for name, each in value.items()})
    return _BY_KIND[value]


_BY_KIND = {
    each.kind: each
    for each in (
        NOTHING,
        shapes.MIXED,
        shapes.TEXTS,
        *(shapes.grow(NOTHING, value) for value in (True, 1, 2**60, 2**70, 0.5, "")),
    )
}
