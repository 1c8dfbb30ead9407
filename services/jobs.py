"""Jobs as users know them: queued once, cancelled, tried again. How workers hold them is in `services.leases`."""

from __future__ import annotations

from typing import Any

from tortoise.exceptions import IntegrityError

from base.errors import Conflict
from base.tracing import trace_id
from models import DataSource, DataSourceStatus, Job, JobKind, JobStatus, JobStep
from models.database import transaction
from services import leases, scripts
from services.access import Viewer, find
from services.drafts import refuse_draft

ENQUEUE_ATTEMPTS_MAX = 10
OF_SOURCES = (JobKind.SYNC, JobKind.SCRIPT)  # what goes on in a source, and ends with it


def sync_key(source_id: int) -> str:
    """The key that keeps a second sync of a source out while one is not over."""
    return f"sync:{source_id}"


async def enqueue(
    *,
    kind: JobKind,
    project_id: int,
    data_source_id: int | None,
    creator_id: int | None,
    options: dict[str, Any] | None = None,
    active_key: str | None = None,
) -> Job:
    """Queue a job in the caller's transaction; a sync also moves its source to SYNCING.

    The job that holds `active_key` already is returned instead of a second one. After the commit: `dispatch.wake()`.
    """
    for _ in range(ENQUEUE_ATTEMPTS_MAX):
        try:
            async with (
                transaction()
            ):  # a savepoint: the refusal must not end the caller's transaction
                if (
                    kind is JobKind.SYNC
                ):  # the source before the job, as everywhere: nobody deadlocks
                    await DataSource.filter(id=data_source_id).update(
                        status=DataSourceStatus.SYNCING, error=None
                    )
                job = await Job.create(
                    kind=kind,
                    project_id=project_id,
                    data_source_id=data_source_id,
                    creator_id=creator_id,
                    options=options or {},
                    active_key=active_key,
                    trace_id=trace_id(),
                )
                await leases.touch(job.id)
                return job
        except IntegrityError:
            running = await Job.get_or_none(active_key=active_key) if active_key else None
            if running is not None:
                return running
            if active_key is None:
                raise
            # The one that was in the way ended in between.
    raise Conflict("The source's syncs end as fast as they begin; try again.")


async def sync(
    source: DataSource,
    creator_id: int | None,
    batch_rows: int | None = None,
    *,
    incremental: bool = True,
) -> Job:
    """Queue a sync of a source, or give the one that is queued or running. In the caller's transaction.

    It reads every row where `incremental` is false. Raises Conflict for a draft.
    """
    refuse_draft(source)
    return await enqueue(
        kind=JobKind.SYNC,
        project_id=source.project_id,  # type: ignore[attr-defined]
        data_source_id=source.id,
        creator_id=creator_id,
        options={"batch_rows": batch_rows, "incremental": incremental},
        active_key=sync_key(source.id),
    )


async def sync_anew(source: DataSource, creator_id: int | None, *, queue: bool) -> Job | None:
    """Have a source synced as it is now: the active sync starts over, else one is queued where `queue` says so.

    In the caller's transaction, which holds the source. Whoever works on the active sync loses its lease, as if the
    lease had run out; one that is being cancelled is left to end.
    """
    key = sync_key(source.id)
    active = await Job.filter(active_key=key).select_for_update(no_key=True).first()
    if active is None:
        return await sync(source, creator_id) if queue else None
    await Job.filter(id=active.id, status__in=[JobStatus.QUEUED, JobStatus.RUNNING]).update(
        status=JobStatus.QUEUED,
        checkpoint=None,
        worker=None,
        lease_until_ms=0,
        run_after_ms=0,
        woken_at_ms=0,
        failures=0,
        deaths=0,
        rows_done=0,
        rows_total=None,
        bytes_done=0,
        progress_message="Starting over: the data source was changed.",
    )
    await JobStep.filter(job_id=active.id).delete()
    await leases.touch(active.id)
    return active


async def cancel(viewer: Viewer | None, job_id: str) -> int:
    """Ask for a job to end; one that is not running ends at once, one that is over stays as it is. Its key."""
    job = await find(viewer, Job, job_id, field="input.id")
    job_pk: int = job.id
    await cancel_jobs([job_pk])
    return job_pk


async def cancel_jobs(job_ids: list[int]) -> None:
    """As `cancel`, for jobs whose viewer may do so; all or none."""
    async with transaction():
        for job_id in sorted(job_ids):
            await leases.cancel(job_id)


async def cancel_work(source_ids: list[int]) -> None:
    """Cancel whatever is queued or running for these sources, which are going away."""
    active = [JobStatus.QUEUED, JobStatus.RUNNING]
    jobs = Job.filter(kind__in=OF_SOURCES, data_source_id__in=source_ids, status__in=active)
    await cancel_jobs([job.id for job in await jobs.only("id")])


async def retry(viewer: Viewer | None, job_id: str) -> int:
    """Queue a failed or cancelled job's work again, as a new job, for what is over stays over. The new job's key."""
    job = await find(viewer, Job, job_id, field="input.id")
    if job.status not in {JobStatus.FAILED, JobStatus.CANCELLED}:
        raise Conflict(
            f"The job is {job.status.name}; only a FAILED or CANCELLED one can be tried again.",
            field="input.id",
        )
    source_id: int | None = job.data_source_id  # type: ignore[attr-defined]
    user_id = viewer.user_id if viewer else None
    async with transaction():
        if job.kind is JobKind.SYNC:
            source = await DataSource.get_or_none(id=source_id, deleted_at=None)
            if source is None:
                raise Conflict("The data source of the job was deleted.", field="input.id")
            told = job.options or {}
            again = await sync(
                source,
                user_id,
                told.get("batch_rows"),
                incremental=bool(told.get("incremental", True)),
            )
        elif job.kind is JobKind.SCRIPT:
            again = await scripts.again(job, user_id)
        else:
            again = await enqueue(
                kind=job.kind,
                project_id=job.project_id,  # type: ignore[attr-defined]
                data_source_id=source_id,
                creator_id=user_id,
                options=job.options,
            )
    again_pk: int = again.id
    return again_pk
