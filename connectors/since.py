"""Values of cursor columns as exact text, and how they are compared.

INTEGER, DECIMAL decimal digits · FLOAT the shortest digits that give it back · DATE, TIME, TIMESTAMP ISO 8601, times
with microseconds · TIMESTAMP_TZ likewise, in UTC, ending in `Z` · TEXT as it is · UUID in lower case. Text is compared
by its UTF-8 bytes, whatever a source's collation says. NaN, infinities and years outside 1 to 9999 have no text: like
null they are at or after everything, and never the largest.
"""

# ruff: noqa: A002, DTZ001 - `type` is the word for it; a naive timestamp has no zone

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_FLOOR, Decimal, InvalidOperation, localcontext
from typing import Any
from uuid import UUID

from base.errors import InvalidInput
from base.tables import ColumnType

_EPOCH = datetime(1970, 1, 1)
_DAY_SECONDS = 86_400
_ISO = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:([T ]\d\d:\d\d(:\d\d)?)((?:(?<=:\d\d:\d\d)[.,]\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?))?",
    re.ASCII,
)
DIGITS_MAX = 2_000  # of a decimal; PostgreSQL has more, but no cursor does


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
    """A cursor moved back by a look-back: whole days for DATE, as many units for numbers.

    A TEXT that is a date or a moment in ISO 8601 keeps its form; any other, and UUID, stays.
    """
    at = value(text, type)
    if seconds <= 0:
        return text
    if isinstance(at, str):
        return _text_before(at, seconds)
    return _TO_TEXT[type](_before(at, seconds))


def later(one: str | None, other: str | None, type: ColumnType) -> str | None:
    """The larger of two cursors; the one where the other is None."""
    if one is None or other is None:
        return one if other is None else other
    return one if _sorted(value(one, type)) >= _sorted(value(other, type)) else other


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
    with localcontext(prec=DIGITS_MAX):
        return at - seconds


def _text_before(text: str, seconds: int) -> str:
    """The same point in time earlier; its fraction and its zone are what they were."""
    parts = _ISO.fullmatch(text)
    try:
        at = datetime.fromisoformat(parts[1] + (parts[2] or "")) if parts else None
    except ValueError:  # as 2026-02-31
        at = None
    if parts is None or at is None:
        return text
    if parts[2] is None:
        return str(_before(at.date(), seconds))
    earlier = _before(at, seconds).isoformat(parts[2][0], "seconds" if parts[3] else "minutes")
    return f"{earlier}{parts[4]}"


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
