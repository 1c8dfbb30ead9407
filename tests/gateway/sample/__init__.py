"""A dialect as small as one can be, to try what all of them share."""

from __future__ import annotations

from pathlib import Path

from gateway.call import Call
from gateway.dialect import Data, Dialect, Reply, Route, one, several
from gateway.documents import Operations
from gateway.failures import Failure, status_of
from gateway.fields import Field, key

ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}


def _viewer(_call: Call, data: Data) -> Reply:
    return Reply(body=data["viewer"])


@several("CreateProject", "CreateDataset")
async def _create(call: Call) -> Reply:
    made = await call.run("CreateProject", {"name": call.values["name"]})
    project = made["createProject"]["project"]
    within = {"projectId": project["id"], "name": call.values.get("dataset", "First")}
    dataset = await call.run("CreateDataset", {"input": within})
    ids = {"project": project["id"], "dataset": dataset["createDataset"]["dataset"]["id"]}
    return Reply(201, ids, {"location": call.url(f"/sample/projects/{project['id']}")})


@several()
async def _link(call: Call) -> Reply:
    return Reply(body={"url": call.link("/sample/viewer", "viewer.json")})


@several()
async def _size(call: Call) -> Reply:
    return Reply(body={"size": None if call.body is None else len(call.body)})


def _failure(failure: Failure, _call: Call | None) -> Reply:
    body = {"error": failure.message, "code": failure.code}
    fields = [[problem.field, problem.rule] for problem in failure.problems]
    return Reply(status_of(failure), body | {"fields": fields}, failure.headers)


SAMPLE = Dialect(
    name="sample",
    title="Sample",
    about="What all dialects share.",
    routes=(
        Route(
            "GET",
            "/sample/viewer",
            "You",
            one("Viewer", lambda _: {}, _viewer),
            replies={200: {"type": "object", "required": ["id", "username"]}},
        ),
        Route(
            "POST",
            "/sample/projects",
            "Make a project",
            _create,
            fields=(
                Field("name", "string", "Its name.", required=True, blank=False, chars_max=100),
                Field("dataset", "string", "The name of its dataset."),
                Field("size", "integer", "A number.", least=1, most=10),
            ),
            replies={201: {"type": "object", "required": ["project", "dataset"]}},
            accepts=("json", "form"),
        ),
        Route("POST", "/sample/size", "How long a list is", _size, body={"type": "array"}),
        Route("GET", "/sample/link", "A link to you", _link),
        Route(
            "GET",
            "/sample/number/{pk:int}",
            "Nothing",
            one("Viewer", lambda _: {}, _viewer),
            fields=(key("pk", "A number."),),
        ),
    ),
    operations=Operations(Path(__file__).parent),
    roots=("/sample/",),
    failure=_failure,
    failures={"default": ERROR},
    prefixes=("", "/long/{org}"),
)
