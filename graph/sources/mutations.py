"""Mutations of data sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import strawberry

from graph.changes import changes
from graph.context import Info
from graph.fields import mutation
from graph.selection import Selection
from graph.sources.connections import given
from graph.sources.inputs import (
    CleanupDataSourcesInput,
    ConnectDataSourcesInput,
    DataSourceInput,
    IntrospectDataSourceInput,
    NewDatasetInput,
    PresignDataSourceInput,
    SyncDataSourcesInput,
    SyncOptions,
    TableSelection,
    TestConnectionInput,
    UpdateDataSourceInput,
)
from graph.sources.payloads import (
    CleanupDataSourcesPayload,
    ConnectDataSourcesPayload,
    DataSourcePayload,
    PresignDataSourcePayload,
    SyncDataSourcesPayload,
    TestConnectionPayload,
)
from models import Role
from services import snapshots, sources
from storage.snapshots.formats import ExportFormat

SCOPE = "user"
EXPIRES_SECONDS = 600


@strawberry.type
class SourceMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def test_connection(
        info: Info,
        input: Annotated[TestConnectionInput, strawberry.argument(description="What to try.")],
    ) -> TestConnectionPayload:
        """Try a connection, list what it has where `tables` is selected, and keep nothing of it. Up to 10 a minute."""
        tested = await sources.test_connection(
            info.context.platform,
            info.context.actor(info),
            input.project_id,
            given(input.connection),
            tables="tables" in Selection.of(info),
        )
        return TestConnectionPayload.of(tested)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def connect_data_sources(
        info: Info,
        input: Annotated[
            ConnectDataSourcesInput, strawberry.argument(description="What to connect, and where.")
        ],
    ) -> ConnectDataSourcesPayload:
        """Connect data sources, all or none, and sync them at once unless told otherwise."""
        done = await sources.connect(
            info.context.platform,
            info.context.actor(info),
            [_source(each) for each in input.sources],
            project_id=input.project_id,
            dataset_id=input.dataset_id,
            new_dataset=_dataset(input.new_dataset),
            scope=SCOPE if input.scope is None else input.scope,
            sync=input.sync is not False,
            unique_names=bool(input.unique_names),
            idempotency_key=input.idempotency_key,
        )
        return ConnectDataSourcesPayload(source_pks=done.source_pks, job_pks=done.job_pks)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def update_data_source(
        info: Info,
        input: Annotated[UpdateDataSourceInput, strawberry.argument(description="The changes.")],
    ) -> DataSourcePayload:
        """Rename a data source, connect it anew, or choose its tables and how it is dealt with.

        A file is read anew from what is stored of it: new `columnTypes` need no new upload. Whatever changes what is
        read is synced at once.
        """
        named = changes(
            name=input.name,
            metadata=input.metadata,
            connection=input.connection,
            tables=input.tables,
            drift_policy=input.drift_policy,
            quarantine_rows_max=input.quarantine_rows_max,
            snapshots_kept=input.snapshots_kept,
            snapshots_kept_days=input.snapshots_kept_days,
        )
        if named.get("connection") is not None:
            named["connection"] = given(named["connection"])
        if "tables" in named:
            named["tables"] = _tables(named["tables"])
        viewer = info.context.actor(info)
        done = await sources.update(
            info.context.platform,
            viewer,
            input.id,
            named,
            sync=input.sync is not False,
            unique_name=bool(input.unique_name),
        )
        return DataSourcePayload(pk=done.source_pk, job_pks=done.job_pks)

    @mutation(needs=Role.EXECUTE)
    @staticmethod
    async def introspect_data_source(
        info: Info,
        input: Annotated[IntrospectDataSourceInput, strawberry.argument(description="Which one.")],
    ) -> DataSourcePayload:
        """Look up which tables a data source has now. Its snapshots stay as they are."""
        viewer = info.context.actor(info)
        pk = await sources.introspect(info.context.platform, viewer, input.id)
        return DataSourcePayload(pk=pk, job_pks=[])

    @mutation(needs=Role.EXECUTE)
    @staticmethod
    async def sync_data_sources(
        info: Info,
        input: Annotated[SyncDataSourcesInput, strawberry.argument(description="What to sync.")],
    ) -> SyncDataSourcesPayload:
        """Read data sources into new snapshots, in the background. One that is being synced gives its running job."""
        options = input.options or SyncOptions()
        job_pks = await sources.start_sync(
            info.context.platform,
            info.context.actor(info),
            project_id=input.project_id,
            source_ids=input.data_source_ids,
            batch_rows=options.batch_size,
            incremental=options.incremental is not False,
            idempotency_key=input.idempotency_key,
        )
        return SyncDataSourcesPayload(job_pks=job_pks)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def cleanup_data_sources(
        info: Info,
        input: Annotated[CleanupDataSourcesInput, strawberry.argument(description="Which ones.")],
    ) -> CleanupDataSourcesPayload:
        """Remove data sources for good: they are gone at once, what is stored of them soon after."""
        gone = await sources.cleanup(
            info.context.actor(info),
            input.project_id,
            source_ids=input.data_source_ids,
            every=bool(input.all),
        )
        ids = [strawberry.ID(each) for each in gone]
        return CleanupDataSourcesPayload(deleted_ids=ids, deleted_count=len(ids))

    @mutation(needs=Role.READ)
    @staticmethod
    async def presign_data_source(
        info: Info,
        input: Annotated[PresignDataSourceInput, strawberry.argument(description="What to get.")],
    ) -> PresignDataSourcePayload:
        """A link that downloads the uploaded file or a table, for whoever has it, until it expires."""
        link = await snapshots.presign(
            info.context.platform,
            info.context.actor(info),
            input.id,
            expires_in=EXPIRES_SECONDS if input.expires_in is None else input.expires_in,
            format=input.format or ExportFormat.ORIGINAL,
            table=input.table,
            snapshot_id=input.snapshot_id,
        )
        return PresignDataSourcePayload(url=link.url, expires_at=link.expires_at)


def _dataset(new: NewDatasetInput | None) -> sources.NewDataset | None:
    return None if new is None else sources.NewDataset(new.name, new.description)


def _source(input: DataSourceInput) -> sources.SourceGiven:
    return sources.SourceGiven(
        name=input.name,
        connection=given(input.connection),
        metadata=input.metadata,
        tables=_tables(input.tables),
        drift_policy=input.drift_policy,
        quarantine_rows_max=input.quarantine_rows_max,
        snapshots_kept=input.snapshots_kept,
        snapshots_kept_days=input.snapshots_kept_days,
    )


def _tables(selections: Sequence[TableSelection] | None) -> list[sources.TableGiven] | None:
    return None if selections is None else list(map(_table, selections))


def _table(selection: TableSelection) -> sources.TableGiven:
    return sources.TableGiven(
        name=selection.name,
        schema=selection.schema,
        columns=selection.columns,
        mode=selection.mode or sources.SyncMode.FULL,
        cursor_column=selection.cursor_column,
        primary_key=selection.primary_key,
        detect_deletes=bool(selection.detect_deletes),
        lookback_seconds=selection.lookback_seconds,
    )
