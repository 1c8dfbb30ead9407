"""Datasets: made with their project or later, renamed, deleted once they are empty."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base.errors import Conflict, NotFound
from models import Dataset, DataSource, Project
from models.database import transaction
from services import values
from services.access import Viewer, find

DEFAULT_NAME = "Default"


async def create(viewer: Viewer, project_id: str, name: str, description: str | None = None) -> int:
    """Make a dataset; its key."""
    project = await find(viewer, Project, project_id, field="input.projectId")
    dataset = await Dataset.create(
        project_id=project.id,
        creator_id=viewer.user_id,
        name=values.name(name, "input.name"),
        description=values.description(description, "input.description"),
    )
    dataset_pk: int = dataset.id
    return dataset_pk


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


async def delete(viewer: Viewer, dataset_id: str) -> int:
    """Soft-delete an empty dataset that is not its project's default; its key."""
    dataset = await find(viewer, Dataset, dataset_id, field="input.id")
    if dataset.is_default:
        raise Conflict(
            "A project's default dataset cannot be deleted.",
            hint="Rename it, or delete the project.",
            field="input.id",
        )
    dataset_pk: int = dataset.id
    async with transaction():
        await hold(dataset_pk, "input.id")
        if await DataSource.filter(dataset_id=dataset_pk, deleted_at=None).exists():
            raise Conflict(
                "The dataset still has data sources.",
                hint="Remove them with cleanupDataSources first.",
                field="input.id",
            )
        await Dataset.filter(id=dataset_pk).update(deleted_at=datetime.now(UTC))
    return dataset_pk


async def hold(dataset_pk: int, field: str) -> None:
    """Keep a dataset from being deleted until the caller's transaction ends; NotFound where it just was."""
    held = Dataset.filter(id=dataset_pk, deleted_at=None).select_for_update(no_key=True)
    if await held.first() is None:
        raise NotFound("There is no such dataset.", hint="It was just deleted.", field=field)
