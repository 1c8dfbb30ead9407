"""`kill -9` of workers at every point and at random moments of script jobs: nothing is lost, nothing comes twice."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from typing import Any

import pytest

from base.settings import Settings
from models import DataSource, Job, JobStatus, Snapshot
from services import dispatch, leases
from services.platform import Platform
from storage.snapshots.manifest import Manifest
from tests.clients import ServerProcess
from tests.factories import make_script_job
from tests.workers.deployments import Deployment, happened, is_running, kill
from tests.workers.processes import succeeded, until
from tests.workers.scripting import steps_of, stored_source
from tests.workers.syncing import objects, rows_of
from tests.workers.watching import Watcher
from workers import schedule
from workers.housekeeping import Housekeeper

pytestmark = pytest.mark.e2e
SEED = int(os.environ.get("FAULT_SEED") or secrets.randbits(32))
KILLS = int(os.environ.get("FAULT_KILLS") or 2)  # at random moments, beside one at each point
POINTS = ["adopted", "checkpointed", "checked", "committing", "committed"]
DELAY_SECONDS_MAX = 1.5
MARGIN_SECONDS = 60  # behind a lease; what it takes on a machine with nothing else to do is printed
PROMISE_SECONDS = 30  # from the death of a worker to the next attempt at its jobs
ROWS = 300
STEPS = (
    "import time\ndef run(df):\n    time.sleep(0.2)\n    return df[df['id'] % 3 == 0]\n",
    "import time\ndf['double'] = df['id'] * 2\ntime.sleep(0.2)\n",
    """
import time
def run_batches(batches):
    for batch in batches:
        time.sleep(0.2)
        yield batch.assign(more=batch["double"] + 1)
""",
)
EXPECTED = [(i, 2 * i, 2 * i + 1) for i in range(0, ROWS, 3)]


def test_a_job_of_a_dead_worker_goes_on_within_the_seconds_that_are_promised() -> None:
    lost = leases.RESEND_MS / 1000  # the wake-up that the sweep sent died with another worker
    assert Settings().lease_seconds + schedule.SWEEP_SECONDS + lost < PROMISE_SECONDS


class Killing:
    """Kills workers at script jobs, one after the other, and measures when each job goes on."""

    def __init__(self, deployment: Deployment, source: DataSource, chance: random.Random) -> None:
        self._deployment = deployment
        self._source = source
        self._chance = chance
        self._waits: list[tuple[Job, asyncio.Task[float]]] = []
        self.jobs: list[Job] = []

    async def kill_at(self, point: str) -> None:
        """A new job; whoever comes to the point first dies there."""
        await until(self._may_die)
        fault = self._deployment.faults / f"kill-{point}"
        fault.touch()
        await self._add_job()
        await happened(fault)
        victim = await self._dead()
        self._measure(victim, time.monotonic())

    async def kill_randomly(self) -> None:
        """A new job, and the death of a worker a random time after it was begun."""
        await until(self._may_die)
        job = await self._add_job()
        await until(lambda: self._is_begun(job))
        await asyncio.sleep(self._chance.uniform(0, DELAY_SECONDS_MAX))
        await until(self._may_die)
        victim = self._chance.choice(self._deployment.workers)
        self._measure(victim, kill(victim))

    async def seconds(self) -> list[float]:
        """From each death to the claim of the job by another attempt."""
        return [round(await wait, 2) for _, wait in self._waits]

    async def _add_job(self) -> Job:
        job = await make_script_job(self._source, *STEPS)
        self.jobs.append(job)
        await dispatch.wake()
        return job

    async def _dead(self) -> ServerProcess:
        while True:
            for worker in self._deployment.workers:
                if not is_running(worker):
                    return worker
            await asyncio.sleep(0.01)

    def _measure(self, victim: ServerProcess, killed: float) -> None:
        for job in self.jobs:
            self._waits.append((job, asyncio.create_task(self._resumed(job, killed))))
        self._deployment.restart(victim)

    async def _resumed(self, job: Job, killed: float) -> float:
        """Seconds to the next attempt; 0 where the dead worker did not have the job."""
        before = await Job.get(id=job.id)

        async def is_claimed() -> bool:
            now = await Job.get(id=job.id)
            return now.status.is_terminal or now.fence > before.fence

        if before.status is JobStatus.RUNNING:
            await until(is_claimed)
        now = await Job.get(id=job.id)
        return time.monotonic() - killed if now.fence > before.fence else 0.0

    async def _is_begun(self, job: Job) -> bool:
        return (await Job.get(id=job.id)).status is not JobStatus.QUEUED

    async def _may_die(self) -> bool:
        """Whether no job would rightly end for the third death in a row."""
        now = await Job.filter(id__in=[job.id for job in self.jobs])
        unseen = {job.id for job, wait in self._waits if not wait.done()}  # deaths, until a sweep
        return all(job.status.is_terminal or job.deaths + (job.id in unseen) < 2 for job in now)


async def test_script_jobs_survive_kills_at_every_point_and_at_random_moments(
    deployment: Deployment,
) -> None:
    print(f"FAULT_SEED={SEED}")
    chance = random.Random(SEED)
    async with deployment.opened() as platform:
        deployment.start_workers()
        source = await stored_source(platform, rows=ROWS)
        killing = Killing(deployment, source, chance)
        watcher = Watcher(platform, killing.jobs)
        faults: list[str | None] = [*POINTS, *[None] * KILLS]
        chance.shuffle(faults)
        async with watcher.watching():
            for point in faults:
                await (killing.kill_at(point) if point else killing.kill_randomly())
            ended = [await succeeded(job) for job in killing.jobs]
            seconds = await killing.seconds()

        attempts = [job.attempts for job in ended]
        print(f"{deployment.name}: {faults}, attempts {attempts}, {watcher.looks} looks")
        waited = max(seconds)
        print(
            f"a job went on at most {waited} s after a kill, with a lease of {deployment.lease_seconds} s"
        )
        assert waited < deployment.lease_seconds + MARGIN_SECONDS
        assert sum(attempts) > len(ended), "kills landed in jobs"
        await watcher.assert_no_step_again()
        await Housekeeper(platform).tidy()
        await assert_all_there(platform, source, ended)


async def assert_all_there(platform: Platform, source: DataSource, jobs: list[Job]) -> None:
    """One result of each job, as the model says; and no object but those of snapshots."""
    kept: set[str] = set()
    for snapshot in await Snapshot.all():
        kept |= Manifest.from_json(snapshot.manifest).keys()
    assert await objects(platform) == kept
    for job in jobs:
        (snapshot,) = await Snapshot.filter(job_id=job.id)
        assert await result_of(platform, snapshot) == EXPECTED
        assert (snapshot.receipt["rows_read"], snapshot.receipt["balanced"]) == (
            len(EXPECTED),
            True,
        )
        assert await steps_of(job) == [
            (JobStatus.SUCCEEDED, ROWS, len(EXPECTED)),
            (JobStatus.SUCCEEDED, len(EXPECTED), len(EXPECTED)),
            (JobStatus.SUCCEEDED, len(EXPECTED), len(EXPECTED)),
        ]
    snapshots = await Snapshot.filter(data_source_id=source.id).order_by("number")
    assert [each.number for each in snapshots] == list(range(1, len(jobs) + 2))
    assert (await DataSource.get(id=source.id)).snapshot_count == len(jobs) + 1


async def result_of(platform: Platform, snapshot: Snapshot) -> list[tuple[Any, ...]]:
    rows = await rows_of(platform, snapshot, "t")
    return [(row["id"], row["double"], row["more"]) for row in rows]
