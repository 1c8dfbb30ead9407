"""What requests do with data sources."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from starlette.datastructures import UploadFile

from gateway.call import Call
from gateway.dialect import Data, Reply, one, several
from gateway.failures import Failure, Problem, invalid
from gateway.fields import Field
from gateway.jobs import is_over
from gateway.schema_cms.pages import page
from gateway.schema_cms.previews import preview
from gateway.schema_cms.replies import item

NAME_CHARS_MAX = 100
TYPES = ("file", "database", "api")
_GENERATED_NAME = "My New Data Source #{0}"
_GENERATED_LENGTH = 5
_OVER = ("DRAFT", "SYNCED", "FAILED")
NAME = Field(
    "name",
    "string",
    "Its name, which no other data source of the project has.",
    blank=False,
    chars_max=NAME_CHARS_MAX,
    example="Decade appear world.",
)
TYPE = Field("type", "string", "Only a `file` can be connected here.", choices=TYPES)
FILE = Field("file", "file", "The CSV file.", example="file.csv")
PROJECT = Field("project", "integer", "The project's key.", required=True)


@several("DataSources")
async def listed(call: Call) -> Reply:
    """The caller's data sources."""
    return await page(call, "DataSources", {})


@several("ProjectDataSources")
async def listed_of_project(call: Call) -> Reply:
    """A project's data sources."""
    return await page(call, "ProjectDataSources", {"project": call.values["id"]})


def _one(call: Call, data: Data) -> Reply:
    return Reply(body=item(call, there(data)))


shown = one("DataSource", lambda call: {"id": call.values["id"]}, _one)


@several("UploadFile", "ConnectDataSource", "DataSourceState", "DataSource")
async def created(call: Call) -> Reply:
    """A data source, a draft where there is no file; with one it has been synced, or the wait was over."""
    _check(call, own_type="file")
    project, name = call.values["project"], _name(call)
    try:
        file = await _uploaded(call, project)
        made = await call.run(
            "ConnectDataSource",
            {
                "project": project,
                "name": name or _generated_name(call),
                "file": file,
                "uniqueNames": name is not None,
                "idempotencyKey": call.idempotency_key("connect"),
            },
        )
    except Failure as failure:
        if failure.code == "NOT_FOUND":  # no project, or somebody else's: nobody learns which
            raise Failure("FORBIDDEN", failure.message) from None
        raise
    (source,) = made["connectDataSources"]["dataSources"]
    return Reply(201, await _settled(call, source["id"]))


@several("DataSourceState", "UploadFile", "UpdateDataSource", "DataSource")
async def changed(call: Call) -> Reply:
    """A data source with another name or another file; a new file is synced, or the wait was over."""
    source = there(await call.run("DataSourceState", {"id": call.values["id"]}))
    _check(call, own_type=source["type"].lower())
    name, connection = _name(call), None
    if "file" in call.values:
        connection = {"file": await _uploaded(call, source["project"]["id"])}
    if name is not None or connection is not None:
        changes = {"id": source["id"], "name": name, "connection": connection}
        await call.run("UpdateDataSource", changes)
    if connection is not None:
        return Reply(body=await _settled(call, source["id"]))
    return _one(call, await call.run("DataSource", {"id": source["id"]}))


@several("DataSourceState", "RemoveDataSource")
async def removed(call: Call) -> Reply:
    """Nothing: the data source is gone."""
    source = there(await call.run("DataSourceState", {"id": call.values["id"]}))
    await call.run("RemoveDataSource", {"project": source["project"]["id"], "id": source["id"]})
    return Reply(204)


@several("SyncDataSource", "JobState", "DataSourceTables", "Preview", "DataSource")
async def processed(call: Call) -> Reply:
    """The preview after a sync; 422 where that failed, and 202 where the wait was over before it."""
    identity = {"id": call.values["id"]}
    try:
        key = call.idempotency_key("process")
        synced = await call.run("SyncDataSource", {**identity, "idempotencyKey": key})
    except Failure as failure:
        if failure.code == "CONFLICT":  # a draft, which has no file to read
            return Reply(422)
        raise
    (queued,) = synced["syncDataSources"]["jobs"]
    job = (await call.wait("JobState", {"id": queued["id"]}, _is_job_over))["job"]
    if job is None:
        raise Failure("NOT_FOUND", "It was deleted in the meantime.")
    if not is_over(job):
        return Reply(202, item(call, there(await call.run("DataSource", identity))))
    if job["status"] != "SUCCEEDED":
        return Reply(422)
    _, made = await _preview(call)
    return Reply(body=made)


@several("DataSourceTables", "Preview")
async def previewed(call: Call) -> Reply:
    """The preview with the data source's name."""
    name, made = await _preview(call)
    return Reply(body={**made, "data_source": {"name": name}})


@several("DataSourceTables", "Preview")
async def preview_file(call: Call) -> Reply:
    """The preview file."""
    _, made = await _preview(call)
    return Reply(body=made)


def _to_file(_call: Call, data: Data) -> Reply:
    return Reply(302, headers={"location": data["presignDataSource"]["url"]})


file = one("PresignFile", lambda call: {"id": call.values["id"]}, _to_file)


def there(data: Data) -> Data:
    """The data source of an answer; Failure where there is none, or none that the caller may see."""
    source: Data | None = data["dataSource"]
    if source is None:
        raise Failure("NOT_FOUND", "There is no such data source.")
    return source


async def table_of(call: Call) -> tuple[Data, str | None, str | None]:
    """The data source of a request, name and schema of its first table: the one that this API knows of."""
    source = there(await call.run("DataSourceTables", {"id": call.values["id"]}))
    tables = source["tables"]
    return (source, tables[0]["name"], tables[0]["schema"]) if tables else (source, None, None)


def check_file(file: UploadFile, field: str, extension: str) -> None:
    """Failure for a file without a name, without content, or with another extension."""
    name = file.filename or ""
    _, dot, found = name.rpartition(".")
    found = found.lower() if dot else ""
    if not name:
        message = "No filename could be determined."
    elif file.size == 0:
        message = "The submitted file is empty."
    elif found != extension:
        message = f"File extension '{found}' is not allowed. Allowed extensions are: '{extension}'."
    else:
        return
    raise invalid(Problem(field, "other", message))


def _check(call: Call, own_type: str) -> None:
    """Failure for what this API has no fields for."""
    wanted = call.values.get("type", own_type)
    if wanted not in {own_type, "file"}:
        message = (
            f'A data source of type "{wanted}" needs settings of its connection, which this API does not have. '
            "Connect it with `connectDataSources` of the GraphQL API; it is listed here then."
        )
        raise invalid(Problem("type", "other", message))
    given = call.values.get("file")
    if given is not None:
        check_file(given, "file", "csv")
    elif wanted != own_type:
        raise invalid(Problem("file", "required", "`file` is missing.", wanted="file"))


def _name(call: Call) -> str | None:
    name: str | None = call.values.get("name")
    return None if name is None else name.strip()


def _generated_name(call: Call) -> str:
    """A name of the kind that this API gives; the same one for the same idempotency key."""
    key = call.idempotency_key("name")
    code = secrets.token_hex() if key is None else hashlib.sha256(key.encode()).hexdigest()
    return _GENERATED_NAME.format(code[:_GENERATED_LENGTH])


async def _uploaded(call: Call, project: Any) -> Data:
    """The connection of the request's file, which is stored; an empty one where there is none."""
    if "file" not in call.values:
        return {}
    key = call.idempotency_key("upload")
    given = {"project": project, "file": call.values["file"], "idempotencyKey": key}
    stored = await call.run("UploadFile", given)
    return {"objectKey": stored["uploadFile"]["objectKey"]}


async def _settled(call: Call, public_id: str) -> Data:
    """A data source once its sync is over, or as far as it is when the wait is."""
    identity = {"id": public_id}
    await call.wait("DataSourceState", identity, _is_over)
    return item(call, there(await call.run("DataSource", identity)))


def _is_over(data: Data) -> bool:
    return there(data)["status"] in _OVER


def _is_job_over(data: Data) -> bool:
    return data["job"] is None or is_over(data["job"])


async def _preview(call: Call) -> tuple[str, Data]:
    """The name of a data source and its preview; Failure before the first sync."""
    source, name, schema = await table_of(call)
    if name is None or source["lastSyncedAt"] is None:
        raise Failure("NOT_FOUND", "It has not been processed yet.")
    table = f"{schema}.{name}" if schema else name
    data = there(await call.run("Preview", {"id": source["id"], "table": table}))
    if data["table"] is None:
        raise Failure("NOT_FOUND", "It has just changed.")
    return data["name"], preview(data["table"])
