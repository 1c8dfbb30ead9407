"""What the end of a job, or of an attempt at it, does to what belongs to it: source, steps, partitions, log."""

# ruff: noqa: S608 - the texts are put together from fixed words; every value is a parameter

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from base.errors import PlatformError
from models import JobStatus
from services.statements import dump, fetch, load
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


async def wait_again(job_ids: Sequence[int]) -> None:
    """Let no step of jobs run that are queued again. In the transaction that queues them."""
    if job_ids:
        await fetch(
            """UPDATE job_steps SET status = 'queued' WHERE status = 'running'
                AND job_id IN (SELECT CAST(line.value ->> 'id' AS BIGINT) FROM {lines}) RETURNING id""",
            lines=dump([{"id": job_id} for job_id in job_ids]),
        )


def log_label(parent_id: int | None, options: dict[str, Any]) -> str:
    """What each line of a partition begins with in the log of its job; nothing for a job."""
    return "" if parent_id is None else f"[{options['partition'] + 1}/{options['of']}] "


async def log_deaths(jobs: Sequence[dict[str, Any]]) -> None:
    """Say in the logs of these rows of `jobs` that their attempts ended with their workers."""
    lines = []
    for job in jobs:
        label = log_label(job["parent_id"], load(job["options"]) or {})
        message = (
            f"{label}Attempt {job['attempts']} ended without a word: its worker was killed, or lost its machine or the"
            " database. What it had kept is not lost."
        )
        lines.append({"id": job["parent_id"] or job["id"], "message": message})
    if lines:
        await fetch(
            """INSERT INTO job_logs (job_id, at, level, message)
                SELECT s.id, {stamp}, 'warning', line.value ->> 'message'
                FROM {lines} JOIN jobs s ON s.id = CAST(line.value ->> 'id' AS BIGINT)
                ORDER BY line.key {for_key_share} RETURNING id""",
            lines=dump(lines),
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
    # Locked by number, as sweeps do it: two that lock the same rows in different orders end one of them.
    await fetch("SELECT id FROM jobs WHERE parent_id = :id ORDER BY id {for_update}", id=job_id)
    queued = "CASE WHEN status = 'queued' THEN"
    await fetch(
        f"""UPDATE jobs SET status = {queued} 'cancelled' ELSE 'cancelling' END, cancel_requested = TRUE,
              active_key = {queued} NULL ELSE active_key END, finished_at = {queued} {{stamp}} END,
              revision = revision + 1, changed_ms = {{now}}
            WHERE parent_id = :id AND status IN ('queued', 'running') RETURNING id""",
        id=job_id,
    )
