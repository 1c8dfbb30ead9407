"""JSON and NDJSON files.

An array of objects is a table, called like the file; of an object, each array of objects is a table, called like its
key. An object without such arrays is a table of one row, and elements that are no objects are a column `value`.

The columns are proposed from the first elements. The fast reader is strict about them; what it refuses is looked at
again by the slow one, which tells broken JSON from values that need a wider type. Then all elements are looked at once,
so that a table is read again at most once.

Of NDJSON, a line that is no JSON is a reject, and so is an element with a value that is not of the type that the user
set for its column; a JSON document is read whole or not at all.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa
from pyarrow import json

from base.tables import Column, ColumnType, TableSchema
from connectors.connector import (
    Batch,
    Connection,
    Health,
    Reading,
    Reject,
    Selection,
    Unseen,
)
from connectors.errors import FileInvalid, ReadAgain
from connectors.files import rejects, shapes
from connectors.files.batches import sliced, too_large
from connectors.files.columns import TextColumn
from connectors.files.digits import Number, may_be_lost
from connectors.files.elements import (
    Array,
    Elements,
    elements,
    elements_at,
    lines,
    outline,
    parse,
)
from connectors.files.names import (
    chosen,
    refuse_other_table,
    refuse_too_many,
    refuse_unknown,
    unique_names,
)
from connectors.files.pipeline import in_order
from connectors.files.shapes import MIXED, NOTHING, Shape
from connectors.files.source import TextFile, check_utf8, stored_file, table_name

SAMPLE_BYTES = 1024**2
_BAD_LINE = "Correct the line; a file of one JSON value over several lines ends in .json."
VALUE = "value"  # the column of elements that are no objects
_NULL_ELEMENT = re.compile(rb"(?:\A|\})\s*null")  # pyarrow 26 crashes on one
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


@dataclass(frozen=True, slots=True)
class _Known:
    """What the elements seen told. `mixed` says of the first value that made a column JSON where it is, and why."""

    shape: Shape
    rows: int
    bytes_read: int
    is_whole: bool
    mixed: dict[str, str] = field(default_factory=dict)
    declared: Mapping[str, TextColumn] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()

    @property
    def columns(self) -> Mapping[str, Shape]:
        """Shapes by key; of elements that are no objects, the one column there is."""
        is_table = self.shape.kind == "struct" and self.shape.fields
        return self.shape.fields if is_table else {VALUE: self.shape}

    @property
    def are_objects(self) -> bool:
        """Whether the columns are keys of the elements."""
        return self.columns is self.shape.fields

    @property
    def names(self) -> list[str]:
        """Column names, in the order of the columns."""
        return unique_names(list(self.columns))

    @property
    def is_unseen(self) -> bool:
        """Whether no element came that would show a column."""
        knows_nothing = all(shape is NOTHING for shape in self.columns.values())
        return knows_nothing and self.is_whole and not self.rows

    def named(self, names: Iterable[str]) -> _Known:
        """Where no element came: the columns of which at least the names are known."""
        fields = dict.fromkeys([*self.shape.fields, *names], NOTHING)
        return replace(self, shape=Shape("struct", fields=fields)) if fields else self

    def filled(self, selection: Selection) -> _Known:
        """With the types that are stored of what has no value."""
        if not (selection.stored and self.are_objects):
            return self
        fields = shapes.filled(self.columns, self.names, selection.stored, selection.cursor)
        return replace(self, shape=Shape("struct", fields=fields))

    def empty(self) -> set[str]:
        """Names of the columns without any value."""
        pairs = zip(self.names, self.columns.values(), strict=True)
        return {name for name, shape in pairs if shape is NOTHING}

    def with_texts(self, names: Container[str]) -> _Known:
        """With texts in these columns, which may be what was stored as them."""
        pairs = zip(self.names, self.columns.items(), strict=True)
        fields = {
            key: shapes.grow(shape, "") if name in names else shape for name, (key, shape) in pairs
        }
        return replace(self, shape=Shape("struct", fields=fields)) if self.are_objects else self

    def cells(self, values: Sequence[Any], key: str) -> list[Any]:
        """The values of a column."""
        if not self.are_objects:
            return list(values)
        return [value.get(key) if isinstance(value, dict) else None for value in values]

    def texts(self, values: Sequence[Any]) -> dict[str, pa.Array]:
        """The columns whose type was set, by name, as texts."""
        pairs = zip(self.names, self.columns, strict=True)
        return {
            name: pa.array([_text(each) for each in self.cells(values, key)], pa.string())
            for name, key in pairs
            if name in self.declared
        }


@dataclass(frozen=True, slots=True)
class _Converted:
    """Elements as columns, and those that are none."""

    data: pa.RecordBatch
    rejects: list[Reject]


@dataclass(frozen=True, slots=True)
class _Values:
    """What the elements of a piece are: of each its line, text and value; and those that are no JSON."""

    lines: list[int]
    texts: list[bytes]
    values: list[Any]
    rejects: list[Reject]

    def without(self, places: Container[int]) -> list[Any]:
        """The values but those."""
        return [value for place, value in enumerate(self.values) if place not in places]


class _Records(ABC):
    """What JSON and NDJSON have in common: tables by name, each a sequence of elements."""

    def __init__(self, connection: Connection) -> None:
        self._kind = connection.kind
        self._limits = connection.limits
        self._file = TextFile(stored_file(connection))
        self._name = table_name(connection)
        self._types: dict[str, str] = dict(connection.settings.get("column_types") or {})
        self._learnt: dict[str, _Known] = {}

    def check(self) -> Health:
        """Read the first elements of every table."""
        tables = self.tables()
        count = "1 table" if len(tables) == 1 else f"{len(tables)} tables"
        return Health(f"{self._kind.upper()} file with {count}.")

    def tables(self) -> list[TableSchema]:
        """The tables; what is said of columns holds for the first elements, or for all if all were seen."""
        self._refuse_unknown()
        known = {name: self._known(name) for name in self._names()}
        for each in known.values():
            rejects.refuse_many(each.rejects, each.rows, _BAD_LINE)
        return [self._schema(name, each) for name, each in known.items()]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """The elements of a table in their order. No batch has a position, so `after` is never given."""
        assert after is None
        refuse_other_table(selection.name, selection.schema, self._names())
        self._refuse_unknown()
        known = self._known(selection.name)
        unseen = Unseen.COLUMNS if known.is_unseen else None
        known = known.named(selection.named) if unseen else known.filled(selection)
        places = chosen(selection.name, known.names, selection.columns)
        filled: set[str] = set()

        def schema(known: _Known) -> TableSchema:
            whole = self._schema(selection.name, replace(known, is_whole=True))
            return whole.with_columns(tuple(whole.columns[place] for place in places))

        return Reading(
            schema(known),
            self._batches(selection.name, known, places, filled),
            bytes_total=self._file.size_bytes,
            final=lambda: schema(known.with_texts(filled)),
            unseen=unseen,
        )

    def close(self) -> None:  # noqa: B027 - there is nothing to free
        """Nothing is held open between reads."""

    @abstractmethod
    def _names(self) -> list[str]:
        """The tables in the file's order."""

    @abstractmethod
    def _elements(self, name: str) -> Iterator[Elements]:
        """A table's elements in their order."""

    def _refuse_unknown(self) -> None:
        """A type may be set for a column that comes late: then all elements are looked at."""
        if not self._types:
            return
        for is_last in (False, True):
            names = {each for name in self._names() for each in self._known(name).names}
            missing = self._types.keys() - names
            if missing and not is_last:
                for name in self._names():
                    if not self._known(name).is_whole:
                        self._learn_all(name)
            elif is_last:
                refuse_unknown(self._types, names)

    def _nothing(self) -> _Known:
        declared = {name: TextColumn(name, ColumnType(kind)) for name, kind in self._types.items()}
        return _Known(NOTHING, 0, 0, is_whole=True, declared=declared)

    def _known(self, name: str) -> _Known:
        if name not in self._learnt:
            known = self._nothing()
            for piece in self._elements(name):
                if known.bytes_read > SAMPLE_BYTES:
                    known = replace(known, is_whole=False)
                    break
                known = _observe(known, piece)
            self._learnt[name] = known.named(self._types) if known.is_unseen else known
        return self._learnt[name]

    def _schema(self, name: str, known: _Known) -> TableSchema:
        scope = "" if known.is_whole else f" (in the first {known.rows:,} elements)"
        columns = tuple(
            _column(known, unique, key, scope)
            for unique, key in zip(known.names, known.columns, strict=True)
        )
        estimate = known.rows
        if not known.is_whole:
            estimate = known.rows * self._file.size_bytes // max(1, known.bytes_read)
        return TableSchema(name, columns, row_estimate=estimate)

    def _batches(
        self, name: str, known: _Known, places: Sequence[int], filled: set[str]
    ) -> Iterator[Batch]:
        """The rows; `filled` is given the columns that had no value before."""
        empty = known.empty()
        for piece, found in in_order(self._elements(name), lambda piece: _convert(known, piece)):
            if found is None:
                self._learn_all(name)
                raise ReadAgain
            rows = found.data.num_rows
            filled |= {each for each in empty if found.data.column(each).null_count < rows}
            data = found.data.select(places)
            batches = (Batch(part, None, piece.bytes_read) for part in sliced(data, self._limits))
            otherwise = Batch(data, None, piece.bytes_read)
            yield from rejects.told_first(batches, found.rejects, otherwise)

    def _learn_all(self, name: str) -> None:
        known = self._nothing()
        for piece in self._elements(name):
            known = _observe(known, piece)
        self._learnt[name] = known


class JsonLines(_Records):
    """One JSON value a line."""

    def _names(self) -> list[str]:
        return [self._name]

    def _elements(self, name: str) -> Iterator[Elements]:
        assert name == self._name
        return lines(self._file.blocks(), self._limits.cell_bytes_max)


class JsonFile(_Records):
    """One JSON document: an array, or an object."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._arrays: dict[str, Array] | None = None
        start = next((data for block in self._file.blocks() if (data := block.data.lstrip())), b"")
        if start[:1] not in {b"[", b"{"}:
            shown = start[:40].decode(errors="replace").splitlines() or ["nothing but blanks"]
            raise FileInvalid(
                f"A JSON file is an array or an object, but this one starts with {shown[0]!r}.",
                hint="Files of one JSON value a line end in .ndjson or .jsonl.",
            )
        self._is_array = start[:1] == b"["

    def _names(self) -> list[str]:
        if self._is_array:
            return [self._name]
        if self._arrays is None:
            found = outline(self._file.blocks(), self._limits.cell_bytes_max)
            self._arrays = {array.name: array for array in found}
        return list(self._arrays) or [self._name]

    def _elements(self, name: str) -> Iterator[Elements]:
        limit = self._limits.cell_bytes_max
        if self._is_array:
            return elements(self._file.blocks(), None, limit)
        array = (self._arrays or {}).get(name)
        if array is None:
            return self._one_row()
        if array.start is None:
            return elements(self._file.blocks(), name, limit)
        return elements_at(self._file.blocks(array.start), array.line, limit)

    def _one_row(self) -> Iterator[Elements]:
        data = bytearray()
        for block in self._file.blocks():
            data += block.data
            if len(data) > self._limits.cell_bytes_max:
                raise too_large("that the file is", self._limits.cell_bytes_max)
        yield Elements(bytes(data), 1, self._file.size_bytes, ())


def _column(known: _Known, name: str, key: str, scope: str) -> Column:
    if name in known.declared:
        return replace(known.declared[name].describe(), native_type="JSON")
    shape = known.columns[key]
    words = known.mixed.get(key) or shapes.words(shape)
    return Column(name, shapes.column_type(shape), "JSON", inference=words + scope)


def _why_mixed(before: Shape, value: Any, key: str, line: int) -> str:
    """Why a column is JSON from this element on."""
    cell = value.get(key) if isinstance(value, dict) else value
    if isinstance(cell, dict) and before.kind in {"nothing", "struct"}:
        return (
            f"json: an object has over {shapes.FIELDS_MAX:,} fields, or names that are empty or differ in nothing "
            f"but case, first in line {line}"
        )
    if isinstance(cell, Number) and not cell.is_held:
        return f"json: a number has more digits than a float holds, first in line {line}"
    return f"{shapes.words(MIXED)}; the first that differs is in line {line}"


def _parsed(known: _Known, piece: Elements) -> _Values:
    """The elements. Raises FileInvalid for broken JSON, but in lines, where it is a reject."""
    lines: list[int] = []
    texts: list[bytes] = []
    values: list[Any] = []
    bad: list[Reject] = []
    for line, text in piece.texts():
        try:
            value = parse(text, line, keeps_digits=bool(known.declared))
            if _SURROGATE.search(text):
                _refuse_halves(value, line)
        except FileInvalid as error:
            if piece.splits is not None:
                raise
            bad.append(rejects.reject(line, None, error.message, text.decode()))
            rejects.refuse_flood(bad)
            continue
        lines.append(line)
        texts.append(text)
        values.append(value)
    return _Values(lines, texts, values, bad)


def _refuse_halves(value: Any, line: int) -> None:
    try:
        shapes.dumps(value).encode()
    except UnicodeEncodeError as error:
        raise FileInvalid(
            f"A text in line {line} holds half of a surrogate pair, which is no character."
        ) from error


def _observe(known: _Known, piece: Elements) -> _Known:
    """What is known with these elements, too."""
    shape, mixed = known.shape, dict(known.mixed)
    check_utf8(piece.data, piece.line, is_json=True)
    found = _parsed(known, piece)
    for line, value in zip(found.lines, found.values, strict=True):
        before, shape = shape, shapes.grow(shape, value)
        if shape is not before:
            old = before.fields if before.kind == "struct" else {VALUE: before}
            new = shape.fields if shape.kind == "struct" else {VALUE: shape}
            refuse_too_many(len(new))
            for key in value if shape.kind == "struct" else new:
                if new[key] is MIXED and old.get(key) is not MIXED:
                    mixed[key] = _why_mixed(old.get(key, NOTHING), value, key, line)
    grown = replace(known, shape=shape, bytes_read=piece.bytes_read, mixed=mixed)
    for name, texts in grown.texts(found.values).items():
        known.declared[name].observe(texts, lambda at: found.lines[at])
    _, bad = _flawed(grown, found)
    so_far = (*known.rejects, *bad)[: rejects.AT_ONCE_MAX]
    rows = known.rows + len(found.values) + len(found.rejects) - len(bad)
    return replace(grown, rows=rows, rejects=so_far)


def _flawed(known: _Known, found: _Values) -> tuple[Mapping[int, TextColumn], list[Reject]]:
    """Places of the values that are not of a type that was set, and all rejects in the order of their lines."""
    texts = known.texts(found.values)
    columns = [known.declared[name] for name in texts]
    flaws = rejects.flaws(columns, list(texts.values())) if texts else {}
    misfits = rejects.misfits(
        columns,
        list(texts.values()),
        flaws,
        lambda at: ("line", found.lines[at], found.texts[at].decode()),
    )
    return flaws, sorted([*found.rejects, *misfits], key=lambda each: each.line or 0)


def _text(value: Any) -> str | None:
    """A value as the text that a type is read from."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Number):
        return value.text
    return shapes.dumps(value)


def _convert(known: _Known, piece: Elements) -> _Converted | None:
    """The elements as columns, or None if they need a wider type."""
    check_utf8(piece.data, piece.line, is_json=True)
    fast = None if known.declared else _read_fast(known, piece)
    return _Converted(fast, []) if fast is not None else _read_slowly(known, piece)


def _read_fast(known: _Known, piece: Elements) -> pa.RecordBatch | None:
    """The strict native reader's columns, or None where it refuses, or could change a number."""
    if not (known.are_objects and shapes.is_native(known.shape)):
        return None
    if _NULL_ELEMENT.search(piece.data):
        return None
    if shapes.holds_floats(known.shape) and may_be_lost(piece.data):
        return None
    schema = pa.schema([(key, shapes.stored(shape)) for key, shape in known.columns.items()])
    try:
        table = json.read_json(
            pa.BufferReader(piece.data),
            json.ReadOptions(use_threads=False, block_size=len(piece.data) + 1),
            json.ParseOptions(
                explicit_schema=schema,
                newlines_in_values=True,
                unexpected_field_behavior="error",
            ),
        )
    except pa.ArrowInvalid:
        return None
    count = len(piece.splits) + 1 if piece.splits is not None else _lines(piece.data)
    if table.num_rows != count:  # it is content with several objects in a line
        return None
    arrays = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(arrays, names=known.names)


def _lines(data: bytes) -> int:
    return data.count(b"\n") + (not data.endswith(b"\n"))


def _read_slowly(known: _Known, piece: Elements) -> _Converted | None:
    found = _parsed(known, piece)
    shape = known.shape
    for value in found.values:
        shape = shapes.grow(shape, value)
    if shape is not known.shape:
        return None
    flaws, bad = _flawed(known, found)
    values = found.without(flaws)
    texts = known.texts(values)
    arrays = []
    for name, (key, each) in zip(known.names, known.columns.items(), strict=True):
        if name in texts:
            typed = known.declared[name].form.convert(texts[name])
            if typed is None:
                return None
            arrays.append(typed)
        else:
            arrays.append(shapes.array(known.cells(values, key), each))
    return _Converted(pa.RecordBatch.from_arrays(arrays, names=known.names), bad)
