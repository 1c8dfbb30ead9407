"""How a worker holds a job: claim by lease, renew, checkpoint, end; every write fenced, every time the database's.

A job is held by (worker, fence). The fence goes up with each claim, so whoever lost a job to another attempt, a stopped
clock or a partition changes nothing any more: its statements match no row and raise `LeaseLost`.
"""

# ruff: noqa: S608 - the texts are put together from fixed words; every value is a parameter

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from base.errors import PlatformError
from models import Job, JobKind, JobStatus
from models.database import Dialect, now_ms_sql, transaction

DEATHS_MAX = 3  # attempts in a row, without progress, that ended their worker
FAILURES_MAX = 5  # transient failures in a row, without progress
RESEND_MS = 5_000  # after which a due job that nobody claimed gets another wake-up
WAKES_MAX = 100  # of one sweep
EXPIRED_MAX = 100  # jobs that one sweep ends

_STAMP: dict[Dialect, str] = {
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00')",
    "postgresql": "statement_timestamp()",
}
_NAME = re.compile(r"(?<!:):([a-z_]+)\b")
_HELD = "id = :id AND worker = :worker AND fence = :fence"
_ACTIVE = "status IN ('running', 'cancelling')"
_TOUCH = "revision = revision + 1, changed_ms = {now}"
_LINES: dict[Dialect, str] = {
    "sqlite": "json_each(:lines) line",
    "postgresql": "json_array_elements(CAST(:lines AS json)) WITH ORDINALITY line(value, key)",
}
_ENDED = "active_key = NULL, checkpoint = NULL, worker = NULL, finished_at = {stamp}"


class LeaseLost(Exception):
    """Another attempt has this job, or it is over; nothing that this one still writes counts."""


class CancelRequested(Exception):
    """Somebody asked for the job to be cancelled before it was finished."""


@dataclass(slots=True)
class Lease:
    """One attempt at a job. `failures` and `checkpoint` are as of the claim, then as this attempt changes them."""

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
    rows = await _fetch(
        """UPDATE jobs SET status = 'running', worker = :worker, attempts = attempts + 1, fence = fence + 1,
             lease_until_ms = {now} + :lease_ms, started_at = COALESCE(started_at, {stamp}),
             revision = revision + 1, changed_ms = {now}
           WHERE status = 'queued' AND id = (
             SELECT j.id FROM jobs j JOIN projects p ON p.id = j.project_id
             LEFT JOIN (SELECT q.team_id, COUNT(*) AS running FROM jobs r JOIN projects q ON q.id = r.project_id
                        WHERE r.status IN ('running', 'cancelling') GROUP BY q.team_id) busy ON busy.team_id = p.team_id
             WHERE j.status = 'queued' AND j.run_after_ms <= {now}
             ORDER BY j.priority DESC, COALESCE(busy.running, 0), j.id LIMIT 1 {skip_locked})
           RETURNING id, kind, project_id, data_source_id, fence, attempts, failures, trace_id, options, checkpoint""",
        worker=worker,
        lease_ms=lease_ms,
    )
    if not rows:
        return None
    row = rows[0]
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
        options=_json(row["options"]) or {},
        checkpoint=_json(row["checkpoint"]),
    )


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
    rows = await _fetch(f"SELECT status FROM jobs WHERE {_HELD} AND {_ACTIVE}", **_keys(lease))
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
            state=_dump(state),
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
    async with transaction():
        await _hold_source(lease.job_id)
        row = await _held(
            lease,
            f"status = CASE status WHEN 'running' THEN 'succeeded' ELSE status END, {_ENDED}",
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
        reason=reason,
    )


async def release(lease: Lease) -> None:
    """Give the job back, due at once, because this worker stops. Raises `LeaseLost`, `CancelRequested`."""
    await _give_back(lease, "run_after_ms = 0")


async def expire(worker: str) -> int:
    """End the leases of a worker that is known to be dead; the next sweep hands its jobs on. Their number."""
    rows = await _fetch(
        f"UPDATE jobs SET lease_until_ms = 0 WHERE worker = :worker AND {_ACTIVE} RETURNING id",
        worker=worker,
    )
    return len(rows)


async def cancel(job_id: int) -> None:
    """Ask for a job to end. A queued one is CANCELLED at once, a running one when its worker sees it."""
    async with transaction():
        await _hold_source(job_id)
        ended = await _fetch(
            f"UPDATE jobs SET status = 'cancelled', cancel_requested = TRUE, {_ENDED}, {_TOUCH} "
            "WHERE id = :id AND status = 'queued' RETURNING id",
            id=job_id,
        )
        if ended:
            await settle_source(job_id, JobStatus.CANCELLED, None)
            return
        await _fetch(
            f"UPDATE jobs SET status = 'cancelling', cancel_requested = TRUE, {_TOUCH} "
            "WHERE id = :id AND status = 'running' RETURNING id",
            id=job_id,
        )


async def sweep() -> int:
    """Requeue or end jobs whose lease ran out; the number of wake-ups to send for jobs that are due and unclaimed."""
    overdue = f"{_ACTIVE} AND lease_until_ms < {{now}}"
    waiting = "status = 'queued' AND run_after_ms <= {now} AND woken_at_ms < {now} - CAST(:resend AS BIGINT)"
    if not await _fetch(  # a read first: on SQLite it waits for nobody
        f"SELECT id FROM jobs WHERE ({overdue}) OR ({waiting}) LIMIT 1", resend=RESEND_MS
    ):
        return 0
    await _fetch(
        f"""UPDATE jobs SET status = 'queued', deaths = deaths + 1, worker = NULL, run_after_ms = 0, woken_at_ms = 0,
              {_TOUCH}
            WHERE {overdue} AND status = 'running' AND deaths + 1 < :deaths RETURNING id""",
        deaths=DEATHS_MAX,
    )
    rest = await _fetch(
        f"SELECT id, status, fence FROM jobs WHERE {overdue} ORDER BY id LIMIT {EXPIRED_MAX}"
    )
    for row in rest:
        await _bury(row)
    woken = await _fetch(
        f"""UPDATE jobs SET woken_at_ms = {{now}} WHERE {waiting} AND id IN
            (SELECT id FROM jobs WHERE {waiting} ORDER BY id LIMIT {WAKES_MAX}) RETURNING id""",
        resend=RESEND_MS,
    )
    return len(woken)


async def log(lease: Lease, level: str, message: str, step: str | None = None) -> None:
    """Add a line to the job's log, if the job is still this attempt's."""
    await log_all(lease, [LogEntry(level, message, step)])


async def log_all(lease: Lease, entries: Sequence[LogEntry]) -> None:
    """Add lines to the job's log in their order, if the job is still this attempt's; two statements."""
    lines = [{"level": each.level, "message": each.message, "step": each.step} for each in entries]
    if not lines:
        return
    async with transaction():
        await _fetch(
            f"UPDATE jobs SET {_TOUCH} WHERE {_HELD} AND {_ACTIVE} RETURNING id", **_keys(lease)
        )
        await _fetch(
            f"""INSERT INTO job_logs (job_id, at, level, message, step)
                SELECT j.id, {{stamp}}, line.value ->> 'level', line.value ->> 'message', line.value ->> 'step'
                FROM jobs j CROSS JOIN {{lines}} WHERE j.{_HELD} ORDER BY line.key RETURNING id""",
            lines=_dump(lines),
            **_keys(lease),
        )


def error_json(error: PlatformError) -> dict[str, Any]:
    """How a job, a step or a source keeps an error."""
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"code": error.code, "message": error.message, "hint": error.hint, "at": at}


async def settle_source(job_id: int, status: JobStatus, error: dict[str, Any] | None) -> None:
    """What a job that published nothing leaves: a sync on its source, each on the steps that it did not finish.

    The running step ends as the job does, those behind it are CANCELLED. Call it in the transaction that ends the job.
    """
    new = (
        "'failed'"
        if status is JobStatus.FAILED
        else "CASE WHEN current_snapshot_id IS NULL THEN 'pending' ELSE 'synced' END"
    )
    await _fetch(
        f"""UPDATE data_sources SET status = {new}, error = :error, updated_at = {{stamp}} WHERE status = 'syncing'
            AND id = (SELECT data_source_id FROM jobs WHERE id = :id AND kind = 'sync') RETURNING id""",
        id=job_id,
        error=_dump(error),
    )
    await _fetch(
        f"""UPDATE job_steps SET status = '{status.value}', finished_at = {{stamp}}, error = :error
            WHERE job_id = :id AND status = 'running' RETURNING id""",
        id=job_id,
        error=_dump(error),
    )
    await _fetch(
        """UPDATE job_steps SET status = 'cancelled', finished_at = {stamp}
            WHERE job_id = :id AND status = 'queued' RETURNING id""",
        id=job_id,
    )


_PROGRESS = """rows_done = :rows_done, rows_total = :rows_total, bytes_done = :bytes_done, progress_message = :message,
               progress_at = {stamp}"""


def _progress(progress: Progress) -> dict[str, Any]:
    return {
        "rows_done": progress.rows_done,
        "rows_total": progress.rows_total,
        "bytes_done": progress.bytes_done,
        "message": progress.message,
    }


async def _hold_source(job_id: int) -> None:
    """Lock the job's source before the job: whoever takes sources away locks them first, too, so nobody deadlocks."""
    await _fetch(
        """SELECT id FROM data_sources
            WHERE id = (SELECT data_source_id FROM jobs WHERE id = :id) {for_update}""",
        id=job_id,
    )


async def _end(lease: Lease, status: JobStatus, error: dict[str, Any] | None) -> None:
    async with transaction():
        await _hold_source(lease.job_id)
        await _held(
            lease, f"status = '{status.value}', error = :error, {_ENDED}", error=_dump(error)
        )
        await settle_source(lease.job_id, status, error)


async def _give_back(lease: Lease, change: str, **values: Any) -> None:
    rows = await _fetch(
        f"""UPDATE jobs SET status = 'queued', worker = NULL, lease_until_ms = 0, woken_at_ms = 0, {change}, {_TOUCH}
            WHERE {_HELD} AND status = 'running' RETURNING id""",
        **values,
        **_keys(lease),
    )
    if not rows:
        await is_cancelled(lease)  # raises LeaseLost where that is the reason
        raise CancelRequested


async def _bury(row: dict[str, Any]) -> None:
    """End a job whose lease ran out and that will not be tried again."""
    status = JobStatus.CANCELLED if row["status"] == JobStatus.CANCELLING else JobStatus.FAILED
    died = PlatformError(
        f"The job ended its worker process {('once', 'twice', 'three times')[DEATHS_MAX - 1]}.",
        hint="Its data may need more memory than the machine has. Sync fewer tables at once, or give the worker more.",
    )
    error = error_json(died) if status is JobStatus.FAILED else None
    async with transaction():
        await _hold_source(row["id"])
        ended = await _fetch(
            f"""UPDATE jobs SET status = '{status.value}', deaths = deaths + 1, error = :error, {_ENDED}, {_TOUCH}
                WHERE id = :id AND fence = :fence AND status = :was AND lease_until_ms < {{now}} RETURNING id""",
            id=row["id"],
            fence=row["fence"],
            was=row["status"],
            error=_dump(error),
        )
        if ended:
            await settle_source(row["id"], status, error)


async def _change_step(lease: Lease, step: StepChange) -> None:
    over = step.status.is_terminal
    await _fetch(
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
        error=_dump(error_json(step.error)) if step.error else None,
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
    rows = await _fetch(
        f"UPDATE jobs SET {change}{touch} WHERE {_HELD} AND {_ACTIVE} RETURNING {returning}",
        **values,
        **_keys(lease),
    )
    if not rows:
        raise LeaseLost
    return rows[0]


async def _fetch(text: str, **values: Any) -> list[dict[str, Any]]:
    """Run a statement with `:named` values, `{now}` and `{stamp}`; its rows."""
    connection = Job._meta.db  # noqa: SLF001 - Tortoise keeps the connection of the moment there
    dialect: Dialect = "sqlite" if connection.capabilities.dialect == "sqlite" else "postgresql"
    statement, names = _compile(dialect, text)
    rows: list[dict[str, Any]] = await connection.execute_query_dict(
        statement, [values[name] for name in names]
    )
    return rows


@lru_cache(maxsize=256)
def _compile(dialect: Dialect, text: str) -> tuple[str, tuple[str, ...]]:
    is_postgresql = dialect == "postgresql"  # on SQLite one transaction writes at a time
    text = text.format(
        now=now_ms_sql(dialect),
        stamp=_STAMP[dialect],
        lines=_LINES[dialect],
        for_update="FOR NO KEY UPDATE" if is_postgresql else "",
        skip_locked="FOR UPDATE OF j SKIP LOCKED" if is_postgresql else "",
    )
    names = tuple(dict.fromkeys(_NAME.findall(text)))
    sign = "$" if is_postgresql else "?"
    return _NAME.sub(lambda found: f"{sign}{names.index(found[1]) + 1}", text), names


def _text(name: str) -> str:
    return f"CAST(:{name} AS TEXT)"  # PostgreSQL cannot tell the type of a value in a SELECT list


def _dump(value: Any) -> str | None:
    return None if value is None else orjson.dumps(value).decode()


def _json(value: Any) -> Any:
    return orjson.loads(value) if isinstance(value, str | bytes) else value
