"""Projects: made with their default dataset, soft-deleted and reinstated, or removed for good."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from base.errors import Conflict, Forbidden, InvalidInput
from base.ids import public_id
from models import DataSource, Job, JobStatus, Membership, Project, Role, Team
from models.database import transaction
from services import datasets, idempotency, jobs, values
from services.access import Viewer, find
from services.idempotency import Result
from services.platform import Platform

T = TypeVar("T")

_ACTIVE = [JobStatus.QUEUED, JobStatus.RUNNING]


async def create(
    platform: Platform,
    viewer: Viewer,
    name: str,
    team_id: str | None = None,
    description: str | None = None,
    *,
    unique_name: bool = False,
    idempotency_key: str | None = None,
) -> int:
    """Make a project and its default dataset, in the viewer's only or own team where none is named; its key.

    With `unique_name`, Conflict where an active project of the team has exactly this name.
    """
    if viewer.project_id is not None:
        raise Forbidden(
            "This token is held to one project; it cannot make another.",
            hint="Use a token without a project.",
        )
    team_id = team_id if team_id is not None else await _own_team(viewer)
    team = await find(viewer, Team, team_id, field="input.teamId")
    team_pk: int = team.id

    async def prepare() -> dict[str, Any]:
        return {
            "name": values.name(name, "input.name"),
            "description": values.description(description, "input.description"),
        }

    async def commit(new: dict[str, Any]) -> Result:
        if unique_name:
            await _lock_names(team_pk)
            await _check_name(team_pk, new["name"])
        project = await Project.create(team_id=team_pk, creator_id=viewer.user_id, **new)
        await datasets.create_default(project, viewer.user_id)
        return {"project": project.id}

    done = await idempotency.once(
        platform,
        viewer,
        "createProject",
        idempotency_key,
        {"name": name, "team": team_pk, "description": description, "unique_name": unique_name},
        prepare=prepare,
        commit=commit,
    )
    project_pk: int = done["project"]
    if idempotency_key is not None:
        # What was made earlier may have gone, or to another team, since.
        made = public_id("project", project_pk)
        await find(viewer, Project, made, field=idempotency.FIELD, deleted=True)
    return project_pk


async def update(
    viewer: Viewer, project_id: str, changes: Mapping[str, Any], *, unique_name: bool = False
) -> int:
    """Change the given ones of `name`, `team_id` and `description`; the project's key.

    A move takes the role ADMIN in the team that loses the project. With `unique_name`, Conflict where another active
    project of the team that it is then in has exactly the name that it then has.
    """
    project = await find(viewer, Project, project_id, field="input.id")
    new: dict[str, Any] = {}
    if "name" in changes:
        new["name"] = values.name(changes["name"], "input.name")
    if "description" in changes:
        new["description"] = values.description(changes["description"], "input.description")
    project_pk: int = project.id
    old_team: int = project.team_id  # type: ignore[attr-defined]
    if "team_id" in changes:
        new["team_id"] = await _new_team(viewer, old_team, changes["team_id"])
    if not new and not unique_name:
        return project_pk
    async with transaction():
        if unique_name:
            team_pk = new.get("team_id", old_team)
            await _lock_names(team_pk)
            now = await Project.get_or_none(id=project_pk)
            if now is not None:
                await _check_name(team_pk, new.get("name", now.name), project_pk)
        if new:
            same = Project.filter(id=project_pk, team_id=old_team, deleted_at=None)
            await same.update(**new, updated_at=datetime.now(UTC))
    return project_pk


async def delete(viewer: Viewer, project_id: str) -> int:
    """Soft-delete a project, which hides all below it and cancels its jobs; repeated it changes nothing. Its key."""
    project = await find(viewer, Project, project_id, field="input.id", deleted=True)
    project_pk: int = project.id
    async with transaction():
        await Project.filter(id=project_pk, deleted_at=None).update(deleted_at=datetime.now(UTC))
        await _cancel_work(project_pk)
    return project_pk


async def reinstate(viewer: Viewer, project_id: str, *, unique_name: bool = False) -> int:
    """Undo a soft deletion; repeated it changes nothing. The project's key.

    With `unique_name`, Conflict where by now an active project of the team has exactly its name.
    """
    project = await find(viewer, Project, project_id, field="input.id", deleted=True)
    project_pk: int = project.id
    team_pk: int = project.team_id  # type: ignore[attr-defined]
    deleted = Project.filter(id=project_pk).exclude(deleted_at=None)
    async with transaction():
        if unique_name:
            await _lock_names(team_pk)
            if await deleted.exists():
                await _check_name(team_pk, project.name, project_pk)
        await deleted.update(deleted_at=None)
    return project_pk


async def hard_delete(
    platform: Platform,
    viewer: Viewer,
    project_id: str,
    *,
    last_look: Callable[[int], Awaitable[T]],
) -> T:
    """Remove a project for good: every row in one transaction, then the objects.

    `last_look` is called with its key while it is still there; what it gives is returned. Where this is interrupted
    after the rows are gone, the workers' housekeeping goes on: it removes objects without rows.
    """
    project = await find(viewer, Project, project_id, field="input.id", deleted=True)
    project_pk: int = project.id
    seen = await last_look(project_pk)
    async with transaction():
        sources = await DataSource.filter(project_id=project_pk).only("id")
        await _cancel_work(project_pk)
        await Project.filter(id=project_pk).delete()  # everything below goes with it
    for prefix in (
        f"uploads/{project_pk}/",
        *(f"snapshots/{source.id}/" for source in sources),
    ):
        async for info in platform.store.list(prefix):
            await platform.store.delete(info.key)
    return seen


async def _lock_names(team_pk: int) -> None:
    """Hold the names of a team's projects until the transaction ends, against whoever wants a name of their own too.

    SQLite's single writer holds them anyway.
    """
    await Team.filter(id=team_pk).select_for_update(no_key=True).first()


async def _check_name(team_pk: int, name: str, project_pk: int | None = None) -> None:
    """Refuse a name that an active project of the team has, other than the one with this key."""
    same = Project.filter(team_id=team_pk, name=name, deleted_at=None)
    if await (same if project_pk is None else same.exclude(id=project_pk)).exists():
        raise Conflict(
            "The team has an active project of this name already.",
            hint="Choose another name, or leave out `uniqueName`.",
            field="input.name",
        )


async def _own_team(viewer: Viewer) -> str:
    """The only team that the viewer may make projects in, else the oldest one that the viewer began."""
    able = [team for team, role in viewer.teams.items() if role.rank >= Role.WRITE.rank]
    if len(able) == 1:
        return public_id("team", able[0])
    for team in sorted(able):
        began = await Membership.filter(team_id=team).order_by("id").first()
        if began is not None and began.user_id == viewer.user_id:  # type: ignore[attr-defined]
            return public_id("team", team)
    raise InvalidInput(
        "The project needs a team.",
        hint="Name one of `viewer { teams { team { id } role } }` in which you have the role WRITE.",
        field="input.teamId",
    )


async def _new_team(viewer: Viewer, old_team: int, team_id: str | None) -> int:
    if team_id is None:
        raise InvalidInput("A project always has a team.", field="input.teamId")
    team = await find(viewer, Team, team_id, field="input.teamId")
    team_pk: int = team.id
    if team_pk != old_team and viewer.role_in(old_team) is not Role.ADMIN:
        raise Forbidden(
            "Moving a project to another team needs the role ADMIN in the team it is in.",
            hint="Ask an admin of the team.",
            field="input.teamId",
        )
    return team_pk


async def _cancel_work(project_pk: int) -> None:
    active = Job.filter(project_id=project_pk, status__in=_ACTIVE, kind__in=jobs.OF_SOURCES)
    await jobs.cancel_jobs([job.id for job in await active.only("id")])
