"""Partitions: jobs that do one part each of another job's work, side by side, on whichever workers there are.

They are queued once, not once per attempt, so that what one has done is never done again. A partition that is over
keeps its checkpoint, which says what it made; it ends when its job does. Nobody sees it but in that job.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from models import Job, JobStatus
from models.database import transaction
from models.rows import Eq, Order, select
from services import leases
from services.leases import CancelRequested, Lease
from services.scripts.sharing import Share

_WORKED_ON = (JobStatus.QUEUED, JobStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class Partition:
    """How far one is, at a glance; they come in the order of what they do."""

    id: int
    status: JobStatus
    rows_done: int
    bytes_done: int


@dataclass(frozen=True, slots=True)
class Ended:
    """What one has left: its number from 0 on, its last checkpoint, and its error if it has FAILED."""

    number: int
    status: JobStatus
    checkpoint: dict[str, Any] | None
    error: dict[str, Any] | None

    @property
    def steps_done(self) -> int:
        """How many of its steps it is through with."""
        return len(self.checkpoint["outputs"]) if self.checkpoint else 0


async def queue(lease: Lease, shares: Sequence[Share]) -> bool:
    """Queue a partition for each share of the table's parts, unless an earlier attempt did; whether this one did.

    Raises `LeaseLost`. After it: `dispatch.wake`.
    """
    async with transaction():
        await leases.hold(lease)
        if await Job.filter(parent_id=lease.job_id).exists():
            return False
        job = await Job.get(id=lease.job_id)
        await Job.bulk_create(
            Job(
                kind=job.kind,
                project_id=lease.project_id,
                data_source_id=lease.source_id,
                creator_id=job.creator_id,  # type: ignore[attr-defined]
                parent_id=lease.job_id,
                active_key=f"partition:{lease.job_id}:{number}",
                options=lease.options | {"partition": number, "of": len(shares), "parts": share},
                priority=job.priority,
                input_snapshot_id=job.input_snapshot_id,
                trace_id=lease.trace_id,
            )
            for number, share in enumerate(shares)
        )
    return True


async def look(job_id: int) -> list[Partition]:
    """How far all partitions of a job are."""
    columns = ("id", "status", "rows_done", "bytes_done")
    found = await select(Job, columns, Eq("parent_id", job_id), order=Order(("id",)))
    return [Partition(row.id, row.status, row.rows_done, row.bytes_done) for row in found]


async def ended(job_id: int) -> list[Ended]:
    """What all partitions of a job have left so far, in their order."""
    jobs = await Job.filter(parent_id=job_id).only("id", "status", "options", "checkpoint", "error")
    found = [Ended(job.options["partition"], job.status, job.checkpoint, job.error) for job in jobs]
    return sorted(found, key=lambda each: each.number)


async def check_job(lease: Lease) -> None:
    """Raises `CancelRequested` where nobody waits for this partition any more."""
    job = Job.filter(id=lease.parent_id, status__in=_WORKED_ON)
    if not await job.exists():
        raise CancelRequested
