"""Inputs about teams and API tokens."""

from __future__ import annotations

import strawberry

from graph.enums import Role
from graph.scalars import DateTime
from services.sessions import EXPIRES_SECONDS, REFRESH_SECONDS


@strawberry.input(description="A new team.")
class CreateTeamInput:
    """For `createTeam`."""

    name: str = strawberry.field(description="What people call it; up to 200 characters.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(description="A new name for a team.")
class UpdateTeamInput:
    """For `updateTeam`."""

    id: strawberry.ID = strawberry.field(description="The team.")
    name: str = strawberry.field(description="What people call it; up to 200 characters.")


@strawberry.input(description="A user's place in a team.")
class SetTeamMemberInput:
    """For `setTeamMember`."""

    team_id: strawberry.ID = strawberry.field(description="The team.")
    username: str = strawberry.field(description="The user's name.")
    role: strawberry.Maybe[Role | None] = strawberry.field(
        description="What the user may do in the team from now on; null takes the user out of it. Has to be given."
    )


@strawberry.input(description="A new API token.")
class CreateApiTokenInput:
    """For `createApiToken`."""

    name: str = strawberry.field(description="What it is for; up to 200 characters.")
    role: Role = strawberry.field(description="The most that it may do; no more than you may.")
    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="The only project that it reaches; all of yours when left out."
    )
    expires_at: DateTime | None = strawberry.field(
        default=None,
        description="When it stops working; never when left out, or with the token that makes it.",
    )


@strawberry.input(description="A new session.")
class CreateSessionInput:
    """For `createSession`."""

    expires_in: int | None = strawberry.field(
        default=EXPIRES_SECONDS,
        description="Seconds for which the access token is valid, 60 to 2,592,000; no longer than the API token.",
    )
    refresh_expires_in: int | None = strawberry.field(
        default=REFRESH_SECONDS,
        description="Seconds for which the refresh token is valid, 60 to 2,592,000; no longer than the API token.",
    )


@strawberry.input(description="A session that is to go on.")
class RefreshSessionInput:
    """For `refreshSession`."""

    refresh_token: str = strawberry.field(description="The session's refresh token.")
    expires_in: int | None = strawberry.field(
        default=EXPIRES_SECONDS,
        description="Seconds for which the new access token is valid, 60 to 2,592,000; no longer than the refresh "
        "token.",
    )


@strawberry.input(description="Which API token to end.")
class RevokeApiTokenInput:
    """For `revokeApiToken`."""

    id: strawberry.ID = strawberry.field(description="The token.")
