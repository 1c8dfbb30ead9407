"""A request of each route of each dialect, about the objects of a world: whose they are may send it, nobody else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from base.ids import parse_id
from tests.house.worlds import World

Files = dict[str, tuple[str, bytes]]
SCRIPT = b"df = df.head(1)\n"
CSV = b"a,b\n1,2\n"
CONNECTION = {"host": "127.0.0.1", "port": 1, "database": "sales", "username": "u", "password": "p"}


@dataclass(frozen=True)
class Ask:
    """What is sent besides method and path. `path` has the values of the path's parameters.

    `owner` is whether whose objects they are gets what the request is for; else it needs something that a world has not.
    """

    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    json: Any = None
    form: dict[str, str] | None = None
    files: Files | None = None
    owner: bool = True


def pk(public_id: str) -> int:
    """The integer key."""
    parsed = parse_id(public_id)
    assert parsed is not None
    return parsed[1]


def _source(world: World, **more: Any) -> Ask:
    return Ask({"id": pk(world.datasource)}, **more)


def _job(world: World) -> Ask:
    return Ask({"id": pk(world.job)}, owner=False)  # a world's job is a sync


SCHEMA_CMS: dict[str, Callable[[World], Ask]] = {
    "GET /api/v1/projects/{id:int}/datasources": lambda w: Ask({"id": pk(w.project)}),
    "POST /api/v1/datasources": lambda w: Ask(form={"project": str(pk(w.project)), "name": "New"}),
    "GET /api/v1/datasources/{id:int}": _source,
    "PUT /api/v1/datasources/{id:int}": lambda w: _source(
        w, form={"name": "New", "type": "file"}, files={"file": ("new.csv", CSV)}
    ),
    "PATCH /api/v1/datasources/{id:int}": lambda w: _source(w, json={"name": "Newer"}),
    "DELETE /api/v1/datasources/{id:int}": _source,
    "POST /api/v1/datasources/{id:int}/process": _source,
    "GET /api/v1/datasources/{id:int}/preview": lambda w: _source(w, owner=False),
    "GET /api/v1/datasources/{id:int}/preview-file": lambda w: _source(w, owner=False),
    "GET /api/v1/datasources/{id:int}/file": _source,
    "GET /api/v1/datasources/{id:int}/script": _source,
    "POST /api/v1/datasources/{id:int}/script-upload": lambda w: _source(
        w, files={"script": ("head.py", SCRIPT)}
    ),
    "POST /api/v1/datasources/{id:int}/job": lambda w: _source(
        w, json={"steps": [{"key": f"s3:scripts/{w.script_key}"}]}, owner=False
    ),
    "GET /api/v1/job/{id:int}": _job,
    "GET /api/v1/job/{id:int}/preview": _job,
    "GET /api/v1/job/{id:int}/result": _job,
    "GET /api/v1/jobs/{id:int}": _job,
    "GET /api/v1/jobs/{id:int}/preview": _job,
    "GET /api/v1/jobs/{id:int}/result": _job,
}


def _place(world: World, **more: Any) -> Ask:
    return Ask({"workspace_id": world.project}, **more)


_OF_DATA: dict[str, Callable[[World], dict[str, Any]]] = {
    "POST connect": lambda _: {
        "json": {"sources": [{"type": "database", "name": "n", "connection_config": CONNECTION}]},
        "owner": False,  # nothing answers there
    },
    "GET list": lambda _: {},
    "POST sync": lambda w: {"json": {"source_ids": [w.datasource]}},
    "POST cleanup": lambda w: {"json": {"source_ids": [w.datasource]}},
    "POST test-connection": lambda _: {
        "json": {"source_config": {"type": "database", "connection_config": CONNECTION}},
        "owner": False,
    },
    "GET schema": lambda w: {"query": {"source_id": w.datasource}},
    "POST infer-schema": lambda _: {
        "json": {"database": {"databaseType": "postgresql", **CONNECTION}},
        "owner": False,
    },
    "POST preview": lambda w: {"json": {"source_id": w.datasource}, "owner": False},
    "POST files/upload": lambda _: {"files": {"file": ("new.csv", CSV)}},
}
PROMETHEUX: dict[str, Callable[[World], Ask]] = {
    f"{verb.partition(' ')[0]} /api/v1/data/{{workspace_id}}/{verb.partition(' ')[2]}": (
        lambda w, make=make: _place(w, **make(w))
    )
    for verb, make in _OF_DATA.items()
} | {
    "GET /api/v1/data/schema": lambda w: Ask(query={"source_id": w.datasource}),
    "POST /api/v1/data/sync": lambda w: Ask(json={"source_ids": [w.datasource]}),
    "POST /api/v1/data/cleanup": lambda w: Ask(json={"source_ids": [w.datasource]}),
    "POST /api/v1/data/preview": lambda w: Ask(json={"source_id": w.datasource}, owner=False),
    "GET /api/v1/workspaces/{workspace_id}/load": _place,
    "POST /api/v1/auth/revoke": lambda w: Ask(json={"jti": w.token}),
    "POST /api/v1/auth/revoke/{jti}": lambda w: Ask({"jti": w.token}),
    "POST /api/v1/workspaces/save": lambda w: Ask(json={"workspace_id": w.project, "name": "New"}),
}


def _dataset(world: World, name: str = "id", **more: Any) -> Ask:
    return Ask({name: world.dataset}, query={"user_id": world.user}, **more)


def _file(world: World, **more: Any) -> Ask:
    path = {"dataset_id": world.source_dataset, "datasource_id": world.datasource}
    return Ask(path, query={"user_id": world.user}, **more)


def _new_file(world: World) -> dict[str, Any]:
    return {"name": "n.csv", "type": "FILE", "file_object_key": world.object_key}


MAXIR: dict[str, Callable[[World], Ask]] = {
    "POST /v2/team/datasets/{id}/datasources": lambda w: _dataset(w, json=_new_file(w)),
    "GET /v2/team/datasets/{id}/datasources": _dataset,
    "GET /v2/team/datasets/{dataset_id}/datasources/{datasource_id}": _file,
    "POST /v2/team/datasets/{dataset_id}/datasources/{datasource_id}/presign": _file,
    "DELETE /v2/team/datasets/{dataset_id}/datasources/{datasource_id}": _file,
    "GET /v2/team/datasets/{id}": _dataset,
    "POST /v2/team/datasets/{id}": lambda w: _dataset(w, json={"name": "New"}),
    "DELETE /v2/team/datasets/{id}": _dataset,
    "GET /v2/team/datasets/{id}/status": _dataset,
    "GET /v2/team/datasets/{id}/overview": _dataset,
    "POST /v2/team/file/complete-multipart-upload": lambda w: Ask(
        query={"user_id": w.user}, json={"upload_id": w.upload, "part_etags": w.parts()}
    ),
    "POST /v2/team/datasources": lambda w: Ask(query={"user_id": w.user}, json=_new_file(w)),
}


def _project(world: World, **more: Any) -> Ask:
    return Ask({"pk": pk(world.project)}, **more)


def _team(world: World, **more: Any) -> Ask:
    return Ask({"pk": pk(world.team)}, **more)


_NEW = {"name": "New project"}
UFDL: dict[str, Callable[[World], Ask]] = {
    "POST /v1/projects/create": lambda w: Ask(json={"name": "Made", "team": pk(w.team)}),
    "POST /v1/projects": lambda w: Ask(json={"name": "Posted", "team": pk(w.team)}),
    "GET /v1/projects/{pk:int}": _project,
    "PUT /v1/projects/{pk:int}": lambda w: _project(w, json={**_NEW, "team": pk(w.team)}),
    "PATCH /v1/projects/{pk:int}": lambda w: _project(w, json={"name": "Newer"}),
    "DELETE /v1/projects/{pk:int}/hard": lambda w: _project(w, owner=False),  # staff only
    "DELETE /v1/projects/{pk:int}/reinstate": lambda w: _project(w, owner=False),
    "DELETE /v1/projects/{pk:int}": _project,
    "GET /v1/teams/{pk:int}": _team,
    "PUT /v1/teams/{pk:int}": lambda w: _team(w, json={"name": "New team"}),
    "PATCH /v1/teams/{pk:int}": lambda w: _team(w, json={"name": "Newer team"}),
    "DELETE /v1/teams/{pk:int}": lambda w: _team(w, owner=False),  # not served
    "DELETE /v1/teams/{pk:int}/hard": lambda w: _team(w, owner=False),
    "DELETE /v1/teams/{pk:int}/reinstate": lambda w: _team(w, owner=False),
    "PATCH /v1/teams/{pk:int}/memberships": lambda w: _team(
        w, json={"username": w.viewer.username, "method": "update", "permissions": "A"}
    ),
    "GET /v1/teams/{pk:int}/permissions/{username}": lambda w: Ask(
        {"pk": pk(w.team), "username": w.viewer.username}
    ),
    "GET /v1/users/{user}": lambda w: Ask({"user": pk(w.user)}),
}
ABOUT = {"schema_cms": SCHEMA_CMS, "prometheux": PROMETHEUX, "maxir": MAXIR, "ufdl": UFDL}

# Routes that name no object: what they list is the caller's own, what they make is the caller's, or they are not served.
OWN = {
    "schema_cms": {
        "GET /api/v1/datasources",
        "POST /api/v1/auth/token",
        "GET /api/v1/auth/logout",
    },
    "prometheux": {
        "POST /api/v1/data/connect",
        "GET /api/v1/data/list",
        "POST /api/v1/data/test-connection",
        "POST /api/v1/data/infer-schema",
        "POST /api/v1/data/files/upload",
        "GET /api/v1/workspaces/list",
        "POST /api/v1/auth/issue-token",
        "GET /api/v1/auth/tokens",
        "POST /api/v1/auth/revoke-all",
        "GET /api/v1/users/get-role",
        "GET /api/v1/ontologies/list",
        "GET /api/v1/users/usage-status",
        "POST /api/v1/workspaces/{workspace_id}/export-tables",
        *(
            f"{method} /api/v1/data/{verb}"
            for method in ("GET", "POST")
            for verb in ("list-sheets", "demo-sources", "refresh", "all-pairs-join", "files/{verb}")
        ),
        "DELETE /api/v1/data/files/{verb}",
    },
    "maxir": {
        "GET /v2/team/datasets",
        "POST /v2/team/datasets",
        "POST /v2/team/file/upload-datasource",
        "POST /v2/team/file/init-multipart-upload",
        "POST /v2/team/jobs",
        "POST /v2/team/sessions",
        "GET /v2/team/sessions",
        "GET /v2/team/sessions/{id}",
        "POST /v2/team/sessions/{id}",
        "DELETE /v2/team/sessions/{id}",
    },
    "ufdl": {
        "POST /v1/auth/obtain",
        "POST /v1/auth/refresh",
        "POST /v1/auth/verify",
        "POST /v1/projects/list",
        "GET /v1/projects/list",
        "GET /v1/projects",
        "POST /v1/teams/list",
        "GET /v1/teams/list",
        "GET /v1/teams",
        "POST /v1/teams/create",
        "POST /v1/teams",
        "POST /v1/users/list",
        "GET /v1/users/list",
        "GET /v1/users",
    },
}
