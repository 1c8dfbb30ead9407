"""Ticks: each queues its job once, in whose name it may, and whatever comes of one, the others go on."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from base.tables import TableSchema
from models import (
    DataSource,
    DataSourceStatus,
    Job,
    JobKind,
    JobStatus,
    JobStep,
    Membership,
    Project,
    Role,
    Schedule,
    Script,
    Snapshot,
    User,
)
from models.database import Database, transaction
from services import schedules
from services.schedules import ticks
from services.schedules.ticks import NEVER_MS
from services.scripts import starting
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories

pytestmark = pytest.mark.usefixtures("database")

HOUR_MS = 3_600_000
MANIFEST = Manifest((StoredTable(TableSchema("t", ()), ()),)).to_json()
SCRIPTS = {
    "table": None,
    "schema": None,
    "reuse": True,
    "steps": [{"key": "a.py", "exec_order": 0, "parameters": {"n": 1}}],
}


async def due(source: DataSource | None = None, **values: Any) -> Schedule:
    """A schedule that is due, in the name of someone who may start jobs."""
    source = source or await factories.make_source()
    project = await Project.get(id=source.project_id)  # type: ignore[attr-defined]
    user = await factories.make_user()
    await Membership.create(user=user, team_id=project.team_id, role=Role.EXECUTE)  # type: ignore[attr-defined]
    return await factories.make_schedule(source, **{"creator": user} | values)


async def now(schedule: Schedule) -> Schedule:
    return await Schedule.get(id=schedule.id)


def is_next_hour(next_run_ms: int) -> bool:
    return next_run_ms % HOUR_MS == 0 and 0 < next_run_ms - time.time() * 1000 + 1_000 < 2 * HOUR_MS


async def test_a_tick_queues_a_sync_and_counts_the_next_one_from_now() -> None:
    source = await factories.make_source()
    schedule = await due(
        source, options={"incremental": False, "batch_rows": 7}, error={"code": "CONFLICT"}
    )
    row = await Schedule.get(id=schedule.id).values()

    assert await schedules.tick() == 1

    (job,) = await Job.all().values()
    assert (job["kind"], job["status"]) == (JobKind.SYNC, JobStatus.QUEUED)
    assert (job["data_source_id"], job["project_id"]) == (source.id, row["project_id"])
    assert (job["creator_id"], job["active_key"]) == (row["creator_id"], f"sync:{source.id}")
    assert job["options"] == {"incremental": False, "batch_rows": 7}
    after = await now(schedule)
    assert is_next_hour(after.next_run_ms)
    assert (after.last_job_id, after.error) == (job["id"], None)
    assert after.last_run_at is not None
    assert abs((after.last_run_at - datetime.now(UTC)).total_seconds()) < 60
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.SYNCING


async def test_what_was_missed_runs_once() -> None:
    schedule = await due(next_run_ms=round(time.time() * 1000) - 1_000 * HOUR_MS)

    assert [await schedules.tick() for _ in range(3)] == [1, 0, 0]

    assert await Job.all().count() == 1
    assert is_next_hour((await now(schedule)).next_run_ms)


async def test_what_is_not_due_waits() -> None:
    later = await due(next_run_ms=round(time.time() * 1000) + HOUR_MS)
    paused = await due(is_enabled=False)

    assert await schedules.tick() == 0

    assert (await now(later)).next_run_ms == later.next_run_ms
    assert (await now(paused)).next_run_ms == 0
    assert await Job.all().count() == 0


@pytest.mark.parametrize("status", [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING])
async def test_a_sync_that_is_not_over_is_the_one_of_the_tick(status: JobStatus) -> None:
    source = await factories.make_source()
    running = await factories.make_job(source, status=status)
    schedule = await due(source)

    await schedules.tick()

    assert [job.id for job in await Job.all()] == [running.id]
    assert (await now(schedule)).last_job_id == running.id


async def test_two_schedules_of_one_source_that_are_due_share_a_sync() -> None:
    source = await factories.make_source()
    both = [await due(source) for _ in range(2)]

    assert await schedules.tick() == 2

    (job,) = await Job.all()
    assert [(await now(each)).last_job_id for each in both] == [job.id, job.id]


@pytest.mark.parametrize("gone", ["source", "project"])
async def test_what_is_deleted_does_nothing(gone: str) -> None:
    source = await factories.make_source()
    schedule = await due(source)
    deleted = {"deleted_at": datetime.now(UTC)}
    if gone == "source":
        await DataSource.filter(id=source.id).update(**deleted)
    else:
        await Project.all().update(**deleted)

    assert await schedules.tick() == 0

    after = await now(schedule)
    assert is_next_hour(after.next_run_ms)
    assert (after.last_run_at, after.last_job_id, after.error) == (None, None, None)
    assert await Job.all().count() == 0


@pytest.mark.parametrize("lost", ["role", "membership", "user"])
async def test_nothing_runs_in_the_name_of_one_who_may_no_longer(lost: str) -> None:
    schedule = await due()
    other = await due()
    user = await User.get(id=(await Schedule.get(id=schedule.id).values())["creator_id"])
    if lost == "role":
        await Membership.filter(user=user).update(role=Role.READ)
    elif lost == "membership":
        await Membership.filter(user=user).delete()
    else:
        await user.delete()

    assert await schedules.tick() == 1

    after = await now(schedule)
    assert after.error["code"] == "FORBIDDEN"
    assert "may no longer start jobs" in after.error["message"]
    assert datetime.fromisoformat(after.error["at"]).tzinfo is not None
    assert (after.last_job_id, after.last_run_at) == (None, None)
    assert is_next_hour(after.next_run_ms)
    (job,) = await Job.all()
    assert (await now(other)).last_job_id == job.id


async def test_staff_may_everywhere() -> None:
    staff = await factories.make_user(is_staff=True)
    await factories.make_schedule(creator=staff)

    assert await schedules.tick() == 1


async def synced() -> DataSource:
    source = await factories.make_source()
    snapshot = await factories.make_snapshot(source, manifest=MANIFEST)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    return await DataSource.get(id=source.id)


async def test_a_tick_queues_scripts_as_they_are_now_over_the_current_snapshot() -> None:
    source = await synced()
    script = await factories.make_script(source, "a.py", body="df = df\n")
    schedule = await due(source, kind=JobKind.SCRIPT, options=SCRIPTS)

    assert await schedules.tick() == 1

    (job,) = await Job.all()
    assert (job.kind, job.input_snapshot_id) == (JobKind.SCRIPT, source.current_snapshot_id)
    assert job.options == {"table": [None, "t"], "reuse": True}
    (step,) = await JobStep.all()
    assert (step.key, step.body, step.parameters) == ("a.py", script.body, {"n": 1})
    assert (await now(schedule)).last_job_id == job.id


async def test_a_tick_without_a_snapshot_or_a_script_says_so_until_there_is_one() -> None:
    source = await factories.make_source(name="Rivers")
    schedule = await due(source, kind=JobKind.SCRIPT, options=SCRIPTS)

    async def ticked() -> tuple[str | None, int]:
        await Schedule.all().update(next_run_ms=0)
        await schedules.tick()
        error = (await now(schedule)).error
        return error and error["code"], await Job.all().count()

    assert await ticked() == ("CONFLICT", 0)
    assert (await now(schedule)).error["message"] == "'Rivers' has no snapshot yet."
    snapshot = await factories.make_snapshot(source, manifest=MANIFEST)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    assert await ticked() == ("NOT_FOUND", 0)
    await factories.make_script(source, "a.py")
    assert await ticked() == (None, 1)
    await Script.all().delete()
    assert await ticked() == ("NOT_FOUND", 1)
    await Snapshot.all().update(removed_at=datetime.now(UTC))
    assert await ticked() == ("CONFLICT", 1)


async def test_a_tick_says_that_the_project_has_too_many_script_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = await factories.make_source()
    snapshot = await factories.make_snapshot(source, manifest=MANIFEST)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    await factories.make_script(source, "a.py")
    schedule = await due(source, kind=JobKind.SCRIPT, options=SCRIPTS)
    monkeypatch.setattr(starting, "JOBS_WAITING_MAX", 0)

    assert await schedules.tick() == 0

    after = await now(schedule)
    assert is_next_hour(after.next_run_ms)
    assert after.error["code"] == "CONFLICT"
    assert "script jobs that are not over" in after.error["message"]
    assert await Job.all().count() == 0


async def test_options_that_make_no_sense_are_an_error_of_that_schedule_alone() -> None:
    broken, sound = await due(options={}), await due()

    assert await schedules.tick() == 1

    assert (await now(broken)).error["code"] == "INTERNAL"
    assert (await now(sound)).last_job_id is not None


async def test_a_row_that_cannot_be_read_holds_up_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    odd, sound = await due(), await due()
    await database.connection.execute_query(
        f"UPDATE schedules SET kind = 'of a later release' WHERE id = {odd.id}"
    )

    assert await schedules.tick() == 1

    assert (await Job.get()).id == (await now(sound)).last_job_id
    told = [record.getMessage() for record in caplog.records if record.exc_info]
    assert told == [f"schedule {odd.id} waits for the next round"]


@pytest.mark.parametrize(
    "odd", [{"time_zone": "Mars/Olympus"}, {"cron": "an expression of another library"}]
)
async def test_a_time_that_nobody_can_tell_any_more_disables_the_schedule(
    odd: dict[str, Any],
) -> None:
    schedule = await due(**odd)

    assert await schedules.tick() == 0

    after = await now(schedule)
    assert (after.is_enabled, after.next_run_ms, after.error["code"]) == (
        False,
        NEVER_MS,
        "INVALID_INPUT",
    )


async def test_a_change_meanwhile_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = await due()
    later = round(time.time() * 1000) + 5 * HOUR_MS

    async def meanwhile(found: Any) -> bool:
        await Schedule.filter(id=schedule.id).update(next_run_ms=later)
        return await run(found)

    run = ticks._run
    monkeypatch.setattr(ticks, "_run", meanwhile)

    assert await schedules.tick() == 0

    assert (await now(schedule)).next_run_ms == later
    assert await Job.all().count() == 0


async def test_several_rounds_at_once_queue_each_job_once() -> None:
    made = [await due() for _ in range(10)]

    queued = await asyncio.gather(*(schedules.tick() for _ in range(5)))

    assert sum(queued) == len(made)
    assert await Job.all().count() == len(made)


async def test_a_source_that_somebody_holds_is_not_waited_for(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer: whoever comes second waits for it")
    source = await factories.make_source()
    held, free = await due(source), await due()
    is_held, is_over = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with transaction():
            await DataSource.filter(id=source.id).select_for_update(no_key=True).first()
            is_held.set()
            await is_over.wait()

    holder = asyncio.create_task(hold())
    await is_held.wait()
    assert await schedules.tick() == 1
    assert (await now(held)).next_run_ms == 0
    assert (await now(free)).last_job_id is not None
    is_over.set()
    await holder

    assert await schedules.tick() == 1
    assert (await now(held)).last_job_id is not None
