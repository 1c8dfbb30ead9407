"""Who asks, and where: the user that each request names, and the project of its key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.call import Call
from gateway.dialect import Action, Data, Reply, Variables, several
from gateway.fields import Field
from gateway.maxir.failures import missing, mistaken
from gateway.projects import found_or_made

_USER_CHARS_MAX = 320
_ABOUT = (
    "A user of your teams, which is not looked at further: the public id (`user-…`, or `tmm-…`), the username or the "
    "e-mail address. What is done is done by the key's own user."
)
IN_QUERY = Field(
    "user_id",
    "string",
    f"{_ABOUT} Required.",
    place="query",
    required=True,
    chars_max=_USER_CHARS_MAX,
    example="alice",
)
ANYWHERE = (  # clients send it in the body of POST and DELETE
    Field(
        "user_id",
        "string",
        f"{_ABOUT} For requests that do not name it in their body.",
        place="query",
        chars_max=_USER_CHARS_MAX,
    ),
    Field(
        "user_id",
        "string",
        f"{_ABOUT} Required, here or in the query.",
        chars_max=_USER_CHARS_MAX,
        example="alice",
    ),
)


def asking(*operations: str) -> Callable[[Callable[[Call], Awaitable[Reply]]], Action]:
    """As `several`, for a function that looks up the user of its request."""
    return several(*operations, "Members")


def who(call: Call) -> Variables:
    """The variables of the fragment `Who`; raises Failure for a request that names nobody."""
    given = _given(call)
    kind, _, code = given.partition("-")
    if kind in {"user", "tmm"} and code:
        return {"userId": f"user-{code}"}
    return {"username": given}


async def known(call: Call, operation: str, variables: Variables) -> Data:
    """The data of a query that looks the user up as well; raises Failure for one that the caller does not see."""
    data = await call.run(operation, who(call) | variables)
    if data["user"] is None:
        await _find_by_another_name(call)
    return data


async def project_of(call: Call) -> str:
    """The id of the project of the key; the first creating call of a key without one makes it."""

    async def find() -> str | None:
        project = (await known(call, "DefaultProject", {}))["defaultProject"]
        return None if project is None else project["id"]

    return await found_or_made(call, find)


async def _find_by_another_name(call: Call) -> None:
    """Look among the users of the caller's teams for one with this e-mail address, or with a name like an id."""
    given = _given(call)
    viewer = (await call.run("Members", {}))["viewer"]
    users = [each["user"] for place in viewer["teams"] for each in place["team"]["members"]]
    for user in (viewer, *users):
        if given == user["username"] or given.lower() == (user["email"] or "").lower():
            return
    raise missing("user", "`user_id` has to name you or a member of your teams.")


def _given(call: Call) -> str:
    given: str = call.values.get("user_id", "").strip()
    if not given:
        raise mistaken("user_id", "`user_id` is missing.", "required")
    return given
