"""How each PostgreSQL type is selected, checked and stored, so that every value arrives as it is.

The driver decodes most types exactly and some silently wrong: infinity becomes a number far out of range, `24:00`
midnight, an array of two dimensions a flat one, and what it does not know raw bytes. So a column is selected as it is
where its values survive or the exceptions can be seen, and as text elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from connectors import moments
from connectors.queries import Plan

DECIMAL_DIGITS_MAX = 38
_ARRAY = "A"
_COMPOSITE = "c"
_ENUMS_AND_RANGES = {"e", "r", "m"}
_DAY_US = 24 * 3600 * 10**6
_DATE_MIN = (date.min - date(1970, 1, 1)).days
_DATE_MAX = (date.max - date(1970, 1, 1)).days
_TIMESTAMP_MIN = _DATE_MIN * _DAY_US
_TIMESTAMP_MAX = (_DATE_MAX + 1) * _DAY_US - 1
_UUID_BYTES = 16
_UUID_CHARACTERS = 36
_HEX = np.array([f"{value:02x}".encode() for value in range(256)]).view(np.uint16)
_DASHES_AFTER = ((0, 8, 0), (8, 12, 1), (12, 16, 2), (16, 20, 3), (20, 32, 4))

_ODD_DATE = "not ({0} between date '0001-01-01' and date '9999-12-31')"
_ODD_TIMESTAMP = "not ({0} >= timestamp '0001-01-01' and {0} < timestamp '10000-01-01')"
_ODD_TIMESTAMP_TZ = "not ({0} >= timestamptz '0001-01-01 00:00:00+00' and {0} < timestamptz '10000-01-01 00:00:00+00')"


@dataclass(frozen=True, slots=True)
class NativeType:
    """A column's type in the catalog, domains resolved. `name` is qualified where it is not PostgreSQL's own.

    `category` and `element` are pg_type's; `modifier` is -1 where the type has none.
    """

    name: str
    kind: str
    category: str
    element: str | None
    modifier: int


_BYTES = '{0} COLLATE "C"'
_TEXT_BYTES = '{0}::text COLLATE "C"'
_PADDED_BYTES = (
    """(case when {0} is not null then concat({0}) end) COLLATE "C\""""  # with its padding
)
_LEAST = "{0} <= '-1e131071'::numeric"  # which is -Infinity, in servers that know it


def _as_text(
    kind: ColumnType,
    *,
    reason: str | None = None,
    sql: str = "{0}::text",
    key: bool = False,
    order: str | None = None,
) -> Plan:
    return Plan(kind, sql, reason=reason, is_key=key, order=order)


def _number(kind: ColumnType, sql: str = "{0}") -> Plan:
    return Plan(kind, sql, is_key=True, order=sql)


def _outside(low: int, high: int, storage: pa.DataType) -> Callable[[pa.Array], bool]:
    def is_odd(values: pa.Array) -> bool:
        flat = values.flatten() if pa.types.is_list(values.type) else values
        bounds = pc.min_max(flat.view(storage))
        least, most = bounds["min"].as_py(), bounds["max"].as_py()
        return least is not None and (least < low or most > high)

    return is_odd


def _plain_list(values: pa.Array) -> pa.Array:
    """Without the driver's marks on the element."""
    return values.cast(pa.list_(values.type.value_type))


def _storage(values: pa.Array) -> pa.Array:
    return values.storage if isinstance(values, pa.ExtensionArray) else values


def _uuid_text(values: pa.Array) -> pa.Array:
    """16 bytes a value to the 36 characters; by numpy, since the server takes three times as long."""
    raw = _storage(values)
    count = len(raw)
    start = raw.offset * _UUID_BYTES
    data = np.frombuffer(raw.buffers()[1], np.uint8, count * _UUID_BYTES, start)
    digits = _HEX[data].view(np.uint8).reshape(count, 2 * _UUID_BYTES)
    text = np.full((count, _UUID_CHARACTERS), ord("-"), np.uint8)
    for first, last, dashes in _DASHES_AFTER:
        text[:, first + dashes : last + dashes] = digits[:, first:last]
    offsets = np.arange(0, _UUID_CHARACTERS * (count + 1), _UUID_CHARACTERS, dtype=np.int32)
    validity = pc.is_valid(raw).buffers()[1] if raw.null_count else None
    return pa.StringArray.from_buffers(
        count, pa.py_buffer(offsets), pa.py_buffer(text), validity, raw.null_count
    )


_NO_DATE = _as_text(ColumnType.TEXT, reason="text: holds infinity, or years before 1 or after 9999")
_DATE = Plan(
    ColumnType.DATE,
    is_odd=_outside(_DATE_MIN, _DATE_MAX, pa.int32()),
    odd_sql=_ODD_DATE,
    widened=_NO_DATE,
    is_key=True,
    order="{0}",
)
_DATED: dict[str, Plan] = {
    "date": _DATE,
    "timestamp": Plan(
        ColumnType.TIMESTAMP,
        is_odd=_outside(_TIMESTAMP_MIN, _TIMESTAMP_MAX, pa.int64()),
        odd_sql=_ODD_TIMESTAMP,
        widened=replace(_NO_DATE, store=moments.naive),
        is_key=True,
        order="{0}",
    ),
    "timestamptz": Plan(
        ColumnType.TIMESTAMP_TZ,
        is_odd=_outside(_TIMESTAMP_MIN, _TIMESTAMP_MAX, pa.int64()),
        odd_sql=_ODD_TIMESTAMP_TZ,
        widened=replace(_NO_DATE, store=moments.zoned),
        is_key=True,
        order="{0}",
    ),
    "time": Plan(
        ColumnType.TIME,
        is_odd=_outside(0, _DAY_US - 1, pa.int64()),
        odd_sql="{0} = time '24:00'",
        widened=_as_text(ColumnType.TIME, reason="text: holds 24:00"),
        order="{0}",
    ),
}
_TEXT = _as_text(ColumnType.TEXT)
_PLANS: dict[str, Plan] = {
    **_DATED,
    "bool": Plan(ColumnType.BOOLEAN),
    "int2": _number(ColumnType.INTEGER),
    "int4": _number(ColumnType.INTEGER),
    "int8": _number(ColumnType.INTEGER),
    "oid": _number(ColumnType.INTEGER, "{0}::int8"),
    **dict.fromkeys(
        ("float4", "float8"),
        Plan(ColumnType.FLOAT, order="{0}", unordered="{0} = '-Infinity'::float8"),
    ),
    "text": Plan(ColumnType.TEXT, is_key=True, order=_BYTES),
    "varchar": Plan(ColumnType.TEXT, is_key=True, order=_BYTES),
    "name": Plan(ColumnType.TEXT, order=_TEXT_BYTES),
    # as it is: a cast to text would cut the padding
    "bpchar": Plan(ColumnType.TEXT, order=_PADDED_BYTES),
    "bytea": Plan(ColumnType.BINARY),
    "json": Plan(ColumnType.JSON, store=_storage),
    "jsonb": Plan(ColumnType.JSON, store=_storage),
    "uuid": Plan(ColumnType.UUID, store=_uuid_text, is_key=True, order="{0}"),
    "inet": _as_text(ColumnType.TEXT, sql="textin(inet_out({0}))"),  # a cast adds /32 to a host
    "timetz": _as_text(ColumnType.TIME),
    "interval": _as_text(ColumnType.DURATION),  # ISO 8601, by the session's intervalstyle
    **dict.fromkeys(
        ("cidr", "macaddr", "macaddr8", "money", "xml", "char", "bit", "varbit"), _TEXT
    ),
}
_LISTED = {
    "bool",
    "int2",
    "int4",
    "int8",
    "float4",
    "float8",
    "text",
    "varchar",
    "bpchar",
    "bytea",
    *_DATED,
}
_UNKNOWN = _as_text(ColumnType.UNKNOWN)
_JSON = _as_text(ColumnType.JSON, sql="to_json({0})::text")
_ODD_LIST = _as_text(
    ColumnType.JSON,  # PostgreSQL's own text starts with a bracket where an index does not start at 1
    sql="case when {0}::text like '[%' then to_json({0}::text) else to_json({0}) end::text",
    reason="JSON: holds arrays of several dimensions, indexes that do not start at 1, or elements like infinity, 24:00",
)


def plan(native: NativeType) -> Plan:
    """How a column of this type is read."""
    if native.element is not None and native.category == _ARRAY:
        return _list_plan(native.element)
    if native.name == "numeric":
        return _numeric_plan(native.modifier)
    if native.kind == _COMPOSITE:
        return _JSON
    if native.kind in _ENUMS_AND_RANGES:
        return _TEXT
    if native.name.endswith(".citext"):
        return _as_text(ColumnType.TEXT, order=_TEXT_BYTES)
    return _PLANS.get(native.name, _UNKNOWN)


def _numeric_plan(modifier: int) -> Plan:
    """Exact decimals up to 38 digits; else the exact digits as text, which is also where NaN and infinity fit."""
    exact = replace(_as_text(ColumnType.DECIMAL, key=True, order="{0}"), unordered=_LEAST)
    if modifier < 0:
        return exact
    precision, scale = (modifier - 4) >> 16, ((modifier - 4) & 0x7FF ^ 0x400) - 0x400
    if not (0 <= scale <= precision <= DECIMAL_DIGITS_MAX):
        return exact
    storage = pa.decimal128(precision, scale)

    return Plan(
        ColumnType.DECIMAL,
        "{0}::text",
        store=lambda values: values.cast(storage),
        odd_sql="{0} = 'NaN'",
        widened=_as_text(
            ColumnType.DECIMAL, reason="exact digits as text: holds NaN", key=True, order="{0}"
        ),
        is_key=True,
        order="{0}",
    )


def _list_plan(element: str) -> Plan:
    """Arrays of one dimension that starts at 1; one of another form makes the column JSON."""
    inner = _PLANS.get(element, _UNKNOWN)
    is_native = element in _LISTED
    odd_element = inner.odd_sql.format("e") if is_native and inner.odd_sql else None
    odd_shape = "(array_ndims({0}) > 1 or array_lower({0}, 1) <> 1)"
    selected = "{0}" if is_native else "{0}::text[]"
    return Plan(
        ColumnType.LIST,
        f"case when {odd_shape} then null else {selected} end",  # the driver gives up at some of these
        store=_plain_list,
        is_odd=inner.is_odd if odd_element else None,
        odd_sql=odd_shape
        if odd_element is None
        else f"({odd_shape} or exists (select from unnest({{0}}) e where {odd_element}))",
        flag=odd_shape,
        widened=_ODD_LIST,
    )
