"""Logging in: a user's API token is exchanged for a session."""

from __future__ import annotations

from uuid import UUID

from gateway.call import Call
from gateway.dialect import Data, Reply, several
from gateway.failures import Problem, invalid
from gateway.fields import Field
from gateway.logins import attempt
from gateway.schema_cms.replies import user_uuid
from gateway.schemas import TEXT, object_of

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
TOKEN = object_of(token=TEXT)
_WRONG = Problem("token", "other", "Invalid Token")


@several("Owner", "CreateSession")
async def token(call: Call) -> Reply:
    """A session of 30 days, or of as many as the API token is still good for."""
    secret = call.values["token"].strip()
    owner = await attempt(call, "Owner", {}, token=secret)
    if owner is None or not _is(owner["viewer"], call.values["uid"].strip()):
        raise invalid(_WRONG)
    made = await attempt(call, "CreateSession", {"expiresIn": SESSION_SECONDS}, token=secret)
    if made is None:
        raise invalid(_WRONG)
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
