"""Mutations of teams and API tokens."""

from __future__ import annotations

from typing import Annotated

import strawberry

from base.errors import InvalidInput
from base.ids import as_public
from graph.access.inputs import (
    CreateApiTokenInput,
    CreateSessionInput,
    CreateTeamInput,
    RefreshSessionInput,
    RevokeApiTokenInput,
    SetTeamMemberInput,
    UpdateTeamInput,
)
from graph.access.types import ApiToken, Team, User
from graph.context import Info
from graph.fields import ANYONE, SIGNED_IN, mutation, one
from graph.scalars import DateTime
from models import Role
from services import accounts, sessions, tokens
from services.sessions import EXPIRES_SECONDS, REFRESH_SECONDS, Session


@strawberry.type(description="A team that was changed.")
class TeamPayload:
    """The team with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    team = one(Team, "pk", "The team, as it is now.")


@strawberry.type(description="A new API token.")
class CreateApiTokenPayload:
    """The token with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    token = one(ApiToken, "pk", "The token.")
    secret: str = strawberry.field(
        description="What goes behind `Authorization: Bearer`. It is shown this once; only a hash of it is kept."
    )


@strawberry.type(description="An API token that was revoked.")
class RevokeApiTokenPayload:
    """An id."""

    id: strawberry.ID = strawberry.field(description="The token's id.")


@strawberry.type(description="A session: two short-lived tokens that stand for an API token.")
class SessionPayload:
    """The user with the key `user_pk`, and what `services.sessions` gave."""

    user_pk: strawberry.Private[int]
    user = one(User, "user_pk", "Whose session it is.")
    access_token: str = strawberry.field(
        description="What goes behind `Authorization: Bearer`, in place of the API token: a JSON Web Token."
    )
    refresh_token: str = strawberry.field(
        description="What `refreshSession` takes; good for nothing else."
    )
    expires_at: DateTime = strawberry.field(description="When the access token expires.")
    refresh_expires_at: DateTime = strawberry.field(description="When the refresh token expires.")


@strawberry.type
class AccessMutations:
    """Root fields."""

    @mutation(needs=Role.ADMIN)
    @staticmethod
    async def create_team(
        info: Info,
        input: Annotated[CreateTeamInput, strawberry.argument(description="The team.")],
    ) -> TeamPayload:
        """Make a team, with you as its admin."""
        viewer = info.context.actor(info)
        platform = info.context.platform
        pk = await accounts.create_team(platform, viewer, input.name, input.idempotency_key)
        info.context.viewer = await accounts.refreshed(viewer)
        return TeamPayload(pk=pk)

    @mutation(needs=Role.ADMIN)
    @staticmethod
    async def update_team(
        info: Info,
        input: Annotated[UpdateTeamInput, strawberry.argument(description="Which, and its name.")],
    ) -> TeamPayload:
        """Rename a team."""
        pk = await accounts.update_team(info.context.actor(info), input.id, input.name)
        return TeamPayload(pk=pk)

    @mutation(needs=Role.ADMIN)
    @staticmethod
    async def set_team_member(
        info: Info,
        input: Annotated[
            SetTeamMemberInput, strawberry.argument(description="Who, where, and which role.")
        ],
    ) -> TeamPayload:
        """Add a user to a team, change the role, or take the user out. A team keeps at least one admin."""
        if input.role is None:
            raise InvalidInput(
                "`input.role` is needed: a role, or null to take the user out.", field="input.role"
            )
        viewer = info.context.actor(info)
        pk = await accounts.set_team_member(viewer, input.team_id, input.username, input.role.value)
        info.context.viewer = await accounts.refreshed(viewer)
        return TeamPayload(pk=pk)

    @mutation(needs=SIGNED_IN)
    @staticmethod
    async def create_api_token(
        info: Info,
        input: Annotated[CreateApiTokenInput, strawberry.argument(description="The token.")],
    ) -> CreateApiTokenPayload:
        """Make an API token for yourself, which may do no more than the one you use."""
        made = await tokens.create(
            info.context.actor(info),
            name=input.name,
            role=input.role,
            project_id=input.project_id,
            expires_at=input.expires_at,
        )
        return CreateApiTokenPayload(pk=made.pk, secret=made.secret)

    @mutation(needs=SIGNED_IN)
    @staticmethod
    async def create_session(
        info: Info,
        input: Annotated[CreateSessionInput, strawberry.argument(description="For how long.")],
    ) -> SessionPayload:
        """Make a session of the API token that this request carries, with the token's role and project.

        It ends when that token is revoked or expires, if not before. A session cannot make another one.
        """
        made = await sessions.create(
            info.context.platform.keyring,
            info.context.actor(info),
            expires_in=_or(input.expires_in, EXPIRES_SECONDS),
            refresh_expires_in=_or(input.refresh_expires_in, REFRESH_SECONDS),
        )
        return _payload(made)

    @mutation(needs=ANYONE)
    @staticmethod
    async def refresh_session(
        info: Info,
        input: Annotated[RefreshSessionInput, strawberry.argument(description="Which one.")],
    ) -> SessionPayload:
        """A new access token for a session, and the same refresh token. Needs no `Authorization`.

        UNAUTHENTICATED where the refresh token has expired or is none, or the API token behind it is no more.
        """
        refreshed = await sessions.refresh(
            info.context.platform.keyring,
            input.refresh_token,
            expires_in=_or(input.expires_in, EXPIRES_SECONDS),
        )
        return _payload(refreshed)

    @mutation(needs=SIGNED_IN)
    @staticmethod
    async def revoke_api_token(
        info: Info,
        input: Annotated[RevokeApiTokenInput, strawberry.argument(description="Which one.")],
    ) -> RevokeApiTokenPayload:
        """End one of your API tokens, within seconds everywhere; repeated it changes nothing."""
        await tokens.revoke(info.context.actor(info), input.id)
        return RevokeApiTokenPayload(id=strawberry.ID(as_public("token", input.id)))


def _or(given: int | None, default: int) -> int:
    return default if given is None else given


def _payload(session: Session) -> SessionPayload:
    return SessionPayload(
        user_pk=session.user_pk,
        access_token=session.access_token,
        refresh_token=session.refresh_token,
        expires_at=session.expires_at,
        refresh_expires_at=session.refresh_expires_at,
    )
