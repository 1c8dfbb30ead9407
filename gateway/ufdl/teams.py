"""Teams, who is in them, and users."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Data, Reply, Route, Variables, one, several
from gateway.failures import NOT_SERVED, Failure
from gateway.fields import Field, key
from gateway.schemas import list_of
from gateway.ufdl import replies, specs
from gateway.ufdl.failures import BAD_NAME
from gateway.ufdl.lists import gather
from gateway.ufdl.spellings import creating, listing
from gateway.ufdl.staff import require_staff

_PATH = "/v1/teams/{pk:int}"
_PK = key("pk", "The team's key.")
_USERNAME = Field("username", "string", "The user's name.", place="path")
_NAME = Field("name", "string", "What people call it.", blank=False, chars_max=200, required=True)
_NEW_NAME = Field("name", "string", "Its new name.", blank=False, chars_max=200)
_MEMBERSHIP = (
    Field("username", "string", "The user's name.", blank=False, required=True),
    Field("method", "string", "What to do.", choices=("add", "remove", "update"), required=True),
    Field(
        "permissions",
        "string",
        "What the user may do: R read, X execute, W write, A administer; each includes the ones before it.",
        choices=tuple(replies.ROLES),
        default="R",
    ),
)

_EXAMPLE = {"username": "kiri", "method": "add", "permissions": "W"}


@several("ListTeams")
async def _list(call: Call) -> Reply:
    name = specs.named(call.body, "name")
    asked = {} if name is None else {"filter": {"name": name}}
    rows = await gather(call, "ListTeams", "teams", asked)
    return Reply(200, [replies.team(row) for row in rows])


@several("IsStaff", "CreateTeam")
async def _create(call: Call) -> Reply:
    await require_staff(call)
    new = {"name": call.values["name"], "idempotencyKey": call.idempotency_key()}
    data = await call.run("CreateTeam", {"input": new})
    return Reply(201, replies.team(data["createTeam"]["team"]))


def _id(call: Call) -> Variables:
    return {"id": str(call.values["pk"])}


def _found(_call: Call, data: Data) -> Reply:
    if data["team"] is None:
        raise _missing()
    return Reply(200, replies.team(data["team"]))


def _missing() -> Failure:
    return Failure("NOT_FOUND", "There is no such team.")


def _bad_name(username: str, reason: str) -> Failure:
    return Failure(BAD_NAME, f"Bad name '{username[:150]}': {reason}")


@several("UpdateTeam", "RetrieveTeam")
async def _update(call: Call) -> Reply:
    if "name" not in call.values:
        return _found(call, await call.run("RetrieveTeam", _id(call)))
    new = {**_id(call), "name": call.values["name"]}
    data = await call.run("UpdateTeam", {"input": new})
    return Reply(200, replies.team(data["updateTeam"]["team"]))


@several()
async def _keep(call: Call) -> Reply:
    raise Failure(
        NOT_SERVED,
        'Method "DELETE" not allowed. Teams are not deleted in Headwater.',
        hint="Take its members out, and delete its projects.",
        headers={"allow": "GET, PATCH, PUT" if call.route.path == _PATH else ""},
    )


async def _member(call: Call, username: str) -> Data:
    """The team with the membership of a user, null without one."""
    team: Data | None = (await call.run("RetrieveMember", {**_id(call), "username": username}))[
        "team"
    ]
    if team is None:
        raise _missing()
    return team


@several("RetrieveMember", "SetMember")
async def _set_member(call: Call) -> Reply:
    given = specs.read(call.body, "", _MEMBERSHIP)
    username, method = given["username"], given["method"]
    before = await _member(call, username)
    if before["member"] is not None and method == "add":
        raise _bad_name(username, "This user is a member of the team already.")
    if before["member"] is None and method != "add":
        raise _bad_name(username, "This user is not a member of the team.")
    role = None if method == "remove" else replies.ROLES[given["permissions"]]
    change = {"teamId": str(call.values["pk"]), "username": username, "role": role}
    try:
        data = await call.run("SetMember", {"input": change, "username": username})
    except Failure as failure:
        if failure.code == "NOT_FOUND" and failure.field == "input.username":
            raise _bad_name(username, "No user with this username exists.") from None
        raise
    return Reply(200, replies.membership(before if role is None else data["setTeamMember"]["team"]))


@several("RetrieveMember")
async def _permissions(call: Call) -> Reply:
    username = call.values["username"]
    team = await _member(call, username)
    if team["member"] is None:
        raise _bad_name(username, "This user is not a current member of the team.")
    return Reply(200, replies.LEVELS[team["member"]["role"]])


ROUTES = (
    *(
        Route(
            method,
            path,
            "The teams that you are in; for staff, every team",
            _list,
            body=specs.named_schema("name"),
            replies={200: list_of(replies.TEAM)},
            about="A filter spec may have one expression, `exact` on `name`, and no order.",
        )
        for method, path in listing("teams")
    ),
    *(
        Route(
            "POST",
            path,
            "Make a team: staff only",
            _create,
            fields=(_NAME,),
            replies={201: replies.TEAM},
            is_repeatable=True,
            accepts=("json", "form"),
            about="Whoever makes it is a member with permission A.",
        )
        for path in creating("teams")
    ),
    Route(
        "GET",
        _PATH,
        "A team with its members",
        one("RetrieveTeam", _id, _found),
        fields=(_PK,),
        replies={200: replies.TEAM},
    ),
    Route(
        "PUT",
        _PATH,
        "Rename a team",
        _update,
        fields=(_PK, _NAME),
        replies={200: replies.TEAM},
        accepts=("json", "form"),
        about="Takes permission A in it.",
    ),
    Route(
        "PATCH",
        _PATH,
        "Rename a team",
        _update,
        fields=(_PK, _NEW_NAME),
        replies={200: replies.TEAM},
        accepts=("json", "form"),
        about="Takes permission A in it.",
    ),
    *(
        Route("DELETE", path, "Teams are not deleted here", _keep, fields=(_PK,), replies={})
        for path in (_PATH, f"{_PATH}/hard", f"{_PATH}/reinstate")
    ),
    Route(
        "PATCH",
        f"{_PATH}/memberships",
        "Add a user to a team, take one out, or change what one may do",
        _set_member,
        fields=(_PK,),
        body=specs.schema_of(_MEMBERSHIP) | {"examples": [_EXAMPLE]},
        replies={200: replies.MEMBERSHIP},
        about="Answers the membership as it is now; one that is removed, as it was. Takes permission A in the team.",
    ),
    Route(
        "GET",
        f"{_PATH}/permissions/{{username}}",
        "What a member of a team may do",
        _permissions,
        fields=(_PK, _USERNAME),
        replies={200: replies.PERMISSIONS},
    ),
)
