"""From what a request carries to who asks: API tokens, remembered for a few seconds."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from models import ApiToken, Membership, User, rows
from models.rows import Condition, Eq, In, IsNull
from services.access import Viewer

CACHE_SECONDS = 5.0  # how long a revoked token or a removed member may still get in
CACHE_ENTRIES_MAX = 10_000
LAST_USED_SECONDS = 60  # how exact `ApiToken.last_used_at` is

# Viewers by the hash of what was sent, with the monotonic second at which each has to be looked up again.
_CACHE: OrderedDict[str, tuple[float, Viewer]] = OrderedDict()


def hash_secret(secret: str) -> str:
    """What is kept of a token: the hex SHA-256 of its secret, which is 256 random bits and needs no salt."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


async def authenticate(secret: str) -> Viewer | None:
    """The viewer of an API token; None for one that is unknown, expired or revoked. May be `CACHE_SECONDS` old."""
    key = hash_secret(secret)
    return await _remembered(key, Eq("secret_hash", key))


async def authenticate_session(secret: str, token_id: int) -> Viewer | None:
    """As `authenticate`, for the API token with this primary key, which a session's own secret stands for."""
    key = f"session {hash_secret(secret)}"  # not to be met by `authenticate`, which trusts what it remembers
    return await _remembered(key, Eq("id", token_id))


async def _remembered(key: str, which: Condition) -> Viewer | None:
    known = _CACHE.get(key)
    if known is not None and time.monotonic() < known[0]:
        return known[1]
    _CACHE.pop(key, None)
    token = await rows.first(
        ApiToken,
        ("id", "user_id", "project_id", "role", "expires_at", "last_used_at"),
        which,
        IsNull("revoked_at"),
    )
    now = datetime.now(UTC)
    if token is None or (token.expires_at is not None and token.expires_at <= now):
        return None
    viewer = await _viewer(token)
    if viewer is None:
        return None
    if token.last_used_at is None or now - token.last_used_at >= timedelta(
        seconds=LAST_USED_SECONDS
    ):
        await ApiToken.filter(id=token.id).update(last_used_at=now)
    lifetime = CACHE_SECONDS
    if token.expires_at is not None:
        lifetime = min(lifetime, (token.expires_at - now).total_seconds())
    _CACHE[key] = (time.monotonic() + lifetime, viewer)
    if len(_CACHE) > CACHE_ENTRIES_MAX:
        _CACHE.popitem(last=False)
    return viewer


async def _viewer(token: rows.Row) -> Viewer | None:
    viewer = await viewer_of(token.user_id)
    if viewer is None:
        return None
    return replace(viewer, token_id=token.id, role_max=token.role, project_id=token.project_id)


async def viewer_of(user_id: int) -> Viewer | None:
    """A user with all that the memberships of this moment give; None for one who is gone."""
    user = await rows.first(User, ("username", "is_staff"), Eq("id", user_id))
    if user is None:
        return None
    memberships = await rows.select(Membership, ("team_id", "role"), Eq("user_id", user_id))
    return Viewer(
        user_id=user_id,
        username=user.username,
        is_staff=user.is_staff,
        teams={membership.team_id: membership.role for membership in memberships},
    )


async def valid_tokens(token_ids: Collection[int]) -> set[int]:
    """Those of these tokens that are neither revoked nor expired just now; one statement."""
    found = await rows.select(
        ApiToken, ("id", "expires_at"), In("id", sorted(token_ids)), IsNull("revoked_at")
    )
    now = datetime.now(UTC)
    return {token.id for token in found if token.expires_at is None or token.expires_at > now}


def forget() -> None:
    """Look every viewer up again: called where a token is revoked or a membership changes, after the commit."""
    _CACHE.clear()
