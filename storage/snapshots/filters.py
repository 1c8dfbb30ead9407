"""Row filters compiled to SQL with parameters: values are checked against the column's type, and never are SQL.

A row matches when all filters do. A null is equal to no value: it matches IS_NULL and NE only. Text compares by code
point and case. Decimals and large integers are compared exactly, also where a source gave them as text; NaN is
equal to itself and larger than every other number.
"""

from __future__ import annotations

import base64
import math
import re
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_FLOOR, Context, Decimal
from typing import Any

from duckdb.sqltypes import DuckDBPyType

from base.errors import InvalidInput
from base.tables import Column, ColumnType, TableSchema
from storage.snapshots.cells import INTEGERS, TIMESTAMP_TZ, TIMESTAMPS
from storage.snapshots.pages import RowFilter, RowOp

FILTERS_MAX = 50
IN_VALUES_MAX = 1000
DECIMAL_DIGITS_MAX = 1000  # of a value in a filter; more is no number that anybody stored


@dataclass(frozen=True, slots=True)
class Stored:
    """A column as it is stored: our description, its name in SQL, and DuckDB's type."""

    column: Column
    sql: str
    type: DuckDBPyType


def stored_columns(table: TableSchema, types: Sequence[DuckDBPyType]) -> list[Stored]:
    """The table's columns as its parts hold them: in the same order, called `c0`, `c1` and so on."""
    if len(types) != len(table.columns):
        msg = f"parts of {len(types)} columns for a table of {len(table.columns)}"
        raise RuntimeError(msg)
    return [
        Stored(column, f"c{at}", stored)
        for at, (column, stored) in enumerate(zip(table.columns, types, strict=True))
    ]


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL and its parameters, in the order of their question marks."""

    text: str
    parameters: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class _Comparison:
    """How a type compares: what it can do, how a JSON value becomes a parameter, and both sides in SQL.

    `read` raises ValueError, TypeError or ArithmeticError for a value that is not `expected`; `{}` in `left` is the
    column.
    """

    ops: frozenset[RowOp]
    expected: str
    read: Callable[[Any], Any]
    right: str
    left: str = "{}"


_SYMBOLS = {
    RowOp.EQ: "=",
    RowOp.NE: "is distinct from",
    RowOp.LT: "<",
    RowOp.LE: "<=",
    RowOp.GT: ">",
    RowOp.GE: ">=",
}
_NULLS = frozenset({RowOp.IS_NULL, RowOp.NOT_NULL})
_EQUALITY = frozenset({RowOp.EQ, RowOp.NE, RowOp.IN})
_ORDER = _EQUALITY | _SYMBOLS.keys()
_TEXT = _ORDER | {RowOp.CONTAINS, RowOp.STARTS_WITH}
_FUNCTIONS = {RowOp.CONTAINS: "contains", RowOp.STARTS_WITH: "starts_with"}
_MOMENT = re.compile(
    r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)?)?",
    re.ASCII,
)
_NEVER = Sql("false")
_ALWAYS = Sql("true")


def compile_filter(stored: Stored, condition: RowFilter, field: str) -> Sql:
    """The SQL of one filter; raises InvalidInput naming `field`, the column and what it expects."""
    if condition.op in _NULLS:
        if condition.value is not None:
            raise InvalidInput(f"{condition.op.name} takes no value.", field=f"{field}.value")
        return Sql(f"{stored.sql} is {'' if condition.op is RowOp.IS_NULL else 'not '}null")
    comparison = _comparison(stored)
    ops = comparison.ops if comparison else frozenset()
    if comparison is None or condition.op not in ops:
        raise InvalidInput(
            f"Column {_shown(stored)} has no {condition.op.name}.",
            hint=f"It has {', '.join(op.name for op in RowOp if op in ops | _NULLS)}.",
            field=f"{field}.op",
        )
    return _compare(stored, comparison, condition.op, _read(stored, comparison, condition, field))


def sort_key(stored: Stored, field: str) -> tuple[str, str]:
    """SQL that sorts as the column's values do, and its SQL type; raises InvalidInput for a column without an order."""
    comparison = _comparison(stored)
    if comparison is None or (stored.column.type is ColumnType.DURATION):
        raise InvalidInput(f"Column {_shown(stored)} has no order.", field=field)
    return comparison.left.format(stored.sql), str(stored.type).lower()


def _shown(stored: Stored) -> str:
    return f"{stored.column.name!r} of type {stored.column.type.name}"


def _read(stored: Stored, comparison: _Comparison, condition: RowFilter, field: str) -> list[Any]:
    field = f"{field}.value"
    values = condition.value if condition.op is RowOp.IN else [condition.value]
    if not isinstance(values, list) or any(value is None for value in values):
        hint = "IN takes a list without nulls; IS_NULL and NOT_NULL ask for nulls."
        raise InvalidInput(f"{condition.op.name} needs a value.", hint=hint, field=field)
    if len(values) > IN_VALUES_MAX:
        raise InvalidInput(f"IN takes at most {IN_VALUES_MAX} values.", field=field)
    try:
        if condition.op in _FUNCTIONS:
            return [_text(value) for value in values]
        return [comparison.read(value) for value in values]
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InvalidInput(
            f"Column {_shown(stored)} compares with {comparison.expected}.", field=field
        ) from error


def _compare(stored: Stored, comparison: _Comparison, op: RowOp, values: Sequence[Any]) -> Sql:
    if comparison is _NUMBER:
        return _exact(stored, op, values)
    if stored.type.id in _LARGEST:
        return _floating(stored, comparison, op, values)
    left = comparison.left.format(stored.sql)
    if op is RowOp.IN:
        return _in(left, comparison.right, values)
    if op in _FUNCTIONS:
        return Sql(f"{_FUNCTIONS[op]}({stored.sql}, ?)", tuple(values))
    return Sql(f"{left} {_SYMBOLS[op]} {comparison.right}", tuple(values))


def _in(left: str, right: str, values: Sequence[Any]) -> Sql:
    return (
        Sql(f"{left} in ({', '.join([right] * len(values))})", tuple(values)) if values else _NEVER
    )


def _exact(stored: Stored, op: RowOp, values: Sequence[Decimal]) -> Sql:
    """Compare an integer or decimal column with numbers its type may not hold: between its steps, or out of range."""
    low, high, scale = _range(stored.type)
    right = f"?::{stored.type}"
    if op is RowOp.IN:
        held = [value for value in values if low <= value <= high and _is_step(value, scale)]
        return _in(stored.sql, right, [str(value) for value in held])
    value = values[0]
    if not low <= value <= high:
        return _beyond(stored, op, is_above=value > high)
    if not _is_step(value, scale):
        if op is RowOp.EQ:
            return _NEVER
        if op is RowOp.NE:
            return _ALWAYS
        # Nothing lies between the value and the step below it.
        op = RowOp.LE if op in {RowOp.LT, RowOp.LE} else RowOp.GT
        value = _step_below(value, scale)
    return Sql(f"{stored.sql} {_SYMBOLS[op]} {right}", (str(value),))


def _beyond(stored: Stored, op: RowOp, *, is_above: bool) -> Sql:
    """Compare with a value above, or below, everything that the column's type holds."""
    if op is RowOp.NE:
        return _ALWAYS
    matching = {RowOp.LT, RowOp.LE} if is_above else {RowOp.GT, RowOp.GE}
    return Sql(f"{stored.sql} is not null") if op in matching else _NEVER


def _floating(
    stored: Stored, comparison: _Comparison, op: RowOp, values: Sequence[Decimal | float]
) -> Sql:
    """Compare a float column with numbers that may lie past all of its own: only infinities and NaN lie there too."""
    largest = _LARGEST[stored.type.id]
    if op is RowOp.IN:
        held = [float(value) for value in values if not _is_past(value, largest)]
        return _in(stored.sql, comparison.right, held)
    value = values[0]
    if _is_past(value, largest):
        if op in _EQUALITY:
            return _ALWAYS if op is RowOp.NE else _NEVER
        op = _AT_THE_END[op][value > 0]
        value = math.copysign(largest, value)
    return Sql(f"{stored.sql} {_SYMBOLS[op]} {comparison.right}", (float(value),))


def _is_past(value: Decimal | float, largest: float) -> bool:
    return isinstance(value, Decimal) and abs(value) > largest


_LESS, _GREATER = (RowOp.LT, RowOp.LE), (RowOp.GE, RowOp.GT)  # than the least, and the largest
_AT_THE_END = {RowOp.LT: _LESS, RowOp.LE: _LESS, RowOp.GT: _GREATER, RowOp.GE: _GREATER}
_LARGEST = {"float": (2 - 2**-23) * 2.0**127, "double": sys.float_info.max}


def _range(stored: DuckDBPyType) -> tuple[Decimal, Decimal, int]:
    """Smallest and largest value of an integer or decimal type, and its digits behind the point."""
    if stored.id == "decimal":
        numbers = dict(stored.children)
        precision, scale = int(str(numbers["precision"])), int(str(numbers["scale"]))
        high = _WIDE.scaleb(Decimal(10**precision - 1), -scale)
        return -high, high, scale
    bits = _BITS[stored.id.removeprefix("u")]
    if stored.id.startswith("u"):
        return Decimal(0), Decimal(2**bits - 1), 0
    return Decimal(-(2 ** (bits - 1))), Decimal(2 ** (bits - 1) - 1), 0


_BITS = {"tinyint": 8, "smallint": 16, "integer": 32, "bigint": 64, "hugeint": 128}
_WIDE = Context(prec=2 * DECIMAL_DIGITS_MAX)  # the default of 28 digits would round


def _step_below(value: Decimal, scale: int) -> Decimal:
    return value.quantize(Decimal(1).scaleb(-scale), ROUND_FLOOR, _WIDE)


def _is_step(value: Decimal, scale: int) -> bool:
    return _step_below(value, scale) == value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate is no text
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _decimal(value: Any) -> Decimal:
    """A finite number, exactly as written; strings for those that JSON numbers cannot carry."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise TypeError
    text = value if isinstance(value, str) else repr(value)
    if len(text) > DECIMAL_DIGITS_MAX or not _NUMERAL.fullmatch(text):
        raise ValueError
    number = Decimal(text)
    if abs(number.adjusted()) > DECIMAL_DIGITS_MAX:
        raise ValueError
    return number or Decimal(0)  # whole numbers have no -0.0


_NUMERAL = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4})?", re.ASCII)
_SPECIAL = {"NaN", "Infinity", "-Infinity"}


def _decimal_text(value: Any) -> str:
    return value if value in _SPECIAL else f"{_decimal(value):f}"


def _float(value: Any) -> Decimal | float:
    return float(value) if value in _SPECIAL else _decimal(value)


def _date(value: Any) -> str:
    return date.fromisoformat(_text(value)).isoformat()


def _time(value: Any) -> str:
    moment = time.fromisoformat(_text(value))
    if moment.tzinfo is not None:
        raise ValueError
    return moment.isoformat()


def _moment(value: Any) -> datetime:
    if not _MOMENT.fullmatch(_text(value)):
        raise ValueError
    return datetime.fromisoformat(value)


def _timestamp(value: Any) -> str:
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise ValueError
    return moment.isoformat()


def _timestamp_tz(value: Any) -> str:
    moment = _moment(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC).isoformat()


def _binary(value: Any) -> bytes:
    return base64.b64decode(_text(value), validate=True)


def _uuid(value: Any) -> str:
    return str(uuid.UUID(_text(value)))


_NUMBER = _Comparison(_ORDER, "a number, or a string with one", _decimal, "")
_NUMERIC_TEXT = _Comparison(
    _ORDER,
    'a number, a string with one, "NaN", "Infinity" or "-Infinity"',
    _decimal_text,
    "hw_decimal(?)",
    "hw_decimal({})",
)
_PLAIN_TEXT = _Comparison(_TEXT, "a string", _text, "?")
_BY_COLUMN = {
    ColumnType.DECIMAL: _NUMERIC_TEXT,
    ColumnType.UUID: _Comparison(_TEXT, "a UUID", _uuid, "?"),
    ColumnType.DURATION: _Comparison(_EQUALITY, "a string", _text, "?"),
    ColumnType.JSON: None,
}
_FLOAT_EXPECTED = 'a number, "NaN", "Infinity" or "-Infinity"'
_BY_TYPE = {
    **dict.fromkeys(INTEGERS | {"decimal"}, _NUMBER),
    "float": _Comparison(_ORDER, _FLOAT_EXPECTED, _float, "?::float"),
    "double": _Comparison(_ORDER, _FLOAT_EXPECTED, _float, "?::double"),
    "boolean": _Comparison(_EQUALITY, "true or false", _boolean, "?"),
    "date": _Comparison(_ORDER, "a date like 2026-01-31", _date, "?::date"),
    "time": _Comparison(_ORDER, "a time like 23:59:59.123456", _time, "?::time"),
    **dict.fromkeys(
        TIMESTAMPS,
        _Comparison(
            _ORDER,
            "a time without a zone, like 2026-01-31T23:59:59",
            _timestamp,
            "?::timestamp",
        ),
    ),
    TIMESTAMP_TZ: _Comparison(
        _ORDER,
        "a time with its zone, like 2026-01-31T23:59:59Z",
        _timestamp_tz,
        "?::timestamptz",
    ),
    "blob": _Comparison(_ORDER, "bytes in base64", _binary, "?"),
    "uuid": _Comparison(_ORDER, "a UUID", _uuid, "?::uuid"),
}


def _comparison(stored: Stored) -> _Comparison | None:
    """How the column compares; None where it does not."""
    if stored.type.id in {"varchar", "enum"}:
        return _BY_COLUMN.get(stored.column.type, _PLAIN_TEXT)
    return _BY_TYPE.get(stored.type.id)
