"""Data sources: files that are connected, listed, shown, removed and downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply, Variables
from gateway.failures import Failure, text_of
from gateway.maxir import names
from gateway.maxir.callers import asking, known, project_of
from gateway.maxir.failures import PRESIGN, missing, mistaken
from gateway.maxir.pages import page
from gateway.maxir.replies import done

# Whatever waits or is worked on is `synching`: clients give up on what is `invalid`.
STATUSES: Mapping[str, tuple[str, ...]] = {
    "synched": ("SYNCED",),
    "synching": ("DRAFT", "PENDING", "SYNCING"),
    "invalid": ("FAILED",),
}
_STATUS = {status: name for name, statuses in STATUSES.items() for status in statuses}
NO_DATASET = "Those that you see are listed by GET /v2/team/datasets."
_NO_SOURCE = "Those of a dataset are listed by GET /v2/team/datasets/{id}/datasources."
_NOT_STORED = "It was not fetched yet, or could not be: look at the data source's status."
_FILES: Variables = {"type": ["FILE"]}


def record(source: Data) -> Data:
    """A data source as the dialect shows it; one that is invalid says why."""
    shown = {
        "id": source["id"],
        "dataset_id": source["dataset"]["id"],
        "name": source["name"],
        "type": "FILE",
        "status": _STATUS[source["status"]],
        "size": source["fileBytes"],
    }
    error = source["error"]
    if error is None or shown["status"] != "invalid":
        return shown
    return shown | {"error": text_of(error)}


@asking("DataSources")
async def list_sources(call: Call) -> Reply:
    """A page of the data sources of a dataset, of some states or of all."""
    variables = {"id": call.values["id"], "filter": _FILES | _states(call)}

    def connection(data: Data) -> Data:
        if data["dataset"] is None:
            raise missing("dataset", NO_DATASET)
        found: Data = data["dataset"]["dataSources"]
        return found

    return done(await page(call, "DataSources", variables, connection, record))


@asking("DataSource")
async def get_source(call: Call) -> Reply:
    """One data source of a dataset."""
    return done(record((await _find(call))[1]))


@asking("Dataset", "ConnectDataSource")
async def create_source(call: Call) -> Reply:
    """Connect a file in a dataset."""
    name, connection = _file(call)
    data = await known(call, "Dataset", {"id": call.values["id"]})
    if data["dataset"] is None:
        raise missing("dataset", NO_DATASET)
    return await _connect(call, name, connection, {"datasetId": data["dataset"]["id"]})


@asking("DefaultProject", "CreateProject", "ConnectDataSource")
async def create_source_alone(call: Call) -> Reply:
    """Connect a file in a dataset of its own, which is named like it."""
    name, connection = _file(call)
    within = {"projectId": await project_of(call), "newDataset": {"name": name}}
    return await _connect(call, name, connection, within)


@asking("DataSource", "RemoveDataSource")
async def delete_source(call: Call) -> Reply:
    """Remove a data source for good."""
    dataset, source = await _find(call)
    given = {"projectId": dataset["project"]["id"], "dataSourceIds": [source["id"]]}
    await call.run("RemoveDataSource", {"input": given})
    return done({})


@asking("DataSource", "PresignDataSource")
async def presign_source(call: Call) -> Reply:
    """A link to the file of a data source, as it came."""
    _, source = await _find(call)
    given = {"id": source["id"], "expiresIn": call.values["expires_in"], "format": "ORIGINAL"}
    try:
        made = (await call.run("PresignDataSource", {"input": given}))["presignDataSource"]
    except Failure as failure:
        if failure.code not in {"CONFLICT", "UNSUPPORTED", "INVALID_INPUT"}:
            raise
        message = f"presign failed: the file of {source['name']!r} is not stored"
        raise Failure(PRESIGN, message, hint=_NOT_STORED) from failure
    return done({"presigned_url": made["url"], "expires_at": made["expiresAt"]})


def _states(call: Call) -> Variables:
    """The filter that the comma list `status` means; all states where it is empty."""
    asked = [name.strip() for name in call.values.get("status", "").split(",")]
    wanted = [name for name in asked if name]
    for name in wanted:
        if name not in STATUSES:
            known_names = ", ".join(STATUSES)
            message = f"`status` is a list of {known_names}; {name[:50]!r} is none of them."
            raise mistaken("status", message, "choices")
    return {"status": [state for name in wanted for state in STATUSES[name]]} if wanted else {}


async def _find(call: Call) -> tuple[Data, Data]:
    """The dataset and the data source in it that a path names."""
    within = _FILES | {"id": [call.values["datasource_id"]]}
    data = await known(
        call, "DataSource", {"datasetId": call.values["dataset_id"], "filter": within}
    )
    dataset = data["dataset"]
    if dataset is None:
        raise missing("dataset", NO_DATASET)
    if not dataset["dataSources"]["nodes"]:
        raise missing("data source", _NO_SOURCE)
    return dataset, dataset["dataSources"]["nodes"][0]


def _file(call: Call) -> tuple[str, Variables]:
    """Name and connection of the file that a request brings; raises Failure."""
    name = names.cut(names.checked(call.values["name"]))
    url = (call.values.get("url") or "").strip()
    key = (call.values.get("file_object_key") or "").strip()
    if bool(url) == bool(key):
        message = "Either `url` or `file_object_key` has to be given, and not both."
        raise mistaken("url", message)
    return name, {"file": {"url": url, "fileName": name} if url else {"objectKey": key}}


async def _connect(call: Call, name: str, connection: Variables, within: Variables) -> Reply:
    given: dict[str, Any] = {
        **within,
        "sources": [{"name": name, "connection": connection}],
        "idempotencyKey": call.idempotency_key("connect"),
    }
    made = await call.run("ConnectDataSource", {"input": given})
    return done(record(made["connectDataSources"]["dataSources"][0]))
