"""Users: oneself and the members of one's teams."""

from __future__ import annotations

import re

from gateway.call import Call
from gateway.dialect import Reply, Route, several
from gateway.failures import Failure
from gateway.fields import KEY_MAX, Field
from gateway.schemas import list_of
from gateway.ufdl import replies, specs
from gateway.ufdl.lists import gather
from gateway.ufdl.spellings import listing

_DIGITS = re.compile("[0-9]+")


@several("RetrieveUserByKey", "RetrieveUserByName")
async def _retrieve(call: Call) -> Reply:
    asked = call.values["user"]
    if not _DIGITS.fullmatch(asked):
        user = (await call.run("RetrieveUserByName", {"username": asked}))["user"]
        return Reply(200, [] if user is None else [replies.user(user)])
    user = None
    if len(asked) <= len(str(KEY_MAX)):  # no key is larger
        user = (await call.run("RetrieveUserByKey", {"id": asked}))["user"]
    if user is None:
        raise Failure("NOT_FOUND", "There is no such user.")
    return Reply(200, replies.user(user))


@several("ListUsers")
async def _list(call: Call) -> Reply:
    name = specs.named(call.body, "username")
    asked = {} if name is None else {"filter": {"username": name}}
    rows = await gather(call, "ListUsers", "users", asked)
    return Reply(200, [replies.user(row) for row in rows])


ROUTES = (
    *(
        Route(
            method,
            path,
            "You and the members of your teams; for staff, every user",
            _list,
            body=specs.named_schema("username"),
            replies={200: list_of(replies.USER)},
            about="A filter spec may have one expression, `exact` on `username`, and no order.",
        )
        for method, path in listing("users")
    ),
    Route(
        "GET",
        "/v1/users/{user}",
        "A user by key or by name: you, or a member of your teams",
        _retrieve,
        fields=(Field("user", "string", "The user's key, or name.", place="path"),),
        replies={200: {"anyOf": [replies.USER, list_of(replies.USER) | {"maxItems": 1}]}},
        about="By name it is a list of at most one user, as clients expect it.",
    ),
)
