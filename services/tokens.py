"""API tokens: 256 random bits, shown once, kept as a hash; never more than their maker may do."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tortoise.exceptions import IntegrityError

from base.errors import Conflict, Forbidden, InvalidInput
from models import ApiToken, Project, Role, User
from models.database import transaction
from services import authentication, values
from services.access import Viewer, find
from services.accounts import FIRST_USER, ensure_user
from services.authentication import hash_secret, viewer_of

SECRET_BYTES = 32
SECRET_PREFIX = "hw_"  # noqa: S105 - what every secret begins with
SHOWN_CHARS = 9  # of a secret, to recognise it by: the prefix and 36 of its 256 bits
TOKENS_MAX = 200  # of one user that are not revoked
FIRST_NAME = "first start"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made, with the only copy of its secret."""

    pk: int
    secret: str = field(repr=False)


def new_secret() -> str:
    """A secret for a token."""
    return SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)


async def create(
    viewer: Viewer,
    *,
    name: str,
    role: Role,
    project_id: str | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """Make a token for the viewer's user.

    It has no higher role than the viewer, is held to the project that the viewer's token is held to, and expires no
    later than that. `project_id` holds it to one project. A session, which is short-lived, makes none.
    """
    if viewer.session_ends_at is not None:
        raise Forbidden(
            "A session cannot make an API token, which would outlive it.",
            hint="Send the API token itself.",
        )
    name = values.name(name, "input.name")
    project = (
        await find(viewer, Project, project_id, field="input.projectId") if project_id else None
    )
    if project is None and viewer.project_id is not None:
        raise Forbidden(
            "This token is held to one project; it makes tokens for that project only.",
            hint="Name the project.",
            field="input.projectId",
        )
    most = _highest_role(viewer, project)
    if role.rank > most.rank:
        raise Forbidden(
            f"A token cannot have a higher role than its maker, which is {most.name}.",
            field="input.role",
        )
    expires_at = await _expiry(viewer, expires_at)
    async with transaction():
        await User.filter(id=viewer.user_id).select_for_update(no_key=True).first()
        if await ApiToken.filter(user_id=viewer.user_id, revoked_at=None).count() >= TOKENS_MAX:
            raise Conflict(
                f"You have {TOKENS_MAX} tokens, which is the limit.",
                hint="Revoke those that are not used any more.",
            )
        project_pk = project.id if project else None
        return await _insert(viewer.user_id, new_secret(), name, role, project_pk, expires_at)


async def revoke(viewer: Viewer, token_id: str) -> None:
    """End one of the viewer's own tokens, also the one in use; repeated it changes nothing.

    A token does not end one that may do more than itself.
    """
    token = await find(viewer, ApiToken, token_id, field="input.id")
    if token.role.rank > viewer.role_max.rank:
        raise Forbidden(
            f"This token has the role {viewer.role_max.name}; it cannot revoke one with {token.role.name}.",
            field="input.id",
        )
    await ApiToken.filter(id=token.id, revoked_at=None).update(revoked_at=datetime.now(UTC))
    authentication.forget()


async def bootstrap(secret: str) -> None:
    """Make sure of the first user and of a token with this secret; what is there already stays as it is.

    Safe when several processes start at once. Once that token is revoked, it stays so.
    """
    user = await ensure_user(FIRST_USER)
    if await ApiToken.filter(secret_hash=hash_secret(secret)).exists():
        return
    try:
        async with transaction():
            await _insert(user.id, secret, FIRST_NAME, Role.ADMIN, None, None)
    except IntegrityError:
        return  # another process was first


async def create_for(
    username: str,
    *,
    name: str,
    role: Role,
    project_id: str | None = None,
    expires_at: datetime | None = None,
) -> NewToken:
    """As `create`, by an operator for any user, who is made where there is none."""
    viewer = await viewer_of((await ensure_user(username)).id)
    assert viewer is not None, "the user was just there"
    return await create(
        viewer.acting(Role.READ),
        name=name,
        role=role,
        project_id=project_id,
        expires_at=expires_at,
    )


def _highest_role(viewer: Viewer, project: Project | None) -> Role:
    """What a token of this viewer may have at most, in the project's team or in any."""
    if project is not None:
        team_id: int = project.team_id  # type: ignore[attr-defined]
        return viewer.role_in(team_id) or Role.READ
    roles = [role for team in viewer.teams if (role := viewer.role_in(team)) is not None]
    if viewer.is_staff or not roles:  # who has no team yet can found one, and be its admin
        return viewer.role_max
    return max(roles, key=lambda role: role.rank)


async def _expiry(viewer: Viewer, expires_at: datetime | None) -> datetime | None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidInput("`input.expiresAt` is in the past.", field="input.expiresAt")
    own = await ApiToken.get_or_none(id=viewer.token_id) if viewer.token_id else None
    if own is None or own.expires_at is None:
        return expires_at
    if expires_at is not None and expires_at > own.expires_at:
        raise Forbidden(
            "A token that expires makes only tokens that expire no later.",
            hint=f"It expires at {own.expires_at.isoformat(timespec='seconds')}.",
            field="input.expiresAt",
        )
    return expires_at or own.expires_at


async def _insert(
    user_pk: int,
    secret: str,
    name: str,
    role: Role,
    project_pk: int | None,
    expires_at: datetime | None,
) -> NewToken:
    token = await ApiToken.create(
        user_id=user_pk,
        project_id=project_pk,
        name=name,
        prefix=secret[:SHOWN_CHARS],
        secret_hash=hash_secret(secret),
        role=role,
        expires_at=expires_at,
    )
    return NewToken(token.id, secret)
