"""Syncs in a test: real sources, the real engine and children, and what is stored read by other code than ours."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import DataSource, DataSourceType, Job, JobKind, JobStatus, Snapshot
from services import jobs
from services.platform import Platform
from services.sources.dialing import isolation_of
from storage.snapshots.manifest import Manifest, StoredTable
from tests.factories import make_source
from workers import completing, sync
from workers.engine import Engine, Kind

SYNC_SECONDS_MAX = 240


def let_remember(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the children of syncs keep what a test double has to remember in this folder of the test's."""
    finishing = completing.isolation_of
    monkeypatch.setattr(
        sync,
        "isolation_of",
        lambda connection, _, stored: isolation_of(connection, folder, stored),
    )
    monkeypatch.setattr(completing, "isolation_of", lambda _, tables: finishing(folder, tables))


async def synced(
    platform: Platform,
    source: DataSource,
    batch_rows: int | None = None,
    *,
    incremental: bool = True,
) -> Job:
    """The job of a sync of the source as it is now, once it is over."""
    source = await DataSource.get(id=source.id)
    job = await jobs.sync(source, None, batch_rows, incremental=incremental)
    return await worked(platform, job)


async def worked(platform: Platform, job: Job) -> Job:
    """The job, once workers are through with it."""
    worker = Engine(platform, "w1", {JobKind.SYNC: Kind(sync.run, sync.discard)})
    async with asyncio.timeout(SYNC_SECONDS_MAX):
        while not (ended := await Job.get(id=job.id)).status.is_terminal:
            await worker.look()
            await asyncio.sleep(0.01)
    return ended


async def published(platform: Platform, source: DataSource, **values: Any) -> Snapshot:
    """The snapshot of a sync that has to go well; it holds all that is stored of the job."""
    job = await synced(platform, source, **values)
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    snapshot = await Snapshot.get(id=job.snapshot_id)
    assert snapshot.receipt["balanced"]
    await assert_nothing_left(platform, job, snapshot)
    return snapshot


async def assert_nothing_left(platform: Platform, job: Job, snapshot: Snapshot | None) -> None:
    """Of a job only what its snapshot names is stored, and no temporary file."""
    kept = Manifest.from_json(snapshot.manifest).keys() if snapshot else frozenset[str]()
    stored = await objects(platform)
    assert {key for key in stored if f"/{job.id}-" in key} <= kept
    assert kept <= stored
    assert list(platform.store.scratch().iterdir()) == []


async def objects(platform: Platform) -> set[str]:
    """The keys of all objects of snapshots."""
    return {info.key async for info in platform.store.list("snapshots/")}


def table_of(snapshot: Snapshot, name: str) -> StoredTable:
    """One table of a snapshot."""
    tables = Manifest.from_json(snapshot.manifest).tables
    return next(stored for stored in tables if stored.table.name == name)


async def rows_of(platform: Platform, snapshot: Snapshot, name: str) -> list[dict[str, Any]]:
    """The live rows of a table, in stored order."""
    rows: list[dict[str, Any]] = []
    schemas = set()
    stored = table_of(snapshot, name)
    for part in stored.parts:
        found = pq.read_table(await platform.store.local_path(part.key))
        schemas.add(found.schema.remove_metadata())
        if part.deletes:
            path = await platform.store.local_path(part.deletes.key)
            gone = set(pq.read_table(path).column("row").to_pylist())
            assert len(gone) == part.deletes.rows
            keep = pa.array([row not in gone for row in range(found.num_rows)], pa.bool_())
            found = found.filter(keep)
        assert found.num_rows == part.live_rows
        rows += found.to_pylist()
    assert len(schemas) <= 1, "all parts of a table have the same columns"
    assert [column.name for column in stored.table.columns] == (
        list(rows[0]) if rows else [column.name for column in stored.table.columns]
    )
    return rows


async def lines_of(platform: Platform, key: str) -> list[dict[str, Any]]:
    """The JSON lines of an object."""
    path = await platform.store.local_path(key)
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


class SqliteFile:
    """An uploaded SQLite file: change it with SQL, and the source reads the next version of it."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self._platform = platform
        self._path = folder / f"{secrets.token_hex(4)}.db"
        self.source: DataSource

    async def connect(self, *statements: str, **values: Any) -> DataSource:
        """A data source of this file, with the values given."""
        shape = {"type": DataSourceType.DATABASE, "kind": "sqlite", "settings": {}}
        self.source = await make_source(**shape | values)
        await self.change(*statements)
        return self.source

    async def change(self, *statements: str) -> None:
        """Change the file, and upload it again."""
        with closing(sqlite3.connect(self._path)) as connection, connection:
            for statement in statements:
                connection.execute(statement)
        key = f"uploads/{self.source.id}/{secrets.token_hex(8)}"
        content = self._path.read_bytes()
        await self._platform.store.put(key, _chunks(content), bytes_max=2**30)
        await self.set(settings={"object_key": key, "file_name": "data.db"})

    async def set(self, **values: Any) -> None:
        """Change the data source itself."""
        await DataSource.filter(id=self.source.id).update(**values)


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def books(snapshot: Snapshot) -> list[int]:
    """A receipt's counts: read, inserted, updated, unchanged, deleted, quarantined."""
    names = ("rows_read", "inserted", "updated", "unchanged", "deleted", "quarantined")
    return [snapshot.receipt[name] for name in names]
