"""Values of cursor columns as exact text, and what lies at or after them.

INTEGER, DECIMAL decimal digits · FLOAT the shortest digits that give it back · DATE, TIME, TIMESTAMP ISO 8601, times
with microseconds · TIMESTAMP_TZ likewise, in UTC, ending in `Z` · TEXT as it is · UUID in lower case. Text is compared
by its UTF-8 bytes, whatever a source's collation says. NaN, infinities and years outside 1 to 9999 have no text: like
null they are at or after everything, and never the largest.
"""

# ruff: noqa: A002, DTZ001, DTZ901 - `type` is the word for it; a naive timestamp has no zone

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from base.errors import InvalidInput
from base.tables import ColumnType

_EPOCH = datetime(1970, 1, 1)
_DAY_SECONDS = 86_400
_DIGITS_MAX = 2_000  # of a decimal; PostgreSQL has more, but no cursor does
_FIRST_US = (datetime.min - _EPOCH) // timedelta(microseconds=1)
_LAST_US = (datetime.max - _EPOCH) // timedelta(microseconds=1)
_FIRST_DAY = (date.min - _EPOCH.date()).days
_LAST_DAY = (date.max - _EPOCH.date()).days


def text(value: Any, type: ColumnType) -> str:
    """A cursor value as exact text; `value` is as Arrow or a driver gives it. Raises InvalidInput where it has none."""
    check(type)
    try:
        return _TO_TEXT[type](value)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InvalidInput(f"A {type.name} cannot be {str(value)[:80]!r}.") from error


def value(text: str, type: ColumnType) -> Any:
    """The inverse of `text`: int, Decimal, float, str, date, time, or datetime (with UTC for TIMESTAMP_TZ)."""
    check(type)
    try:
        return _FROM_TEXT[type](text)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise InvalidInput(
            f"The cursor {text[:80]!r} is no {type.name}.",
            hint="The column's type changed. Sync once with `incremental: false`.",
        ) from error


def check(type: ColumnType, column: str = "") -> None:
    """Raise InvalidInput for a type whose values have no order that a source and we agree on."""
    if type not in _TO_TEXT:
        which = f"{column!r} " if column else ""
        raise InvalidInput(
            f"The column {which}cannot be a cursor: values of the type {type.name} have no order.",
            hint="Use a column of times, dates or numbers.",
        )


def moved_back(text: str, type: ColumnType, seconds: int) -> str:
    """A cursor moved back by a look-back: whole days for DATE, as many units for numbers; TEXT and UUID stay."""
    at = value(text, type)
    if seconds <= 0 or isinstance(at, str):
        return text
    return _TO_TEXT[type](_before(at, seconds))


def mask(batch: pa.RecordBatch, column: str, since: str, type: ColumnType) -> pa.BooleanArray:
    """Which rows are at or after `since`, or have no value to compare; no nulls."""
    bound = value(since, type)
    values = _plain(batch.column(column), type)
    if pa.types.is_string(values.type) and type is ColumnType.DECIMAL:
        return pa.array([_is_after(each, bound) for each in values.to_pylist()], pa.bool_())
    is_after = _at_or_after(values, bound)
    unordered = pc.invert(_ordered(values, type))
    return pc.or_(pc.fill_null(is_after, True), pc.fill_null(unordered, True))


def largest(
    batch: pa.RecordBatch,
    column: str,
    type: ColumnType,
    before: str | None = None,
) -> str | None:
    """The largest value of a batch, or `before` where that is larger; None where neither has any."""
    check(type, column)
    values = _plain(batch.column(column), type)
    if pa.types.is_string(values.type) and type is ColumnType.DECIMAL:
        numbers = [Decimal(each) for each in values.to_pylist() if each is not None]
        found = max((each for each in numbers if each.is_finite()), default=None)
    else:
        found = pc.max(values.filter(pc.fill_null(_ordered(values, type), False))).as_py()
    return later(before, None if found is None else text(found, type), type)


def later(one: str | None, other: str | None, type: ColumnType) -> str | None:
    """The larger of two cursors; the one where the other is None."""
    if one is None or other is None:
        return one if other is None else other
    return one if _sorted(value(one, type)) >= _sorted(value(other, type)) else other


def _plain(values: pa.Array, type: ColumnType) -> pa.Array:
    """Without what compares badly: dictionaries, single floats, times of other units."""
    kind = values.type
    if type is ColumnType.TIME and not pa.types.is_time(kind):
        raise InvalidInput(
            "A column of times with zones, or of 24:00, cannot be a cursor.",
            hint="Use a column of timestamps.",
        )
    if pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
        kind = values.type
    if pa.types.is_float32(kind) or pa.types.is_float16(kind):
        return values.cast(pa.float64())
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return values.cast(pa.string())
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        return values.cast(pa.timestamp("us", kind.tz), safe=False)  # nanoseconds are cut off
    return values


def _ordered(values: pa.Array, type: ColumnType) -> pa.Array:
    """Which values take part in the order; null where there is none."""
    if type is ColumnType.FLOAT:
        return pc.is_finite(values)
    if type in {ColumnType.TIMESTAMP, ColumnType.TIMESTAMP_TZ}:
        number = values.cast(pa.int64())
        return pc.and_(pc.greater_equal(number, _FIRST_US), pc.less_equal(number, _LAST_US))
    if type is ColumnType.DATE:
        number = values.cast(pa.int32())
        return pc.and_(pc.greater_equal(number, _FIRST_DAY), pc.less_equal(number, _LAST_DAY))
    return pc.is_valid(values)


def _at_or_after(values: pa.Array, bound: Any) -> pa.Array:
    kind = values.type
    if pa.types.is_decimal(kind):
        with localcontext(prec=_DIGITS_MAX):  # rounded down: a row too many, never one too few
            bound = Decimal(bound).quantize(Decimal(1).scaleb(-kind.scale), ROUND_FLOOR)
    try:
        return pc.greater_equal(values, pa.scalar(bound, kind))
    except (pa.ArrowInvalid, OverflowError):  # outside of what the column can hold
        return pa.repeat(pa.scalar(bound < 0), len(values))


def _is_after(each: str | None, bound: Decimal) -> bool:
    number = Decimal(each) if each is not None else None
    return number is None or not number.is_finite() or number >= bound


def _before(at: Any, seconds: int) -> Any:
    """An earlier value, no earlier than the first of its type."""
    if isinstance(at, datetime):
        first = datetime.min.replace(tzinfo=at.tzinfo)
        return max(at - first, timedelta(seconds=seconds)) - timedelta(seconds=seconds) + first
    if isinstance(at, date):
        days = -(-seconds // _DAY_SECONDS)
        return date.fromordinal(max(at.toordinal() - days, 1))
    if isinstance(at, time):
        full = datetime.combine(date.max, at) - timedelta(seconds=seconds)
        return full.time() if full.date() == date.max else time()
    with localcontext(prec=_DIGITS_MAX):
        return at - seconds


def _sorted(at: Any) -> Any:
    """What Python orders as Arrow does: text by its bytes."""
    return at.encode() if isinstance(at, str) else at


def _integer(value: Any) -> str:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError
    return str(int(value))


def _decimal(value: Any) -> str:
    number = Decimal(value)
    if not number.is_finite():
        raise InvalidOperation
    return format(number, "f")


def _float(value: Any) -> str:
    number = float(value)
    if number - number != 0:  # NaN or infinite
        raise ValueError
    return repr(number)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _date(value: Any) -> str:
    return (value.date() if isinstance(value, datetime) else value).isoformat()


def _time(value: time) -> str:
    if value.tzinfo is not None:
        raise ValueError
    return value.isoformat("microseconds")


def _naive(value: datetime) -> str:
    if value.tzinfo is not None:
        raise ValueError
    return value.isoformat("T", "microseconds")


def _zoned(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError
    return value.astimezone(UTC).replace(tzinfo=None).isoformat("T", "microseconds") + "Z"


def _floor(text: str) -> int:
    """An integer column may have held decimals when its cursor was taken."""
    return int(Decimal(text).to_integral_value(ROUND_FLOOR))


def _naive_from(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is not None:
        raise ValueError
    return at


def _zoned_from(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


_TO_TEXT: dict[ColumnType, Callable[[Any], str]] = {
    ColumnType.INTEGER: _integer,
    ColumnType.DECIMAL: _decimal,
    ColumnType.FLOAT: _float,
    ColumnType.TEXT: _string,
    ColumnType.UUID: lambda value: str(UUID(str(value))),
    ColumnType.DATE: _date,
    ColumnType.TIME: _time,
    ColumnType.TIMESTAMP: _naive,
    ColumnType.TIMESTAMP_TZ: _zoned,
}
_FROM_TEXT: dict[ColumnType, Callable[[str], Any]] = {
    ColumnType.INTEGER: _floor,
    ColumnType.DECIMAL: Decimal,
    ColumnType.FLOAT: float,
    ColumnType.TEXT: str,
    ColumnType.UUID: lambda text: str(UUID(text)),
    ColumnType.DATE: date.fromisoformat,
    ColumnType.TIME: time.fromisoformat,
    ColumnType.TIMESTAMP: _naive_from,
    ColumnType.TIMESTAMP_TZ: _zoned_from,
}
