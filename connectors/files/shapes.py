"""The types of values that carry their own: what holds a column of JSON, cells or whatever Python objects exactly.

A shape grows with each value: whole numbers and fractions are floats together where that changes no number, objects get
more fields, and what has no common type is kept as JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import reduce
from typing import Any

import pyarrow as pa

from base.tables import ColumnType
from connectors.connector import StoredColumn
from connectors.errors import FileInvalid
from connectors.files.digits import Number

FIELDS_MAX = 1_000  # of a nested object; one with more is a map, and kept as JSON
DEPTH_MAX = 32
_EXACT_MAX = 2**53  # up to here a float holds every whole number
_LONG_MAX = 2**63
_DIGITS_MAX = 38
_DECIMAL_MAX = 10**_DIGITS_MAX


@dataclass(frozen=True, slots=True)
class Shape:
    """What holds all values seen. `kind` is one of the names below."""

    kind: str
    item: Shape | None = None
    fields: Mapping[str, Shape] = field(default_factory=dict)


NOTHING = Shape("nothing")
MIXED = Shape("mixed")
TEXTS = Shape("texts")  # mixed, and texts are as they are: for columns that are stored as texts
_SCALARS = {
    name: Shape(name) for name in ("boolean", "integer", "wide", "long", "float", "text")
}  # wide: past what a float holds exactly; long: past 64 bits
_COMMON = {
    frozenset({"integer", "wide"}): "wide",
    frozenset({"integer", "long"}): "long",
    frozenset({"wide", "long"}): "long",
    frozenset({"integer", "float"}): "float",
}
_COLUMN_TYPES = {
    "nothing": ColumnType.TEXT,
    "boolean": ColumnType.BOOLEAN,
    "integer": ColumnType.INTEGER,
    "wide": ColumnType.INTEGER,
    "long": ColumnType.DECIMAL,
    "float": ColumnType.FLOAT,
    "text": ColumnType.TEXT,
    "list": ColumnType.LIST,
    "struct": ColumnType.STRUCT,
    "mixed": ColumnType.JSON,
    "texts": ColumnType.TEXT,
}
_WORDS = {
    "nothing": "there is no value",
    "boolean": "all values are true or false",
    "integer": "all values are whole numbers",
    "wide": "all values are whole numbers",
    "long": "all values are whole numbers, some past 64 bits",
    "float": "all values are numbers",
    "text": "all values are texts",
    "list": "all values are arrays",
    "struct": "all values are objects",
    "mixed": "the values have no type in common",
    "texts": "the values have no type in common, and were none of JSON before",
}


def is_json(shape: Shape) -> bool:
    """Whether it is kept as JSON text: values without a common type, or objects that were all empty."""
    return shape is MIXED or (shape.kind == "struct" and not shape.fields)


def column_type(shape: Shape) -> ColumnType:
    """Our type of a column of that shape."""
    return ColumnType.JSON if is_json(shape) else _COLUMN_TYPES[shape.kind]


def words(shape: Shape) -> str:
    """The column's `inference`."""
    return f"{column_type(shape).value}: {_WORDS[shape.kind]}"


def grow(shape: Shape, value: Any, depth: int = 0) -> Shape:
    """The shape that holds the value, too; the same object where nothing changes."""
    if value is None or shape is MIXED or shape is TEXTS:
        return shape
    if isinstance(value, dict):
        return _grow_struct(shape, value, depth)
    if isinstance(value, list):
        return _grow_list(shape, value, depth)
    kind = _kind(value)
    if kind == shape.kind:
        return shape
    if shape.kind == "nothing":
        return _SCALARS.get(kind, MIXED)
    common = _COMMON.get(frozenset({kind, shape.kind}))
    return shape if common == shape.kind else _SCALARS.get(common or "", MIXED)


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        size = abs(value + (value < 0))  # -2**63 fits
        if size >= _LONG_MAX:
            return "long" if abs(value) < _DECIMAL_MAX else "mixed"
        return "integer" if abs(value) <= _EXACT_MAX else "wide"
    return "mixed" if isinstance(value, Number) and not value.is_held else "float"


def _grow_list(shape: Shape, values: list[Any], depth: int) -> Shape:
    if shape.kind not in {"nothing", "list"} or depth >= DEPTH_MAX:
        return MIXED
    before = shape.item or NOTHING
    item = reduce(lambda grown, value: grow(grown, value, depth + 1), values, before)
    return shape if item is before and shape.kind == "list" else Shape("list", item)


def _grow_struct(shape: Shape, value: dict[str, Any], depth: int) -> Shape:
    if shape.kind not in {"nothing", "struct"} or depth >= DEPTH_MAX:
        return MIXED
    changed = {}
    for key, each in value.items():
        before = shape.fields.get(key)
        after = grow(before or NOTHING, each, depth + 1)
        if after is not before:
            changed[key] = after
    if not changed and shape.kind == "struct":
        return shape
    fields = {**shape.fields, **changed}
    if depth and not _are_fields(fields):
        return MIXED
    return Shape("struct", fields=fields)


def _are_fields(names: Mapping[str, Shape]) -> bool:
    """Whether these can be fields of a stored struct, whose names are told apart without regard to case."""
    is_plain = len({name.casefold() for name in names}) == len(names) and "" not in names
    return len(names) <= FIELDS_MAX and is_plain


def filled(
    columns: Mapping[str, Shape],
    names: Sequence[str],
    stored: Mapping[str, StoredColumn],
    cursor: str | None,
) -> dict[str, Shape]:
    """The columns with what is stored where they know nothing: no value, empty lists, fields that were null.

    Values that came to be of several types are texts where texts or numbers are stored, but not in the cursor, which
    would have another order.
    """
    found = {}
    for name, (key, shape) in zip(names, columns.items(), strict=True):
        kept = stored.get(name)
        merged = shape if kept is None else with_stored(shape, kept)
        found[key] = shape if name == cursor and merged is TEXTS else merged
    return found


def with_stored(shape: Shape, kept: StoredColumn) -> Shape:
    """The shape of a column that is stored so, and now has values of that shape."""
    if kept.type is ColumnType.JSON:
        return MIXED
    merged = _filled(shape, kept.arrow)
    is_text = merged is MIXED and kept.type not in {ColumnType.LIST, ColumnType.STRUCT}
    return TEXTS if is_text else merged


def _filled(shape: Shape, arrow: pa.DataType) -> Shape:
    if shape is NOTHING:
        return _shape_of(arrow)
    if shape.kind == "integer" and pa.types.is_float64(arrow):
        return _SCALARS["float"]
    if shape.kind == "list" and pa.types.is_list(arrow):
        return Shape("list", _inner(shape.item or NOTHING, arrow.value_type))
    if shape.kind == "struct" and pa.types.is_struct(arrow):
        kept = {
            each.name: _inner(shape.fields.get(each.name, NOTHING), each.type) for each in arrow
        }
        return Shape("struct", fields={**kept, **_without(shape.fields, kept)})
    return shape


def _inner(shape: Shape, arrow: pa.DataType) -> Shape:
    """Of an item or a field: a text is stored where there was no value so far, and keeps its type."""
    is_scalar = shape.kind in {"boolean", "integer", "wide", "long", "float"}
    return TEXTS if is_scalar and pa.types.is_string(arrow) else _filled(shape, arrow)


def _without(fields: Mapping[str, Shape], others: Mapping[str, Shape]) -> dict[str, Shape]:
    return {name: each for name, each in fields.items() if name not in others}


def _shape_of(arrow: pa.DataType) -> Shape:
    """The least shape that is stored so; nothing for texts, as which nothing is kept, and for what is never JSON."""
    if pa.types.is_list(arrow):
        return Shape("list", _shape_of(arrow.value_type))
    if pa.types.is_struct(arrow):
        return Shape("struct", fields={each.name: _shape_of(each.type) for each in arrow})
    name = {
        pa.bool_(): "boolean",
        pa.int64(): "integer",
        pa.decimal128(_DIGITS_MAX, 0): "long",
        pa.float64(): "float",
    }.get(arrow)
    return _SCALARS[name] if name else NOTHING


def stored(shape: Shape) -> pa.DataType:
    """The Arrow type of a column of that shape."""
    if shape.kind == "list":
        return pa.list_(stored(shape.item or NOTHING))
    if shape.kind == "struct" and shape.fields:
        return pa.struct([(name, stored(each)) for name, each in shape.fields.items()])
    return {
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "wide": pa.int64(),
        "long": pa.decimal128(_DIGITS_MAX, 0),
        "float": pa.float64(),
    }.get(shape.kind, pa.string())


def is_native(shape: Shape) -> bool:
    """Whether a JSON reader can make this column by itself, without our help for long numbers and mixed values."""
    if shape.kind == "list":
        return is_native(shape.item or NOTHING)
    if shape.kind == "struct" and shape.fields:
        return all(map(is_native, shape.fields.values()))
    return shape.kind not in {"mixed", "texts", "long", "struct"}


def holds_floats(shape: Shape) -> bool:
    """Whether there are floats anywhere in it."""
    if shape.kind == "list":
        return holds_floats(shape.item or NOTHING)
    return shape.kind == "float" or any(map(holds_floats, shape.fields.values()))


def array(values: Sequence[Any], shape: Shape) -> pa.Array:
    """The values, which the shape holds, as a column. Raises FileInvalid for what is no text in any encoding."""
    ready = values if is_native(shape) else [_ready(value, shape) for value in values]
    try:
        return pa.array(ready, stored(shape))
    except UnicodeEncodeError as error:
        raise FileInvalid(
            "A text holds half of a surrogate pair, which is no character."
        ) from error


def _ready(value: Any, shape: Shape) -> Any:
    """The value as Arrow takes it."""
    if value is None or (shape is TEXTS and isinstance(value, str)):
        return value
    if is_json(shape) or shape is TEXTS:
        return dumps(value)
    if shape.kind == "long":
        return Decimal(value)
    if shape.kind == "list":
        return [_ready(each, shape.item or NOTHING) for each in value]
    if shape.kind == "struct":
        return {key: _ready(each, shape.fields[key]) for key, each in value.items()}
    return value


def dumps(value: Any) -> str:
    """JSON text, numbers with all their digits; raises FileInvalid for nesting without end."""
    try:
        if _holds_digits(value):
            return _written(value)
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except RecursionError as error:
        raise FileInvalid("A value is nested too deeply.") from error


def _holds_digits(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_holds_digits, value.values()))
    if isinstance(value, list):
        return any(map(_holds_digits, value))
    return isinstance(value, Number)


def _written(value: Any) -> str:
    if isinstance(value, Number):
        return value.text
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k, ensure_ascii=False)}:{_written(v)}" for k, v in value.items())
        return f"{{{','.join(pairs)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return json.dumps(value, ensure_ascii=False)
