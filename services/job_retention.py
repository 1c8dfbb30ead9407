"""Jobs that are over go after a while, and their logs before them.

RULE. Logs go `job_logs_kept_days` after the end of their job, a job `jobs_kept_days` after its own, with its steps and
the partitions that it was done in. What is not over stays, whatever its age, and so does a job with a partition that is
not; partitions go with their job alone. Each step removes a bounded number of rows: any number of workers may do it at
once, and one that dies leaves nothing half done. Snapshots stay, and then no longer say which job made them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from models import Job, JobLog, JobStatus
from models.database import transaction
from models.rows import Compare, Condition, Has, In, IsNull, Order, select
from services.platform import Platform
from services.statements import fetch

JOBS_AT_ONCE = 200
LINES_AT_ONCE = 2_000
_OVER = [status for status in JobStatus if status.is_terminal]
_ACTIVE = [status for status in JobStatus if not status.is_terminal]


async def forget(platform: Platform) -> int:
    """One round over all jobs; how many are gone, partitions not counted."""
    settings = platform.settings
    (row,) = await fetch("SELECT {now} AS now_ms")
    now = datetime.fromtimestamp(row["now_ms"] / 1000, UTC)
    jobs_until = now - timedelta(days=settings.jobs_kept_days)
    await _forget_logs(max(now - timedelta(days=settings.job_logs_kept_days), jobs_until))
    return await _forget_jobs(jobs_until)


async def _forget_logs(until: datetime) -> None:
    last = 0
    while pks := await _over(until, Compare("id", ">", last), Has(JobLog, "job_id")):
        last = pks[-1]
        lines = JobLog.filter(job_id__in=pks).order_by("job_id", "id").limit(LINES_AT_ONCE)
        while True:
            async with (
                transaction()
            ):  # locked in one order: two workers wait for each other, never crosswise
                some = [line.id for line in await lines.select_for_update().only("id")]
                await JobLog.filter(id__in=some).delete()
            if len(some) < LINES_AT_ONCE:
                break


async def _forget_jobs(until: datetime) -> int:
    forgotten, last = 0, 0
    whole = (IsNull("parent_id"), Has(Job, "parent_id", (In("status", _ACTIVE),), has=False))
    while pks := await _over(until, Compare("id", ">", last), *whole):
        last = pks[-1]
        async with transaction():
            jobs = Job.filter(id__in=pks).order_by("id").select_for_update()
            there = [job.id for job in await jobs.only("id")]
            await Job.filter(id__in=there).delete()
        forgotten += len(there)
    return forgotten


async def _over(until: datetime, *conditions: Condition) -> list[int]:
    """Keys of some jobs that were over before this time, in order."""
    over = (In("status", _OVER), Compare("finished_at", "<", until))
    found = await select(Job, ("id",), *over, *conditions, order=Order(("id",)), limit=JOBS_AT_ONCE)
    return [row.id for row in found]
