"""Datasets: made, listed, shown, changed, deleted; and what there is to tell of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply
from gateway.failures import Failure
from gateway.maxir import names
from gateway.maxir.callers import asking, known, project_of
from gateway.maxir.failures import KEPT, missing
from gateway.maxir.pages import page
from gateway.maxir.replies import done
from gateway.maxir.sources import NO_DATASET

FILES_MAX = 20  # whose tables an overview looks at
KEYWORDS_MAX = 30
ERRORS_MAX = 3


def record(dataset: Data) -> Data:
    """A dataset as the dialect shows it."""
    description = dataset["description"] or ""
    return {"id": dataset["id"], "name": dataset["name"], "description": description}


@asking("Datasets")
async def list_datasets(call: Call) -> Reply:
    """A page of the datasets of the key's project."""
    search = call.values.get("search") or None

    def connection(data: Data) -> Data | None:
        project = data["defaultProject"]
        return None if project is None else project["datasets"]

    variables = {"filter": {"search": search} if search else {}}
    return done(await page(call, "Datasets", variables, connection, record))


@asking("DefaultProject", "CreateProject", "CreateDataset")
async def create_dataset(call: Call) -> Reply:
    """Make a dataset in the key's project."""
    given = {
        "projectId": await project_of(call),
        "name": names.cut(call.values["name"]),
        "description": call.values.get("description"),
        "idempotencyKey": call.idempotency_key("dataset"),
    }
    made = await call.run("CreateDataset", {"input": given})
    return done({"id": made["createDataset"]["dataset"]["id"]})


@asking("Dataset")
async def get_dataset(call: Call) -> Reply:
    """One dataset."""
    return done(record(await _find(call, "Dataset")))


@asking("Dataset", "UpdateDataset")
async def update_dataset(call: Call) -> Reply:
    """Rename or describe a dataset."""
    dataset = await _find(call, "Dataset")
    new: dict[str, Any] = {}
    if call.values.get("name") is not None:
        new["name"] = names.cut(call.values["name"])
    if "description" in call.values:
        new["description"] = call.values["description"]
    if new:
        await call.run("UpdateDataset", {"input": {"id": dataset["id"], **new}})
    return done({})


@asking("Dataset", "DeleteDataset")
async def delete_dataset(call: Call) -> Reply:
    """Delete a dataset with all that is in it."""
    dataset = await _find(call, "Dataset")
    try:
        await call.run("DeleteDataset", {"input": {"id": dataset["id"], "withDataSources": True}})
    except Failure as failure:
        if failure.code != "CONFLICT":
            raise
        hint = "Rename it, or delete what is in it."
        raise Failure(KEPT, f"no permissions: {failure.message}", hint=hint) from failure
    return done({})


@asking("DatasetStatus")
async def dataset_status(call: Call) -> Reply:
    """How many data sources of a dataset are in each state."""
    return done(_counts(await _find(call, "DatasetStatus")))


@asking("DatasetOverview")
async def dataset_overview(call: Call) -> Reply:
    """What there is to tell of a dataset: facts alone."""
    dataset = await _find(call, "DatasetOverview", first=FILES_MAX)
    told = {
        "summary": _summary(dataset),
        "exploration_questions": [],
        "keywords": _keywords(dataset),
    }
    return done(record(dataset) | told)


async def _find(call: Call, operation: str, **variables: Any) -> Data:
    """The dataset that a path names, with what this operation reads of it."""
    data = await known(call, operation, {"id": call.values["id"], **variables})
    if data["dataset"] is None:
        raise missing("dataset", NO_DATASET)
    dataset: Data = data["dataset"]
    return dataset


def _counts(dataset: Data) -> Data:
    return {
        f"{name}_count": dataset[name]["totalCount"] for name in ("synched", "invalid", "synching")
    }


def _summary(dataset: Data) -> str:
    """One or a few sentences about what is in a dataset, and about what could not be read."""
    counts = {name: dataset[name]["totalCount"] for name in ("synched", "synching", "invalid")}
    total = sum(counts.values())
    if total == 0:
        return "There are no files in it yet."
    tables = _tables(dataset)
    rows = sum(table["rowCount"] or 0 for table in tables)
    said = [f"{_number(count, 'file')} {name}" for name, count in counts.items() if count]
    first = f"{', '.join(said)}"
    if total > FILES_MAX:
        first += f". The first {FILES_MAX} have"
    else:
        first += ", with"
    sentences = [f"{first} {_number(len(tables), 'table')} and {_number(rows, 'row')} in all."]
    broken = [each for each in dataset["files"]["nodes"] if each["error"] is not None]
    sentences += [f"{each['name']}: {each['error']['message']}" for each in broken[:ERRORS_MAX]]
    return " ".join(sentences)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _tables(dataset: Data) -> list[Data]:
    return [table for source in dataset["files"]["nodes"] for table in source["tables"]]


def _keywords(dataset: Data) -> list[str]:
    """Names of tables, then of columns, each once."""

    def each() -> Iterator[str]:
        for table in _tables(dataset):
            yield table["name"]
        for table in _tables(dataset):
            for column in table["columns"]:
                yield column["name"]

    return list(dict.fromkeys(each()))[:KEYWORDS_MAX]
