"""Data sources: what is connected, what the last sync came to, and what can be read of it."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import strawberry

import models
from base.errors import InvalidInput
from base.ids import key_of
from graph.context import Info, load
from graph.enums import DataSourceStatus, DataSourceType, Direction, DriftPolicy, SnapshotStatus
from graph.fields import Node, column, derived, link, node, returns
from graph.jobs.types import (
    NEWEST_JOBS_FIRST,
    Job,
    JobFilter,
    SourceError,
    job_conditions,
    stored_error,
)
from graph.orders import Sort
from graph.pages import (
    After,
    Connection,
    First,
    Listing,
    Offset,
    PageRow,
    Which,
    page_below,
    window,
)
from graph.scalars import JSON, BigInt, DateTime, json_text
from graph.schedules.types import OLDEST_SCHEDULES_FIRST, Schedule
from graph.scripts.types import Script, scripts_of
from graph.selection import Selection, read, shape_of
from graph.snapshots.tables import Table, TableRow, found_tables, stored_tables
from graph.snapshots.types import Snapshot
from graph.sources.connected import (
    ORIGINAL,
    ConnectionInfo,
    Original,
    connection_row,
    file_name_of,
    is_there,
    sizes_of,
)
from graph.sources.selected import SelectedTable, selected_tables
from models import rows
from models.rows import Compare, Eq, In, IsNull, Order, Pick, Row

if TYPE_CHECKING:
    from graph.access.types import User
    from graph.datasets.types import Dataset
    from graph.projects.types import Project

_NEWEST_SNAPSHOT_FIRST = Sort.by("snapshots", "number", Direction.DESC)
_CURRENT = "current_snapshot_id"


@node
@strawberry.type(
    description="A file, database or web API that a project reads. Its data is a chain of immutable snapshots, one a "
    "sync."
)
class DataSource(Node):
    """Rows of `models.DataSource`."""

    model: ClassVar[type[models.DataSource]] = models.DataSource

    pk: BigInt = column("The data source's integer key.", reads=Pick("pk", "id"))
    name: str = column("What people call it.")
    type: DataSourceType = column("Its family.")
    status: DataSourceStatus = column("What the last sync came to.")
    error: SourceError | None = derived(
        "Why the last sync failed; null unless the status is FAILED.",
        stored_error,
        Pick("stored_error", "error", str),
    )
    connection: ConnectionInfo = derived(
        "How it is connected.",
        connection_row,
        "kind",
        Pick("settings", "settings", json_text),
        Pick("has_secret", "secrets", is_there),
    )
    file_name: str | None = derived(
        "The name of its stored file, which the format ORIGINAL of `presignDataSource` gives; null where it has none.",
        file_name_of,
        ORIGINAL,
    )
    metadata: JSON = column("Whatever its owner noted about it.")
    scope: str = column("A free label that lists can be filtered by; `user` unless told otherwise.")
    dataset: Annotated[Dataset, strawberry.lazy("graph.datasets.types")] = link(
        "The dataset it is in.", "dataset_id"
    )
    project: Annotated[Project, strawberry.lazy("graph.projects.types")] = link(
        "The project it belongs to.", "project_id"
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who connected it.", "creator_id"
    )
    created_at: DateTime = column("When it was connected.")
    updated_at: DateTime = column("When it was last changed.")
    last_synced_at: DateTime | None = column("When its last successful sync was committed.")
    drift_policy: DriftPolicy = column("What a sync does when columns change.")
    quarantine_rows_max: int = column(
        "Rows of a table that a sync may set aside because they cannot be stored as they are."
    )
    snapshots_kept: int | None = column(
        "How many of its newest snapshots stay whatever their age; null for the server's usual."
    )
    snapshots_kept_days: int | None = column(
        "For how many days its older snapshots stay; null for the server's usual."
    )
    held_snapshot: Snapshot | None = link(
        "The snapshot that waits for `releaseSnapshot` or `discardSnapshot`.",
        "held_snapshot_id",
        scoped=True,
    )
    derived_snapshot: Snapshot | None = link(
        "The newest snapshot that a script job made of one of its tables; null where there is none.",
        "derived_snapshot_id",
        scoped=True,
    )

    selected_tables: list[SelectedTable] | None = derived(
        "The tables that it was told to sync, and how; null for all of them, as they are.",
        selected_tables,
        Pick("selections", "selections", str),
    )

    @returns(BigInt | None, ORIGINAL)
    @staticmethod
    def file_bytes(parent: strawberry.Parent[Any], info: Info) -> Awaitable[int | None] | None:
        """The size in bytes of its stored file; null where it has none."""
        original: Original | None = parent.original
        return None if original is None else load(info, original.object_key, sizes_of)

    @returns(list[Table], _CURRENT)
    @staticmethod
    def tables(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[TableRow]]:
        """Its tables: those of the current snapshot, else those that the last introspection found."""
        return _tables_of(info, parent)

    @returns(Table | None, _CURRENT)
    @staticmethod
    def table(
        parent: strawberry.Parent[Any],
        info: Info,
        name: Annotated[
            str | None,
            strawberry.argument(
                description="The table's name, if need be with its schema before a point;"
                " may be left out where there is only one."
            ),
        ] = None,
    ) -> Awaitable[TableRow | None]:
        """One of its tables; null where there is none of that name."""
        return _the_table(_tables_of(info, parent), name)

    @returns(Snapshot | None, _CURRENT)
    @staticmethod
    def snapshot(
        parent: strawberry.Parent[Any],
        info: Info,
        id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="One of this data source's snapshots."),
        ] = None,
        as_of: Annotated[
            DateTime | None,
            strawberry.argument(
                description="The snapshot that was the current one at this time; null where it is no longer kept."
            ),
        ] = None,
    ) -> Awaitable[Row | None] | None:
        """A snapshot: the current one where neither argument is given; null where there is no such snapshot."""
        if id is not None and as_of is not None:
            raise InvalidInput("Give `id` or `asOf`, not both.", field="asOf")
        if as_of is not None:
            return load(info, parent.pk, partial(_snapshots_as_of, info, as_of))
        pk = getattr(parent, _CURRENT) if id is None else key_of("snapshot", id)
        if pk is None:
            return None
        return load(info, (parent.pk, pk), partial(_snapshots, info))

    @returns(Connection[Snapshot])
    @staticmethod
    def snapshots(
        parent: strawberry.Parent[Any], info: Info, first: First = None, after: After = None
    ) -> Awaitable[PageRow]:
        """Its snapshots, newest first, derived ones among them."""
        conditions = (IsNull("removed_at"),)
        listing = Listing(
            Snapshot, _NEWEST_SNAPSHOT_FIRST, window(first, after), conditions, "data_source_id"
        )
        return page_below(info, listing, parent.pk)

    @returns(list[Script])
    @staticmethod
    def scripts(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[Row]]:
        """Its scripts, by their keys; up to 500. `predefinedScripts` lists those that are there for all."""
        return load(info, parent.pk, partial(scripts_of, info))

    @returns(Connection[Job])
    @staticmethod
    def jobs(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        offset: Offset = None,
        filter: Which[JobFilter] = None,
    ) -> Awaitable[PageRow]:
        """The jobs that worked on it, newest first."""
        conditions = tuple(job_conditions(filter))
        listing = Listing(
            Job,
            NEWEST_JOBS_FIRST,
            window(first, after, offset=offset),
            conditions,
            "data_source_id",
        )
        return page_below(info, listing, parent.pk)

    @returns(Connection[Schedule])
    @staticmethod
    def schedules(
        parent: strawberry.Parent[Any], info: Info, first: First = None, after: After = None
    ) -> Awaitable[PageRow]:
        """What is done with it by the clock, the oldest schedule first."""
        listing = Listing(
            Schedule, OLDEST_SCHEDULES_FIRST, window(first, after), (), "data_source_id"
        )
        return page_below(info, listing, parent.pk)


def _tables_of(info: Info, source: Row) -> Awaitable[Sequence[TableRow]]:
    key = (source.pk, getattr(source, _CURRENT))
    return info.context.loaders.load("tables", key, _tables)


async def _the_table(tables: Awaitable[Sequence[TableRow]], name: str | None) -> TableRow | None:
    found = await tables
    if name is None and len(found) > 1:
        raise InvalidInput(
            f"The data source has {len(found)} tables.",
            hint="Say which one by `name`.",
            field="name",
        )
    fitting = [table for table in found if name in {None, table.name, _qualified(table)}]
    if len(fitting) > 1:
        raise InvalidInput(
            f"There are several tables {name!r}: put the schema before the name.",
            hint=f"There is {', '.join(map(_qualified, fitting))}.",
            field="name",
        )
    return fitting[0] if fitting else None


def _qualified(table: TableRow) -> str:
    return f"{table.schema}.{table.name}" if table.schema else table.name


async def _tables(keys: Sequence[tuple[int, int | None]]) -> Mapping[Any, list[TableRow]]:
    """The tables of sources, given as (source, current snapshot)."""
    snapshots = [snapshot for _, snapshot in keys if snapshot is not None]
    unsynced = [source for source, snapshot in keys if snapshot is None]
    stored: dict[int, list[TableRow]] = {}
    found: dict[int, list[TableRow]] = {}
    if snapshots:
        manifest = Pick("manifest", "manifest", str)
        for row in await rows.select(models.Snapshot, ("id", manifest), In("id", snapshots)):
            stored[row.id] = stored_tables(row.manifest)
    if unsynced:
        introspected = Pick("introspected", "tables", str)
        for row in await rows.select(models.DataSource, ("id", introspected), In("id", unsynced)):
            found[row.id] = found_tables(row.introspected)
    return {
        (source, snapshot): found.get(source, []) if snapshot is None else stored.get(snapshot, [])
        for source, snapshot in keys
    }


async def _snapshots(info: Info, keys: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], Row]:
    """Snapshots by (source, snapshot), where the one is the other's."""

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        return rows.select_columns(
            models.Snapshot,
            picks,
            In("id", [pk for _, pk in keys]),
            In("data_source_id", [source for source, _ in keys]),
            IsNull("removed_at"),
        )

    extra = (Pick("data_source_id", "data_source_id"),)
    found = await read(info.context.viewer, shape_of(Snapshot), Selection.of(info), fetch, extra)
    return {(row.data_source_id, row.pk): row for row in found}


async def _snapshots_as_of(
    info: Info, moment: datetime, sources: Sequence[int]
) -> Mapping[int, Row]:
    """The snapshot of each source that was the current one at `moment`, where it is still there."""
    # Clients see milliseconds: a moment is its whole millisecond, so that `asOf: publishedAt` finds that snapshot.
    moment = moment.replace(microsecond=moment.microsecond // 1000 * 1000 + 999)

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        return rows.top_columns(
            models.Snapshot,
            picks,
            Compare("published_at", "<=", moment),
            Eq("status", SnapshotStatus.PUBLISHED),
            Eq("is_derived", False),
            parent="data_source_id",
            parents=sources,
            order=Order(("published_at", "id"), descending=True),
            limit=1,
        )

    extra = (
        Pick("data_source_id", "data_source_id"),
        Pick("removed", "removed_at"),
        Pick("replaced", "replaced_at"),
    )
    found = await read(info.context.viewer, shape_of(Snapshot), Selection.of(info), fetch, extra)
    return {
        row.data_source_id: row
        for row in found
        if row.removed is None and (row.replaced is None or row.replaced > moment)
    }
