"""Scripts and jobs. A key is `local:<name>` of a predefined script, `s3:scripts/<key>` of a data source's own one.

Every key has one colon: those within a script's own key are written `%3A`.

Scripts of this API expect the table as pandas reads a CSV file, with plain numbers and texts. So each job begins with a
step that is not shown: `local:plain_types`.
"""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Data, Reply, one, several
from gateway.failures import Failure, Problem, invalid
from gateway.fields import Field
from gateway.schema_cms.previews import preview
from gateway.schema_cms.replies import error_text, job_state, time_of
from gateway.schema_cms.sources import check_file, table_of, there

PREDEFINED = "local:"
OWN = "s3:scripts/"
_ORDER_MAX = 2**31 - 1
_PLAIN_TYPES = {"key": "local:plain_types", "execOrder": -(2**31)}  # before every other step
STEPS_MAX = 99  # of the 100 of GraphQL
SCRIPT = (
    Field(
        "script",
        "file",
        "A Python file, which is checked and not run.",
        required=True,
        example="first.py",
    ),
    Field("name", "string", "What to call it; the file's name when left out.", blank=False),
)
STEPS = Field(
    "steps",
    "array",
    f"What to run, 1 to {STEPS_MAX} steps.",
    required=True,
    items=Field(
        "",
        "object",
        "A step.",
        fields=(
            Field(
                "key",
                "string",
                "The key of a script.",
                required=True,
                blank=False,
                example="local:drop_duplicates",
            ),
            Field(
                "exec_order",
                "integer",
                "Steps run from the smallest to the largest, the same ones as they stand here.",
                default=0,
                least=-_ORDER_MAX,
                most=_ORDER_MAX,
            ),
            Field(
                "parameters",
                "object",
                "What the script finds in `context.parameters`, where it asks for some.",
            ),
        ),
    ),
)


def own_key(key: str) -> str:
    """A key of GraphQL in this API's words."""
    if key.startswith(PREDEFINED):
        return key
    return OWN + key.replace("%", "%25").replace(":", "%3A")


def graphql_key(key: str) -> str | None:
    """The key of GraphQL; None for one that no script has. The other way round than `own_key`."""
    if key.startswith(PREDEFINED):
        return key
    if not key.startswith(OWN):
        return None
    return key.removeprefix(OWN).replace("%3A", ":").replace("%25", "%")


def _listed(_call: Call, data: Data) -> Reply:
    scripts = [*there(data)["scripts"], *data["predefinedScripts"]]
    return Reply(body=[{"key": own_key(each["key"]), "body": each["body"]} for each in scripts])


listed = one("Scripts", lambda call: {"id": call.values["id"]}, _listed)


@several("UploadScript")
async def uploaded(call: Call) -> Reply:
    """Nothing: the script is kept, in the place of the one that had its name."""
    file = call.values["script"]
    check_file(file, "script", "py")
    key = call.values.get("name", "").strip() or file.filename
    await call.run("UploadScript", {"id": call.values["id"], "key": key, "file": file})
    return Reply(201)


@several("DataSourceTables", "CreateJob")
async def started(call: Call) -> Reply:
    """A job that is queued."""
    steps = _steps(call)
    source, table, schema = await table_of(call)
    is_one = len(source["tables"]) <= 1
    variables = {
        "id": source["id"],
        "steps": steps,
        "table": None if is_one else table,
        "schema": None if is_one else schema,
        "idempotencyKey": call.idempotency_key("job"),
    }
    try:
        made = await call.run("CreateJob", variables)
    except Failure as failure:
        raise _about_steps(failure) from None
    return Reply(201, job(call, made["createJob"]["job"]))


def _steps(call: Call) -> list[Data]:
    """The steps of a request in GraphQL's words; Failure that names every wrong key."""
    given, problems = call.values["steps"], []
    if not given:
        raise invalid(Problem("steps", "other", "At least single step is required"))
    if len(given) > STEPS_MAX:
        message = f"Ensure this field has no more than {STEPS_MAX} elements."
        raise invalid(Problem("steps", "other", message))
    for index, step in enumerate(given):
        if step["key"].count(":") != 1:
            problems.append(Problem(f"steps.{index}.key", "other", "Invalid key format"))
        elif graphql_key(step["key"]) is None:
            message = f"There is no script with the key {step['key']!r}."
            problems.append(Problem(f"steps.{index}.key", "other", message))
    if problems:
        raise invalid(*problems)
    steps = [
        {
            "key": graphql_key(step["key"]),
            "execOrder": step["exec_order"],
            "parameters": step.get("parameters", {}),
        }
        for step in given
    ]
    return [*steps, _PLAIN_TYPES]  # behind the others, lest it moves what errors name


def _about_steps(failure: Failure) -> Failure:
    """A script that is not there is a mistake of the request, and no path that is not there."""
    if failure.code == "NOT_FOUND" and (failure.field or "").startswith("input.steps"):
        return Failure("INVALID_INPUT", failure.message, field=failure.field)
    return failure


def _shown(call: Call, data: Data) -> Reply:
    return Reply(body=job(call, _script_job(data)))


shown = one("Job", lambda call: {"id": call.values["id"]}, _shown)


def _previewed(_call: Call, data: Data) -> Reply:
    snapshot = _script_job(data)["snapshot"]
    if snapshot is None or not snapshot["tables"]:
        raise Failure("NOT_FOUND", "The job has no result.")
    return Reply(body=preview(snapshot["tables"][0]))


previewed = one("JobPreview", lambda call: {"id": call.values["id"]}, _previewed)


@several("JobResult", "PresignResult")
async def result(call: Call) -> Reply:
    """The way to what a job made, as a CSV file."""
    made = _script_job(await call.run("JobResult", {"id": call.values["id"]}))
    if made["snapshot"] is None or made["dataSource"] is None:
        raise Failure("NOT_FOUND", "The job has no result.")
    ids = {"id": made["dataSource"]["id"], "snapshot": made["snapshot"]["id"]}
    data = await call.run("PresignResult", ids)
    return Reply(302, headers={"location": data["presignDataSource"]["url"]})


def _script_job(data: Data) -> Data:
    """A job that runs scripts: this API knows no others."""
    found: Data | None = data["job"]
    if found is None or found["kind"] != "SCRIPT":
        raise Failure("NOT_FOUND", "There is no such job.")
    return found


def job(call: Call, made: Data) -> Data:
    """A job in this API's words."""
    state = job_state(made["status"])
    path = f"/api/v1/jobs/{made['pk']}/result"
    return {
        "pk": made["pk"],
        "steps": [
            {"key": own_key(step["key"]), "exec_order": step["execOrder"]}
            for step in made["steps"]
            if {"key": step["key"], "execOrder": step["execOrder"]} != _PLAIN_TYPES
        ],
        "job_state": state,
        "error": error_text(made["error"]),
        "result": call.link(path, "result.csv") if state == "success" else None,
        "created": time_of(made["createdAt"]),
    }
