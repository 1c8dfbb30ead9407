"""One worker's engine on both databases: each attempt is brought to its one right end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from base.errors import ConnectionFailed, PlatformError
from base.tracing import trace_id
from connectors.errors import SourceUnreachable
from models import DataSource, DataSourceStatus, Job, JobKind, JobLog, JobStatus
from services import leases
from services.leases import Lease, LeaseLost, Progress
from services.platform import Platform
from tests.factories import make_job, make_source
from workers import engine
from workers.engine import Engine, Kind

Run = Callable[[Platform, Lease], Awaitable[None]]
CLOCK_MS = 50  # by which the database's clock may round


async def nothing(*_: object) -> None:
    pass


async def succeed(_platform: Platform, lease: Lease) -> None:
    await leases.finish(lease, nothing)


class Discards:
    """What was asked to be discarded."""

    def __init__(self) -> None:
        self.jobs: list[int] = []

    async def __call__(self, _platform: Platform, lease: Lease) -> None:
        self.jobs.append(lease.job_id)


def make_engine(platform: Platform, run: Run, discard: Run = nothing, **settings: Any) -> Engine:
    changed = replace(platform, settings=replace(platform.settings, **settings))
    return Engine(changed, "w1", {JobKind.SYNC: Kind(run, discard)})


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 120) -> None:
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what changes is a row
            await asyncio.sleep(0.01)


async def status(job: Job) -> JobStatus:
    found: JobStatus = (await Job.get(id=job.id)).status
    return found


async def test_it_runs_jobs_until_none_is_due(platform: Platform) -> None:
    due = [await make_job() for _ in range(3)]
    later = await make_job(run_after_ms=2**52)

    await make_engine(platform, succeed).look()

    assert [await status(job) for job in due] == [JobStatus.SUCCEEDED] * 3
    assert await status(later) is JobStatus.QUEUED


async def test_ten_wake_ups_at_once_and_later_have_one_effect(platform: Platform) -> None:
    effects = []

    async def run(_platform: Platform, lease: Lease) -> None:
        async def effect() -> None:
            effects.append(lease.job_id)

        await asyncio.sleep(0.05)
        await leases.finish(lease, effect)

    job = await make_job()
    worker = make_engine(platform, run)

    await asyncio.gather(*(worker.look() for _ in range(10)))
    await worker.look()

    assert effects == [job.id]


async def test_no_more_jobs_run_at_once_than_there_are_slots(platform: Platform) -> None:
    running, most = 0, 0

    async def run(_platform: Platform, lease: Lease) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.05)
        running -= 1
        await leases.finish(lease, nothing)

    for _ in range(6):
        await make_job()
    worker = make_engine(platform, run, worker_threads=2)

    await asyncio.gather(*(worker.look() for _ in range(6)))

    assert most == 2
    assert await Job.filter(status=JobStatus.SUCCEEDED).count() == 6


async def test_a_long_job_outlives_the_message_that_started_it(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_end = asyncio.Event()

    async def run(_platform: Platform, lease: Lease) -> None:
        await may_end.wait()
        await leases.finish(lease, nothing)

    monkeypatch.setattr(engine, "SLICE_SECONDS", 0.1)
    job = await make_job()

    await make_engine(platform, run).look()

    assert not await is_over(job)
    may_end.set()
    await until(lambda: is_over(job))
    assert await status(job) is JobStatus.SUCCEEDED


async def is_over(job: Job) -> bool:
    return (await status(job)).is_terminal


async def test_a_job_runs_under_the_trace_id_of_its_request(platform: Platform) -> None:
    seen = []

    async def run(_platform: Platform, lease: Lease) -> None:
        seen.append(trace_id())
        await leases.finish(lease, nothing)

    await make_job(trace_id="trace-of-the-request")

    await make_engine(platform, run).look()

    assert seen == ["trace-of-the-request"]


async def test_a_final_failure_ends_the_job_at_once_and_discards_its_objects(
    platform: Platform,
) -> None:
    async def run(_platform: Platform, _lease: Lease) -> None:
        raise ConnectionFailed("Wrong password.", hint="Check it.")

    source = await make_source(status=DataSourceStatus.SYNCING)
    job = await make_job(source)
    discards = Discards()

    await make_engine(platform, run, discards).look()

    stored = await Job.get(id=job.id)
    assert (stored.status, stored.attempts) == (JobStatus.FAILED, 1)
    assert (stored.error["code"], stored.error["message"]) == (
        "CONNECTION_FAILED",
        "Wrong password.",
    )
    assert (await DataSource.get(id=source.id)).error == stored.error
    assert [line.message for line in await JobLog.filter(job_id=job.id)] == ["Wrong password."]
    assert discards.jobs == [job.id]


async def test_a_transient_failure_is_tried_again_later_and_later_and_then_is_final(
    platform: Platform,
) -> None:
    async def run(_platform: Platform, _lease: Lease) -> None:
        raise SourceUnreachable("The host does not answer.")

    job = await make_job()
    worker = make_engine(platform, run)
    for _ in range(leases.FAILURES_MAX - 1):
        await worker.look()
        assert await status(job) is JobStatus.QUEUED
        await Job.filter(id=job.id).update(run_after_ms=0)
    await worker.look()

    stored = await Job.get(id=job.id)
    assert (stored.status, stored.attempts) == (JobStatus.FAILED, leases.FAILURES_MAX)
    assert stored.error["message"] == "The host does not answer."


async def test_the_backoff_doubles_with_jitter(platform: Platform) -> None:
    async def run(_platform: Platform, _lease: Lease) -> None:
        raise SourceUnreachable("The host does not answer.")

    for failures in range(leases.FAILURES_MAX - 1):
        job = await make_job(failures=failures)
        before = time.time() * 1000 - CLOCK_MS
        await make_engine(platform, run).look()
        after = time.time() * 1000 + CLOCK_MS
        stored = await Job.get(id=job.id)

        wait = 2**failures * 1000
        assert before + 0.75 * wait <= stored.run_after_ms <= after + 1.25 * wait
        assert stored.progress_message.startswith("Trying again in ")


async def test_a_bug_is_masked_and_the_worker_goes_on(platform: Platform) -> None:
    async def run(_platform: Platform, lease: Lease) -> None:
        if lease.job_id == broken.id:
            raise ZeroDivisionError("secret detail")
        await leases.finish(lease, nothing)

    broken, fine = await make_job(trace_id="trace-0042"), await make_job()

    await make_engine(platform, run).look()

    stored = await Job.get(id=broken.id)
    assert (stored.status, stored.error["code"]) == (JobStatus.FAILED, "INTERNAL")
    assert "secret" not in stored.error["message"]
    assert "trace-0042" in stored.error["message"]
    assert await status(fine) is JobStatus.SUCCEEDED


async def test_a_cancelled_job_stops_in_the_middle_of_its_work(platform: Platform) -> None:
    stopped = []

    async def run(_platform: Platform, _lease: Lease) -> None:
        try:
            await asyncio.sleep(3_600)
        finally:
            stopped.append("work")

    job = await make_job(await make_source(status=DataSourceStatus.SYNCING))
    discards = Discards()
    looking = asyncio.create_task(make_engine(platform, run, discards).look())
    await until(lambda: is_running(job))

    await leases.cancel(job.id)
    await looking

    assert (await status(job), stopped, discards.jobs) == (JobStatus.CANCELLED, ["work"], [job.id])


async def is_running(job: Job) -> bool:
    return await status(job) is JobStatus.RUNNING


async def test_a_stopping_worker_gives_its_jobs_back_with_their_checkpoints(
    platform: Platform,
) -> None:
    async def run(_platform: Platform, lease: Lease) -> None:
        await leases.checkpoint(lease, {"parts": 3}, Progress(3, 0))
        await asyncio.sleep(3_600)

    job, waiting = await make_job(), await make_job()
    worker = make_engine(platform, run, worker_threads=1)
    looking = asyncio.create_task(worker.look())
    await until(lambda: has_checkpoint(job))

    await worker.stop(120)
    await looking
    await worker.look()

    stored = await Job.get(id=job.id)
    assert (stored.status, stored.checkpoint) == (JobStatus.QUEUED, {"parts": 3})
    assert (stored.worker, stored.deaths) == (None, 0)
    lines = await JobLog.filter(job_id=job.id).values_list("level", "message")
    assert lines == [("info", "The worker stops; the job goes on with another.")]
    assert await status(waiting) is JobStatus.QUEUED


async def has_checkpoint(job: Job) -> bool:
    return (await Job.get(id=job.id)).checkpoint is not None


async def test_a_worker_that_lost_its_lease_stops_and_leaves_the_job_to_the_other(
    platform: Platform,
) -> None:
    async def run(_platform: Platform, _lease: Lease) -> None:
        await asyncio.sleep(3_600)

    job = await make_job()
    discards = Discards()
    looking = asyncio.create_task(make_engine(platform, run, discards).look())
    await until(lambda: is_running(job))

    await leases.expire("w1")
    await leases.sweep()
    heir = await leases.claim("w2", 30_000)
    await looking

    stored = await Job.get(id=job.id)
    assert heir is not None
    assert (stored.status, stored.worker, stored.fence) == (JobStatus.RUNNING, "w2", heir.fence)
    assert discards.jobs == []


async def test_a_job_that_is_over_is_still_tidied_up_behind(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "WATCH_SECONDS", 0.01)
    tidied = []

    async def run(_platform: Platform, lease: Lease) -> None:
        await leases.finish(lease, nothing)
        await asyncio.sleep(0.5)  # the watch looks at the job that is over, many times
        tidied.append(lease.job_id)

    job = await make_job()
    await make_engine(platform, run).look()

    assert (await status(job), tidied) == (JobStatus.SUCCEEDED, [job.id])


async def test_the_lease_is_renewed_while_the_work_goes_on(platform: Platform) -> None:
    async def held_until(lease: Lease) -> int:
        return (await Job.get(id=lease.job_id)).lease_until_ms or 0

    async def run(_platform: Platform, lease: Lease) -> None:
        first = await held_until(lease)
        while await held_until(lease) == first:  # noqa: ASYNC110 - what changes is a row
            await asyncio.sleep(0.05)
        await leases.sweep()
        await leases.finish(lease, nothing)

    job = await make_job()

    await make_engine(platform, run, lease_seconds=10).look()

    stored = await Job.get(id=job.id)
    assert (stored.status, stored.attempts) == (JobStatus.SUCCEEDED, 1)


async def test_an_attempt_that_ends_the_instant_it_is_cancelled_ends_once(
    platform: Platform,
) -> None:
    async def run(_platform: Platform, lease: Lease) -> None:
        await leases.finish(lease, nothing)
        await leases.cancel(lease.job_id)

    job = await make_job()

    await make_engine(platform, run).look()

    assert await status(job) is JobStatus.SUCCEEDED


async def test_a_write_is_repeated_while_the_database_is_away(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "DATABASE_PAUSE_SECONDS", 0.01)
    await make_job()
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    tries = []

    async def write() -> None:
        tries.append(1)
        if len(tries) < 3:
            raise engine.DatabaseFailure[0]("gone")

    await engine.steadily(lease, write)

    assert len(tries) == 3


async def test_a_write_that_lost_its_lease_is_not_repeated(platform: Platform) -> None:
    await make_job()
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    lease.fence += 1

    with pytest.raises(LeaseLost):
        await engine.steadily(lease, lambda: leases.fail(lease, PlatformError("no")))


async def test_who_waits_for_a_task_waits_on_when_cancelled_twice() -> None:
    may_end = asyncio.Event()

    async def slow() -> None:
        await may_end.wait()

    task = asyncio.create_task(slow())
    waiting = asyncio.create_task(engine.until_ended(task))
    for _ in range(2):
        await asyncio.sleep(0)
        waiting.cancel()
    await asyncio.sleep(0)
    before = waiting.done()
    may_end.set()
    await asyncio.wait({waiting})

    assert not before
    assert task.done()
    assert waiting.cancelled()
