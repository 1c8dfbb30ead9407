"""The parent's side of the second child: what has to be done to each table, and the snapshot that comes of it."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from base import process
from base.tables import TableSchema
from connectors import since
from services.platform import Platform
from storage.keeping import Kept
from storage.snapshots.drifts import source_type
from storage.snapshots.manifest import Cursor, LocalPart, Manifest, Part, StoredFile, StoredTable
from storage.snapshots.modes import SyncMode
from storage.snapshots.rows import local_part
from storage.store import ObjectStore
from workers import receipts
from workers.listening import adopt
from workers.messages import FINISH, FinishOrder, FinishTable, NewFile, TableFinished
from workers.planning import Base
from workers.receipts import Books
from workers.state import SyncState, TableState

FILE_BYTES_MAX = 64 * 1024**3  # of a part, or of what an engine spills to disk
FOLDER_BYTES_MAX = 4 * FILE_BYTES_MAX  # of all that a child keeps at one time
MEMORY_BYTES_MAX = 1024**3  # that an engine of the child may take
MEMORY_SHARE = 4  # of the child's address space
FILES_AT_ONCE = 8  # fetched from the object store


@dataclass(frozen=True, slots=True)
class Completed:
    """What there is to publish. `drift` is what `Snapshot.drift` holds."""

    manifest: Manifest
    receipt: receipts.Receipt
    drift: list[dict[str, object]]


class Completion:
    """Finishes one sync whose tables are all read. New files go below `prefix`, by way of `folder`."""

    def __init__(
        self, platform: Platform, state: SyncState, base: Base, *, folder: Path, prefix: str
    ) -> None:
        self._platform = platform
        self._store: ObjectStore = platform.store
        self._state = state
        self._base = base
        self._folder = folder
        self._prefix = prefix
        self._files = 0
        self._finished: dict[int, TableFinished] = {}

    async def run(self) -> Completed:
        """Have the second child do what is left to do, if anything. Raises its errors."""
        todo = [each for each in enumerate(self._state.tables) if self._needs_child(each[1])]
        await asyncio.to_thread(self._folder.mkdir, mode=0o700)
        try:
            if todo:
                async with Kept(self._store) as kept:
                    tables = [await self._order(kept, index, table) for index, table in todo]
                    await self._run_child(tuple(tables))
            stored = [
                await self._stored(index, table)
                for index, table in enumerate(self._state.tables)
                if table.table is not None
            ]
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
        manifest = Manifest(tuple(stored))
        return Completed(manifest, self._receipt(manifest), self._drift())

    def _needs_child(self, table: TableState) -> bool:
        if table.table is None:
            return False
        before = self._base.table(table)
        if not _is_put_together(table):
            return not _is_as_before(table, before)
        is_described = before is not None and before.profile is not None
        return bool(
            table.parts or table.has_keys or table.merging.since is None or not is_described
        )

    async def _run_child(self, tables: tuple[FinishTable, ...]) -> None:
        settings = self._platform.settings
        memory_bytes = min(settings.child_memory_bytes_max // MEMORY_SHARE, MEMORY_BYTES_MAX)
        await process.run(
            FINISH,
            FinishOrder(tables, self._folder, memory_bytes),
            limits=process.Limits(
                wall_seconds=settings.sync_seconds_max,
                memory_bytes=settings.child_memory_bytes_max,
                file_bytes=FILE_BYTES_MAX,
                folder_bytes=FOLDER_BYTES_MAX,
            ),
            on_message=self._hear,
            isolation=isolation_of(self._folder, tables),
        )

    async def _hear(self, message: TableFinished) -> None:
        self._finished[message.index] = message

    async def _order(self, kept: Kept, index: int, table: TableState) -> FinishTable:
        before = self._base.table(table)
        merging = table.merging
        is_together = _is_put_together(table)
        base = before.parts if before is not None and is_together else ()
        return FinishTable(
            index,
            self._schema(table),
            table.plan.mode,
            (*base, *table.parts),
            await _local(kept, base),
            await _local(kept, table.parts),
            merging.key,
            merging.cursor_column,
            merging.since,
            await _local(kept, table.keys) if table.has_keys else None,
            rewrites=bool(is_together and merging.rewrites and table.parts),
            is_described=before is not None and before.profile is not None and is_together,
        )

    def _schema(self, table: TableState) -> TableSchema:
        """The table's columns: without a new row they are those stored."""
        before = self._base.table(table)
        assert table.table is not None
        if not _is_put_together(table) or before is None:
            return table.table
        if not table.parts or table.merging.table is None:
            return before.table if before.parts else table.table
        return table.merging.table

    async def _stored(self, index: int, table: TableState) -> StoredTable:
        before, done = self._base.table(table), self._finished.get(index)
        is_together = _is_put_together(table)
        profile = before.profile if before is not None else None
        if done is None:
            assert before is not None or not table.parts
            parts = before.parts if before is not None and is_together else tuple(table.parts)
        else:
            parts = await self._parts(done, before if is_together else None, table)
            profile = await self._adopted(done.profile) if done.profile else profile
        return StoredTable(
            self._schema(table),
            parts,
            table.merging.key,
            self._cursor(table),
            profile,
            await self._quarantine(table),
        )

    async def _parts(
        self, done: TableFinished, before: StoredTable | None, table: TableState
    ) -> tuple[Part, ...]:
        known = (*(before.parts if before is not None else ()), *table.parts)
        parts = []
        for each in done.parts:
            if each.file is not None:
                file = await self._adopted(each.file)
                part = Part(file.key, file.rows, file.size_bytes, file.sha256)
            else:
                assert each.origin is not None
                part = known[each.origin]
            if each.vector is not None:
                part = replace(part, deletes=await self._adopted(each.vector))
            parts.append(part)
        return tuple(parts)

    async def _adopted(self, file: NewFile) -> StoredFile:
        """A file of the child's as an object; whatever the child calls it, it is one of the folder."""
        key = f"{self._prefix}/finished-{self._files}{Path(file.name).suffix}"
        self._files += 1
        await adopt(self._store, self._folder / Path(file.name).name, key, file.size_bytes)
        return StoredFile(key, file.rows, file.size_bytes, file.sha256)

    def _cursor(self, table: TableState) -> Cursor | None:
        """The largest value read or stored: rows may be gone that had it, but nothing new comes before it."""
        column, value = table.merging.cursor_column, table.cursor
        if column is None:
            return None
        before = self._base.table(table)
        if table.merging.since is not None and before is not None and before.cursor is not None:
            kind = source_type(self._schema(table), column)
            value = since.later(before.cursor.value, value, kind)
        return Cursor(column, value) if value is not None else None

    async def _quarantine(self, table: TableState) -> StoredFile | None:
        """The rows that could not be stored, as one object."""
        if len(table.rejects) <= 1:
            return table.rejects[0] if table.rejects else None
        path = self._folder / f"{self._files}.ndjson"
        size_bytes = sum(file.size_bytes for file in table.rejects)
        sources = [await self._store.local_path(file.key) for file in table.rejects]
        digest = await asyncio.to_thread(joined, sources, path)
        name = NewFile(path.name, table.rows_rejected, size_bytes, digest)
        return await self._adopted(name)

    def _receipt(self, manifest: Manifest) -> receipts.Receipt:
        stored = iter(manifest.tables)
        books: list[Books] = []
        cursor_from: dict[str, str] = {}
        cursor_to: dict[str, str] = {}
        seen = set()
        for index, table in enumerate(self._state.tables):
            if table.table is None:
                continue
            now, before = next(stored), self._base.table(table)
            books.append(self._books(index, table, now, before))
            if before is not None:
                seen.add(id(before))
            if table.merging.since is not None:
                cursor_from[table.key] = table.merging.since
            if now.cursor is not None:
                cursor_to[table.key] = now.cursor.value
        gone = [each for each in self._base.manifest.tables if id(each) not in seen]
        books += [receipts.of_gone_table(each) for each in gone]
        return receipts.of_sync(books, manifest, cursor_from, cursor_to)

    def _books(
        self, index: int, table: TableState, now: StoredTable, before: StoredTable | None
    ) -> Books:
        done = self._finished.get(index)
        if not _is_put_together(table):
            return receipts.of_full_table(
                table.rows_read,
                now.parts,
                before,
                superseded=done.unchanged if done is not None else 0,
                quarantined=table.rows_rejected,
            )
        return Books(
            rows_read=table.rows_read,
            inserted=done.inserted if done else 0,
            updated=done.updated if done else 0,
            unchanged=done.unchanged if done else 0,
            deleted=done.deleted if done else 0,
            quarantined=table.rows_rejected,
            rows_before=before.row_count if before is not None else 0,
            rows_now=now.row_count,
        )

    def _drift(self) -> list[dict[str, object]]:
        return [
            {"table": table.key} | change
            for table in self._state.tables
            if not _is_put_together(table) or table.parts
            for change in table.merging.changes
        ]


def isolation_of(folder: Path, tables: Sequence[FinishTable]) -> process.Isolation:
    """What the child may touch: the stored parts, and a folder to work in."""
    parts = [part for table in tables for part in (*table.base, *table.staged, *(table.keys or ()))]
    paths = [path for part in parts for path in (part.path, part.deletes) if path is not None]
    return process.Isolation(folder=folder, reads=tuple(paths))


async def _local(kept: Kept, parts: Sequence[Part]) -> tuple[LocalPart, ...]:
    """The parts as files of this machine."""
    found: list[LocalPart] = []
    for start in range(0, len(parts), FILES_AT_ONCE):
        some = parts[start : start + FILES_AT_ONCE]
        found += await asyncio.gather(*(local_part(kept, part) for part in some))
    return tuple(found)


def _is_put_together(table: TableState) -> bool:
    """Whether stored rows stay; otherwise what was read replaces them."""
    return table.plan.is_incremental and not table.merging.is_fresh


def _is_as_before(table: TableState, before: StoredTable | None) -> bool:
    """Whether a table that was read whole is, file by file, what is stored, and was described then."""
    if before is None or before.profile is None or table.table is None:
        return False
    columns = [(each.name, each.type) for each in table.table.columns]
    return (
        table.plan.mode is not SyncMode.MERGE  # rows with the same key may have come
        and columns == [(each.name, each.type) for each in before.table.columns]
        and [(part.rows, part.sha256) for part in table.parts]
        == [(part.rows, part.sha256) for part in before.parts]
        and not any(part.deletes for part in before.parts)
    )


def joined(sources: Sequence[Path], path: Path) -> str:
    """Blocking: several files as one; its hash in hex."""
    digest = hashlib.sha256()
    with path.open("xb") as target:
        for source in sources:
            with source.open("rb") as file:
                while chunk := file.read(1024**2):
                    digest.update(chunk)
                    target.write(chunk)
    return digest.hexdigest()
