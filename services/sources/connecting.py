"""Connecting sources: all of a request or none, with their secrets sealed and their first syncs queued."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from base.errors import InvalidInput, NotFound
from models import Dataset, DataSource, DataSourceStatus, DriftPolicy, Project
from services import datasets, dispatch, idempotency, jobs, uploads, values
from services.access import Viewer, find
from services.idempotency import Result
from services.platform import Platform
from services.sources.connections import Given, check, key_place
from services.sources.names import refusal, refuse_taken
from services.sources.policies import POLICIES, policy
from services.sources.sealing import seal
from services.sources.selections import TableGiven, selections

SOURCES_MAX = 100  # of one request
SCOPE_CHARS_MAX = 64


@dataclass(frozen=True, slots=True)
class SourceGiven:
    """A source to connect; no tables means all of them, a policy of None the usual one."""

    name: str
    connection: Given
    metadata: Any = None
    tables: Sequence[TableGiven] | None = None
    drift_policy: DriftPolicy | None = None
    quarantine_rows_max: int | None = None
    snapshots_kept: int | None = None
    snapshots_kept_days: int | None = None


@dataclass(frozen=True, slots=True)
class NewDataset:
    """A dataset that is made for the sources of a request."""

    name: str
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Connected:
    """Keys of the new sources, in the order of the request, and of their first syncs."""

    source_pks: list[int]
    job_pks: list[int]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A source that has been checked and only has to be written; `key_place` is where its object key would be."""

    values: dict[str, Any]
    secrets: dict[str, str]
    key_place: str


async def connect(
    platform: Platform,
    viewer: Viewer,
    sources: Sequence[SourceGiven],
    *,
    project_id: str | None = None,
    dataset_id: str | None = None,
    new_dataset: NewDataset | None = None,
    scope: str = "user",
    sync: bool = True,
    unique_names: bool = False,
    idempotency_key: str | None = None,
) -> Connected:
    """Connect all of these sources or none, in a dataset, in a new one of the project, or in its default one.

    `sync` queues their syncs.

    Nothing is dialled: whether a source answers, `test_connection` or the sync finds out. A file without a place is a
    draft, which has no sync. With `unique_names` Conflict is raised where the project has a source of the same name, or
    two of these have it.
    """
    project, dataset = await _place(viewer, project_id, dataset_id)
    if new_dataset is not None and dataset_id is not None:
        raise InvalidInput(
            "Data sources go to a dataset that is there, or to a new one.",
            hint="Leave out datasetId or newDataset.",
            field="input.newDataset",
        )
    given = {
        "project": project.id,
        "dataset": dataset.id,
        "new_dataset": new_dataset,
        "sources": sources,
        "scope": scope,
        "sync": sync,
        "unique_names": unique_names,
    }

    async def prepare() -> list[_Ready]:
        values.bounded(sources, "input.sources", items_max=SOURCES_MAX)
        if new_dataset is not None:
            _named(new_dataset)
        label = values.name(scope, "input.scope", chars_max=SCOPE_CHARS_MAX)
        return [
            await _prepare(platform, project, source, label, f"input.sources[{index}]")
            for index, source in enumerate(sources)
        ]

    async def commit(ready: list[_Ready]) -> Result:
        if unique_names:
            await refuse_taken(project.id, _paths(ready))
        made = None if new_dataset is None else await _made(project, viewer, new_dataset)
        return await _write(platform, viewer, made or dataset, ready, sync=sync)

    done = await idempotency.once(
        platform,
        viewer,
        "connectDataSources",
        idempotency_key,
        given,
        prepare=prepare,
        commit=commit,
    )
    if done["jobs"]:
        await dispatch.wake(len(done["jobs"]))
    return Connected(done["sources"], done["jobs"])


async def _place(
    viewer: Viewer, project_id: str | None, dataset_id: str | None
) -> tuple[Project, Dataset]:
    """The project and the dataset that sources go to."""
    if project_id is None and dataset_id is None:
        raise InvalidInput(
            "Name the project or the dataset that the data sources go to.", field="input.projectId"
        )
    if dataset_id is None:
        assert project_id is not None
        project = await find(viewer, Project, project_id, field="input.projectId")
        return project, await Dataset.get(project_id=project.id, is_default=True, deleted_at=None)
    if project_id is not None:
        project = await find(viewer, Project, project_id, field="input.projectId")
    dataset = await find(viewer, Dataset, dataset_id, field="input.datasetId")
    owner: int = dataset.project_id  # type: ignore[attr-defined]
    if project_id is None:
        project = await Project.get(id=owner)
    elif owner != project.id:
        raise NotFound(
            "There is no such dataset in the project.",
            hint="Leave out projectId or datasetId.",
            field="input.datasetId",
        )
    return project, dataset


def _named(new: NewDataset) -> dict[str, Any]:
    """The columns of a new dataset; raises InvalidInput."""
    return datasets.described(new.name, new.description, "input.newDataset")


async def _made(project: Project, viewer: Viewer, new: NewDataset) -> Dataset:
    return await Dataset.create(project_id=project.id, creator_id=viewer.user_id, **_named(new))


async def _prepare(
    platform: Platform, project: Project, source: SourceGiven, scope: str, path: str
) -> _Ready:
    name = values.name(source.name, f"{path}.name")
    metadata = values.document_or_empty(source.metadata, f"{path}.metadata")
    chosen = selections(source.tables, f"{path}.tables")
    policies = {name: getattr(source, name) for name in POLICIES}
    kept = {name: policy(name, value, path) for name, value in policies.items()}
    place = f"{path}.connection"
    checked = await check(platform, project, source.connection, place, drafts=True)
    row = kept | {
        "project_id": project.id,
        "name": name,
        "type": checked.type,
        "kind": checked.kind,
        "status": DataSourceStatus.DRAFT if checked.is_draft else DataSourceStatus.PENDING,
        "scope": scope,
        "settings": checked.settings,
        "metadata": metadata,
        "selections": chosen,
    }
    return _Ready(row, checked.secrets, key_place(source.connection, place))


def _paths(ready: Sequence[_Ready]) -> dict[str, str]:
    """Where in the input each name is; raises Conflict where two have the same."""
    paths: dict[str, str] = {}
    for index, each in enumerate(ready):
        path = f"input.sources[{index}].name"
        if paths.setdefault(each.values["name"], path) != path:
            raise refusal(path)
    return paths


async def _write(
    platform: Platform, viewer: Viewer, dataset: Dataset, ready: list[_Ready], *, sync: bool
) -> Result:
    """Write the sources, each sealed for its own key, and queue their syncs; in the caller's transaction."""
    await datasets.hold(dataset.id, "input.datasetId")
    project_pk: int = dataset.project_id  # type: ignore[attr-defined]
    keys = ((each.values["settings"].get("object_key"), each.key_place) for each in ready)
    await uploads.hold(project_pk, {key: place for key, place in keys if key is not None})
    source_pks, job_pks = [], []
    for each in ready:
        source = await DataSource.create(
            **each.values, dataset_id=dataset.id, creator_id=viewer.user_id
        )
        if each.secrets:
            sealed = seal(platform.keyring, source.id, each.secrets)
            await DataSource.filter(id=source.id).update(secrets=sealed)
        source_pks.append(source.id)
        if sync and source.status is not DataSourceStatus.DRAFT:
            job_pks.append((await jobs.sync(source, viewer.user_id)).id)
    return {"sources": source_pks, "jobs": job_pks}
