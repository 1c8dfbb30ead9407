"""Projects: listed by a filter spec, made, changed, deleted in two steps, and brought back."""

from __future__ import annotations

from typing import Any

from gateway.call import Call
from gateway.dialect import EMPTY, Data, Reply, Route, Variables, one, several
from gateway.failures import Failure
from gateway.fields import Field, key
from gateway.schemas import list_of
from gateway.ufdl import filters, replies, specs
from gateway.ufdl.lists import gather
from gateway.ufdl.spellings import creating, listing
from gateway.ufdl.staff import require_staff

_PATH = "/v1/projects/{pk:int}"
_PK = key("pk", "The project's key.")
_NAME = Field("name", "string", "What people call it.", blank=False, chars_max=200, required=True)
_TEAM = Field("team", "integer", "The key of the team that owns it.", required=True)
_OPTIONAL = (
    Field("name", "string", "Its new name.", blank=False, chars_max=200),
    Field("team", "integer", "The key of the team to move it to."),
)


@several("ListProjects")
async def _list(call: Call) -> Reply:
    asked = filters.variables(specs.parse(call.body))
    rows = await gather(call, "ListProjects", "projects", asked)
    return Reply(200, [replies.project(row) for row in rows])


def _new(call: Call) -> Variables:
    return {
        "input": {
            "name": call.values["name"],
            "teamId": str(call.values["team"]),
            "uniqueName": True,
            "idempotencyKey": call.idempotency_key(),
        }
    }


def _created(_call: Call, data: Data) -> Reply:
    return Reply(201, replies.project(data["createProject"]["project"]))


@several("RetrieveProject")
async def _retrieve(call: Call) -> Reply:
    rows = (await call.run("RetrieveProject", {"pk": call.values["pk"]}))["projects"]["nodes"]
    if not rows:
        raise Failure("NOT_FOUND", "There is no such project.")
    return Reply(200, replies.project(rows[0]))


def _changes(call: Call) -> Variables:
    given: dict[str, Any] = {"id": str(call.values["pk"]), "uniqueName": True}
    if "name" in call.values:
        given["name"] = call.values["name"]
    if "team" in call.values:
        given["teamId"] = str(call.values["team"])
    return {"input": given}


def _updated(_call: Call, data: Data) -> Reply:
    return Reply(200, replies.project(data["updateProject"]["project"]))


def _id(call: Call) -> Variables:
    return {"id": str(call.values["pk"])}


def _destroyed(_call: Call, _data: Data) -> Reply:
    return Reply(204, EMPTY)


@several("IsStaff", "DestroyProject", "HardDeleteProject")
async def _hard_delete(call: Call) -> Reply:
    await require_staff(call)
    await call.run("DestroyProject", _id(call))  # so that the answer says when it was deleted
    data = await call.run("HardDeleteProject", _id(call))
    return Reply(200, replies.project(data["hardDeleteProject"]["project"]))


@several("IsStaff", "ReinstateProject")
async def _reinstate(call: Call) -> Reply:
    await require_staff(call)
    data = await call.run("ReinstateProject", _id(call))
    return Reply(200, replies.project(data["reinstateProject"]["project"]))


_ONE = {200: replies.PROJECT}
ROUTES = (
    *(
        Route(
            method,
            path,
            "The projects of your teams that match a filter spec",
            _list,
            body=specs.SCHEMA,
            replies={200: list_of(replies.PROJECT)},
            about="Without a body it gives all active ones, by key. Nothing in a filter spec is ignored: what it may "
            "not have is refused.",
        )
        for method, path in listing("projects")
    ),
    *(
        Route(
            "POST",
            path,
            "Make a project",
            one("CreateProject", _new, _created),
            fields=(_NAME, _TEAM),
            replies={201: replies.PROJECT},
            is_repeatable=True,
            accepts=("json", "form"),
            about="Its name has to be unique among the active projects of the team.",
        )
        for path in creating("projects")
    ),
    Route("GET", _PATH, "A project, also a deleted one", _retrieve, fields=(_PK,), replies=_ONE),
    Route(
        "PUT",
        _PATH,
        "Change name and team of a project",
        one("UpdateProject", _changes, _updated),
        fields=(_PK, _NAME, _TEAM),
        replies=_ONE,
        accepts=("json", "form"),
        about="Moving it to another team takes permission A in the team that it leaves.",
    ),
    Route(
        "PATCH",
        _PATH,
        "Change name or team of a project",
        one("UpdateProject", _changes, _updated),
        fields=(_PK, *_OPTIONAL),
        replies=_ONE,
        accepts=("json", "form"),
        about="Moving it to another team takes permission A in the team that it leaves.",
    ),
    Route(
        "DELETE",
        _PATH,
        "Delete a project so that it can be reinstated",
        one("DestroyProject", _id, _destroyed),
        fields=(_PK,),
        replies={204: None},
    ),
    Route(
        "DELETE",
        f"{_PATH}/hard",
        "Remove a project for good: staff only",
        _hard_delete,
        fields=(_PK,),
        replies=_ONE,
    ),
    Route(
        "DELETE",
        f"{_PATH}/reinstate",
        "Bring a deleted project back: staff only",
        _reinstate,
        fields=(_PK,),
        replies=_ONE,
    ),
)
