"""What a change of a source's columns is called, and where a table keeps those that it does not follow."""

from __future__ import annotations

from base.tables import ColumnType, TableSchema

DRIFTED = "drifted"  # among the details of a table
WITHOUT_TEXT = frozenset({ColumnType.BINARY, ColumnType.LIST, ColumnType.STRUCT})
_WIDER = {ColumnType.INTEGER: ColumnType.DECIMAL, ColumnType.DATE: ColumnType.TIMESTAMP}


def source_type(table: TableSchema, column: str) -> ColumnType:
    """The type that the source had a stored column with, when it was last read."""
    stored = next(each.type for each in table.columns if each.name == column)
    had = table.details.get(DRIFTED, {}).get(column)
    return stored if had is None else ColumnType(had)


def change_of(old: ColumnType | None, new: ColumnType | None) -> str:
    """What became of a source's column that changed: `added`, `removed`, `widened`, `narrowed` or `incompatible`."""
    if old is None or new is None:
        return "added" if old is None else "removed"
    if _holds(new, old):
        return "widened"
    return "narrowed" if _holds(old, new) else "incompatible"


def _holds(one: ColumnType, other: ColumnType) -> bool:
    """Whether the one type has all values of the other."""
    if one is ColumnType.TEXT:
        return other not in WITHOUT_TEXT
    return _WIDER.get(other) is one
