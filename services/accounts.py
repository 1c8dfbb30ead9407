"""Accounts: users with their personal team, teams and who is in them. Tokens are in `services.tokens`."""

from __future__ import annotations

from dataclasses import replace

from tortoise.exceptions import IntegrityError

from base.errors import Conflict, Forbidden, NotFound
from base.ids import public_id
from models import Membership, Role, Team, User
from models.database import transaction
from services import authentication, values
from services.access import Viewer, find
from services.idempotency import FIELD, Result, once
from services.platform import Platform

FIRST_USER = "admin"
USERNAME_CHARS_MAX = 150


async def ensure_user(username: str) -> User:
    """The user of this name, made with a personal team where there is none; `FIRST_USER` is staff.

    Safe when several processes do it at once. For operators: no viewer is asked for.
    """
    username = values.name(username, "username", chars_max=USERNAME_CHARS_MAX)
    known = await User.get_or_none(username=username)
    if known is not None:
        return known
    try:
        async with transaction():
            user = await User.create(username=username, is_staff=username == FIRST_USER)
            team = await Team.create(name=f"{username}'s team", creator=user)
            await Membership.create(team=team, user=user, role=Role.ADMIN)
            return user
    except IntegrityError:  # another process was first
        return await User.get(username=username)


async def refreshed(viewer: Viewer) -> Viewer:
    """The viewer with the memberships of now: what it changed itself counts within the same request."""
    memberships = await Membership.filter(user_id=viewer.user_id)
    teams = {each.team_id: each.role for each in memberships}  # type: ignore[attr-defined]
    return replace(viewer, teams=teams)


async def create_team(
    platform: Platform, viewer: Viewer, name: str, idempotency_key: str | None = None
) -> int:
    """Make a team with the viewer as its admin; its key. Repeated with the same idempotency key, the first one's."""
    refuse_held(viewer, "make a team")

    async def prepare() -> str:
        return values.name(name, "input.name")

    async def commit(name: str) -> Result:
        team = await Team.create(name=name, creator_id=viewer.user_id)
        await Membership.create(team=team, user_id=viewer.user_id, role=Role.ADMIN)
        return {"team": team.id}

    done = await once(
        platform,
        viewer,
        "createTeam",
        idempotency_key,
        {"name": name},
        prepare=prepare,
        commit=commit,
    )
    authentication.forget()
    team_pk: int = done["team"]
    if idempotency_key is not None:  # whoever made it earlier may have left it since
        now = (await refreshed(viewer)).acting(Role.READ)
        await find(now, Team, public_id("team", team_pk), field=FIELD)
    return team_pk


async def update_team(viewer: Viewer, team_id: str, name: str) -> int:
    """Rename a team; its key."""
    refuse_held(viewer, "change a team")
    team = await find(viewer, Team, team_id, field="input.id")
    await Team.filter(id=team.id).update(name=values.name(name, "input.name"))
    team_pk: int = team.id
    return team_pk


async def set_team_member(viewer: Viewer, team_id: str, username: str, role: Role | None) -> int:
    """Give a user a role in a team, another one than before, or none: then the user leaves. The team's key.

    A team keeps at least one admin.
    """
    refuse_held(viewer, "change a team")
    team = await find(viewer, Team, team_id, field="input.teamId")
    username = values.text(username, "input.username", chars_max=USERNAME_CHARS_MAX)
    user = await User.get_or_none(username=username)
    if user is None:
        raise NotFound(
            "There is no user of this name.",
            hint="`headwater token create --user NAME` makes one.",
            field="input.username",
        )
    team_pk: int = team.id
    async with transaction():
        # Two admins who remove each other at once: the second waits here, and is refused.
        await Team.filter(id=team_pk).select_for_update(no_key=True).first()
        if role is None:
            await Membership.filter(team_id=team_pk, user_id=user.id).delete()
        else:
            await Membership.update_or_create({"role": role}, team_id=team_pk, user_id=user.id)
        if not await Membership.filter(team_id=team_pk, role=Role.ADMIN).exists():
            raise Conflict(
                "A team keeps at least one admin.",
                hint="Make somebody else an admin first.",
                field="input.role",
            )
    authentication.forget()
    return team_pk


def refuse_held(viewer: Viewer, action: str) -> None:
    """Forbidden for a token that is held to one project."""
    if viewer.project_id is not None:
        raise Forbidden(
            f"This token is held to one project; it cannot {action}.",
            hint="Use a token without a project.",
        )
