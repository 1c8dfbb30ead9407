"""What changed between two snapshots: root query and types."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, NamedTuple

import strawberry

from base import tables
from graph.context import Info
from graph.enums import ColumnType, expose
from graph.fields import query
from graph.pages import PageInfo, PageInfoRow
from graph.scalars import BigInt, Cell
from graph.selection import Selection
from graph.serialized import Serialized
from graph.snapshots.tables import Column
from models import Role
from services.snapshots import diffs
from services.snapshots.diffs import TableChange
from storage.snapshots.changes import ChangedRow, Difference, RowChange, SchemaChange

DIFF_ROWS = 50
_OF_ROWS = {"key", "counts", "rows", "pageInfo"}
_OF_PAGES = {"rows", "pageInfo"}

expose(
    TableChange,
    "How a table differs between two snapshots.",
    ADDED="Only the newer one has it.",
    REMOVED="Only the older one has it.",
    CHANGED="Both have it, with other columns or other stored files; its rows may still be the same.",
    UNCHANGED="Both have it, with the same stored rows.",
)
expose(
    RowChange,
    "What happened to a row.",
    ADDED="It is new.",
    REMOVED="It is gone.",
    CHANGED="Its key is in both snapshots, with other values.",
)


class ColumnChange(StrEnum):
    """What happened to a column."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


expose(
    ColumnChange,
    "What happened to a column.",
    ADDED="It is new.",
    REMOVED="It is gone.",
    CHANGED="It has another type.",
)


@strawberry.type(description="A table of two snapshots that are compared.")
class TableDiff:
    """Shown from `services.snapshots.diffs.TableDifference` as it is."""

    name: str = strawberry.field(description="Its name in the source.")
    schema: str | None = strawberry.field(
        description="The schema it is in, where the source has schemas."
    )
    change: TableChange = strawberry.field(description="How it differs, as its stored files tell.")
    old_row_count: BigInt | None = strawberry.field(
        description="Its rows in `from`; null where it is not."
    )
    new_row_count: BigInt | None = strawberry.field(
        description="Its rows in `to`; null where it is not."
    )


@strawberry.type(description="A column that differs between two snapshots.")
class SchemaDiff:
    """Made of a `SchemaDiffRow`."""

    column: str = strawberry.field(description="The column's name.")
    change: ColumnChange = strawberry.field(description="What happened to it.")
    old_type: ColumnType | None = strawberry.field(description="Its type in `from`.")
    new_type: ColumnType | None = strawberry.field(description="Its type in `to`.")


class SchemaDiffRow(NamedTuple):
    """What a `SchemaDiff` is made of."""

    column: str
    change: ColumnChange
    old_type: tables.ColumnType | None
    new_type: tables.ColumnType | None


@strawberry.type(description="How many rows differ.")
class DiffCounts:
    """Shown from `storage.snapshots.changes.Difference` as it is."""

    added: BigInt = strawberry.field(description="Rows that are new.")
    removed: BigInt = strawberry.field(description="Rows that are gone.")
    changed: BigInt = strawberry.field(
        description="Rows whose key is in both, with other values; 0 without a key."
    )


@strawberry.type(description="A row that differs between two snapshots.")
class RowDiff:
    """Made of a `RowDiffRow`."""

    change: RowChange = strawberry.field(description="What happened to it.")
    key: list[Cell | None] | None = strawberry.field(
        description="The cells of its key; null where rows are not matched by a key."
    )
    old: list[Cell | None] | None = strawberry.field(
        description="Its cells in `from`, one a column; null for a row that was added."
    )
    new: list[Cell | None] | None = strawberry.field(
        description="Its cells in `to`, one a column; null for a row that was removed."
    )
    changed_columns: list[str] = strawberry.field(
        description="The columns whose values differ, of a row that was changed."
    )


class RowDiffRow(NamedTuple):
    """What a `RowDiff` is made of; cells stay the text that the engine wrote."""

    change: RowChange
    key: Serialized | None
    old: Serialized | None
    new: Serialized | None
    changed_columns: tuple[str, ...]


@strawberry.type(
    description="What changed from one snapshot of a data source to another. Values of columns whose type changed "
    "compare without loss: 5, 5.00 and the text 5 are the same; a column that one snapshot lacks is null there."
)
class SnapshotDiff:
    """Made of a `SnapshotDiffRow`."""

    tables: list[TableDiff] = strawberry.field(
        description="All tables of both snapshots, those of `to` first."
    )
    table: str | None = strawberry.field(
        description="The table that is compared, with its schema where there is one; null where `table` was left out "
        "and there are several."
    )
    key: list[str] = strawberry.field(
        description="The columns that rows are matched by. Without a unique key this is empty, and rows are "
        "compared as a whole: what differs is added or removed, never changed."
    )
    schema_changes: list[SchemaDiff] = strawberry.field(
        description="The columns that differ, of a table that both snapshots have."
    )
    counts: DiffCounts | None = strawberry.field(
        description="How many rows differ in all; null where no table is compared."
    )
    columns: list[Column] = strawberry.field(
        description="The columns of the rows: those of `to`, then those that are gone."
    )
    rows: list[RowDiff] = strawberry.field(
        description="Rows that were added or changed, in the order of `to`, then those that were removed, in the order "
        "of `from`."
    )
    page_info: PageInfo = strawberry.field(description="Where this page lies.")


class SnapshotDiffRow(NamedTuple):
    """What a `SnapshotDiff` is made of."""

    tables: tuple[diffs.TableDifference, ...]
    table: str | None
    key: tuple[str, ...]
    schema_changes: list[SchemaDiffRow]
    counts: Difference | None
    columns: tuple[tables.Column, ...]
    rows: list[RowDiffRow]
    page_info: PageInfoRow


@strawberry.type
class DiffQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=SnapshotDiff)
    @staticmethod
    async def snapshot_diff(
        info: Info,
        from_: Annotated[
            strawberry.ID,
            strawberry.argument(name="from", description="The snapshot to start from."),
        ],
        to: Annotated[
            strawberry.ID,
            strawberry.argument(description="Another snapshot of the same data source."),
        ],
        table: Annotated[
            str | None,
            strawberry.argument(
                description="The table whose rows to compare, if need be with its schema before a point; may be left "
                "out where there is only one."
            ),
        ] = None,
        first: Annotated[
            int | None,
            strawberry.argument(
                description="How many rows to give, from the start or from `after`: up to 500."
            ),
        ] = DIFF_ROWS,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="Only rows after this cursor, a `pageInfo.endCursor` of the same comparison."
            ),
        ] = None,
    ) -> SnapshotDiffRow:
        """What changed from one snapshot of a data source to another: tables, columns, and the rows of a table."""
        asked = Selection.of(info).names
        size = DIFF_ROWS if first is None else first
        found = await diffs.diff(
            info.context.platform,
            info.context.actor(info),
            from_,
            to,
            table=table,
            first=size if asked & _OF_PAGES else min(size, 0),
            after=after,
            with_rows=bool(asked & _OF_ROWS),
        )
        return _row(found)


def _row(found: diffs.SnapshotDifference) -> SnapshotDiffRow:
    rows = found.rows
    return SnapshotDiffRow(
        tables=found.tables,
        table=found.table,
        key=rows.key if rows else (),
        schema_changes=list(map(_schema_change, found.schema_changes)),
        counts=rows,
        columns=found.columns,
        rows=list(map(_changed_row, rows.rows)) if rows else [],
        page_info=PageInfoRow(rows.has_next, rows.has_previous, rows.start_cursor, rows.end_cursor)
        if rows
        else PageInfoRow(
            has_next_page=False, has_previous_page=False, start_cursor=None, end_cursor=None
        ),
    )


def _schema_change(change: SchemaChange) -> SchemaDiffRow:
    what = ColumnChange.CHANGED
    if change.old is None or change.new is None:
        what = ColumnChange.ADDED if change.old is None else ColumnChange.REMOVED
    return SchemaDiffRow(change.column, what, change.old, change.new)


def _changed_row(row: ChangedRow) -> RowDiffRow:
    key, old, new = (
        None if each is None else Serialized(each) for each in (row.key, row.old, row.new)
    )
    return RowDiffRow(row.change, key, old, new, row.columns)
