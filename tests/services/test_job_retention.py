"""Which jobs and logs go, when, and that nothing else does."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import public_id
from models import DataSource, Job, JobLog, JobStatus, JobStep, Role, Snapshot
from models.database import Database
from services import job_retention
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker, statements
from workers.housekeeping import Housekeeper

LOG_DAYS, JOB_DAYS = 10, 30


@pytest.fixture
async def kept(platform: Platform) -> Platform:
    """A platform that keeps logs for 10 days and jobs for 30."""
    settings = replace(platform.settings, job_logs_kept_days=LOG_DAYS, jobs_kept_days=JOB_DAYS)
    return replace(platform, settings=settings)


async def job_of(
    source: DataSource | None = None,
    days_ago: float | None = None,
    status: JobStatus = JobStatus.SUCCEEDED,
    lines: int = 2,
    **values: Any,
) -> Job:
    """A job that ended so many days ago, with a step and some lines of log."""
    ended = None if days_ago is None else datetime.now(UTC) - timedelta(days=days_ago)
    job = await factories.make_job(
        source, **{"status": status, "active_key": None, "finished_at": ended} | values
    )
    await JobStep.create(job=job, key="t", exec_order=0, position=0)
    for number in range(lines):
        await JobLog.create(job=job, level="info", message=str(number))
    return job


async def there() -> tuple[set[int], set[int]]:
    """Keys of the jobs that are there, and of those that have a log."""
    jobs = {job.id for job in await Job.all()}
    assert {step["job_id"] for step in await JobStep.all().values("job_id")} == jobs
    return jobs, {line["job_id"] for line in await JobLog.all().values("job_id")}


@pytest.mark.parametrize("status", [status for status in JobStatus if status.is_terminal])
async def test_logs_go_first_and_then_the_job(kept: Platform, status: JobStatus) -> None:
    source = await factories.make_source()
    jobs = [
        (await job_of(source, days, status)).id
        for days in (0, LOG_DAYS - 0.1, LOG_DAYS + 0.1, JOB_DAYS - 0.1, JOB_DAYS + 0.1, 400)
    ]

    assert await job_retention.forget(kept) == 2

    assert await there() == (set(jobs[:4]), set(jobs[:2]))
    assert await job_retention.forget(kept) == 0


@pytest.mark.parametrize("status", [status for status in JobStatus if not status.is_terminal])
async def test_what_is_not_over_stays_whatever_its_age(kept: Platform, status: JobStatus) -> None:
    job = await job_of(None, None, status, created_at=datetime(2020, 1, 1, tzinfo=UTC))
    again = await job_of(None, 400, status)  # an end from before, as nothing leaves it

    assert await job_retention.forget(kept) == 0

    assert await there() == ({job.id, again.id}, {job.id, again.id})


async def test_jobs_go_with_their_logs_where_logs_are_kept_longer(platform: Platform) -> None:
    settings = replace(platform.settings, job_logs_kept_days=100, jobs_kept_days=JOB_DAYS)
    source = await factories.make_source()
    young, _ = await job_of(source, 29), await job_of(source, 31)

    assert await job_retention.forget(replace(platform, settings=settings)) == 1

    assert await there() == ({young.id}, {young.id})


async def test_partitions_go_with_their_job_and_not_before(kept: Platform) -> None:
    source = await factories.make_source()
    running = await job_of(source, None, JobStatus.RUNNING)
    done = await job_of(source, 40, parent=running)
    ended = await job_of(source, 40)
    left = await job_of(source, None, JobStatus.RUNNING, parent=ended)
    over = await job_of(source, 40)
    await job_of(source, 40, parent=over)
    await job_of(source, 5, parent=over)

    assert await job_retention.forget(kept) == 1

    jobs, _ = await there()
    assert jobs == {running.id, done.id, ended.id, left.id}


async def test_snapshots_stay_and_say_no_longer_which_job_made_them(kept: Platform) -> None:
    source = await factories.make_source()
    job = await job_of(source, 40)
    snapshot = await factories.make_snapshot(source, job=job, manifest={"tables": []})
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    schedule = await factories.make_schedule(source, last_job_id=job.id)

    await Housekeeper(kept).tidy()

    assert await Snapshot.filter(id=snapshot.id).exists()
    staff = await factories.make_user(is_staff=True)
    viewer = await factories.make_viewer(role=None, user=staff)
    query = """query ($source: ID!, $schedule: ID!, $job: ID!) {
      dataSource(id: $source) { snapshot { number job { id } } }
      schedule(id: $schedule) { name lastJob { id } } job(id: $job) { id } }"""
    shown = await Asker(kept, viewer.acting(Role.READ)).data(
        query,
        source=public_id("datasource", source.id),
        schedule=public_id("schedule", schedule.id),
        job=public_id("job", job.id),
    )
    assert shown == {
        "dataSource": {"snapshot": {"number": 1, "job": None}},
        "schedule": {"name": schedule.name, "lastJob": None},
        "job": None,
    }


async def test_many_go_in_several_steps_by_several_workers(
    kept: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_retention, "JOBS_AT_ONCE", 3)
    monkeypatch.setattr(job_retention, "LINES_AT_ONCE", 4)
    source = await factories.make_source()
    for _ in range(10):
        await job_of(source, 40, lines=3)
    silent = [(await job_of(source, 20, lines=5)).id for _ in range(5)]
    young = await job_of(source, 1)

    gone = await asyncio.gather(*(job_retention.forget(kept) for _ in range(3)))

    assert sum(gone) == 10
    assert await there() == ({*silent, young.id}, {young.id})


async def test_a_round_with_nothing_to_remove_is_three_statements(
    kept: Platform, database: Database
) -> None:
    source = await factories.make_source()
    for _ in range(10):
        await job_of(source, 20, lines=0)
        await job_of(source, 1)

    async with statements(database) as sent:
        assert await job_retention.forget(kept) == 0

    assert len(sent) == 3
