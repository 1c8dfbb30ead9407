"""Cursors in Arrow batches: which rows are at or after one, and which value is the largest."""

from __future__ import annotations

from datetime import date
from decimal import ROUND_FLOOR, Decimal, localcontext
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from base.errors import InvalidInput
from base.tables import ColumnType
from connectors.since import DIGITS_MAX, check, later, text, value

_FIRST_DAY, _LAST_DAY = ((day - date(1970, 1, 1)).days for day in (date.min, date.max))
_DAY_US = 24 * 3600 * 10**6
_FIRST_US, _LAST_US = _FIRST_DAY * _DAY_US, (_LAST_DAY + 1) * _DAY_US - 1


def mask(batch: pa.RecordBatch, column: str, since: str, kind: ColumnType) -> pa.BooleanArray:
    """Which rows are at or after `since`, or have no value to compare; no nulls."""
    bound = value(since, kind)
    values = _plain(batch.column(column), kind)
    if pa.types.is_string(values.type) and kind is ColumnType.DECIMAL:
        return pa.array([_is_after(each, bound) for each in values.to_pylist()], pa.bool_())
    is_after = _at_or_after(values, bound)
    unordered = pc.invert(_ordered(values, kind))
    return pc.or_(pc.fill_null(is_after, True), pc.fill_null(unordered, True))


def largest(
    batch: pa.RecordBatch,
    column: str,
    kind: ColumnType,
    before: str | None = None,
) -> str | None:
    """The largest value of a batch, or `before` where that is larger; None where neither has any."""
    check(kind, column)
    values = _plain(batch.column(column), kind)
    if pa.types.is_string(values.type) and kind is ColumnType.DECIMAL:
        numbers = [Decimal(each) for each in values.to_pylist() if each is not None]
        found = max((each for each in numbers if each.is_finite()), default=None)
    else:
        found = pc.max(values.filter(pc.fill_null(_ordered(values, kind), False))).as_py()
    return later(before, None if found is None else text(found, kind), kind)


def _plain(values: pa.Array, kind: ColumnType) -> pa.Array:
    """Without what compares badly: dictionaries, single floats, times of other units."""
    stored = values.type
    if kind is ColumnType.TIME and not pa.types.is_time(stored):
        raise InvalidInput(
            "A column of times with zones, or of 24:00, cannot be a cursor.",
            hint="Use a column of timestamps.",
        )
    if pa.types.is_dictionary(stored):
        values = values.dictionary_decode()
        stored = values.type
    if pa.types.is_float32(stored) or pa.types.is_float16(stored):
        return values.cast(pa.float64())
    if pa.types.is_large_string(stored) or pa.types.is_string_view(stored):
        return values.cast(pa.string())
    if pa.types.is_timestamp(stored) and stored.unit != "us":
        return values.cast(pa.timestamp("us", stored.tz), safe=False)  # nanoseconds are cut off
    return values


def _ordered(values: pa.Array, kind: ColumnType) -> pa.Array:
    """Which values take part in the order; null where there is none."""
    if kind is ColumnType.FLOAT:
        return pc.is_finite(values)
    if kind in {ColumnType.TIMESTAMP, ColumnType.TIMESTAMP_TZ}:
        number = values.cast(pa.int64())
        return pc.and_(pc.greater_equal(number, _FIRST_US), pc.less_equal(number, _LAST_US))
    if kind is ColumnType.DATE:
        number = values.cast(pa.int32())
        return pc.and_(pc.greater_equal(number, _FIRST_DAY), pc.less_equal(number, _LAST_DAY))
    return pc.is_valid(values)


def _at_or_after(values: pa.Array, bound: Any) -> pa.Array:
    stored = values.type
    if pa.types.is_decimal(stored):
        with localcontext(prec=DIGITS_MAX):  # rounded down: a row too many, never one too few
            bound = Decimal(bound).quantize(Decimal(1).scaleb(-stored.scale), ROUND_FLOOR)
    try:
        return pc.greater_equal(values, pa.scalar(bound, stored))
    except (pa.ArrowInvalid, OverflowError):  # outside of what the column can hold
        return pa.repeat(pa.scalar(bound < 0), len(values))


def _is_after(each: str | None, bound: Decimal) -> bool:
    number = Decimal(each) if each is not None else None
    return number is None or not number.is_finite() or number >= bound
