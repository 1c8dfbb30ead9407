"""Columns that had a type before they became texts: a value that may be written in several ways is one value.

Of the older rows such a column has the texts that we show values as, of the newer ones the source's own. Both stay as
they are; only whether two rows are equal goes by the value.
"""

from __future__ import annotations

from base.tables import ColumnType, TableSchema

EARLIER = "earlier"  # among the details of a table: the types that texts had, by column
_MOMENT = r"\d{4}-\d\d-\d\d[ T]([01]\d|2[0-3]):\d\d(:\d\d([.]\d{1,6})?)?"
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"
_FORMS = {
    ColumnType.BOOLEAN: ("(?i)true|false", "lower({0})"),
    ColumnType.TIMESTAMP: (_MOMENT, "hw_timestamp(try_cast({0} as timestamp))"),
    ColumnType.TIMESTAMP_TZ: (
        _MOMENT + _ZONE,
        "hw_timestamp_tz(try_cast({0} as timestamptz))",
    ),
}


def is_kept(kind: ColumnType) -> bool:
    """Whether values of the type are written in more than one way."""
    return kind in _FORMS


def earlier_types(table: TableSchema) -> dict[str, ColumnType]:
    """The types that columns had which are texts by now."""
    return {name: ColumnType(kind) for name, kind in table.details.get(EARLIER, {}).items()}


def form(column: str, kind: ColumnType) -> str:
    """SQL that is equal for texts of the same value of that type; a text that is no such value is itself."""
    pattern, value = _FORMS[kind]
    value = value.format(column)
    return (
        f"coalesce(case when regexp_full_match({column}, '{pattern}') then {value} end, {column})"
    )
