"""Syncs: a child process reads the source, another puts it together with what is stored, this side publishes it."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace

from base import process
from base.credentials import redact
from base.errors import Internal, PlatformError
from connectors.connector import Connection, ReadLimits
from models import DataSource
from services import leases
from services.leases import CancelRequested, Lease
from services.platform import Platform
from services.sources.dialing import connection_of, isolation_of
from storage.keeping import Kept
from storage.snapshots.manifest import Manifest
from workers import publishing
from workers.completing import FILE_BYTES_MAX, FOLDER_BYTES_MAX, Completed, Completion
from workers.engine import steadily
from workers.leavings import forget
from workers.listening import Listener
from workers.messages import READ, Before, ReadOrder, TableOrder
from workers.planning import Base, base_of, state_of
from workers.state import TableState

ROW_BYTES = 128  # of a usual row, for drivers that fill batches by bytes
BATCH_BYTES_MIN = 64 * 1024
BATCHES_A_PART = (
    4  # at a chosen batch size: what is lost with a process is its unfinished part and few batches
)


async def run(platform: Platform, lease: Lease) -> None:
    """Read a source on from the last attempt's checkpoint, and publish the snapshot. Raises what went wrong."""
    source = await _source(lease)
    sync = _Sync(platform, lease, source, await base_of(source))
    await asyncio.to_thread(forget, platform.store.scratch(), lease)
    await leases.log(lease, "info", f"Attempt {lease.attempt} began on worker {lease.worker}.")
    await sync.read()
    await sync.publish()


async def discard(platform: Platform, lease: Lease, *, keep: Manifest | None = None) -> None:
    """Remove the objects of every attempt of this job but those that its snapshot holds."""
    kept = keep.keys() if keep else frozenset[str]()
    prefix = f"snapshots/{lease.source_id}/{lease.job_id}-"
    async for info in platform.store.list(prefix):
        if info.key not in kept:
            await platform.store.delete(info.key)


async def _source(lease: Lease) -> DataSource:
    """The source, unless it went away meanwhile: then nobody waits for its sync."""
    source = await DataSource.get_or_none(
        id=lease.source_id, deleted_at=None, project__deleted_at=None
    )
    if source is None:
        raise CancelRequested
    return source


class _Sync:
    """One attempt at a sync, on the snapshot that is the current one when it begins.

    Job options: `batch_rows`; without `incremental` every table is read whole and replaces what is stored. So it does
    where what is read changed since the current snapshot: rows of two generations are never put together.
    """

    def __init__(self, platform: Platform, lease: Lease, source: DataSource, base: Base) -> None:
        self._platform = platform
        self._lease = lease
        self._source = source
        self._base = base
        self._batch_rows: int | None = lease.options.get("batch_rows")
        self._goes_on = bool(lease.options.get("incremental", True)) and base.is_alike
        self._prefix = f"snapshots/{source.id}/{lease.job_id}-{lease.fence}"
        self._scratch = platform.store.scratch()
        self._is_continued = bool(lease.checkpoint)  # then with the file that was fetched before
        self._state = state_of(lease.checkpoint, source, base, is_incremental=self._goes_on)

    async def read(self) -> None:
        """Have a child read all that is missing; every part is durable and checkpointed when this returns."""
        if self._state.tables and all(table.is_done for table in self._state.tables):
            return
        async with Kept(self._platform.store) as kept:
            await self._read(kept)

    async def _read(self, kept: Kept) -> None:
        connection = await self._connection(kept)
        secrets = tuple(connection.secrets.values())
        folder = self._scratch / f"sync-{self._lease.job_id}-{self._lease.fence}"
        listener = Listener(
            self._platform.store,
            self._lease,
            self._state,
            base=self._base,
            policy=self._source.drift_policy,
            folder=folder,
            prefix=self._prefix,
        )
        order = ReadOrder(
            connection,
            tuple([await self._order(kept, table) for table in self._state.tables]),
            folder,
            self._batch_rows,
            self._source.quarantine_rows_max,
            self._state.rejected(),
            self._base.known,
        )
        settings = self._platform.settings
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        try:
            await process.run(
                READ,
                order,
                limits=process.Limits(
                    wall_seconds=settings.sync_seconds_max,
                    memory_bytes=settings.child_memory_bytes_max,
                    file_bytes=FILE_BYTES_MAX,
                    folder_bytes=FOLDER_BYTES_MAX,
                ),
                on_message=listener.hear,
                secrets=secrets,
                isolation=isolation_of(connection, folder, order.stored),
            )
        except PlatformError as error:
            hint = redact(error.hint, secrets) if error.hint else None
            raise type(error)(redact(error.message, secrets), hint=hint) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def complete(self) -> Completed:
        """Put what was read together with what is stored."""
        completion = Completion(
            self._platform,
            self._state,
            self._base,
            folder=self._scratch / f"finish-{self._lease.job_id}-{self._lease.fence}",
            prefix=self._prefix,
        )
        return await completion.run()

    async def publish(self) -> None:
        """Balance the books, then commit snapshot, source and the job's end in one fenced transaction."""
        store = self._platform.store
        read = [file for table in self._state.tables for file in table.files()]
        await publishing.check_objects(store, read)
        progress = self._state.progress("Putting the tables together")
        await steadily(self._lease, lambda: leases.report(self._lease, progress))
        done = await self.complete()
        manifest, receipt = done.manifest, done.receipt
        known = self._base.manifest.keys() | {file.key for file in read}
        files = [file for table in manifest.tables for file in table.files()]
        await publishing.check_objects(store, [file for file in files if file.key not in known])
        if not receipt.balanced:
            raise Internal(
                f"The sync read {receipt.rows_read} rows and stored {manifest.row_count}; nothing was published."
            )
        rows = f"{manifest.row_count:,} rows in {len(manifest.tables)} tables"
        await leases.log(self._lease, "info", f"Publishing {rows}.")
        await steadily(
            self._lease,
            lambda: leases.finish(
                self._lease,
                lambda: publishing.commit(self._lease, self._source, self._base, self._state, done),
            ),
        )
        await discard(self._platform, self._lease, keep=manifest)

    async def _order(self, kept: Kept, table: TableState) -> TableOrder:
        """What the child is told of a table, with what is stored of it where that stays."""
        stored = self._base.table(table) if self._goes_on else None
        if stored is None or table.is_done or not table.plan.is_incremental:
            return table.order()
        path = None
        if stored.parts:
            path = await kept.local_path(stored.parts[0].key)
        return table.order(Before(stored.table, path, stored.key, stored.cursor))

    async def _connection(self, kept: Kept) -> Connection:
        """The connection, with its secrets: they go to the child through its pipe and nowhere else."""
        limits = ReadLimits(cell_bytes_max=self._platform.settings.cell_bytes_max)
        if self._batch_rows:
            batch_rows = max(self._batch_rows // BATCHES_A_PART, 1)
            batch_bytes = min(max(batch_rows * ROW_BYTES, BATCH_BYTES_MIN), limits.batch_bytes)
            limits = replace(limits, batch_rows=batch_rows, batch_bytes=batch_bytes)
        connection = await connection_of(
            self._platform, self._source, limits, refetch=not self._is_continued
        )
        if connection.path is not None:
            await kept.local_path(self._source.settings["object_key"])
        return connection
