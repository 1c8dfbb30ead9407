"""What is due: each tick of a schedule queues its job once, however many workers look for it.

RULE. In one transaction a worker locks the source of a due schedule, without waiting for it, moves `next_run_ms` on if
it is still the one that was due, and queues the job. The next tick is counted from the database's now, so what was
missed while no worker ran is one tick. A tick that cannot queue says why on the schedule, and the schedule goes on.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tortoise.exceptions import BaseORMException, DBConnectionError

from base.errors import Forbidden, Internal, InvalidInput, PlatformError
from models import DataSource, Project, Role, Schedule
from models.database import transaction
from services.authentication import viewer_of
from services.schedules import cron, work
from services.statements import fetch

TICKS_MAX = 200  # of one round
NEVER_MS = 2**53  # the next run of a schedule that is disabled

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Due:
    """A schedule whose time had come at `now_ms`, by the database's clock."""

    id: int
    data_source_id: int
    cron: str
    time_zone: str
    next_run_ms: int
    now_ms: int

    @property
    def now(self) -> datetime:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.now_ms)


async def tick() -> int:
    """One round: queue the jobs of the schedules that are due; how many. After it: `dispatch.wake()`.

    May run in several workers at once.
    """
    found = await fetch(
        """SELECT id, data_source_id, cron, time_zone, next_run_ms, {now} AS now_ms FROM schedules
           WHERE next_run_ms <= {now} AND is_enabled ORDER BY next_run_ms, id LIMIT :most""",
        most=TICKS_MAX,
    )
    queued = 0
    for row in found:
        due = _Due(**row)
        try:
            async with transaction():
                queued += await _run(due)
        except DBConnectionError:
            raise
        except BaseORMException as error:  # a lock, a limit: the other schedules are not held up
            _log.warning("schedule %d waits for the next round: %s", due.id, type(error).__name__)
        except Exception:  # noqa: BLE001 - a row that this release cannot read
            _log.exception("schedule %d waits for the next round", due.id)
    return queued


async def _run(due: _Due) -> bool:
    """Move the schedule on and queue its job; whether there is one. In the caller's transaction."""
    held = DataSource.filter(id=due.data_source_id)
    source = await held.select_for_update(no_key=True, skip_locked=True).first()
    if source is None:  # it is going away, or another worker has it: the next round looks again
        return False
    following = cron.following(due.cron, due.time_zone, due.now_ms)
    same = Schedule.filter(id=due.id, next_run_ms=due.next_run_ms, is_enabled=True)
    if not await same.update(next_run_ms=NEVER_MS if following is None else following):
        return False
    schedule = await Schedule.get(id=due.id)
    project = await Project.get(id=source.project_id)  # type: ignore[attr-defined]
    if source.deleted_at is not None or project.deleted_at is not None:
        return False
    try:
        if following is None:
            await Schedule.filter(id=due.id).update(is_enabled=False)
            raise InvalidInput(
                "The schedule has no next run, and was disabled.",
                hint="Change its cron expression or its time zone.",
            )
        async with transaction():  # a savepoint: a refusal leaves nothing behind
            job_pk = await _queue(schedule, source, project)
    except PlatformError as error:
        await _note(due, error)
        return False
    await Schedule.filter(id=due.id).update(last_run_at=due.now, last_job_id=job_pk, error=None)
    return True


async def _queue(schedule: Schedule, source: DataSource, project: Project) -> int:
    creator: int | None = schedule.creator_id  # type: ignore[attr-defined]
    viewer = None if creator is None else await viewer_of(creator)
    role = None if viewer is None else viewer.role_in(project.team_id)  # type: ignore[attr-defined]
    if viewer is None or role is None or role.rank < Role.EXECUTE.rank:
        raise Forbidden(
            "The one in whose name the schedule runs may no longer start jobs in this team.",
            hint="Whoever changes the schedule takes it over; that needs the role WRITE.",
        )
    try:
        job = await work.queue(source, viewer.user_id, schedule.kind, schedule.options)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        _log.exception("schedule %d could not queue its job", schedule.id)  # and the others go on
        raise Internal("The job could not be queued.", hint="See the server's log.") from error
    job_pk: int = job.id
    return job_pk


async def _note(due: _Due, error: PlatformError) -> None:
    at = due.now.isoformat(timespec="milliseconds")
    said = {"code": error.code, "message": error.message, "hint": error.hint, "at": at}
    await Schedule.filter(id=due.id).update(error=said)
