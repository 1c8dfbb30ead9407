"""How each MySQL type is selected and stored, so that every value arrives as it is.

Numbers and moments come as such, all else as bytes. One that is not a value of its stored type (a zero date, a time of
-30 hours) is found; then the column is read again as text ("widened").
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from connectors import moments
from connectors.queries import Plan

DECIMAL_DIGITS_MAX = 38
_INTEGER_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 32, "int": 32, "bigint": 64}
_NO_DAY = (  # a part of it is zero, or the month is shorter
    "(year({0}) = 0 or month({0}) = 0 or dayofmonth({0}) = 0"
    " or ({0} is not null and dayofmonth({0}) > coalesce(dayofmonth(last_day({0})), 0)))"
)
_FIRST_DAY = (
    date.min - date(1970, 1, 1)
).days  # before it lie the year 0 and what is no date at all
_NO_LAST = 2**63
_DAY_US = 24 * 3600 * 10**6
_ODD_TIME = "({0} < '00:00:00' or {0} >= '24:00:00')"


@dataclass(frozen=True, slots=True)
class NativeType:
    """A column's type in the catalog: `name` and the full text, for example `decimal` and `decimal(10,2) unsigned`."""

    name: str
    full: str
    precision: int | None
    scale: int | None
    is_json: bool  # MariaDB's JSON is a text with a check


def _text(cells: pa.Array) -> pa.Array:
    return cells.cast(pa.string())


def _as(storage: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    """Raises ArrowInvalid where a view came to be of another type after its catalog was read, and a value changed."""

    def store(cells: pa.Array) -> pa.Array:
        found = cells.type
        stored = cells if found == storage else cells.cast(storage)
        if found == storage or pa.types.is_binary(found) or pa.types.is_null(found):
            return stored
        is_moment = pa.types.is_temporal(found)
        if is_moment != pa.types.is_temporal(storage) or not stored.cast(found).equals(cells):
            raise pa.ArrowInvalid(f"{found} is no {storage}")
        return stored

    return store


def _decimal(storage: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda cells: _text(cells).cast(storage)


def _instant(cells: pa.Array) -> pa.Array:
    """The session's time zone is UTC."""
    return _as(pa.timestamp("us"))(cells).view(pa.timestamp("us", "UTC"))


def _clock(cells: pa.Array) -> pa.Array:
    """What is no time of a day is found in the result."""
    return _as(pa.duration("us"))(cells).view(pa.time64("us"))


def _outside(storage: pa.DataType, first: int, behind: int) -> Callable[[pa.Array], bool]:
    """Whether a value is below the first one there is, or not below another."""

    def is_odd(values: pa.Array) -> bool:
        found = pc.min_max(values.view(storage)).as_py()
        return found["min"] is not None and not first <= found["min"] <= found["max"] < behind

    return is_odd


def _as_text(kind: ColumnType, sql: str = "{0}", *, reason: str | None = None) -> Plan:
    return Plan(kind, sql, _text, reason=reason)


_CHARS = "cast({0} as char)"
_NO_DATE = _as_text(
    ColumnType.TEXT, _CHARS, reason="text: holds dates that are none, such as 0000-00-00"
)
_BYTES = "cast(convert({0} using utf8mb4) as binary)"  # whatever the collation and its padding say
_TEXT = Plan(ColumnType.TEXT, store=_text, is_key=True, order=_BYTES)
_LONG_TEXT = Plan(ColumnType.TEXT, store=_text, order=_BYTES, sorts=False)  # by its start alone
_LABEL = _as_text(ColumnType.TEXT)  # orders by its number, compares by its text
_BINARY = Plan(ColumnType.BINARY, is_key=True)
# The longitude first, as it is stored and as EWKT has it: MySQL would give the axes in the reference system's order.
# MariaDB, which knows no such order, takes what is for MySQL 8 for a comment.
_WKT = "st_astext({0} /*!80000 , 'axis-order=long-lat' */)"
_SHAPE = _as_text(
    ColumnType.UNKNOWN,
    f"if(st_srid({{0}}) = 0, {_WKT}, concat('SRID=', st_srid({{0}}), ';', {_WKT}))",
)
_UNKNOWN = _as_text(ColumnType.UNKNOWN, _CHARS)

_PLANS: dict[str, Plan] = {
    "float": Plan(ColumnType.FLOAT, store=_as(pa.float32()), order="{0} + 0e0"),
    "double": Plan(ColumnType.FLOAT, store=_as(pa.float64()), order="{0}"),
    "year": Plan(ColumnType.INTEGER, store=_as(pa.int16()), is_key=True, order="{0} + 0"),
    "date": Plan(
        ColumnType.DATE,
        store=_as(pa.date32()),
        is_odd=_outside(pa.int32(), _FIRST_DAY, _NO_LAST),
        odd_sql=_NO_DAY,
        widened=_NO_DATE,
        is_key=True,
        order="{0}",
    ),
    "datetime": Plan(
        ColumnType.TIMESTAMP,
        store=_as(pa.timestamp("us")),
        is_odd=_outside(pa.int64(), _FIRST_DAY * _DAY_US, _NO_LAST),
        odd_sql=_NO_DAY,
        widened=replace(_NO_DATE, store=lambda cells: moments.naive(_text(cells))),
        is_key=True,
        order="{0}",
    ),
    "timestamp": Plan(
        ColumnType.TIMESTAMP_TZ,
        store=_instant,
        is_odd=_outside(pa.int64(), _FIRST_DAY * _DAY_US, _NO_LAST),
        odd_sql=_NO_DAY,
        widened=replace(_NO_DATE, store=lambda cells: moments.zoned(_text(cells))),
        is_key=True,
        order="{0}",
    ),
    "time": Plan(
        ColumnType.TIME,
        store=_clock,
        is_odd=_outside(pa.int64(), 0, _DAY_US),
        odd_sql=_ODD_TIME,
        widened=Plan(
            ColumnType.TEXT,
            _CHARS,
            store=lambda cells: moments.clock(_text(cells)),
            reason="text: holds times below 0 or from 24 hours on",
        ),
        order="{0}",
    ),
    "json": _as_text(ColumnType.JSON),
    "uuid": Plan(ColumnType.UUID, store=_text, order="cast(cast({0} as char) as binary)"),
    **dict.fromkeys(("char", "varchar"), _TEXT),
    **dict.fromkeys(("tinytext", "text", "mediumtext", "longtext"), _LONG_TEXT),
    **dict.fromkeys(("enum", "set", "inet4", "inet6"), _LABEL),
    **dict.fromkeys(("binary", "varbinary"), _BINARY),
    **dict.fromkeys(
        ("tinyblob", "blob", "mediumblob", "longblob", "vector"), Plan(ColumnType.BINARY)
    ),
    **dict.fromkeys(
        (
            *("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring"),
            *("multipolygon", "geometrycollection", "geomcollection"),
        ),
        _SHAPE,
    ),
}


def plan(native: NativeType) -> Plan:
    """How a column of this type is read."""
    if native.is_json:
        return _PLANS["json"]
    if native.name in _INTEGER_BITS:
        return _integer_plan(native)
    if native.name == "decimal":
        return _decimal_plan(native)
    if native.name == "bit":
        return _bit_plan(native)
    return _PLANS.get(native.name, _UNKNOWN)


def _integer_plan(native: NativeType) -> Plan:
    sign = "u" if "unsigned" in native.full or "zerofill" in native.full else ""
    storage = pa.type_for_alias(f"{sign}int{_INTEGER_BITS[native.name]}")
    return Plan(ColumnType.INTEGER, store=_as(storage), is_key=True, order="{0}")


def _decimal_plan(native: NativeType) -> Plan:
    precision, scale = native.precision or 0, native.scale or 0
    if 0 < precision <= DECIMAL_DIGITS_MAX:
        store = _decimal(pa.decimal128(precision, scale))
        return Plan(ColumnType.DECIMAL, store=store, is_key=True, order="{0}")
    return Plan(ColumnType.DECIMAL, store=_text, is_key=True, order="{0}")


def _bit_plan(native: NativeType) -> Plan:
    if re.fullmatch(r"bit(\(1\))?", native.full):
        return Plan(ColumnType.BOOLEAN, "cast({0} as unsigned)", _as(pa.bool_()))
    number = "cast({0} as unsigned)"
    return Plan(ColumnType.INTEGER, number, _as(pa.uint64()), order=number)
