"""Subscriptions to jobs: an event is the job as it is then, read anew with what the operation selects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import strawberry

import models
from base.errors import NotFound, Unsupported
from base.ids import key_of
from graph.context import Info
from graph.fields import subscription
from graph.jobs.types import Job
from graph.lookup import Id
from graph.selection import Selection, read, shape_of
from graph.topics import Topic
from models import JobStatus, Role, rows
from models.rows import Condition, Eq, In, IsNull, Order, Pick, Row
from services.access import KINDS, Viewer, find, visible

ACTIVE_MAX = 1_000  # jobs of a project that are told of at first
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING)
_WHOLE = IsNull("parent_id")  # a partition of another job's work is never shown
_REVISION = Pick("event_revision", "revision")
_STATUS = Pick("event_status", "status", JobStatus)


async def _job(_viewer: Viewer, arguments: Mapping[str, Any]) -> Topic:
    found = key_of(KINDS[models.Job], arguments["id"])
    if found is None:
        raise _missing()
    key = found

    async def now() -> Sequence[int]:
        return [key]

    async def check(_viewer: Viewer) -> None:
        raise _missing()  # asked only where the job was not found

    return Topic(now, check, job_id=key)


async def _project(viewer: Viewer, arguments: Mapping[str, Any]) -> Topic:
    project = await find(viewer, models.Project, arguments["projectId"], field="projectId")
    own = Eq("project_id", project.id)

    async def now() -> Sequence[int]:
        active = In("status", _ACTIVE)
        order = Order(("id",))
        found = await rows.select(
            models.Job, ("id",), own, active, _WHOLE, order=order, limit=ACTIVE_MAX
        )
        return [job.id for job in found]

    async def check(viewer: Viewer) -> None:
        await find(viewer, models.Project, arguments["projectId"], field="projectId")

    return Topic(now, check, project_id=project.id)


@strawberry.type
class JobSubscriptions:
    """Root fields."""

    @subscription(needs=Role.READ, returns=Job, topic=_job)
    @staticmethod
    async def job(info: Info, id: Id) -> Row:
        """A job: as it is now, then after each change, until it is over. NOT_FOUND where it is not your team's."""
        event = info.context.event
        if event is None or key_of(KINDS[models.Job], id) != event.job_id:
            raise _missing()
        return await _event(info)

    @subscription(needs=Role.READ, returns=Job, topic=_project)
    @staticmethod
    async def project_jobs(
        info: Info,
        project_id: Annotated[strawberry.ID, strawberry.argument(description="The project.")],
    ) -> Row:
        """The jobs of a project: each that is not over as it is now, then whichever changes, new ones too. No end."""
        key = key_of(KINDS[models.Project], project_id)
        if key is None:
            raise _missing()
        return await _event(info, Eq("project_id", key))


async def _event(info: Info, *conditions: Condition) -> Row:
    """The row that the event is of, if the viewer may see it."""
    event = info.context.event
    if event is None:
        raise Unsupported("A subscription needs a WebSocket.")
    viewer, shape, own = info.context.actor(info), shape_of(Job), Eq("id", event.job_id)
    scope = visible(viewer, models.Job)

    async def query(picks: Sequence[Pick]) -> list[list[Any]]:
        return await rows.select_columns(models.Job, picks, own, _WHOLE, *scope, *conditions)

    found = await read(viewer, shape, Selection.of(info), query, (_REVISION, _STATUS))
    if not found:
        raise _missing()
    event.revision, event.is_over = found[0].event_revision, found[0].event_status.is_terminal
    return found[0]


def _missing() -> NotFound:
    return NotFound("There is no such job.", hint="Check the id, and whose token this is.")
