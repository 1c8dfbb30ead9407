"""Logging in: a user's API token is exchanged for a session."""

from __future__ import annotations

from uuid import UUID

from gateway.call import Call
from gateway.dialect import Data, Reply, several
from gateway.failures import Failure, Problem, invalid
from gateway.fields import Field
from gateway.schema_cms.replies import user_uuid

SESSION_SECONDS = 30 * 24 * 3600
CREDENTIALS = (
    Field(
        "uid",
        "string",
        "The user: the UUID of `created_by.id`, the public id or the name.",
        required=True,
        blank=False,
    ),
    Field("token", "string", "An API token of the user.", required=True, blank=False),
)
TOKEN = {
    "type": "object",
    "properties": {"token": {"type": "string"}},
    "required": ["token"],
    "additionalProperties": False,
}
_REFUSALS = ("UNAUTHENTICATED", "FORBIDDEN", "INVALID_INPUT")


@several("Owner", "CreateSession")
async def token(call: Call) -> Reply:
    """A session of 30 days, or of as many as the API token is still good for."""
    secret = call.values["token"].strip()
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise _wrong()
    try:
        owner = (await call.run("Owner", {}, credential=secret))["viewer"]
        if not _is(owner, call.values["uid"].strip()):
            raise _wrong()
        made = await call.run("CreateSession", {"expiresIn": SESSION_SECONDS}, credential=secret)
    except Failure as failure:
        raise _wrong() if failure.code in _REFUSALS else failure from None
    return Reply(body={"token": made["createSession"]["accessToken"]})


@several()
async def logout(call: Call) -> Reply:
    """The way to the server's first page: sessions end by themselves, or with their API token."""
    return Reply(302, headers={"location": call.url("/")})


def _is(owner: Data, uid: str) -> bool:
    if uid in {owner["id"], owner["username"]}:
        return True
    try:
        return str(UUID(uid)) == user_uuid(owner["id"])
    except ValueError:
        return False


def _wrong() -> Failure:
    return invalid(Problem("token", "other", "Invalid Token"))
