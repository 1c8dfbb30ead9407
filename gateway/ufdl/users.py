"""Users: oneself and the members of one's teams."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Reply, Route, several
from gateway.failures import Failure
from gateway.ufdl import replies, specs
from gateway.ufdl.keys import key_in
from gateway.ufdl.lists import gather
from gateway.ufdl.spellings import listing


@several("RetrieveUserByKey", "RetrieveUserByName")
async def _retrieve(call: Call) -> Reply:
    asked = call.params["user"]
    if not (asked.isascii() and asked.isdecimal()):
        user = (await call.run("RetrieveUserByName", {"username": asked}))["user"]
        return Reply(200, [] if user is None else [replies.user(user)])
    user = (await call.run("RetrieveUserByKey", {"id": str(key_in(asked))}))["user"]
    if user is None:
        raise Failure("NOT_FOUND", "There is no such user.")
    return Reply(200, replies.user(user))


@several("ListUsers")
async def _list(call: Call) -> Reply:
    specs.check_plain(call.body)
    rows = await gather(call, "ListUsers", "users")
    return Reply(200, [replies.user(row) for row in rows])


ROUTES = (
    *(
        Route(
            method,
            path,
            "You and the members of your teams; for staff, every user",
            _list,
            body=specs.PLAIN_SCHEMA,
            replies={200: replies.array(replies.USER)},
            about="A filter spec may be given, but not with expressions or an order.",
        )
        for method, path in listing("users")
    ),
    Route(
        "GET",
        "/v1/users/{user}",
        "A user by key or by name: you, or a member of your teams",
        _retrieve,
        replies={200: {"anyOf": [replies.USER, replies.array(replies.USER)]}},
        about="By name it is a list of at most one user, as clients expect it.",
    ),
)
