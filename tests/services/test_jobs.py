"""The job engine on both databases: who gets a job, who may still write to it, and how it ends."""

import asyncio
from typing import Any

import pytest

from base.errors import ConnectionFailed
from models import DataSource, DataSourceStatus, Job, JobKind, JobLog, JobStatus, JobStep
from models.database import Database, transaction
from services import jobs, leases
from services.leases import (
    CancelRequested,
    Lease,
    LeaseLost,
    Progress,
    StepChange,
)
from tests.factories import make_job, make_project, make_script_job, make_source, make_team

pytestmark = pytest.mark.usefixtures("database")

LEASE_MS = 30_000
HALF = Progress(rows_done=5, bytes_done=50, rows_total=10, message="half")


async def claimed(worker: str = "w1", lease_ms: int = LEASE_MS) -> Lease:
    lease = await leases.claim(worker, lease_ms)
    assert lease is not None
    return lease


async def nothing() -> None:
    pass


async def row(lease: Lease | int) -> Job:
    return await Job.get(id=lease if isinstance(lease, int) else lease.job_id)


async def syncing_source(**values: Any) -> DataSource:
    return await make_source(status=DataSourceStatus.SYNCING, **values)


async def test_a_claimed_job_is_leased_and_fenced() -> None:
    job = await make_job(options={"batch_rows": 7}, trace_id="trace-0001")

    lease = await claimed()

    stored = await row(lease)
    assert (lease.job_id, lease.kind, lease.fence, lease.attempt) == (job.id, JobKind.SYNC, 1, 1)
    assert (lease.options, lease.checkpoint, lease.trace_id) == (
        {"batch_rows": 7},
        None,
        "trace-0001",
    )
    assert (stored.status, stored.worker) == (JobStatus.RUNNING, "w1")
    assert stored.lease_until_ms > 1_700_000_000_000
    assert stored.started_at is not None


async def test_nothing_due_is_nothing_claimed() -> None:
    await make_job(run_after_ms=2**52)
    await make_job(status=JobStatus.SUCCEEDED)

    assert await leases.claim("w1", LEASE_MS) is None


async def test_priority_comes_before_age() -> None:
    older, urgent = await make_job(), await make_job(priority=1)

    assert [(await claimed()).job_id, (await claimed()).job_id] == [urgent.id, older.id]


async def test_a_team_with_a_thousand_jobs_does_not_starve_another() -> None:
    busy = await make_project(await make_team())
    also_busy = await make_project(await busy.team)
    first = await make_job(await make_source(busy))
    await make_job(await make_source(busy))
    await make_job(await make_source(also_busy))
    other = await make_job()

    order = [(await claimed()).job_id for _ in range(2)]

    assert order == [first.id, other.id]


async def test_many_claims_at_once_take_each_job_once(database: Database) -> None:
    for _ in range(20):
        await make_job()

    taken = await asyncio.gather(*(leases.claim(f"w{n}", LEASE_MS) for n in range(30)))

    ids = [lease.job_id for lease in taken if lease]
    assert (len(ids), len(set(ids))) == (20, 20)


async def test_a_second_sync_of_a_source_gives_the_running_one() -> None:
    source = await make_source()

    async with transaction():
        made = [await jobs.sync(source, None) for _ in range(3)]

    assert {job.id for job in made} == {made[0].id}
    assert await Job.all().count() == 1
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.SYNCING


async def test_fifty_syncs_at_once_make_one_job() -> None:
    source = await make_source()

    async def start() -> int:
        async with transaction():
            job = await jobs.sync(source, None)
        pk: int = job.id
        return pk

    assert len(set(await asyncio.gather(*(start() for _ in range(50))))) == 1
    assert await Job.all().count() == 1


async def test_after_the_end_a_source_can_be_synced_again() -> None:
    source = await make_source()
    first = await jobs.sync(source, None)
    await leases.finish(await claimed(), nothing)

    second = await jobs.sync(source, None, batch_rows=10)

    assert second.id != first.id
    assert (await row(second.id)).options["batch_rows"] == 10


async def test_effects_and_end_are_one_transaction() -> None:
    job = await make_job()
    lease = await claimed()

    async def half_done() -> None:
        await Job.filter(id=job.id).update(snapshot_id=1)
        raise ConnectionFailed("the disk went away")

    with pytest.raises(ConnectionFailed):
        await leases.finish(lease, half_done)

    assert (await row(job.id)).status is JobStatus.RUNNING
    assert (await row(job.id)).snapshot_id is None

    async def done() -> None:
        await Job.filter(id=job.id).update(snapshot_id=1)

    await leases.finish(lease, done)

    ended = await row(job.id)
    assert (ended.status, ended.snapshot_id, ended.active_key) == (JobStatus.SUCCEEDED, 1, None)
    assert ended.finished_at is not None


@pytest.mark.parametrize("heir_name", ["w1", "w2"])
async def test_a_zombie_changes_nothing(heir_name: str) -> None:
    await make_job()
    zombie = await claimed("w1", lease_ms=-1)
    await leases.sweep()
    heir = await claimed(heir_name)
    happened = []

    async def effect() -> None:
        happened.append("effect")

    for write in (
        leases.heartbeat(zombie),
        leases.is_cancelled(zombie),
        leases.report(zombie, HALF),
        leases.checkpoint(zombie, {"n": 1}, HALF),
        leases.finish(zombie, effect),
        leases.fail(zombie, ConnectionFailed("no")),
        leases.cancelled(zombie),
        leases.retry(zombie, 0, "no"),
        leases.release(zombie),
    ):
        with pytest.raises(LeaseLost):
            await write
    await leases.log(zombie, "info", "still here")

    stored = await row(heir)
    assert happened == []
    assert (stored.status, stored.worker, stored.fence) == (JobStatus.RUNNING, heir_name, 2)
    assert (stored.rows_done, stored.checkpoint, stored.error) == (0, None, None)
    assert not await JobLog.filter(message="still here").exists()


@pytest.mark.parametrize("end", ["finish", "fail", "cancelled"])
async def test_what_is_over_stays_over(end: str) -> None:
    await make_job(await syncing_source())
    lease = await claimed()
    await {
        "finish": lambda: leases.finish(lease, nothing),
        "fail": lambda: leases.fail(lease, ConnectionFailed("no")),
        "cancelled": lambda: leases.cancelled(lease),
    }[end]()
    before = await Job.filter(id=lease.job_id).values()

    for write in (
        leases.finish(lease, nothing),
        leases.fail(lease, ConnectionFailed("again")),
        leases.cancelled(lease),
        leases.release(lease),
        leases.checkpoint(lease, {}, HALF),
    ):
        with pytest.raises(LeaseLost):
            await write
    await leases.cancel(lease.job_id)
    await leases.expire("w1")
    await leases.sweep()

    assert await Job.filter(id=lease.job_id).values() == before


async def test_a_checkpoint_is_handed_to_the_next_attempt() -> None:
    await make_job()
    first = await claimed()
    steps = [StepChange("t1", 0, JobStatus.SUCCEEDED, 5, 5), StepChange("t2", 1, JobStatus.RUNNING)]
    await leases.checkpoint(first, {"tables": [1]}, HALF, steps)
    await leases.release(first)

    second = await claimed("w2")

    stored = await row(second)
    found = await JobStep.filter(job_id=second.job_id).order_by("exec_order")
    assert second.checkpoint == {"tables": [1]}
    assert (stored.rows_done, stored.rows_total, stored.bytes_done) == (5, 10, 50)
    assert [(s.key, s.status, s.rows_out) for s in found] == [
        ("t1", JobStatus.SUCCEEDED, 5),
        ("t2", JobStatus.QUEUED, None),  # nobody is at it
    ]
    assert found[0].finished_at is not None
    assert found[1].finished_at is None


async def test_a_renewed_lease_is_not_swept() -> None:
    await make_job()
    lease = await claimed(lease_ms=-1)
    lease.lease_ms = LEASE_MS
    assert await leases.heartbeat(lease) is False

    assert await leases.sweep() == 0
    assert (await row(lease)).status is JobStatus.RUNNING


async def test_an_expired_lease_is_due_again_and_counts_a_death() -> None:
    await make_job()
    lease = await claimed(lease_ms=-1)

    assert await leases.sweep() == 1

    stored = await row(lease)
    assert (stored.status, stored.deaths, stored.worker) == (JobStatus.QUEUED, 1, None)
    (line,) = await JobLog.filter(job_id=lease.job_id)
    assert line.level == "warning"
    assert line.message.startswith("Attempt 1 ended without a word: its worker was killed")
    assert (await claimed("w2")).fence == 2


@pytest.mark.parametrize("end", ["death", "release"])
async def test_no_step_runs_while_its_job_waits_for_another_attempt(end: str) -> None:
    job = await make_job()
    lease = await claimed("w1")
    await leases.checkpoint(lease, {}, HALF, [StepChange("t1", 0, JobStatus.RUNNING)])

    if end == "death":
        await leases.expire("w1")
        await leases.sweep()
    else:
        await leases.release(lease)

    step = await JobStep.get(job_id=job.id)
    assert (await row(job.id)).status is JobStatus.QUEUED
    assert (step.status, step.finished_at) == (JobStatus.QUEUED, None)


async def test_the_leases_of_a_dead_worker_end_at_once_and_only_its() -> None:
    dead, alive = await make_job(), await make_job()
    await claimed("dead")
    await claimed("alive")

    assert await leases.expire("dead") == 1
    await leases.sweep()

    assert (await row(dead.id)).status is JobStatus.QUEUED
    assert (await row(alive.id)).status is JobStatus.RUNNING


async def test_a_job_that_ends_its_worker_three_times_is_failed_with_the_reason() -> None:
    source = await syncing_source()
    job = await make_job(source)
    for _ in range(3):
        await claimed(lease_ms=-1)
        await leases.sweep()

    stored = await row(job.id)
    assert (stored.status, stored.deaths, stored.active_key) == (JobStatus.FAILED, 3, None)
    assert stored.error["message"] == "The job ended its worker process three times."
    assert "Sync fewer tables at once" in stored.error["hint"]
    assert await leases.claim("w2", LEASE_MS) is None
    failed = await DataSource.get(id=source.id)
    assert (failed.status, failed.error) == (DataSourceStatus.FAILED, stored.error)


async def test_the_hint_for_a_script_job_that_ends_its_worker_speaks_of_scripts() -> None:
    job = await make_job(kind=JobKind.SCRIPT, deaths=2)
    await claimed(lease_ms=-1)

    await leases.sweep()

    hint = (await row(job.id)).error["hint"]
    assert "run_batches" in hint
    assert "Sync" not in hint


@pytest.mark.parametrize("kind", list(JobKind))
async def test_a_job_of_any_kind_ends_with_its_third_death(kind: JobKind) -> None:
    job = await make_job(kind=kind, deaths=2)
    await claimed(lease_ms=-1)

    await leases.sweep()

    ended = await row(job.id)
    assert ended.status is JobStatus.FAILED
    assert ended.error["hint"].startswith("It may need more memory than the machine has.")


async def test_a_job_that_is_done_says_nothing_of_its_last_work() -> None:
    job = await make_job()
    lease = await claimed()
    await leases.report(lease, leases.Progress(1, 1, 1, "Putting the tables together"))

    async def nothing() -> None: ...

    await leases.finish(lease, nothing)

    stored = await row(job.id)
    assert stored.status is JobStatus.SUCCEEDED
    assert stored.progress_message is None


async def test_a_lease_renewed_at_the_last_moment_is_not_ended_by_a_sweep_that_saw_it_expired() -> (
    None
):
    await make_job(deaths=2)
    lease = await claimed(lease_ms=-1)
    seen = {"id": lease.job_id, "kind": JobKind.SYNC, "status": "running", "fence": lease.fence}
    lease.lease_ms = LEASE_MS
    await leases.heartbeat(lease)

    await leases._bury(seen)

    assert (await row(lease)).status is JobStatus.RUNNING


async def test_progress_forgives_earlier_deaths_and_failures() -> None:
    job = await make_job()
    for _ in range(2):
        await claimed(lease_ms=-1)
        await leases.sweep()
    lease = await claimed()
    await leases.retry(lease, 0, "a hiccup")
    lease = await claimed()
    assert lease.failures == 1

    await leases.checkpoint(lease, {}, HALF)

    stored = await row(job.id)
    assert (stored.deaths, stored.failures, lease.failures) == (0, 0, 0)


async def test_a_transient_failure_waits_before_it_is_due() -> None:
    job = await make_job()
    await leases.retry(await claimed(), 60_000, "the source did not answer")

    stored = await row(job.id)
    assert (stored.status, stored.failures) == (JobStatus.QUEUED, 1)
    assert stored.progress_message == "the source did not answer"
    assert await leases.claim("w2", LEASE_MS) is None
    assert await leases.sweep() == 0


async def test_a_released_job_is_due_at_once_and_woken() -> None:
    await make_job()
    await leases.release(await claimed())

    assert await leases.sweep() == 1
    assert (await claimed("w2")).attempt == 2


async def test_a_due_job_that_nobody_claims_is_woken_again_but_not_each_second() -> None:
    job = await make_job()

    assert [await leases.sweep(), await leases.sweep()] == [1, 0]

    await Job.filter(id=job.id).update(
        woken_at_ms=(await row(job.id)).woken_at_ms - leases.RESEND_MS
    )
    assert await leases.sweep() == 1


async def test_a_failure_is_kept_on_job_steps_and_source() -> None:
    source = await syncing_source(current_snapshot_id=9)
    await make_job(source)
    lease = await claimed()
    await leases.checkpoint(lease, {}, HALF, [StepChange("t", 0, JobStatus.RUNNING)])

    await leases.fail(lease, ConnectionFailed("Wrong password.", hint="Check it."))

    job, failed = await row(lease), await DataSource.get(id=source.id)
    step = await JobStep.get(job_id=job.id)
    assert job.status is JobStatus.FAILED
    assert job.error == failed.error == step.error
    assert {k: v for k, v in job.error.items() if k != "at"} == {
        "code": "CONNECTION_FAILED",
        "message": "Wrong password.",
        "hint": "Check it.",
    }
    assert (failed.status, failed.current_snapshot_id) == (DataSourceStatus.FAILED, 9)
    assert step.status is JobStatus.FAILED


async def test_a_step_that_fails_has_the_error_and_those_behind_it_are_cancelled() -> None:
    job = await make_script_job(None, "a", "b", "c")
    lease = await claimed()
    done = StepChange("step-0.py", 0, JobStatus.SUCCEEDED, 5, 4)
    await leases.checkpoint(
        lease, {}, Progress(5, 0), [done, StepChange("step-1.py", 1, JobStatus.RUNNING)]
    )

    await leases.fail(lease, ConnectionFailed("b is wrong"))

    steps = await JobStep.filter(job_id=job.id).order_by("position")
    assert [(s.status, s.error and s.error["message"]) for s in steps] == [
        (JobStatus.SUCCEEDED, None),
        (JobStatus.FAILED, "b is wrong"),
        (JobStatus.CANCELLED, None),
    ]
    assert all(step.finished_at for step in steps)
    assert [step.body for step in steps] == ["a", "b", "c"]


async def test_cancelling_a_queued_job_ends_it_at_once() -> None:
    source = await syncing_source(current_snapshot_id=9)
    job = await make_job(source)

    await leases.cancel(job.id)

    assert (await row(job.id)).status is JobStatus.CANCELLED
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.SYNCED
    assert await leases.claim("w1", LEASE_MS) is None


async def test_cancelling_a_running_job_is_seen_by_its_worker_and_stops_the_commit() -> None:
    source = await syncing_source()
    await make_job(source)
    lease = await claimed()
    await leases.cancel(lease.job_id)

    assert await leases.is_cancelled(lease) is True
    assert await leases.heartbeat(lease) is True
    for write in (leases.finish(lease, nothing), leases.release(lease), leases.retry(lease, 0, "")):
        with pytest.raises(CancelRequested):
            await write
    await leases.cancelled(lease)

    assert (await row(lease)).status is JobStatus.CANCELLED
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.PENDING


async def test_a_job_whose_worker_died_while_it_was_cancelled_is_cancelled() -> None:
    await make_job(await syncing_source())
    lease = await claimed(lease_ms=-1)
    await leases.cancel(lease.job_id)

    await leases.sweep()

    assert (await row(lease)).status is JobStatus.CANCELLED


async def test_a_log_line_of_the_holder_is_kept() -> None:
    await make_job()
    lease = await claimed()

    await leases.log(lease, "info", "Reading orders", "orders")

    line = await JobLog.get()
    assert (line.level, line.message, line.step) == ("info", "Reading orders", "orders")
    assert line.at is not None
