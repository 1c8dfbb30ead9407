"""Real worker processes for tests, beside a database that the test looks into."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dramatiq

from base.settings import Settings
from models import Job, JobKind, JobStatus, database
from server.embedded import EmbeddedWorker
from server.wiring import build_platform, prepare
from services import dispatch, jobs
from services.platform import Platform
from tests.factories import make_project
from workers.broker import QUEUE, set_broker

WAIT_SECONDS = 240


@asynccontextmanager
async def headquarters(
    database_url: str, data_dir: Path, *, queue: str = QUEUE, **values: Any
) -> AsyncIterator[Platform]:
    """What a server has that sends jobs to workers: settings, an open database, a broker."""
    settings = prepare(replace(Settings(), data_dir=data_dir, database_url=database_url, **values))
    before = dramatiq.broker.global_broker
    made = set_broker(settings, queue=queue)
    try:
        async with database.open(settings.effective_database_url, pool=3):
            yield build_platform(settings)
    finally:
        dramatiq.broker.global_broker = before
        made.close()


@asynccontextmanager
async def embedded(platform: Platform) -> AsyncIterator[EmbeddedWorker]:
    """The supervised worker process, running."""
    async with EmbeddedWorker(platform.settings) as worker:
        await until(lambda: is_running(worker))
        yield worker


async def is_running(worker: EmbeddedWorker) -> bool:
    return worker.pid is not None


async def until(
    condition: Callable[[], Awaitable[bool]], seconds: float = WAIT_SECONDS, pause: float = 0.02
) -> float:
    """Wait until something holds; the seconds that took."""
    started = time.monotonic()
    while not await condition():
        assert time.monotonic() - started < seconds, f"not so after {seconds} s"
        await asyncio.sleep(pause)
    return time.monotonic() - started


async def small_job() -> Job:
    """Queue and announce a job that has next to nothing to do."""
    job = await silent_job()
    await dispatch.wake()
    return job


async def silent_job() -> Job:
    """Queue a job that has next to nothing to do, and tell nobody."""
    project = await make_project()
    return await jobs.enqueue(
        kind=JobKind.CLEANUP,
        project_id=project.id,
        data_source_id=None,
        creator_id=None,
        options={"data_source_ids": []},
    )


async def over(job: Job, seconds: float = WAIT_SECONDS) -> Job:
    """The job, once it is over."""

    async def is_over() -> bool:
        return (await Job.get(id=job.id)).status.is_terminal

    await until(is_over, seconds)
    return await Job.get(id=job.id)


async def succeeded(job: Job, seconds: float = WAIT_SECONDS) -> Job:
    """The job, once it is over; it has to have gone well."""
    ended = await over(job, seconds)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, None), ended.error
    return ended
