"""Workers that stand still too long, and wake-ups that come too often: one effect of each script job."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import dramatiq
import pytest

from models import Job, JobStatus, Snapshot
from services import dispatch
from services.platform import Platform
from storage.snapshots.manifest import Manifest
from tests.factories import make_script_job
from tests.workers.deployments import (
    RABBITMQ,
    REDIS,
    Deployment,
    happened,
    pid_of,
    state_of,
)
from tests.workers.processes import over, succeeded, until
from tests.workers.scripting import assert_nothing_left, lines, steps_of, stored_source
from tests.workers.syncing import objects, rows_of
from workers.housekeeping import Housekeeper

pytestmark = pytest.mark.e2e
DELIVERIES = 10
HALF = "def run(df):\n    print('half')\n    return df[df['id'] % 2 == 0]\n"
SAME = "def run(df):\n    return df\n"
STOPS = {  # with an output that no checkpoint names yet; right before the commit
    REDIS: ["checked"],
    RABBITMQ: ["adopted"],
}


# Not on SQLite: who stands still amid a write holds the one lock that everybody writes by, so that nobody can go on.
@pytest.mark.parametrize("deployment", list(STOPS), indirect=True)
async def test_a_worker_that_stood_still_commits_nothing_and_what_it_made_is_removed(
    deployment: Deployment,
) -> None:
    async with deployment.opened() as platform:
        source = await stored_source(platform)
        deployment.start_workers(1)
        zombie = deployment.workers[0]
        ended = []
        for point in STOPS[deployment.name]:
            fault = deployment.faults / f"stop-{point}"
            fault.touch()
            job = await make_script_job(source, SAME, HALF)
            await dispatch.wake()
            await happened(fault)
            stopped = time.monotonic()
            await until(lambda: is_stopped(pid_of(zombie)))
            job = await done_by_another(deployment, job)
            await asyncio.sleep(stopped + 2 * deployment.lease_seconds - time.monotonic())
            os.kill(pid_of(zombie), signal.SIGCONT)
            lost = f"job {job.id} went to another attempt"
            await until(lambda lost=lost: has_said(zombie.output, lost))  # type: ignore[misc]
            now = await Job.get(id=job.id)
            assert (now.revision, now.attempts, now.snapshot_id) == (
                job.revision,
                2,
                job.snapshot_id,
            )
            ended.append(now)

        await dispatch.wake()
        ended.append(await succeeded(await make_script_job(source, SAME, HALF)))
        assert ended[-1].attempts == 1, "the worker is well"
        await Housekeeper(platform).tidy()
        await assert_each_once(platform, ended)


async def is_stopped(pid: int) -> bool:
    return state_of(pid) == "T"


async def has_said(output: str, text: str) -> bool:
    return text in output


async def done_by_another(deployment: Deployment, job: Job) -> Job:
    """The job, ended by another worker."""
    rival = deployment.process("worker", 1)
    ended = await succeeded(job)
    rival.stop(signal.SIGKILL)
    return ended


async def test_a_wake_up_that_comes_ten_times_has_one_effect(deployment: Deployment) -> None:
    async with deployment.opened() as platform:
        source = await stored_source(platform)
        deployment.start_workers()
        await succeeded(await small(source))
        job = await make_script_job(source, SAME, HALF)
        deliver(deployment.queue)
        ended = await succeeded(job)
        deliver(deployment.queue)
        await succeeded(await small(source))
        deliver(deployment.queue)
        last = await succeeded(await small(source))

        now = await Job.get(id=job.id)
        assert (now.revision, now.attempts, now.fence) == (ended.revision, 1, 1)
        assert [line.message for line in await lines(job)].count("half") == 1
        assert await Snapshot.filter(is_derived=True).count() == 4
        await assert_each_once(platform, [now])
        await assert_nothing_left(platform, last, await Snapshot.get(id=last.snapshot_id))


async def small(source: object) -> Job:
    """A job that the workers find by a wake-up of its own."""
    job = await make_script_job(source)  # type: ignore[arg-type]
    await dispatch.wake()
    return await over(job)


def deliver(queue: str) -> None:
    """Send one and the same message again and again."""
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=queue, actor_name=dispatch.LOOK, args=(), kwargs={}, options={}
    )
    for _ in range(DELIVERIES):
        dramatiq.get_broker().enqueue(message)


async def assert_each_once(platform: Platform, jobs: list[Job]) -> None:
    """One result of each job, and no object but those of snapshots."""
    kept = [Manifest.from_json(each.manifest).keys() for each in await Snapshot.all()]
    assert await objects(platform) == set[str]().union(*kept)
    for job in jobs:
        (snapshot,) = await Snapshot.filter(job_id=job.id)
        assert snapshot.id == job.snapshot_id
        rows = await rows_of(platform, snapshot, "t")
        assert [row["id"] for row in rows] == list(range(0, 1000, 2))
        assert [status for status, *_ in await steps_of(job)] == [JobStatus.SUCCEEDED] * 2
