"""Which tables of a source are synced and how, as users say it and as it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.errors import InvalidInput
from services import values
from storage.snapshots.modes import SyncMode

SELECTIONS_MAX = 1_000  # tables of one source
COLUMNS_MAX = 2_000  # of one selected table
KEY_COLUMNS_MAX = 32  # of one table
IDENTIFIER_CHARS_MAX = 1_000  # of a table's, schema's or column's name
LOOKBACK_SECONDS_MAX = 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class TableGiven:
    """A table to sync; no columns means all of them, no key the table's own, no look-back the usual one."""

    name: str
    schema: str | None = None
    columns: Sequence[str] | None = None
    mode: SyncMode = SyncMode.FULL
    cursor_column: str | None = None
    primary_key: Sequence[str] | None = None
    detect_deletes: bool = False
    lookback_seconds: int | None = None


def selections(tables: Sequence[TableGiven] | None, field: str) -> list[dict[str, Any]]:
    """What `DataSource.selections` keeps."""
    if tables is None:
        return []
    values.bounded(tables, field, items_max=SELECTIONS_MAX)
    seen: set[tuple[str | None, str]] = set()
    kept = []
    for index, table in enumerate(tables):
        path = f"{field}[{index}]"
        kept.append(_selection(table, path))
        if (table.schema, table.name) in seen:
            raise InvalidInput(f"The table {table.name} is there twice.", field=f"{path}.name")
        seen.add((table.schema, table.name))
    return kept


def are_read_alike(old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows that were read by the one selection may stay beside rows that are read by the other.

    They may not where a table has other columns, another key or another cursor column now; how far to look back, for
    instance, says nothing about the rows that are stored.
    """
    before, after = _by_table(old), _by_table(new)
    if not before or not after:  # all tables, with all their columns and own keys
        return all(_content(table) == _content({}) for table in (*before.values(), *after.values()))
    return all(_content(before[name]) == _content(after[name]) for name in before.keys() & after)


def _selection(table: TableGiven, path: str) -> dict[str, Any]:
    columns = _columns(table.columns, f"{path}.columns", COLUMNS_MAX)
    key = _columns(table.primary_key, f"{path}.primaryKey", KEY_COLUMNS_MAX)
    cursor = table.cursor_column
    if cursor is not None:
        _identifier(cursor, f"{path}.cursorColumn")
        _refuse_unread([cursor], columns, f"{path}.cursorColumn")
    _refuse_unread(key, columns, f"{path}.primaryKey")
    if table.detect_deletes and table.mode is not SyncMode.MERGE:
        raise InvalidInput(
            f"Only a MERGE looks for deleted rows; {table.name} is synced as {table.mode.name}.",
            hint="A FULL sync drops them anyway, an APPEND keeps every row that was ever read.",
            field=f"{path}.detectDeletes",
        )
    lookback = table.lookback_seconds
    if lookback is not None:
        where = f"{path}.lookbackSeconds"
        values.between(lookback, where, least=0, most=LOOKBACK_SECONDS_MAX)
    return {
        "name": _identifier(table.name, f"{path}.name"),
        "schema": None if table.schema is None else _identifier(table.schema, f"{path}.schema"),
        "columns": columns,
        "mode": table.mode.value,
        "cursor_column": cursor,
        "primary_key": key,
        "detect_deletes": table.detect_deletes,
        "lookback_seconds": lookback,
    }


def _columns(names: Sequence[str] | None, field: str, most: int) -> list[str]:
    """Names of columns in the order in which they are given; none for None."""
    if names is None:
        return []
    values.bounded(names, field, items_max=most)
    for index, name in enumerate(names):
        _identifier(name, f"{field}[{index}]")
    if len(set(names)) < len(names):
        raise InvalidInput("A column is there twice.", field=field)
    return list(names)


def _refuse_unread(names: Sequence[str], columns: Sequence[str], field: str) -> None:
    """Rows are told apart by what is read of them."""
    for name in names:
        if columns and name not in columns:
            raise InvalidInput(
                f"The column {name} is not among the columns to read.",
                hint=f"Add it to `columns`, or leave `{field.rpartition('.')[2]}` out.",
                field=field,
            )


def _by_table(selected: Sequence[Mapping[str, Any]]) -> dict[tuple[Any, Any], Mapping[str, Any]]:
    return {(each.get("schema"), each.get("name")): each for each in selected}


def _content(selection: Mapping[str, Any]) -> tuple[Any, ...]:
    """What decides which cells are read, and which row is which."""
    return (
        list(selection.get("columns") or ()),
        list(selection.get("primary_key") or ()),
        selection.get("cursor_column"),
    )


def _identifier(value: str, field: str) -> str:
    """A name as the source has it: spaces around it are part of it."""
    if not value:
        raise InvalidInput(f"`{field}` is empty.", field=field)
    return values.text(value, field, chars_max=IDENTIFIER_CHARS_MAX)
