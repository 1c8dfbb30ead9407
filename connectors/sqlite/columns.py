"""Which of our types a SQLite column has: by what is stored in it, since SQLite lets any value sit in any column.

One query counts the storage classes of each column. A declared type is kept where every value is one; otherwise the
column takes the narrowest type that holds every value exactly, and says why.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from typing import TYPE_CHECKING, Any

from base.tables import ColumnType

if TYPE_CHECKING:
    import pyarrow as pa

_INTEGERS = 2**63

Cells = Sequence[Any]  # of one column: None, int, float, or bytes for text and blobs alike


@dataclass(frozen=True, slots=True)
class Shape:
    """A type that values may turn out to have: `condition` is SQL, true of each such value `{0}`."""

    type: ColumnType
    condition: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What one column stores.

    `inexact` counts integers that no double is equal to; `longest` is of texts and blobs, in bytes as they are stored.
    """

    integers: int
    reals: int
    texts: int
    blobs: int
    inexact: int
    longest: int
    shaped: tuple[int, ...]

    @property
    def values(self) -> int:
        """How many values are not null."""
        return self.integers + self.reals + self.texts + self.blobs


@dataclass(frozen=True, slots=True)
class Plan:
    """How a column is read: what is selected of `{0}`, and what makes the Arrow array of its cells.

    `longest` is the largest text or blob, in bytes as it is stored. `is_mixed` is of values of several storage classes
    that became one.
    """

    type: ColumnType
    store: Callable[[Cells], pa.Array]
    reason: str | None = None
    sql: str = "{0}"
    longest: int = 0
    is_mixed: bool = False

    @property
    def order(self) -> str | None:
        """What of `{0}` to compare in the order of the stored values; None where they have none."""
        return None if self.is_mixed else _ORDERS.get(self.type)


# A modifier makes SQLite reckon: without one it hands February 30 back as it came.
_DATE = "substr({0}, 1, 4) >= '0001' and date({0}, '+0 days') is {0} collate binary"
_DATE_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_TIME_GLOB = "[0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
_FRACTION = (  # nothing, or a dot and up to 6 digits to the very end
    "(length(cast({0} as blob)) = {1} or (length(cast({0} as blob)) between {1} + 2 and {1} + 7"
    " and substr({0}, {1} + 1, 1) = '.' and substr({0}, {1} + 2) not glob '*[^0-9]*'"
    " and length({0}) = length(cast({0} as blob))))"
)


def _timestamps(separator: str) -> Shape:
    return Shape(
        ColumnType.TIMESTAMP,
        f"typeof({{0}}) = 'text' and substr({{0}}, 11, 1) = '{separator}'"
        " and substr({0}, 1, 4) >= '0001'"
        f" and substr({{0}}, 1, 19) glob '{_DATE_GLOB}{separator}{_TIME_GLOB}'"
        " and datetime(substr({0}, 1, 19), '+0 days')"
        " is (substr({0}, 1, 10) || ' ' || substr({0}, 12, 8)) collate binary"
        f" and {_FRACTION.format('{0}', 19)}",
    )


_DATES = Shape(
    ColumnType.DATE,
    f"typeof({{0}}) = 'text' and length({{0}}) = 10 and {{0}} glob '{_DATE_GLOB}' and {_DATE}",
)
_TIMES = Shape(
    ColumnType.TIME,
    f"typeof({{0}}) = 'text' and substr({{0}}, 3, 1) = ':' and substr({{0}}, 1, 8) glob '{_TIME_GLOB}'"
    f" and substr({{0}}, 1, 2) < '24' and {_FRACTION.format('{0}', 8)}",
)
_TEMPORAL = (_DATES, _timestamps(" "), _timestamps("T"), _TIMES)
_CLOCK = (  # of every length the same 15 characters, so that text compares as times do
    "substr({0} || (case when length({0}) < 10 then '.' else '' end) || '000000', 1, 15)"
)
_ORDERS = {
    ColumnType.INTEGER: "{0}",
    ColumnType.FLOAT: "cast({0} as real)",
    ColumnType.TEXT: "{0} collate binary",
    ColumnType.DATE: "{0} collate binary",
    ColumnType.TIME: _CLOCK,
    ColumnType.TIMESTAMP: f"(substr({{0}}, 1, 10) || 'T' || {_CLOCK.format('substr({0}, 12)')})",
}
_BOOLEANS = Shape(ColumnType.BOOLEAN, "typeof({0}) = 'integer' and {0} in (0, 1)")
_JSONS = Shape(ColumnType.JSON, "typeof({0}) in ('text', 'integer') and json_valid({0})")

_SHAPED: tuple[tuple[str, ColumnType, tuple[Shape, ...]], ...] = (
    # words of a declared type, what it promises, and what its values may be
    (r"BOOL", ColumnType.BOOLEAN, (_BOOLEANS,)),
    (r"DATETIME|TIMESTAMP", ColumnType.TIMESTAMP, _TEMPORAL),
    (r"\bDATE\b", ColumnType.DATE, _TEMPORAL),
    (r"\bTIME\b", ColumnType.TIME, _TEMPORAL),
    (r"\bJSONB?\b", ColumnType.JSON, (_JSONS,)),
)
_AFFINITIES = (  # SQLite's own rules, in their order
    (r"INT", ColumnType.INTEGER),
    (r"CHAR|CLOB|TEXT", ColumnType.TEXT),
    (r"BLOB", ColumnType.BINARY),
    (r"REAL|FLOA|DOUB", ColumnType.FLOAT),
)


def shapes(declared: str) -> tuple[Shape, ...]:
    """What the values of a column of this declared type are tried for."""
    return next((each for words, _, each in _SHAPED if _has(declared, words)), ())


def promised(declared: str) -> ColumnType | None:
    """Our type for a declared type; None where it promises nothing (NUMERIC, or no type at all)."""
    for words, kind, _ in _SHAPED:
        if _has(declared, words):
            return kind
    return next((kind for words, kind in _AFFINITIES if _has(declared, words)), None)


def counted(name: str, declared: str) -> str:
    """SQL for the fields of `Counts` of a column, `name` being its quoted name."""
    classes = [f"typeof({name}) = '{each}'" for each in ("integer", "real", "text", "blob")]
    classes.append(f"typeof({name}) = 'integer' and {name} <> cast({name} as real)")
    conditions = [*classes, *(each.condition.format(name) for each in shapes(declared))]
    counts = [f"count(*) filter (where {each})" for each in conditions]
    # SQLite counts a text's characters, and those up to a NUL alone.
    size = (
        f"case typeof({name}) when 'blob' then length({name}) else length(cast({name} as blob)) end"
    )
    counts.insert(len(classes), f"max({size}) filter (where typeof({name}) in ('text', 'blob'))")
    return ", ".join(counts)


def width(declared: str) -> int:
    """How many fields `counted` selects."""
    return 6 + len(shapes(declared))


def counts(fields: Sequence[int | None]) -> Counts:
    """The fields that `counted` selected."""
    integers, reals, texts, blobs, inexact, longest, *shaped = (each or 0 for each in fields)
    return Counts(integers, reals, texts, blobs, inexact, longest, tuple(shaped))


def plan(declared: str, found: Counts) -> Plan:
    """How to read a column that stores what was found."""
    promise = promised(declared)
    if not found.values:
        kind = promise or (ColumnType.FLOAT if declared else ColumnType.TEXT)
        return Plan(kind, STORES[kind], None if promise else f"{kind}: it holds no values")
    for shape, number in zip(shapes(declared), found.shaped, strict=True):
        if number == found.values:
            return _chosen(shape.type, declared, promise, found)
    return _chosen(_class(found), declared, promise, found)


def parameter(value: Any) -> Any:
    """A value as `Plan.order` is compared with it: int, float, or text."""
    if isinstance(value, datetime):
        return value.isoformat("T", "microseconds")
    if isinstance(value, time):
        return value.isoformat("microseconds")
    if isinstance(value, int):  # what is no integer of SQLite's is beyond all of them
        return value if -_INTEGERS <= value < _INTEGERS else math.copysign(math.inf, value)
    return value if isinstance(value, float) else str(value)


def widened(declared: str, before: Plan) -> Plan:
    """What to read after values of a column did not turn out to be of its type."""
    kind = ColumnType.BINARY if before.type is ColumnType.TEXT else ColumnType.TEXT
    what = "its text is not all UTF-8" if kind is ColumnType.BINARY else "it changes between reads"
    reason = f"{kind}: {_said(declared)}, but {what}"
    return Plan(kind, STORES[kind], reason, longest=before.longest)


def _class(found: Counts) -> ColumnType:
    if found.blobs:
        return ColumnType.BINARY
    if found.texts or (found.reals and found.inexact):
        return ColumnType.TEXT
    return ColumnType.FLOAT if found.reals else ColumnType.INTEGER


def _chosen(kind: ColumnType, declared: str, promise: ColumnType | None, found: Counts) -> Plan:
    """A plan, with a reason where the type is not the declared one or values of several classes became one."""
    present = {
        "integers": found.integers,
        "reals": found.reals,
        "texts": found.texts,
        "blobs": found.blobs,
    }
    held = [f"{number:,} {name}" for name, number in present.items() if number]
    is_numeric = kind in {ColumnType.INTEGER, ColumnType.FLOAT} and promise is None
    is_kept = kind is promise or is_numeric or (promise is None and len(held) == 1)
    reason = None
    is_mixed = len(held) > 1 and kind in {ColumnType.TEXT, ColumnType.BINARY}
    if not is_kept or is_mixed:
        reason = f"{kind}: {_said(declared)}, holds {' and '.join(held)}"
        if found.reals and found.inexact and kind is ColumnType.TEXT:
            reason += f", {found.inexact:,} of them beyond what a float holds exactly"
    sql = "cast({0} as real)" if kind is ColumnType.FLOAT else "{0}"
    return Plan(kind, STORES[kind], reason, sql, found.longest, is_mixed)


def _said(declared: str) -> str:
    return f"declared {declared}" if declared else "no declared type"


def _has(declared: str, words: str) -> bool:
    return re.search(words, declared, re.IGNORECASE) is not None


def _integers(cells: Cells) -> pa.Array:
    import pyarrow as pa

    return pa.array(cells, pa.int64())


def _floats(cells: Cells) -> pa.Array:
    import pyarrow as pa

    return pa.array(cells, pa.float64())


def _booleans(cells: Cells) -> pa.Array:
    import pyarrow as pa

    return pa.array(cells, pa.int8()).cast(pa.bool_())


def _texts(cells: Cells) -> pa.Array:
    """UTF-8 is checked here. Numbers among texts are written so that they can be read back exactly."""
    import pyarrow as pa

    try:
        return pa.array(cells, pa.string())
    except pa.ArrowTypeError:
        return pa.array([_exact(cell) for cell in cells], pa.string())


def _blobs(cells: Cells) -> pa.Array:
    import pyarrow as pa

    try:
        return pa.array(cells, pa.binary())
    except pa.ArrowTypeError:
        return pa.array([_exact(cell) for cell in cells], pa.binary())


def _exact(cell: Any) -> bytes | None:
    return cell if cell is None or isinstance(cell, bytes) else repr(cell).encode()


def _dates(cells: Cells) -> pa.Array:
    import pyarrow as pa

    return pa.array(cells, pa.string()).cast(pa.date32())


def _timestamps_of(cells: Cells) -> pa.Array:
    import pyarrow as pa

    return pa.array(cells, pa.string()).cast(pa.timestamp("us"))


def _times(cells: Cells) -> pa.Array:
    """Arrow reads no times, but timestamps."""
    import pyarrow as pa

    dated = [None if cell is None else b"1970-01-01 " + cell for cell in cells]
    return pa.array(dated, pa.string()).cast(pa.timestamp("us")).cast(pa.time64("us"))


STORES: dict[ColumnType, Callable[[Cells], pa.Array]] = {
    ColumnType.INTEGER: _integers,
    ColumnType.FLOAT: _floats,
    ColumnType.BOOLEAN: _booleans,
    ColumnType.TEXT: _texts,
    ColumnType.JSON: _texts,
    ColumnType.BINARY: _blobs,
    ColumnType.DATE: _dates,
    ColumnType.TIMESTAMP: _timestamps_of,
    ColumnType.TIME: _times,
}
