"""Inputs about projects."""

from __future__ import annotations

import strawberry


@strawberry.input(description="A new project.")
class CreateProjectInput:
    """For `createProject`."""

    name: str = strawberry.field(description="What people call it; up to 200 characters.")
    team_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The team it belongs to; your only one, or else your own, when left out.",
    )
    description: str | None = strawberry.field(default=None, description="What it is about.")
    unique_name: bool | None = strawberry.field(
        default=False,
        description="Whether to refuse with CONFLICT a name that an active project of the team has already.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(description="Changes of a project; what is left out stays.")
class UpdateProjectInput:
    """For `updateProject`."""

    id: strawberry.ID = strawberry.field(description="The project.")
    name: strawberry.Maybe[str | None] = strawberry.field(description="Its new name.")
    team_id: strawberry.Maybe[strawberry.ID | None] = strawberry.field(
        description="The team it moves to; takes the role ADMIN in the team it leaves."
    )
    description: strawberry.Maybe[str | None] = strawberry.field(
        description="What it is about; null for nothing."
    )
    unique_name: bool | None = strawberry.field(
        default=False,
        description="Whether to refuse with CONFLICT where another active project of the team has the name that this "
        "one has then, be it new or not.",
    )


@strawberry.input(description="Which project to delete.")
class DeleteProjectInput:
    """For `deleteProject`."""

    id: strawberry.ID = strawberry.field(description="The project.")


@strawberry.input(description="Which project to bring back.")
class ReinstateProjectInput:
    """For `reinstateProject`."""

    id: strawberry.ID = strawberry.field(description="The project.")
    unique_name: bool | None = strawberry.field(
        default=False,
        description="Whether to refuse with CONFLICT where by now an active project of the team has its name.",
    )


@strawberry.input(description="Which project to remove for good.")
class HardDeleteProjectInput:
    """For `hardDeleteProject`."""

    id: strawberry.ID = strawberry.field(description="The project, soft-deleted or not.")
