"""Syncs whose snapshots are in a bucket, and whose files are copies in a cache."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from models import DataSourceType, JobStatus
from services.platform import Platform
from storage import keeping
from storage.cache import USE_SECONDS
from storage.location import Location
from storage.s3 import S3Store
from storage.sigv4 import Credentials
from tests.factories import make_source
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.storage.conformance import chunks_of
from tests.storage.test_cache import age
from tests.workers.syncing import published, rows_of, synced, table_of

WAITS = """select exists (select from pg_locks where not granted
    and database = (select oid from pg_database where datname = current_database()))"""
APPEND = {"mode": "append", "cursor_column": "n"}


@pytest.fixture
async def platform(platform: Platform, s3_server: S3Server, tmp_path: Path) -> Platform:
    """With a bucket whose cache has room for nothing that is not in use."""
    location, credentials = Location.parse(s3_server.url()), Credentials(KEY_ID, SECRET)
    return replace(platform, store=S3Store(location, credentials, tmp_path / "s3", 1))


@pytest.fixture
async def server(postgres_database: str) -> AsyncIterator[asyncpg.Connection]:
    """The source: two tables."""
    server = await asyncpg.connect(postgres_database)
    for table in "ab":
        await server.execute(f"create table {table} (n int primary key)")
        await server.execute(f"insert into {table} values (1)")
    yield server
    await server.close()


async def test_what_is_stored_stays_at_hand_for_the_table_that_is_read_last(
    platform: Platform,
    postgres_database: str,
    server: asyncpg.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keeping, "ASK_SECONDS", 0.01)
    place = urlsplit(postgres_database)
    settings: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": place.port,
        "database": place.path[1:],
        "username": "postgres",
        "ssl_mode": "disable",
        "options": {},
    }
    source = await make_source(
        type=DataSourceType.DATABASE,
        kind="postgresql",
        settings=settings,
        selections=[APPEND | {"name": table, "schema": "public"} for table in "ab"],
    )
    first = await published(platform, source)
    stored = await platform.store.local_path(table_of(first, "b").parts[0].key)
    await server.execute("insert into a values (2)")
    await server.execute("insert into b values (2)")

    async with asyncio.timeout(120):
        async with server.transaction():
            await server.execute("lock table b")
            running = asyncio.create_task(synced(platform, source))
            while not await server.fetchval(WAITS):  # noqa: ASYNC110 - only the server tells
                await asyncio.sleep(0.01)
            age(stored)
            while stored.stat().st_mtime < time.time() - USE_SECONDS:  # noqa: ASYNC110 - only the file tells
                await asyncio.sleep(0.01)
            await platform.store.put("x/1", chunks_of(b"x"), bytes_max=1)
            await platform.store.local_path("x/1")  # which makes room
        job = await running

    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    second = await published(platform, source)
    assert [row["n"] for row in await rows_of(platform, second, "b")] == [1, 2]
