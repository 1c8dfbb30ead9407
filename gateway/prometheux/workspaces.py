"""Workspaces: projects, under the names that this API has for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply, Variables, several
from gateway.failures import Failure, Problem, invalid
from gateway.lists import whole
from gateway.projects import found_or_made
from gateway.prometheux.envelope import counted, ok
from gateway.prometheux.failures import project_not_found

UNNAMED = "workspace_id"  # what clients send literally where nobody chose a workspace
_PREFIX = "ws_"
PLACE = ("DefaultWorkspace", "CreateProject")  # the operations of `place_to_connect`


async def place_to_read(call: Call) -> str | None:
    """The project that a request means; None where it names none and there is none. Whether it exists is GraphQL's."""
    named = call.values.get("workspace_id")
    if named is not None and named != UNNAMED:
        return key_of(named)
    project = (await call.run("DefaultWorkspace", {}))["defaultProject"]
    return None if project is None else str(project["id"])


async def place_to_connect(call: Call) -> str:
    """The project that a request means; one is made for who has none."""
    return await found_or_made(call, lambda: place_to_read(call))


def key_of(workspace_id: str) -> str:
    """The project's id: a public one or an integer key, with `ws_` before it or without."""
    key = workspace_id.removeprefix(_PREFIX)
    return key if key.isascii() and key.isdecimal() else workspace_id


def row(project: Mapping[str, Any]) -> dict[str, Any]:
    """A workspace as clients see it."""
    return {
        "id": f"{_PREFIX}{project['pk']}",
        "workspace_id": f"{_PREFIX}{project['pk']}",
        "project_id": project["id"],
        "name": project["name"],
        "description": project["description"],
        "created_at": project["createdAt"],
        "updated_at": project["updatedAt"],
    }


@several("Workspaces")
async def list_all(call: Call) -> Reply:
    """Every workspace of the caller's."""

    async def ask(place: Variables) -> Data:
        projects: Data = (await call.run("Workspaces", place))["projects"]
        return projects

    found = [row(project) async for project in whole(ask)]
    return ok(found, counted(len(found), "workspace"))


@several("DefaultWorkspace", "Workspace")
async def load(call: Call) -> Reply:
    """One workspace."""
    id_ = await _id(call)
    project = (await call.run("Workspace", {"id": id_}))["project"] if id_ else None
    if project is None:
        raise project_not_found()
    sources = project["dataSources"]["totalCount"]
    return ok(row(project) | {"data_sources_count": sources}, "Workspace loaded")


async def _id(call: Call) -> str | None:
    named = str(call.values["workspace_id"])
    return await place_to_read(call) if named == UNNAMED else key_of(named)


@several("CreateProject", "ChangeWorkspace")
async def save(call: Call) -> Reply:
    """Make a workspace, or change the one that is named."""
    given = _saved(call.values)
    id_ = given.pop("id")
    if id_ is not None and id_ != UNNAMED:
        changes = {name: value for name, value in given.items() if value is not None}
        try:
            changed = await call.run("ChangeWorkspace", {"input": {"id": key_of(id_), **changes}})
        except Failure as failure:
            raise project_not_found() if is_unknown_place(failure) else failure from None
        return ok(row(changed["updateProject"]["project"]), "Workspace saved")
    if given["name"] is None:
        raise invalid(Problem("name", "required", "`name` is missing: what to call it."))
    new = {**given, "idempotencyKey": call.idempotency_key()}
    made = await call.run("CreateProject", {"input": new})
    return ok(row(made["createProject"]["project"]), "Workspace saved")


def _saved(values: Mapping[str, Any]) -> dict[str, str | None]:
    """Id, name and description, at the top of the body or within `workspace`."""
    body = {**(values.get("workspace") or {}), **values}

    def text(*names: str) -> str | None:
        value = next((body[name] for name in names if body.get(name) is not None), None)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise invalid(Problem(names[0], "type", f"`{names[0]}` has to be of type string."))

    return {
        "id": text("workspace_id", "id"),
        "name": text("name", "workspace_name"),
        "description": text("description"),
    }


def is_unknown_place(failure: Failure) -> bool:
    """Whether GraphQL refused a project's id, as one that is not there or cannot be one."""
    return failure.field in {"id", "input.id", "input.projectId"} and failure.code in {
        "NOT_FOUND",
        "INVALID_INPUT",
    }
