"""`kill -9` of the worker in the middle of a MERGE: the snapshot becomes what the source holds, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from models import DataSource, Job, Snapshot, migrate
from server import embedded as supervisor
from services import dispatch, jobs
from tests.workers.processes import embedded, headquarters, succeeded
from tests.workers.syncing import objects, rows_of, table_of
from tests.workers.test_kill import Killer, source_of
from tests.workers.throttle import Throttle

KILLS = 3
ROWS = 60_000
PART_ROWS = 5_000
LEASE_SECONDS = 30
BYTES_PER_SECOND = 100_000
SEED = int(os.environ.get("KILL_SEED") or secrets.randbits(32))
MERGE = {
    "name": "orders",
    "schema": "public",
    "mode": "merge",
    "cursor_column": "at",
    "detect_deletes": True,
}


def make_table(url: str) -> None:
    """Every row has the same time, and then two thirds another one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz, title text)"
        )
        connection.execute(
            "INSERT INTO orders SELECT n, '2026-01-01 00:00Z', 'order ' || n FROM generate_series(1, %s) n",
            (ROWS,),
        )


def change(url: str) -> list[tuple[int, str]]:
    """What the table holds then."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE orders SET at = '2026-01-02 00:00Z', title = 'new' WHERE id % 3 > 0"
        )
        connection.execute("DELETE FROM orders WHERE id % 100 = 0")
        return connection.execute("SELECT id, title FROM orders ORDER BY id").fetchall()


async def queued(source: DataSource) -> Job:
    job = await jobs.sync(await DataSource.get(id=source.id), None, batch_rows=PART_ROWS)
    await dispatch.wake()
    return job


@pytest.mark.e2e
async def test_a_merge_survives_kills_of_its_worker(
    postgres_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"KILL_SEED={SEED}")
    monkeypatch.setattr(supervisor, "STEADY_SECONDS", 0.0)
    monkeypatch.setattr(supervisor, "RESTART_SECONDS_MIN", 0.01)
    await asyncio.to_thread(make_table, postgres_database)
    url = f"sqlite:///{tmp_path / 'headwater.db'}"
    await migrate.upgrade(url)
    throttle = Throttle(urlsplit(postgres_database).port or 5432, None)

    async with (
        throttle.listening(),
        headquarters(url, tmp_path, lease_seconds=LEASE_SECONDS) as platform,
        embedded(platform) as worker,
    ):
        source = await source_of(throttle.port, urlsplit(postgres_database).path[1:])
        await DataSource.filter(id=source.id).update(selections=[MERGE])
        first = await Snapshot.get(job_id=(await succeeded(await queued(source))).id)
        expected = await asyncio.to_thread(change, postgres_database)
        throttle.bytes_per_second = BYTES_PER_SECOND

        job = await queued(source)
        killer = Killer(job, worker, random.Random(SEED))
        for _ in range(KILLS):
            await killer.kill()
        throttle.bytes_per_second = None
        second = await Snapshot.get(job_id=(await succeeded(job)).id)

        rows = await rows_of(platform, second, "orders")
        assert (await Job.get(id=job.id)).attempts == KILLS + 1
        assert sorted((row["id"], row["title"]) for row in rows) == expected
        updated = sum(title == "new" for _, title in expected)
        books = ("rows_read", "inserted", "updated", "unchanged", "deleted", "balanced")
        read = updated + sum(title != "new" for _, title in expected)
        assert [second.receipt[name] for name in books] == [
            read, 0, updated, read - updated, ROWS // 100, True,
        ]  # fmt: skip
        assert await objects(platform) == {
            file.key for each in (first, second) for file in table_of(each, "orders").files()
        }
