"""Datasets: made with their project or later, renamed, deleted once they are empty, or with what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base.errors import Conflict, NotFound
from models import Dataset, DataSource, Project
from models.database import transaction
from services import dispatch, values
from services.access import Viewer, find
from services.idempotency import Result, once
from services.platform import Platform
from services.removal import remove_sources

DEFAULT_NAME = "Default"


async def create(
    platform: Platform,
    viewer: Viewer,
    project_id: str,
    name: str,
    description: str | None = None,
    *,
    idempotency_key: str | None = None,
) -> int:
    """Make a dataset, once for one idempotency key; its key."""
    project = await find(viewer, Project, project_id, field="input.projectId")

    async def prepare() -> dict[str, Any]:
        return described(name, description, "input")

    async def commit(said: dict[str, Any]) -> Result:
        made = await Dataset.create(project_id=project.id, creator_id=viewer.user_id, **said)
        return {"dataset": made.id}

    given = [project.id, name, description]
    done = await once(
        platform, viewer, "createDataset", idempotency_key, given, prepare=prepare, commit=commit
    )
    dataset_pk: int = done["dataset"]
    return dataset_pk


def described(name: str, description: str | None, field: str) -> dict[str, Any]:
    """The columns of a new dataset that its maker writes; raises InvalidInput. `field` is their input path."""
    return {
        "name": values.name(name, f"{field}.name"),
        "description": values.description(description, f"{field}.description"),
    }


async def create_default(project: Project, creator_id: int | None) -> None:
    """The dataset that every project has; in the transaction that makes the project."""
    await Dataset.create(project=project, creator_id=creator_id, name=DEFAULT_NAME, is_default=True)


async def update(viewer: Viewer, dataset_id: str, changes: Mapping[str, Any]) -> int:
    """Change the given ones of `name` and `description`; the dataset's key."""
    dataset = await find(viewer, Dataset, dataset_id, field="input.id")
    new: dict[str, Any] = {}
    if "name" in changes:
        new["name"] = values.name(changes["name"], "input.name")
    if "description" in changes:
        new["description"] = values.description(changes["description"], "input.description")
    dataset_pk: int = dataset.id
    if new:
        now = datetime.now(UTC)
        await Dataset.filter(id=dataset_pk, deleted_at=None).update(**new, updated_at=now)
    return dataset_pk


async def delete(viewer: Viewer, dataset_id: str, *, with_sources: bool = False) -> int:
    """Soft-delete a dataset that is not its project's default, and is empty or goes `with_sources`; its key.

    The sources go for good, as `sources.cleanup` removes them: all of it happens, or nothing.
    """
    dataset = await find(viewer, Dataset, dataset_id, field="input.id")
    if dataset.is_default:
        raise Conflict(
            "A project's default dataset cannot be deleted.",
            hint="Rename it, remove what is in it with `cleanupDataSources`, or delete the project.",
            field="input.id",
        )
    dataset_pk: int = dataset.id
    project_pk: int = dataset.project_id  # type: ignore[attr-defined]
    async with transaction():
        await hold(dataset_pk, "input.id")
        inside = DataSource.filter(dataset_id=dataset_pk, deleted_at=None)
        source_pks = [source.id for source in await inside.only("id")]
        if source_pks and not with_sources:
            raise Conflict(
                "The dataset still has data sources.",
                hint="Say `withDataSources: true`, or remove them with `cleanupDataSources` first.",
                field="input.id",
            )
        if source_pks:
            await remove_sources(project_pk, source_pks, viewer.user_id)
        await Dataset.filter(id=dataset_pk).update(deleted_at=datetime.now(UTC))
    if source_pks:
        await dispatch.wake()
    return dataset_pk


async def hold(dataset_pk: int, field: str) -> None:
    """Keep a dataset from being deleted until the caller's transaction ends; NotFound where it just was."""
    held = Dataset.filter(id=dataset_pk, deleted_at=None).select_for_update(no_key=True)
    if await held.first() is None:
        raise NotFound("There is no such dataset.", hint="It was just deleted.", field=field)
