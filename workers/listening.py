"""The parent's ear of the reading child: makes its parts durable, then the checkpoint that names them."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path

from base.errors import StorageFull
from models import DriftPolicy, JobStatus
from services import leases
from services.leases import Lease, StepChange
from storage.snapshots.manifest import Part, StoredFile
from storage.snapshots.modes import SyncMode
from storage.store import ObjectStore
from workers import drift
from workers.engine import steadily
from workers.messages import (
    PartWritten,
    ReadMessage,
    RowsRead,
    RowsRejected,
    TableDone,
    TableEvolved,
    TableOpened,
    TablesFound,
    Warned,
)
from workers.planning import Base
from workers.state import Merging, SyncState, TableState


class Listener:
    """What a child says, in its order, written into `state`. Files come from `folder` and go below `prefix`."""

    def __init__(
        self,
        store: ObjectStore,
        lease: Lease,
        state: SyncState,
        *,
        base: Base,
        policy: DriftPolicy,
        folder: Path,
        prefix: str,
    ) -> None:
        self._store = store
        self._lease = lease
        self._state = state
        self._base = base
        self._policy = policy
        self._folder = folder
        self._prefix = prefix
        self._before = (0, 0)  # rows and bytes of the table that earlier attempts had read

    async def hear(self, message: ReadMessage) -> None:
        """Act on a message."""
        if isinstance(message, TablesFound):
            if not self._state.tables:
                self._state.tables = [TableState(each) for each in message.selections]
            return
        table = self._state.tables[message.index]
        if isinstance(message, TableOpened):
            await self._open(message, table)
        elif isinstance(message, TableEvolved):
            self._evolve(message, table)
        elif isinstance(message, RowsRead):
            self._count(table, message.rows, message.bytes_read)
            progress = self._state.progress(f"Reading {table.key}")
            await steadily(self._lease, lambda: leases.report(self._lease, progress))
        elif isinstance(message, Warned):
            await leases.log(self._lease, "warning", message.text, table.key)
        elif isinstance(message, RowsRejected):
            await self._reject(message, table)
        elif isinstance(message, PartWritten):
            await self._keep(message, table)
        else:
            await self._close(message, table)

    async def _open(self, message: TableOpened, table: TableState) -> None:
        void: list[str] = [] if message.resumed else table.start_over()
        table.table = message.table
        merging = table.merging
        table.merging = Merging(
            message.key,
            message.cursor_column,
            message.since,
            message.is_fresh,
            merging.table,
            merging.changes,
            merging.rewrites,
        )
        self._before = (table.rows_stored + table.rows_rejected, table.bytes_read)
        step = StepChange(table.key, message.index, JobStatus.RUNNING)
        how = f", going on after row {self._before[0]:,}" if message.resumed else ""
        since = f" since {message.since}" if message.since is not None else ""
        await leases.log(self._lease, "info", f"Reading {table.key}{since}{how}.", table.key)
        await self._checkpoint(f"Reading {table.key}", [step], is_progress=False)
        for key in void:
            await self._store.delete(key)

    def _evolve(self, message: TableEvolved, table: TableState) -> None:
        changes = list(message.changes)
        drift.judge(self._policy, table.key, changes)
        table.merging.table = message.table
        table.merging.changes = changes
        table.merging.rewrites = message.rewrites

    async def _reject(self, message: RowsRejected, table: TableState) -> None:
        """Durable before the part behind it, whose checkpoint names both."""
        name = f"{message.number}.rejects"
        key = f"{self._prefix}/{message.number}.ndjson"
        await adopt(self._store, self._folder / name, key, message.size_bytes)
        file = StoredFile(key, message.rows, message.size_bytes, message.sha256)
        table.rejects.append(file)
        table.first_reject = table.first_reject or message.first

    async def _keep(self, message: PartWritten, table: TableState) -> None:
        """Make a part durable, then the checkpoint that names it."""
        name = f"{message.number}.parquet"
        part = Part(f"{self._prefix}/{name}", message.rows, message.size_bytes, message.sha256)
        await adopt(self._store, self._folder / name, part.key, part.size_bytes)
        if message.is_keys:
            table.keys.append(part)
        else:
            table.parts.append(part)
            table.position = message.position
            table.cursor = message.cursor
            table.rows_read = max(table.rows_read, table.rows_stored + table.rows_rejected)
        is_progress = message.position is not None
        await self._checkpoint(f"Reading {table.key}", is_progress=is_progress)

    async def _close(self, message: TableDone, table: TableState) -> None:
        self._count(table, message.rows, message.bytes_read)
        table.table = message.table or table.table
        table.cursor, table.has_keys = message.cursor, message.has_keys
        self._judge_whole(table)
        table.is_done = True
        rows_out = table.rows_stored
        step = StepChange(table.key, message.index, JobStatus.SUCCEEDED, table.rows_read, rows_out)
        done = f"{table.key}: {rows_out:,} rows in {len(table.parts)} parts."
        await leases.log(self._lease, "info", done, table.key)
        if table.first_reject is not None:
            rows = "1 row is" if table.rows_rejected == 1 else f"{table.rows_rejected:,} rows are"
            text = f"{table.key}: {rows} set aside. {table.first_reject.reason}"
            await leases.log(self._lease, "warning", text, table.key)
        await self._tell_if_emptied(table)
        await self._checkpoint(f"Read {table.key}", [step])

    async def _tell_if_emptied(self, table: TableState) -> None:
        """It may be so by mistake: an API that answers nothing for a while, a file that was cut off."""
        stored = self._base.table(table)
        if stored is None or not stored.row_count or table.rows_read:
            return
        if table.merging.since is None and table.plan.mode is not SyncMode.APPEND:
            text = f"{table.key}: no rows any more; it had {stored.row_count:,}."
            await leases.log(self._lease, "warning", text, table.key)

    def _judge_whole(self, table: TableState) -> None:
        """Drift of a table that replaces the stored one: its columns are only known when it was read."""
        stored = self._base.table(table) if self._base.is_alike else None
        if table.merging.is_fresh and stored is not None and table.table is not None:
            table.merging.changes = drift.changes(stored.table, table.table)
            drift.judge(self._policy, table.key, table.merging.changes)

    def _count(self, table: TableState, rows: int, bytes_read: int) -> None:
        rows_before, bytes_before = self._before
        table.rows_read = rows_before + rows
        table.bytes_read = bytes_before + bytes_read

    async def _checkpoint(
        self, message: str, steps: Sequence[StepChange] = (), *, is_progress: bool = True
    ) -> None:
        write: Callable[[], Awaitable[None]] = partial(
            leases.checkpoint,
            self._lease,
            self._state.to_json(),
            self._state.progress(message),
            steps,
            is_progress=is_progress,
        )
        await steadily(self._lease, write)


async def adopt(store: ObjectStore, path: Path, key: str, size_bytes: int) -> None:
    """Make a child's finished file an object; raises StorageFull where it was not written whole."""
    await asyncio.to_thread(_check_file, path, size_bytes)
    await asyncio.to_thread(store.adopt, path, key)


def _check_file(path: Path, size_bytes: int) -> None:
    """A finished file is a plain one of the size that was told."""
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size != size_bytes:
        raise StorageFull("A part of the snapshot was not written whole; the disk may be full.")
