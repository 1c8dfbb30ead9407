"""Inputs about datasets."""

from __future__ import annotations

import strawberry


@strawberry.input(description="A new dataset.")
class CreateDatasetInput:
    """For `createDataset`."""

    project_id: strawberry.ID = strawberry.field(description="The project it belongs to.")
    name: str = strawberry.field(description="What people call it; up to 200 characters.")
    description: str | None = strawberry.field(default=None, description="What it is about.")
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(description="Changes of a dataset; what is left out stays.")
class UpdateDatasetInput:
    """For `updateDataset`."""

    id: strawberry.ID = strawberry.field(description="The dataset.")
    name: strawberry.Maybe[str | None] = strawberry.field(description="Its new name.")
    description: strawberry.Maybe[str | None] = strawberry.field(
        description="What it is about; null for nothing."
    )


@strawberry.input(description="Which dataset to delete.")
class DeleteDatasetInput:
    """For `deleteDataset`."""

    id: strawberry.ID = strawberry.field(description="The dataset.")
    with_data_sources: bool | None = strawberry.field(
        default=False,
        description="Whether its data sources go with it, for good, as `cleanupDataSources` removes them.",
    )
