"""`kill -9` of the worker, 40 times at random points of one sync: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import os
import random
import re
import secrets
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pyarrow.parquet as pq
import pytest

import connectors
from models import DataSource, DataSourceType, Job, JobLog, JobStatus, Snapshot, migrate
from server import embedded as supervisor
from server.embedded import EmbeddedWorker
from services import dispatch, jobs
from services.platform import Platform
from services.sources.dialing import connection_of
from storage.snapshots.manifest import Manifest
from tests.factories import make_source
from tests.workers.processes import embedded, headquarters, succeeded, until
from tests.workers.throttle import Throttle

KILLS = 40
ROWS = 200_000
PART_ROWS = 1_250
LEASE_SECONDS = 30
READ_SECONDS = 0.7  # what the rest of the table takes, for each kill that is left and some more
KILLS_MORE = 3
DELAY_SECONDS_MAX = 0.5  # of a kill, after the claim
SEED = int(os.environ.get("KILL_SEED") or secrets.randbits(32))


def make_table(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, title text, amount numeric(12,2))"
        )
        connection.execute(
            """INSERT INTO orders SELECT n * 3, 'title of order ' || n, n * 0.01
               FROM generate_series(1, %s) n""",
            (ROWS,),
        )
        connection.execute("VACUUM ANALYZE orders")


async def source_of(port: int, database: str) -> DataSource:
    settings = {
        "host": "127.0.0.1",
        "port": port,
        "database": database,
        "username": "postgres",
        "ssl_mode": "disable",
        "options": {},
    }
    return await make_source(type=DataSourceType.DATABASE, kind="postgresql", settings=settings)


class Killer:
    """Kills the worker a random time after it claimed the job."""

    def __init__(self, job: Job, worker: EmbeddedWorker, chance: random.Random) -> None:
        self._job = job
        self._worker = worker
        self._chance = chance

    async def kill(self) -> None:
        claimed = await self._claimed()
        await asyncio.sleep(self._chance.uniform(0, DELAY_SECONDS_MAX))
        if claimed.deaths >= 2:
            await until(self._has_progress)  # a third death in a row would rightly end the job
        job = await Job.get(id=self._job.id)
        assert job.status is JobStatus.RUNNING, "the sync was over before the last kill"
        pid = self._worker.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await self._claimed(after=job.fence)

    async def _claimed(self, after: int = 0) -> Job:
        async def is_claimed() -> bool:
            job = await Job.get(id=self._job.id)
            assert not job.status.is_terminal, job.error
            return job.status is JobStatus.RUNNING and job.fence > after

        await until(is_claimed)
        return await Job.get(id=self._job.id)

    async def _has_progress(self) -> bool:
        return (await Job.get(id=self._job.id)).deaths == 0


async def rows_stored(platform: Platform, snapshot: Snapshot) -> list[int]:
    ids: list[int] = []
    for stored in Manifest.from_json(snapshot.manifest).tables:
        for part in stored.parts:
            path = await platform.store.local_path(part.key)
            ids += pq.read_table(path, columns=["id"]).column("id").to_pylist()
    return ids


async def rows_resumed(job: Job) -> list[int]:
    """Where each attempt that got to read went on, in rows."""
    lines = await JobLog.filter(job_id=job.id, step__isnull=False).order_by("id")
    found = (
        re.fullmatch(r"Reading public\.orders(?:, going on after row ([\d,]+))?\.", line.message)
        for line in lines
    )
    return [int((match[1] or "0").replace(",", "")) for match in found if match]


@pytest.mark.e2e
async def test_a_sync_survives_forty_kills_of_its_worker(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"KILL_SEED={SEED}")
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "RESTART_SECONDS_MIN", 0.01)
    await asyncio.to_thread(make_table, postgres_database)
    url = f"sqlite:///{tmp_path / 'headwater.db'}"
    await migrate.upgrade(url)
    port = urlsplit(postgres_database).port or 5432
    throttle = Throttle(port, None)

    async with (
        throttle.listening(),
        headquarters(url, tmp_path, lease_seconds=LEASE_SECONDS) as platform,
        embedded(platform) as worker,
    ):
        source = await source_of(throttle.port, urlsplit(postgres_database).path[1:])
        await asyncio.to_thread(connectors.tables, await connection_of(platform, source))
        bytes_to_open = throttle.bytes_passed
        undisturbed = await source_of(throttle.port, urlsplit(postgres_database).path[1:])
        await succeeded(await again(undisturbed))
        bytes_whole = throttle.bytes_passed - bytes_to_open

        throttle.bytes_per_second = pace(bytes_whole, KILLS)
        job = await again(source)
        killer = Killer(job, worker, random.Random(SEED))
        for left in range(KILLS, 0, -1):
            rows_left = ROWS - (await Job.get(id=job.id)).rows_done
            throttle.bytes_per_second = pace(bytes_whole * rows_left // ROWS, left)
            await killer.kill()
        throttle.bytes_per_second = None
        ended = await succeeded(job)

        snapshot = await Snapshot.get(id=ended.snapshot_id)
        ids = await rows_stored(platform, snapshot)
        objects = {info.key async for info in platform.store.list(f"snapshots/{source.id}/")}
        resumed = await rows_resumed(ended)

    print(f"{ended.attempts} attempts, {sum(rows > 0 for rows in resumed)} went on mid-table")
    assert ended.attempts == KILLS + 1
    assert ids == [n * 3 for n in range(1, ROWS + 1)], "every row, once, in order"
    assert (snapshot.receipt["rows_read"], snapshot.receipt["balanced"]) == (ROWS, True)
    assert set(objects) == Manifest.from_json(snapshot.manifest).keys(), (
        "nothing is left of attempts"
    )
    assert resumed == sorted(resumed), "no attempt went back behind another's checkpoint"
    assert len({rows for rows in resumed if 0 < rows < ROWS}) >= KILLS // 4, "kills landed mid-sync"


def pace(bytes_left: int, kills_left: int) -> int:
    """Bytes a second at which the table is not over before the last kill, however slow the machine."""
    return int(bytes_left / (kills_left + KILLS_MORE) / READ_SECONDS)


async def again(source: DataSource) -> Job:
    """Another sync of the table."""
    job = await jobs.sync(source, None, batch_rows=PART_ROWS)
    await dispatch.wake()
    return job
