"""A worker for tests that ask the schema: whatever is queued is done, by real child processes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from base import process
from models import Job, JobKind, JobStatus
from services.platform import Platform
from tests.http_server import HttpServer, serving
from workers import scripts, sync
from workers.engine import Engine, Kind
from workers.messages import PRELOAD

KINDS = {
    JobKind.SYNC: Kind(sync.run, sync.discard),
    JobKind.SCRIPT: Kind(scripts.run, scripts.discard),
}
WORK_SECONDS_MAX = 240
_ACTIVE = [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING]


@pytest.fixture(scope="module")
def children() -> Iterator[None]:
    """Children that have their libraries imported."""
    process.start(PRELOAD)
    yield
    process.start([])


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    """A web server on loopback."""
    with serving() as server:
        yield server


async def work(platform: Platform) -> None:
    """Run every job that is queued, to its end."""
    worker = Engine(platform, "w1", KINDS)
    async with asyncio.timeout(WORK_SECONDS_MAX):
        while await Job.filter(status__in=_ACTIVE).exists():
            await worker.look()
            await asyncio.sleep(0.01)
