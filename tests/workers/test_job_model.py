"""The life of jobs as a state machine: whatever happens in whatever order, the real SQL agrees with a simple model."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from base.errors import ConnectionFailed
from models import DataSource, DataSourceStatus, Job, JobKind, JobStatus, Snapshot, database
from models.database import transaction
from services import jobs, leases
from services.leases import CancelRequested, Lease, LeaseLost, Progress
from tests.factories import make_snapshot, make_source

LEASE_MS = 600_000
WORKER = "w"  # one name for all: only the fence tells attempts apart, as with the embedded worker
ACTIVE = {JobStatus.RUNNING, JobStatus.CANCELLING}


@dataclass
class Expected:
    """What a job should look like. `steps` are those of a script job."""

    source: int
    kind: JobKind = JobKind.SYNC
    status: JobStatus = JobStatus.QUEUED
    fence: int = 0
    deaths: int = 0
    failures: int = 0
    rows_done: int = 0
    snapshots: int = 0
    is_expired: bool = False
    history: list[JobStatus] = field(default_factory=list)
    steps: list[JobStatus] = field(default_factory=list)

    def end(self, status: JobStatus) -> None:
        """What is running ends as the job does, what has not begun never will."""
        self.status = status
        ends = {JobStatus.RUNNING: status, JobStatus.QUEUED: JobStatus.CANCELLED}
        self.steps = [ends.get(step, step) for step in self.steps]

    def wait_again(self) -> None:
        """Another attempt will take it; until then no step of it runs."""
        self.status = JobStatus.QUEUED
        again = {JobStatus.RUNNING: JobStatus.QUEUED}
        self.steps = [again.get(step, step) for step in self.steps]


class JobLife(RuleBasedStateMachine):
    """Submit, claim, heartbeat, checkpoint, expire, sweep, crash, commit, fail, retry, release, cancel."""

    url: ClassVar[str]
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.open = AsyncExitStack()
        self.jobs: dict[int, Expected] = {}
        self.sources: list[DataSource] = []

    def do(self, work: Awaitable[Any]) -> Any:
        async def wrapped() -> Any:
            return await work

        return self.runner.run(wrapped())

    def teardown(self) -> None:
        self.do(self.open.aclose())
        self.runner.close()

    @initialize()
    def begin(self) -> None:
        async def begin() -> None:
            await self.open.enter_async_context(database.open(self.url, pool=2))
            await Job.all().delete()
            self.sources = [await make_source() for _ in range(2)]
            await self.prepare()

        self.do(begin())

    async def prepare(self) -> None:
        """What a machine with more rules needs."""

    def is_held(self, lease: Lease) -> bool:
        job = self.jobs[lease.job_id]
        return job.fence == lease.fence and job.status in ACTIVE

    def active(self, source: int) -> int | None:
        return next(
            (
                job_id
                for job_id, job in self.jobs.items()
                if job.source == source and job.kind is JobKind.SYNC and not job.status.is_terminal
            ),
            None,
        )

    @rule(which=st.integers(0, 1))
    def submit(self, which: int) -> None:
        source = self.sources[which]

        async def submit() -> int:
            async with transaction():
                pk: int = (await jobs.sync(source, None)).id
                return pk

        job_id = self.do(submit())
        assert job_id == (self.active(source.id) or job_id)
        self.jobs.setdefault(job_id, Expected(source.id))

    @rule(target=held)
    def claim(self) -> Lease | None:
        return self.claims()

    def claims(self) -> Lease | None:
        busy = [job.source for job in self.jobs.values() if job.status in ACTIVE]
        due = [
            (busy.count(job.source), job_id)
            for job_id, job in self.jobs.items()
            if job.status is JobStatus.QUEUED
        ]
        lease: Lease | None = self.do(leases.claim(WORKER, LEASE_MS))
        assert (lease is None) == (not due)
        if lease is not None:
            assert lease.job_id == min(due)[1]
            job = self.jobs[lease.job_id]
            job.status, job.fence, job.is_expired = JobStatus.RUNNING, job.fence + 1, False
            assert lease.fence == job.fence
        return lease

    def fenced(
        self, lease: Lease | None, work: Callable[[Lease], Awaitable[Any]], *, cancel: bool = False
    ) -> bool:
        """Do fenced work; whether it was let through, which has to be as the model says."""
        if lease is None:
            return False
        if not self.is_held(lease):
            with pytest.raises(LeaseLost):
                self.do(work(lease))
            return False
        if cancel and self.jobs[lease.job_id].status is JobStatus.CANCELLING:
            with pytest.raises(CancelRequested):
                self.do(work(lease))
            return False
        self.do(work(lease))
        return True

    @rule(lease=held)
    def heartbeat(self, lease: Lease | None) -> None:
        if self.fenced(lease, leases.heartbeat) and lease:
            self.jobs[lease.job_id].is_expired = False

    def sync(self, lease: Lease | None) -> Lease | None:
        """The lease where it is one of a sync."""
        is_sync = lease is not None and self.jobs[lease.job_id].kind is JobKind.SYNC
        return lease if is_sync else None

    @rule(lease=held, rows=st.integers(0, 9))
    def checkpoint(self, lease: Lease | None, rows: int) -> None:
        lease = self.sync(lease)
        if (
            self.fenced(lease, lambda x: leases.checkpoint(x, {"r": rows}, Progress(rows, 0)))
            and lease
        ):
            job = self.jobs[lease.job_id]
            job.rows_done, job.deaths, job.failures, job.is_expired = rows, 0, 0, False

    @rule(lease=held)
    def commit(self, lease: Lease | None) -> None:
        lease = self.sync(lease)

        async def effects() -> None:
            assert lease is not None
            source = await DataSource.get(id=lease.source_id)
            await make_snapshot(source, job_id=lease.job_id)
            await DataSource.filter(id=lease.source_id).update(status=DataSourceStatus.SYNCED)

        if self.fenced(lease, lambda x: leases.finish(x, effects), cancel=True) and lease:
            job = self.jobs[lease.job_id]
            job.status, job.snapshots = JobStatus.SUCCEEDED, 1

    @rule(lease=held)
    def fail(self, lease: Lease | None) -> None:
        if self.fenced(lease, lambda x: leases.fail(x, ConnectionFailed("no"))) and lease:
            self.jobs[lease.job_id].end(JobStatus.FAILED)

    @rule(lease=held)
    def end_cancelled(self, lease: Lease | None) -> None:
        if self.fenced(lease, leases.cancelled) and lease:
            self.jobs[lease.job_id].end(JobStatus.CANCELLED)

    @rule(lease=held)
    def give_back_after_failure(self, lease: Lease | None) -> None:
        if self.fenced(lease, lambda x: leases.retry(x, 0, "again"), cancel=True) and lease:
            job = self.jobs[lease.job_id]
            job.wait_again()
            job.failures += 1

    @rule(lease=consumes(held))
    def release(self, lease: Lease | None) -> None:
        if self.fenced(lease, leases.release, cancel=True) and lease:
            self.jobs[lease.job_id].wait_again()

    @rule(data=st.data())
    @precondition(lambda self: self.jobs)
    def cancel(self, data: st.DataObject) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.jobs)))
        self.do(leases.cancel(job_id))
        job = self.jobs[job_id]
        if job.status is JobStatus.QUEUED:
            job.end(JobStatus.CANCELLED)
        elif job.status is JobStatus.RUNNING:
            job.status = JobStatus.CANCELLING

    @rule(lease=held)
    def crash(self, lease: Lease | None) -> None:
        self.crashes(lease)

    def crashes(self, lease: Lease | None) -> None:
        """The worker dies: nobody renews, and the lease runs out."""
        if lease is not None and self.is_held(lease):
            self.do(Job.filter(id=lease.job_id).update(lease_until_ms=0))
            self.jobs[lease.job_id].is_expired = True

    @rule(target=held, lease=held)
    def crash_and_be_replaced(self, lease: Lease | None) -> Lease | None:
        self.crashes(lease)
        self.sweeps()
        return self.claims()

    @rule()
    def sweep(self) -> None:
        self.sweeps()

    def sweeps(self) -> None:
        self.do(leases.sweep())
        for job in self.jobs.values():
            if job.status in ACTIVE and job.is_expired:
                job.deaths += 1
                if job.status is JobStatus.CANCELLING:
                    job.end(JobStatus.CANCELLED)
                elif job.deaths >= leases.DEATHS_MAX:
                    job.end(JobStatus.FAILED)
                else:
                    job.wait_again()

    @invariant()
    def the_rows_are_as_the_model_says(self) -> None:
        stored = {job.id: job for job in self.do(Job.all())}
        counts = self.do(_snapshot_counts())
        assert set(stored) == set(self.jobs)
        for job_id, expected in self.jobs.items():
            job = stored[job_id]
            seen = (job.status, job.fence, job.deaths, job.failures, job.rows_done)
            assert seen == (
                expected.status,
                expected.fence,
                expected.deaths,
                expected.failures,
                expected.rows_done,
            )
            assert counts.get(job_id, 0) == expected.snapshots
            is_free = expected.kind is JobKind.SCRIPT or expected.status.is_terminal
            assert (job.active_key is None) == is_free
            assert (job.finished_at is None) == (not expected.status.is_terminal)
            over = [status for status in expected.history if status.is_terminal]
            assert set(over) <= {expected.status}, "what is over stays over"
            expected.history.append(expected.status)

    @invariant()
    def a_source_is_syncing_exactly_while_a_job_of_it_is_not_over(self) -> None:
        for source in self.do(DataSource.filter(id__in=[source.id for source in self.sources])):
            is_syncing = source.status is DataSourceStatus.SYNCING
            assert is_syncing == (self.active(source.id) is not None)


async def _snapshot_counts() -> dict[int, int]:
    counts: dict[int, int] = {}
    for snapshot in await Snapshot.all():
        counts[snapshot.job_id] = counts.get(snapshot.job_id, 0) + 1  # type: ignore[attr-defined]
    return counts


def run(life: type[JobLife], database_url: str, examples: int) -> None:
    """Try so many lives of jobs."""
    machine = type("Machine", (life,), {"url": database_url})
    bounds = settings(
        max_examples=examples,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )

    run_state_machine_as_test(machine, settings=bounds)


def test_jobs_live_as_the_model_says(database_url: str) -> None:
    run(JobLife, database_url, 25)
