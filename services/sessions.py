"""Sessions: short-lived JSON Web Tokens that stand for an API token, for clients that keep no long-lived secret.

A session is two of them. The access token goes where the API token would; the refresh token only buys another access
token. Nothing is stored: both name the API token by its key, so they end with it and may never do more than it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import jwt

from base.credentials import Keyring
from base.errors import Forbidden, Unauthenticated
from models import ApiToken
from services import authentication, values
from services.access import Viewer
from services.tokens import SECRET_PREFIX

EXPIRES_SECONDS = 300
REFRESH_SECONDS = 28_800
SECONDS_MIN = 60
SECONDS_MAX = 2_592_000  # thirty days
LEEWAY_SECONDS = 10  # by which another server's clock may be ahead
CHARS_MAX = 2_048  # of a token; ours have about 300
_ALGORITHM = "HS256"
_PURPOSE = "sessions"
_CLAIMS = ["upk", "tok", "jtt", "iat", "exp", "jti"]
_DOTS = 2


class Kind(StrEnum):
    """What a token is for: its claim `jtt`."""

    ACCESS = "access"
    REFRESH = "refresh"


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was just made or refreshed: the key of its user, and the only copy of its tokens."""

    user_pk: int
    expires_at: datetime
    refresh_expires_at: datetime
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a token says that is ours: the keys of user and API token, and when it expires, in Unix seconds."""

    user_pk: int
    token_pk: int
    expires: int

    @property
    def expires_at(self) -> datetime:
        return datetime.fromtimestamp(self.expires, UTC)


async def create(
    keyring: Keyring,
    viewer: Viewer,
    *,
    expires_in: int = EXPIRES_SECONDS,
    refresh_expires_in: int = REFRESH_SECONDS,
) -> Session:
    """Make a session of the API token that the viewer sent, which ends no later than that. Life times in seconds."""
    _check("input.expiresIn", expires_in)
    _check("input.refreshExpiresIn", refresh_expires_in)
    if viewer.token_id is None or viewer.session_ends_at is not None:
        raise Forbidden(
            "A session is made with an API token; a session cannot make another.",
            hint="Send the API token itself, or use `refreshSession`.",
        )
    token = await _valid(viewer.user_id, viewer.token_id)
    if token is None:
        raise Unauthenticated("The API token is expired or revoked.", hint="Send a valid one.")
    lasting = _claims(token, refresh_expires_in)
    return _session(
        keyring, _claims(token, expires_in), lasting, _signed(keyring, Kind.REFRESH, lasting)
    )


async def refresh(
    keyring: Keyring, refresh_token: str, *, expires_in: int = EXPIRES_SECONDS
) -> Session:
    """The session with a new access token, which ends no later than the refresh token.

    Raises Unauthenticated for anything but a refresh token whose API token is still good.
    """
    _check("input.expiresIn", expires_in)
    lasting = _read(keyring, Kind.REFRESH, refresh_token)
    token = None if lasting is None else await _valid(lasting.user_pk, lasting.token_pk)
    if lasting is None or token is None:
        raise Unauthenticated(
            "This is no refresh token, or its API token is expired or revoked.",
            hint="Make another session with `createSession`.",
            field="input.refreshToken",
        )
    claims = _claims(token, expires_in)
    claims = replace(claims, expires=min(claims.expires, lasting.expires))
    return _session(keyring, claims, lasting, refresh_token)


def is_session(credential: str) -> bool:
    """Whether a credential looks like a session's token; only `authenticate` tells whether it is one."""
    return credential.count(".") == _DOTS and not credential.startswith(SECRET_PREFIX)


async def authenticate(keyring: Keyring, access_token: str) -> Viewer | None:
    """The viewer of the API token that a session was made with; None for anything that is no access token.

    Raises Unauthenticated where it was one and has expired. May be `authentication.CACHE_SECONDS` old.
    """
    claims = _read(keyring, Kind.ACCESS, access_token)
    if claims is None:
        return None
    viewer = await authentication.authenticate_session(access_token, claims.token_pk)
    if viewer is None or viewer.user_id != claims.user_pk:
        return None
    return replace(viewer, session_ends_at=claims.expires_at)


def _check(place: str, seconds: int) -> None:
    values.between(seconds, place, least=SECONDS_MIN, most=SECONDS_MAX)


async def _valid(user_pk: int, token_pk: int) -> ApiToken | None:
    """The user's API token, unless it is revoked, expired or gone."""
    token = await ApiToken.get_or_none(id=token_pk, user_id=user_pk, revoked_at=None)
    is_over = token is not None and token.expires_at and token.expires_at <= datetime.now(UTC)
    return None if is_over else token


def _claims(token: ApiToken, seconds: int) -> _Claims:
    """Claims of so long a life, or of the rest of the API token's."""
    expires = int(time.time()) + seconds
    if token.expires_at is not None:
        expires = min(expires, int(token.expires_at.timestamp()))
    user_pk: int = token.user_id  # type: ignore[attr-defined]
    return _Claims(user_pk, token.id, expires)


def _session(keyring: Keyring, claims: _Claims, lasting: _Claims, refresh_token: str) -> Session:
    return Session(
        claims.user_pk,
        claims.expires_at,
        lasting.expires_at,
        _signed(keyring, Kind.ACCESS, claims),
        refresh_token,
    )


def _signed(keyring: Keyring, kind: Kind, claims: _Claims) -> str:
    payload = {
        "upk": claims.user_pk,
        "tok": claims.token_pk,
        "jtt": kind.value,
        "iat": int(time.time()),
        "exp": claims.expires,
        "jti": uuid4().hex,
    }
    return _encoded(payload, keyring.keys_for(_PURPOSE)[0])


def _encoded(payload: dict[str, Any], key: bytes) -> str:
    return jwt.encode(payload, key, _ALGORITHM, sort_headers=True)


# The one header that ours have: whoever sends another one did not get the token from us.
_HEADER = _encoded({}, bytes(32)).partition(".")[0]


def _read(keyring: Keyring, kind: Kind, token: str) -> _Claims | None:
    """What a token of this kind says; None where it is not ours, or of the other kind.

    Raises Unauthenticated where it has expired.
    """
    if len(token) > CHARS_MAX or not token.isascii() or token.partition(".")[0] != _HEADER:
        return None
    for key in keyring.keys_for(_PURPOSE):
        try:
            said = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                options={"require": _CLAIMS, "verify_iat": False},
            )
        except jwt.InvalidSignatureError:
            continue  # made with another of the keys, or with none
        except jwt.ExpiredSignatureError:
            raise Unauthenticated(
                "The session has expired.",
                hint="Refresh it with `refreshSession`, or make another with `createSession`.",
            ) from None
        except jwt.InvalidTokenError:
            return None
        return _checked(said, kind)
    return None


def _checked(said: dict[str, Any], kind: Kind) -> _Claims | None:
    numbers = [said[name] for name in ("upk", "tok", "iat", "exp")]
    if said["jtt"] != kind or not all(type(number) is int for number in numbers):
        return None
    if said["iat"] > time.time() + LEEWAY_SECONDS:
        return None
    return _Claims(said["upk"], said["tok"], said["exp"])
