"""What the end of a job does to what belongs to it: its source, its steps, its partitions. In its transaction."""

# ruff: noqa: S608 - the texts are put together from fixed words; every value is a parameter

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from base.errors import PlatformError
from models import JobStatus
from services.statements import dump, fetch
from services.values import storable


def error_json(error: PlatformError) -> dict[str, Any]:
    """How a job, a step or a source keeps an error."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    hint = None if error.hint is None else storable(error.hint)
    return {"code": error.code, "message": storable(error.message), "hint": hint, "at": at}


async def hold_source(job_id: int) -> None:
    """Lock the job's source before the job: whoever takes sources away locks them first, too, so nobody deadlocks."""
    await fetch(
        """SELECT id FROM data_sources
            WHERE id = (SELECT data_source_id FROM jobs WHERE id = :id) {for_update}""",
        id=job_id,
    )


async def settle(job_id: int, status: JobStatus, error: dict[str, Any] | None) -> None:
    """What a job that published nothing leaves: a sync on its source, each on the steps that it did not finish.

    The running step ends as the job does, those behind it and its partitions are CANCELLED. Call it in the transaction
    that ends the job.
    """
    new = (
        "'failed'"
        if status is JobStatus.FAILED
        else "CASE WHEN current_snapshot_id IS NULL THEN 'pending' ELSE 'synced' END"
    )
    await fetch(
        f"""UPDATE data_sources SET status = {new}, error = :error, updated_at = {{stamp}} WHERE status = 'syncing'
            AND id = (SELECT data_source_id FROM jobs WHERE id = :id AND kind = 'sync') RETURNING id""",
        id=job_id,
        error=dump(error),
    )
    await fetch(
        f"""UPDATE job_steps SET status = '{status.value}', finished_at = {{stamp}}, error = :error
            WHERE job_id = :id AND status = 'running' RETURNING id""",
        id=job_id,
        error=dump(error),
    )
    await fetch(
        """UPDATE job_steps SET status = 'cancelled', finished_at = {stamp}
            WHERE job_id = :id AND status = 'queued' RETURNING id""",
        id=job_id,
    )
    await cancel_partitions(job_id)


async def cancel_partitions(job_id: int) -> None:
    """As `leases.cancel`, for all partitions of a job, in the transaction that locked that one."""
    # One statement, or one that is given back in between would slip by.
    queued = "CASE WHEN status = 'queued' THEN"
    await fetch(
        f"""UPDATE jobs SET status = {queued} 'cancelled' ELSE 'cancelling' END, cancel_requested = TRUE,
              active_key = {queued} NULL ELSE active_key END, finished_at = {queued} {{stamp}} END,
              revision = revision + 1, changed_ms = {{now}}
            WHERE parent_id = :id AND status IN ('queued', 'running') RETURNING id""",
        id=job_id,
    )
