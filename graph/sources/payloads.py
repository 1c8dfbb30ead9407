"""What mutations of data sources answer with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import strawberry

from base.tables import TableSchema
from graph.fields import many, one, returns
from graph.jobs.types import Job, SourceError
from graph.scalars import DateTime
from graph.snapshots.tables import Table, TableRow, seen_tables
from graph.sources.types import DataSource
from services.sources import Tested


@strawberry.type(description="Data sources that were connected, and their first syncs.")
class ConnectDataSourcesPayload:
    """Rows with the keys `source_pks` and `job_pks`, read after the commit."""

    source_pks: strawberry.Private[list[int]]
    job_pks: strawberry.Private[list[int]]
    data_sources = many(DataSource, "source_pks", "The data sources, in the order of the input.")
    jobs = many(
        Job, "job_pks", "Their syncs, in the same order; none with `sync: false`, or of a DRAFT."
    )


@strawberry.type(
    description="What a test of a connection came to. A source that says no is an answer, not an error."
)
class TestConnectionPayload:
    """Made of a `services.sources.Tested`."""

    __test__ = False  # pytest is not meant

    ok: bool = strawberry.field(description="Whether the connection works.")
    message: str = strawberry.field(description="What was found, in words.")
    server_version: str | None = strawberry.field(
        description="The version of the source, in its own words."
    )
    latency_ms: int | None = strawberry.field(
        description="Milliseconds that the test took; null where it failed."
    )
    error: SourceError | None = strawberry.field(
        description="Why the connection does not work; null where it does."
    )
    seen: strawberry.Private[Sequence[TableSchema]]

    @returns(list[Table])
    @staticmethod
    def tables(parent: strawberry.Parent[Any]) -> list[TableRow]:
        """What the source has, with the source's own estimates of rows.

        Looked up only where this is selected, and not kept; empty where `ok` is false, or a file at a URL is large.
        """
        return seen_tables(parent.seen)

    @classmethod
    def of(cls, tested: Tested) -> TestConnectionPayload:
        """The payload for a test."""
        error = None
        if tested.error is not None and tested.at is not None:
            error = SourceError(
                code=tested.error.code,
                message=tested.error.message,
                hint=tested.error.hint,
                at=tested.at,
            )
        return cls(
            ok=tested.ok,
            message=tested.message,
            server_version=tested.server_version,
            latency_ms=tested.latency_ms,
            error=error,
            seen=tested.tables,
        )


@strawberry.type(description="A data source that was changed.")
class DataSourcePayload:
    """The data source with the key `pk` and jobs with the keys `job_pks`, read after the commit."""

    pk: strawberry.Private[int]
    job_pks: strawberry.Private[list[int]]
    data_source = one(DataSource, "pk", "The data source, as it is now.")
    jobs = many(Job, "job_pks", "Its sync, where what is read of it changed.")


@strawberry.type(description="Syncs that are queued or running.")
class SyncDataSourcesPayload:
    """The jobs with the keys `job_pks`, read after the commit."""

    job_pks: strawberry.Private[list[int]]
    jobs = many(
        Job,
        "job_pks",
        "A job for each data source, in that order; the running one where there was one.",
    )


@strawberry.type(description="Data sources that are gone.")
class CleanupDataSourcesPayload:
    """Ids."""

    deleted_ids: list[strawberry.ID] = strawberry.field(description="Their ids.")
    deleted_count: int = strawberry.field(description="How many they are.")


@strawberry.type(description="A link for a download, which needs no token.")
class PresignDataSourcePayload:
    """Made of a `services.snapshots.Link`."""

    url: str = strawberry.field(description="The link. Whoever has it may download.")
    expires_at: DateTime = strawberry.field(description="When it stops working.")
