"""Which tables of a data source are synced and how, as it was told."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
import strawberry

from graph.enums import SyncMode


@strawberry.type(
    description="A table that a data source was told to sync; what was left out then is null."
)
class SelectedTable:
    """Made of a `SelectedTableRow`."""

    name: str = strawberry.field(description="The table's name.")
    schema: str | None = strawberry.field(description="Its schema.")
    mode: SyncMode = strawberry.field(description="How it is synced.")
    columns: list[str] | None = strawberry.field(
        description="The columns that are read; null for all of them."
    )
    cursor_column: str | None = strawberry.field(
        description="The column by which new rows are told from old ones."
    )
    primary_key: list[str] | None = strawberry.field(
        description="The columns that tell rows apart; null for the table's own primary key."
    )
    detect_deletes: bool = strawberry.field(
        description="Whether each sync also looks for rows that are gone."
    )
    lookback_seconds: int | None = strawberry.field(
        description="How far behind the cursor a sync begins to read; null for the usual."
    )


class SelectedTableRow(NamedTuple):
    """What a `SelectedTable` is made of."""

    name: str
    schema: str | None
    mode: SyncMode
    columns: list[str] | None
    cursor_column: str | None
    primary_key: list[str] | None
    detect_deletes: bool
    lookback_seconds: int | None


def selected_tables(selections: str | bytes) -> list[SelectedTableRow] | None:
    """The tables of `models.DataSource.selections`; None for all there are."""
    return [_row(each) for each in orjson.loads(selections)] or None


def _row(kept: dict[str, Any]) -> SelectedTableRow:
    return SelectedTableRow(
        kept["name"],
        kept["schema"],
        SyncMode(kept["mode"]),
        kept["columns"] or None,
        kept["cursor_column"],
        kept["primary_key"] or None,
        kept["detect_deletes"],
        kept["lookback_seconds"],
    )
