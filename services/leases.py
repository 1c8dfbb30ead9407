"""How a worker holds a job: claim by lease, renew, checkpoint, end; every write fenced, every time the database's.

A job is held by (worker, fence). The fence goes up with each claim, so whoever lost a job to another attempt, a stopped
clock or a partition changes nothing any more: its statements match no row and raise `LeaseLost`.
"""

# ruff: noqa: S608 - the texts are put together from fixed words; every value is a parameter

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from base.errors import PlatformError
from models import JobKind, JobStatus
from models.database import transaction
from services import progress
from services.endings import (
    cancel_partitions,
    error_json,
    hold_source,
    log_deaths,
    log_label,
    settle,
    wait_again,
)
from services.statements import dump, fetch, load
from services.values import storable

DEATHS_MAX = 3  # attempts in a row, without progress, that ended their worker
FAILURES_MAX = 5  # transient failures in a row, without progress
RESEND_MS = 5_000  # after which a due job that nobody claimed gets another wake-up
WAKES_MAX = 100  # of one sweep
EXPIRED_MAX = 100  # jobs that one sweep ends

_HELD = "id = :id AND worker = :worker AND fence = :fence"
_ACTIVE = "status IN ('running', 'cancelling')"
_LAST = "(status = 'cancelling' OR deaths + 1 >= :deaths)"  # no attempt comes after one that dies
_TOUCH = "revision = revision + 1, changed_ms = {now}"
_NAMES = "id, project_id, parent_id"
# What a partition has done is for the job that it is of to read.
_KEPT = "checkpoint = CASE WHEN parent_id IS NULL THEN NULL ELSE checkpoint END"
_ENDED = f"active_key = NULL, {_KEPT}, worker = NULL, finished_at = {{stamp}}"
_CLAIM = """UPDATE jobs SET status = 'running', worker = :worker, attempts = attempts + 1, fence = fence + 1,
              lease_until_ms = {now} + :lease_ms, started_at = COALESCE(started_at, {stamp}),
              revision = revision + 1, changed_ms = {now}
            WHERE status = 'queued' AND id = ({chosen} LIMIT 1 {skip_locked})
            RETURNING id, kind, project_id, data_source_id, fence, attempts, failures, trace_id, options, checkpoint,
              parent_id"""


class LeaseLost(Exception):
    """Another attempt has this job, or it is over; nothing that this one still writes counts."""


class CancelRequested(Exception):
    """Somebody asked for the job to be cancelled before it was finished."""


@dataclass(slots=True)
class Lease:
    """One attempt at a job. `failures` and `checkpoint` are as of the claim, then as this attempt changes them.

    With `parent_id` the job is the partition `options["partition"]` of that one, and writes into that one's log.
    `is_ending`: this attempt has begun to end the job, so that it may well be over.
    """

    job_id: int
    kind: JobKind
    project_id: int
    source_id: int | None
    worker: str
    fence: int
    attempt: int
    failures: int
    lease_ms: int
    trace_id: str | None
    options: dict[str, Any] = field(default_factory=dict)
    checkpoint: dict[str, Any] | None = None
    parent_id: int | None = None
    is_ending: bool = False

    @property
    def label(self) -> str:
        """What each of its lines in the log begins with."""
        return log_label(self.parent_id, self.options)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is. `rows_total` is None where nobody knows, `message` a line for people."""

    rows_done: int
    bytes_done: int
    rows_total: int | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class StepChange:
    """A step has begun or ended: one table of a sync, or one script."""

    key: str
    position: int
    status: JobStatus
    rows_in: int | None = None
    rows_out: int | None = None
    error: PlatformError | None = None


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One line of a job's log. `level` is debug, info, warning or error."""

    level: str
    message: str
    step: str | None = None


async def claim(worker: str, lease_ms: int) -> Lease | None:
    """Take the best due job, or None: by priority, then whose team has the fewest running, then the oldest."""
    chosen = """SELECT j.id FROM jobs j JOIN projects p ON p.id = j.project_id
             LEFT JOIN (SELECT q.team_id, COUNT(*) AS running FROM jobs r JOIN projects q ON q.id = r.project_id
                        WHERE r.status IN ('running', 'cancelling') GROUP BY q.team_id) busy ON busy.team_id = p.team_id
             WHERE j.status = 'queued' AND j.run_after_ms <= {now}
             ORDER BY j.priority DESC, COALESCE(busy.running, 0), j.id"""
    return await _claim(chosen, worker, lease_ms)


async def claim_partition(lease: Lease) -> Lease | None:
    """Take the first due partition of the job that is held, as another job; None where none is, or that is lost."""
    chosen = """SELECT j.id FROM jobs j WHERE j.parent_id = :id AND j.status = 'queued' AND j.run_after_ms <= {now}
                  AND EXISTS (SELECT 1 FROM jobs p WHERE p.id = :id AND p.worker = :worker AND p.fence = :fence
                              AND p.status = 'running')
                ORDER BY j.id"""
    return await _claim(chosen, lease.worker, lease.lease_ms, id=lease.job_id, fence=lease.fence)


async def _claim(chosen: str, worker: str, lease_ms: int, **values: Any) -> Lease | None:
    """Take the job that a query gives first."""
    rows = await fetch(
        _CLAIM.replace("{chosen}", chosen), worker=worker, lease_ms=lease_ms, **values
    )
    if not rows:
        return None
    row = rows[0]
    _tell(rows)
    return Lease(
        job_id=row["id"],
        kind=JobKind(row["kind"]),
        project_id=row["project_id"],
        source_id=row["data_source_id"],
        worker=worker,
        fence=row["fence"],
        attempt=row["attempts"],
        failures=row["failures"],
        lease_ms=lease_ms,
        trace_id=row["trace_id"],
        options=load(row["options"]) or {},
        checkpoint=load(row["checkpoint"]),
        parent_id=row["parent_id"],
    )


async def touch(job_id: int) -> None:
    """Let whoever watches see a job that was queued or changed in other ways than by its worker. In the transaction."""
    _tell(await fetch(f"UPDATE jobs SET {_TOUCH} WHERE id = :id RETURNING {_NAMES}", id=job_id))


async def hold(lease: Lease) -> None:
    """Keep the job as it is until the caller's transaction ends. Raises `LeaseLost`."""
    await hold_source(lease.job_id)
    await _held(lease, "fence = fence", shows=False)


async def heartbeat(lease: Lease) -> bool:
    """Renew the lease; whether the job is to be cancelled. Raises `LeaseLost`."""
    row = await _held(
        lease,
        "lease_until_ms = {now} + :lease_ms",
        returning="cancel_requested",
        shows=False,
        lease_ms=lease.lease_ms,
    )
    return bool(row["cancel_requested"])


async def is_cancelled(lease: Lease) -> bool:
    """Whether the job is to be cancelled, without renewing anything; a read. Raises `LeaseLost`."""
    rows = await fetch(f"SELECT status FROM jobs WHERE {_HELD} AND {_ACTIVE}", **_keys(lease))
    if not rows:
        raise LeaseLost
    return bool(rows[0]["status"] == JobStatus.CANCELLING)


async def report(lease: Lease, progress: Progress) -> None:
    """Say how far the job is. Raises `LeaseLost`."""
    await _held(lease, _PROGRESS, **_progress(progress))


async def checkpoint(
    lease: Lease,
    state: dict[str, Any],
    progress: Progress,
    steps: Sequence[StepChange] = (),
    *,
    is_progress: bool = True,
) -> None:
    """Keep what a next attempt goes on from, and renew the lease. After progress, earlier failures count no more."""
    forgive = "failures = 0, deaths = 0, " if is_progress else ""
    async with transaction():
        await _held(
            lease,
            f"{forgive}checkpoint = :state, lease_until_ms = {{now}} + :lease_ms, {_PROGRESS}",
            state=dump(state),
            lease_ms=lease.lease_ms,
            **_progress(progress),
        )
        for step in steps:
            await _change_step(lease, step)
    if is_progress:
        lease.failures = 0
    lease.checkpoint = state


async def finish(lease: Lease, effects: Callable[[], Awaitable[None]]) -> None:
    """End the job SUCCEEDED together with its effects: both are committed, or neither.

    Raises `LeaseLost`, `CancelRequested`, or what `effects` raises; then nothing has changed.
    """
    lease.is_ending = True
    async with transaction():
        await hold_source(lease.job_id)
        row = await _held(
            lease,
            f"status = CASE status WHEN 'running' THEN 'succeeded' ELSE status END, progress_message = NULL, {_ENDED}",
            returning="status",
        )
        if row["status"] != JobStatus.SUCCEEDED:
            raise CancelRequested
        await effects()


async def fail(lease: Lease, error: PlatformError) -> None:
    """End the job FAILED, and with it the sync of its source. Raises `LeaseLost`."""
    await _end(lease, JobStatus.FAILED, error_json(error))


async def cancelled(lease: Lease) -> None:
    """End the job CANCELLED. Raises `LeaseLost`."""
    await _end(lease, JobStatus.CANCELLED, None)


async def retry(lease: Lease, delay_ms: int, reason: str) -> None:
    """Give the job back after a transient failure, due in `delay_ms`. Raises `LeaseLost`, `CancelRequested`."""
    await _give_back(
        lease,
        "failures = failures + 1, run_after_ms = {now} + :delay_ms, progress_message = :reason",
        delay_ms=delay_ms,
        reason=storable(reason),
    )


async def release(lease: Lease) -> None:
    """Give the job back, due at once, because this worker stops. Raises `LeaseLost`, `CancelRequested`."""
    await _give_back(lease, "run_after_ms = 0")


async def expire(worker: str) -> int:
    """End the leases of a worker that is known to be dead; the next sweep hands its jobs on. Their number."""
    rows = await fetch(
        f"UPDATE jobs SET lease_until_ms = 0 WHERE worker = :worker AND {_ACTIVE} RETURNING id",
        worker=worker,
    )
    return len(rows)


async def cancel(job_id: int) -> None:
    """Ask for a job to end. A queued one is CANCELLED at once, a running one when its worker sees it."""
    async with transaction():
        await hold_source(job_id)
        # Held, or it may go back to the queue between the two statements, and neither would meet it.
        await fetch("SELECT id FROM jobs WHERE id = :id {for_update}", id=job_id)
        ended = await fetch(
            f"UPDATE jobs SET status = 'cancelled', cancel_requested = TRUE, {_ENDED}, {_TOUCH} "
            f"WHERE id = :id AND status = 'queued' RETURNING {_NAMES}",
            id=job_id,
        )
        _tell(ended)
        if ended:
            await settle(job_id, JobStatus.CANCELLED, None)
            return
        asked = await fetch(
            f"UPDATE jobs SET status = 'cancelling', cancel_requested = TRUE, {_TOUCH} "
            f"WHERE id = :id AND status = 'running' RETURNING {_NAMES}",
            id=job_id,
        )
        _tell(asked)
        if asked:
            await cancel_partitions(job_id)


async def sweep() -> int:
    """Requeue or end jobs whose lease ran out; the number of wake-ups to send for jobs that are due and unclaimed."""
    overdue = f"{_ACTIVE} AND lease_until_ms < {{now}}"
    waiting = "status = 'queued' AND run_after_ms <= {now} AND woken_at_ms < {now} - CAST(:resend AS BIGINT)"
    if not await fetch(  # a read first: on SQLite it waits for nobody
        f"SELECT id FROM jobs WHERE ({overdue}) OR ({waiting}) LIMIT 1", resend=RESEND_MS
    ):
        return 0
    async with transaction():
        requeued = await fetch(
            f"""UPDATE jobs SET status = 'queued', deaths = deaths + 1, worker = NULL, run_after_ms = 0,
                  woken_at_ms = 0, {_TOUCH}
                WHERE {overdue} AND status = 'running' AND deaths + 1 < :deaths
                  AND id IN (SELECT j.id FROM jobs j WHERE {overdue} ORDER BY j.id {{skip_locked}})
                RETURNING {_NAMES}, attempts, options""",
            deaths=DEATHS_MAX,
        )
        await wait_again([job["id"] for job in requeued])
    await log_deaths(requeued)
    _tell(requeued)
    rest = await fetch(  # not all that is overdue: a lease may have run out since the last statement
        f"SELECT id, kind, status, fence FROM jobs WHERE {overdue} AND {_LAST} ORDER BY id LIMIT {EXPIRED_MAX}",
        deaths=DEATHS_MAX,
    )
    for row in rest:
        await _bury(row)
    woken = await fetch(
        f"""UPDATE jobs SET woken_at_ms = {{now}} WHERE {waiting} AND id IN
            (SELECT j.id FROM jobs j WHERE {waiting} ORDER BY id LIMIT {WAKES_MAX} {{skip_locked}}) RETURNING id""",
        resend=RESEND_MS,
    )
    return len(woken)


async def log(lease: Lease, level: str, message: str, step: str | None = None) -> None:
    """Add a line to the job's log, if the job is still this attempt's."""
    await log_all(lease, [LogEntry(level, message, step)])


async def log_all(lease: Lease, entries: Sequence[LogEntry]) -> None:
    """Add lines to the job's log in their order, if the job is still this attempt's; two statements."""
    lines = [
        {"level": each.level, "message": lease.label + storable(each.message), "step": each.step}
        for each in entries
    ]
    if not lines:
        return
    async with transaction():
        held = f"{_HELD} AND {_ACTIVE}"
        # Of a partition, which is not locked: whoever locks both takes the job before its partitions.
        shown = (
            f"id = :parent AND EXISTS (SELECT 1 FROM jobs WHERE {held})"
            if lease.parent_id
            else held
        )
        touch = f"UPDATE jobs SET {_TOUCH} WHERE {shown} RETURNING {_NAMES}"
        _tell(await fetch(touch, parent=lease.parent_id, **_keys(lease)))
        await fetch(
            f"""INSERT INTO job_logs (job_id, at, level, message, step)
                SELECT COALESCE(j.parent_id, j.id), {{stamp}}, line.value ->> 'level', line.value ->> 'message',
                  line.value ->> 'step'
                FROM jobs j CROSS JOIN {{lines}} WHERE j.{_HELD} ORDER BY line.key RETURNING id""",
            lines=dump(lines),
            **_keys(lease),
        )


_PROGRESS = """rows_done = :rows_done, rows_total = :rows_total, bytes_done = :bytes_done, progress_message = :message,
               progress_at = {stamp}"""


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "rows_done": progress.rows_done,
        "rows_total": progress.rows_total,
        "bytes_done": progress.bytes_done,
        "message": None if progress.message is None else storable(progress.message),
    }


async def _end(lease: Lease, status: JobStatus, error: dict[str, Any] | None) -> None:
    async with transaction():
        await hold_source(lease.job_id)
        await _held(
            lease, f"status = '{status.value}', error = :error, {_ENDED}", error=dump(error)
        )
        await settle(lease.job_id, status, error)


async def _give_back(lease: Lease, change: str, **values: Any) -> None:
    async with transaction():
        rows = await fetch(
            f"""UPDATE jobs SET status = 'queued', worker = NULL, lease_until_ms = 0, woken_at_ms = 0, {change},
                  {_TOUCH}
                WHERE {_HELD} AND status = 'running' RETURNING {_NAMES}""",
            **values,
            **_keys(lease),
        )
        await wait_again([job["id"] for job in rows])
    _tell(rows)
    if not rows:
        await is_cancelled(lease)  # raises LeaseLost where that is the reason
        raise CancelRequested


_SMALLER = {
    JobKind.SYNC: " Sync fewer tables at once, or give the worker more.",
    JobKind.SCRIPT: " Have its scripts define run_batches(batches), which sees a part of the rows at a time, or give"
    " the worker more.",
}


async def _bury(row: dict[str, Any]) -> None:
    """End a job whose lease ran out and that will not be tried again."""
    status = JobStatus.CANCELLED if row["status"] == JobStatus.CANCELLING else JobStatus.FAILED
    died = PlatformError(
        f"The job ended its worker process {('once', 'twice', 'three times')[DEATHS_MAX - 1]}.",
        hint=f"It may need more memory than the machine has.{_SMALLER.get(row['kind'], '')}",
    )
    error = error_json(died) if status is JobStatus.FAILED else None
    async with transaction():
        await hold_source(row["id"])
        ended = await fetch(
            f"""UPDATE jobs SET status = '{status.value}', deaths = deaths + 1, error = :error, {_ENDED}, {_TOUCH}
                WHERE id = :id AND fence = :fence AND status = :was AND lease_until_ms < {{now}} AND {_LAST}
                RETURNING {_NAMES}""",
            id=row["id"],
            deaths=DEATHS_MAX,
            fence=row["fence"],
            was=row["status"],
            error=dump(error),
        )
        _tell(ended)
        if ended:
            await settle(row["id"], status, error)


async def _change_step(lease: Lease, step: StepChange) -> None:
    over = step.status.is_terminal
    await fetch(
        f"""INSERT INTO job_steps (job_id, key, exec_order, position, parameters, status, rows_in, rows_out, error,
              started_at, finished_at)
            VALUES (:id, :key, :position, :position, '{{{{}}}}', :status, :rows_in, :rows_out, :error,
              {{stamp}}, {"{stamp}" if over else "NULL"})
            ON CONFLICT (job_id, position) DO UPDATE SET status = excluded.status, rows_in = excluded.rows_in,
              rows_out = excluded.rows_out, error = excluded.error, finished_at = excluded.finished_at,
              started_at = COALESCE(job_steps.started_at, excluded.started_at) RETURNING id""",
        id=lease.job_id,
        key=step.key,
        position=step.position,
        status=step.status.value,
        rows_in=step.rows_in,
        rows_out=step.rows_out,
        error=dump(error_json(step.error)) if step.error else None,
    )


def _keys(lease: Lease) -> dict[str, Any]:
    return {"id": lease.job_id, "worker": lease.worker, "fence": lease.fence}


async def _held(
    lease: Lease, change: str, *, returning: str = "id", shows: bool = True, **values: Any
) -> dict[str, Any]:
    """Change the job if this attempt still has it; what `RETURNING` gives. Raises `LeaseLost`.

    `shows` says that somebody who watches the job is to see it.
    """
    touch = f", {_TOUCH}" if shows else ""
    rows = await fetch(
        f"UPDATE jobs SET {change}{touch} WHERE {_HELD} AND {_ACTIVE} RETURNING {returning}",
        **values,
        **_keys(lease),
    )
    if not rows:
        raise LeaseLost
    if shows and lease.parent_id is None:
        progress.changed(lease.job_id, lease.project_id)
    return rows[0]


def _tell(jobs: Sequence[dict[str, Any]]) -> None:
    """Hint that these jobs have changed, once that is committed; of partitions nobody is told."""
    for job in jobs:
        if job["parent_id"] is None:
            progress.changed(job["id"], job["project_id"])
