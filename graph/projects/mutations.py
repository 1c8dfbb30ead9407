"""Mutations of projects."""

from __future__ import annotations

from typing import Annotated, Any

import strawberry

from graph.changes import changes
from graph.context import Info
from graph.fields import STAFF, mutation, returns
from graph.projects.inputs import (
    CreateProjectInput,
    DeleteProjectInput,
    HardDeleteProjectInput,
    ReinstateProjectInput,
    UpdateProjectInput,
)
from graph.projects.types import Project
from graph.selection import Selection, by_keys, shape_of
from models import Role
from models.rows import Row
from services import projects


@strawberry.type(description="A project that was made, changed or removed.")
class ProjectPayload:
    """The project with the key `pk`, read after the commit, or the `row` that was read before it went."""

    pk: strawberry.Private[int]
    row: strawberry.Private[Row | None] = None

    @returns(Project)
    @staticmethod
    async def project(parent: strawberry.Parent[Any], info: Info) -> Row | None:
        """The project, as it is now; one that was removed for good, as it was."""
        if parent.row is not None:
            row: Row = parent.row
            return row
        return await _read(info, parent.pk, Selection.of(info))


@strawberry.type
class ProjectMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def create_project(
        info: Info,
        input: Annotated[CreateProjectInput, strawberry.argument(description="The project.")],
    ) -> ProjectPayload:
        """Make a project, with its default dataset."""
        pk = await projects.create(
            info.context.platform,
            info.context.actor(info),
            input.name,
            input.team_id,
            input.description,
            unique_name=bool(input.unique_name),
            idempotency_key=input.idempotency_key,
        )
        return ProjectPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def update_project(
        info: Info,
        input: Annotated[UpdateProjectInput, strawberry.argument(description="The changes.")],
    ) -> ProjectPayload:
        """Rename, describe or move a project."""
        given = changes(name=input.name, team_id=input.team_id, description=input.description)
        viewer, unique = info.context.actor(info), bool(input.unique_name)
        pk = await projects.update(viewer, input.id, given, unique_name=unique)
        return ProjectPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def delete_project(
        info: Info,
        input: Annotated[DeleteProjectInput, strawberry.argument(description="Which one.")],
    ) -> ProjectPayload:
        """Soft-delete a project: it and all below it is hidden, its syncs end, nothing is lost. Safe to repeat."""
        return ProjectPayload(pk=await projects.delete(info.context.actor(info), input.id))

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def reinstate_project(
        info: Info,
        input: Annotated[ReinstateProjectInput, strawberry.argument(description="Which one.")],
    ) -> ProjectPayload:
        """Bring a soft-deleted project back, with all that was below it. Safe to repeat."""
        viewer, unique = info.context.actor(info), bool(input.unique_name)
        return ProjectPayload(pk=await projects.reinstate(viewer, input.id, unique_name=unique))

    @mutation(needs=STAFF)
    @staticmethod
    async def hard_delete_project(
        info: Info,
        input: Annotated[HardDeleteProjectInput, strawberry.argument(description="Which one.")],
    ) -> ProjectPayload:
        """Remove a project for good: its rows, snapshots and files. There is no way back."""
        selection = Selection.of(info).below("project")
        pk, row = await projects.hard_delete(
            info.context.platform,
            info.context.actor(info),
            input.id,
            last_look=lambda pk: _look(info, pk, selection),
        )
        return ProjectPayload(pk=pk, row=row)


async def _look(info: Info, pk: int, selection: Selection) -> tuple[int, Row | None]:
    return pk, await _read(info, pk, selection)


async def _read(info: Info, pk: int, selection: Selection) -> Row | None:
    found = await by_keys(info.context.viewer, shape_of(Project), [pk], selection)
    return found.get(pk)
