"""Mutations of datasets."""

from __future__ import annotations

from typing import Annotated

import strawberry

from base.ids import as_public
from graph.changes import changes
from graph.context import Info
from graph.datasets.inputs import CreateDatasetInput, DeleteDatasetInput, UpdateDatasetInput
from graph.datasets.types import Dataset
from graph.fields import mutation, one
from models import Role
from services import datasets


@strawberry.type(description="A dataset that was made or changed.")
class DatasetPayload:
    """The dataset with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    dataset = one(Dataset, "pk", "The dataset, as it is now.")


@strawberry.type(description="What was deleted.")
class DeletedPayload:
    """An id."""

    id: strawberry.ID = strawberry.field(description="The id of what was deleted.")


def deleted(kind: str, id: strawberry.ID) -> DeletedPayload:
    """What was deleted by this id or integer key."""
    return DeletedPayload(id=strawberry.ID(as_public(kind, id)))


@strawberry.type
class DatasetMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def create_dataset(
        info: Info,
        input: Annotated[CreateDatasetInput, strawberry.argument(description="The dataset.")],
    ) -> DatasetPayload:
        """Make a dataset in a project."""
        pk = await datasets.create(
            info.context.platform,
            info.context.actor(info),
            input.project_id,
            input.name,
            input.description,
            idempotency_key=input.idempotency_key,
        )
        return DatasetPayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def update_dataset(
        info: Info,
        input: Annotated[UpdateDatasetInput, strawberry.argument(description="The changes.")],
    ) -> DatasetPayload:
        """Rename or describe a dataset."""
        given = changes(name=input.name, description=input.description)
        return DatasetPayload(pk=await datasets.update(info.context.actor(info), input.id, given))

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def delete_dataset(
        info: Info,
        input: Annotated[DeleteDatasetInput, strawberry.argument(description="Which one.")],
    ) -> DeletedPayload:
        """Delete a dataset that is not its project's default one, and holds no data sources unless they go with it."""
        viewer = info.context.actor(info)
        await datasets.delete(viewer, input.id, with_sources=bool(input.with_data_sources))
        return deleted("dataset", input.id)
