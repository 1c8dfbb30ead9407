"""Datasets that are made with the data sources in them."""

from __future__ import annotations

from typing import Any

import pytest

from base.errors import InvalidInput, NotFound
from base.ids import public_id
from models import Dataset, DataSource, Role
from services import sources
from services.platform import Platform
from services.sources import Connected, FileGiven, NewDataset, SourceGiven
from tests.services.places import Place, make_place, put_upload, refused


async def connect(platform: Platform, place: Place, key: str, **values: Any) -> Connected:
    return await sources.connect(
        platform,
        place.viewer,
        [SourceGiven("s", FileGiven(key))],
        project_id=place.project_id,
        sync=False,
        **values,
    )


async def test_a_dataset_is_made_once_with_what_is_in_it(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project)
    new = NewDataset(" Rivers ", "Of the north")

    done = [
        await connect(platform, place, upload.object_key, new_dataset=new, idempotency_key="rivers")
        for _ in range(2)
    ]

    assert done[0] == done[1]
    dataset = await (await DataSource.get(id=done[0].source_pks[0])).dataset
    assert (dataset.name, dataset.description, dataset.is_default) == (
        "Rivers",
        "Of the north",
        False,
    )
    assert await Dataset.filter(project_id=place.project.id, is_default=False).count() == 1


async def test_no_dataset_is_left_where_nothing_was_connected(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    async with refused(NotFound, "input.sources[0].connection.file.objectKey"):
        await connect(platform, place, "uploads/1/none", new_dataset=NewDataset("Rivers"))

    assert not await Dataset.filter(name="Rivers").exists()


@pytest.mark.parametrize(
    ("new", "field"),
    [
        (NewDataset(" "), "input.newDataset.name"),
        (NewDataset("a", "x" * 50_001), "input.newDataset.description"),
    ],
)
async def test_a_new_dataset_that_makes_no_sense(
    platform: Platform, new: NewDataset, field: str
) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project)

    async with refused(InvalidInput, field):
        await connect(platform, place, upload.object_key, new_dataset=new)


async def test_sources_go_to_one_dataset(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project)
    default = await Dataset.get(project_id=place.project.id)

    async with refused(InvalidInput, "input.newDataset"):
        await connect(
            platform,
            place,
            upload.object_key,
            dataset_id=public_id("dataset", default.id),
            new_dataset=NewDataset("Rivers"),
        )
