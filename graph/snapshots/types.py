"""Snapshots and their receipts."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import orjson
import strawberry

import models
from graph.context import Info, load
from graph.enums import ColumnType, SnapshotStatus, expose
from graph.fields import Node, column, derived, link, node, returns
from graph.scalars import JSON, BigInt, DateTime, rfc3339
from graph.selection import Selection, by_keys, shape_of
from graph.snapshots.tables import Table, stored_tables
from models.rows import Pick, Row
from services.access import visible

if TYPE_CHECKING:
    from graph.jobs.types import Job
    from graph.sources.types import DataSource


@strawberry.type(description="One immutable Parquet file of a snapshot.")
class ReceiptFile:
    """Made of a `ReceiptFileRow`."""

    table: str = strawberry.field(
        description="The table whose rows it holds, with its schema where there is one."
    )
    rows: BigInt = strawberry.field(description="How many rows it holds.")
    size_bytes: BigInt = strawberry.field(description="Its size in bytes.")
    sha256: str = strawberry.field(description="The SHA-256 of its bytes, in hex.")


class ReceiptFileRow(NamedTuple):
    """What a `ReceiptFile` is made of."""

    table: str
    rows: int
    size_bytes: int
    sha256: str


@strawberry.type(
    description="The books of one sync. They balance, or nothing would have been committed: every row that was read "
    "was inserted, updated, found unchanged or quarantined."
)
class SyncReceipt:
    """Made of a `ReceiptRow`."""

    rows_read: BigInt = strawberry.field(description="Rows that the source gave.")
    inserted: BigInt = strawberry.field(description="Rows that are new in this snapshot.")
    updated: BigInt = strawberry.field(
        description="Rows that replace an older version of themselves."
    )
    unchanged: BigInt = strawberry.field(description="Rows that were stored already, just so.")
    deleted: BigInt = strawberry.field(description="Stored rows that are gone from the source.")
    quarantined: BigInt = strawberry.field(
        description="Rows that could not be stored as they were."
    )
    balanced: bool = strawberry.field(
        description="Whether rowsRead = inserted + updated + unchanged + quarantined, and the rows before, with the "
        "inserted and without the deleted, are the rows now."
    )
    cursor_from: JSON | None = strawberry.field(
        description="Where an incremental sync began to read; null for a full one."
    )
    cursor_to: JSON | None = strawberry.field(
        description="Where the next incremental sync goes on; null for a full one."
    )
    files: list[ReceiptFile] = strawberry.field(description="The files of the snapshot, by table.")


class ReceiptRow(NamedTuple):
    """What a `SyncReceipt` is made of."""

    rows_read: int
    inserted: int
    updated: int
    unchanged: int
    deleted: int
    quarantined: int
    balanced: bool
    cursor_from: Any
    cursor_to: Any
    files: list[ReceiptFileRow]


def _receipt(text: str) -> ReceiptRow:
    books = orjson.loads(text)
    books["files"] = [ReceiptFileRow(**file) for file in books["files"]]
    return ReceiptRow(**books)


class DriftKind(StrEnum):
    """What became of a column; the values are those of `storage.snapshots.evolve.Change`."""

    ADDED = "added"
    REMOVED = "removed"
    WIDENED = "widened"
    NARROWED = "narrowed"
    INCOMPATIBLE = "incompatible"


expose(
    DriftKind,
    "What became of a column of a table between two snapshots.",
    ADDED="It is new.",
    REMOVED="The source does not have it any more.",
    WIDENED="Its type became one that holds every value of the old one.",
    NARROWED="Its type became one that the old one holds.",
    INCOMPATIBLE="Its type became one that neither holds the old one nor is held by it.",
)


@strawberry.type(description="A column that is not as it was in the snapshot before.")
class ColumnDrift:
    """Made of a `ColumnDriftRow`."""

    table: str = strawberry.field(description="The table, with its schema where there is one.")
    column: str = strawberry.field(description="The column.")
    change: DriftKind = strawberry.field(description="What became of it.")
    old: ColumnType | None = strawberry.field(description="Its type before; null if it is new.")
    new: ColumnType | None = strawberry.field(description="Its type now; null if it is gone.")


class ColumnDriftRow(NamedTuple):
    """What a `ColumnDrift` is made of."""

    table: str
    column: str
    change: DriftKind
    old: ColumnType | None
    new: ColumnType | None


def _drift(text: str) -> list[ColumnDriftRow]:
    return [
        ColumnDriftRow(
            each["table"],
            each["column"],
            DriftKind(each["change"]),
            ColumnType(each["old"]) if each["old"] else None,
            ColumnType(each["new"]) if each["new"] else None,
        )
        for each in orjson.loads(text)
    ]


def _published(status: SnapshotStatus, at: str) -> str | None:
    return at if status is SnapshotStatus.PUBLISHED else None


@node
@strawberry.type(
    description="An immutable, committed version of a source's data. Readers see all of it or nothing, never half."
)
class Snapshot(Node):
    """Rows of `models.Snapshot`."""

    model: ClassVar[type[models.Snapshot]] = models.Snapshot

    number: int = column("1, 2, 3 … within its data source.")
    data_source: Annotated[DataSource, strawberry.lazy("graph.sources.types")] = link(
        "The data source whose data it holds.", "data_source_id"
    )
    job: Annotated[Job, strawberry.lazy("graph.jobs.types")] | None = link(
        "The sync or script job that committed it; null for a restored one, and once the job's record is gone.",
        "job_id",
        scoped=True,
    )
    status: SnapshotStatus = column("Whether it is, or was, one of the data source's versions.")
    published_at: DateTime | None = derived(
        "When it became the current one; null while it is held.",
        _published,
        "status",
        Pick("published", "published_at", rfc3339),
    )
    drift: list[ColumnDrift] = derived(
        "The columns that are not as they were in the snapshot before.",
        _drift,
        Pick("drifted", "drift", str),
    )
    is_derived: bool = column(
        "Whether scripts made it, of a table of another snapshot. It is read as any other, and never the current one."
    )
    base: Annotated[Snapshot, strawberry.lazy("graph.snapshots.types")] | None = link(
        "The one that was current when it was made, of a derived one the one that it was made of; null for the first, "
        "and once that is no longer kept.",
        "base_id",
        scoped=True,
    )
    restored_from: Annotated[Snapshot, strawberry.lazy("graph.snapshots.types")] | None = link(
        "The older one that `restoreSnapshot` made it from; null for a sync's, and once that is no longer kept.",
        "restored_id",
        scoped=True,
    )
    created_at: DateTime = column("When it was committed.")
    row_count: BigInt = column("Rows of all its tables.")
    size_bytes: BigInt = column("Bytes of all its files.")
    tables: list[Table] = derived(
        "Its tables, in the source's order.", stored_tables, Pick("manifest", "manifest", str)
    )
    receipt: SyncReceipt = derived(
        "The books of the sync or script job that committed it.",
        _receipt,
        Pick("books", "receipt", str),
    )

    @returns(
        Annotated["Snapshot", strawberry.lazy("graph.snapshots.types")] | None,
        "is_derived",
        "base_id",
    )
    @staticmethod
    def derived_from(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Row | None] | None:
        """The one that it was made of by scripts; null for a sync's, and once that is no longer kept."""
        if not parent.is_derived or parent.base_id is None:
            return None
        return load(info, parent.base_id, partial(_sources_of, info))


async def _sources_of(info: Info, keys: Sequence[int]) -> Mapping[int, Row]:
    viewer = info.context.viewer
    if viewer is None:
        return {}
    scope = visible(viewer, models.Snapshot)
    return await by_keys(viewer, shape_of(Snapshot), keys, Selection.of(info), *scope)
