"""Names that are to be the only ones of their project: refused where they are taken, also at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from base.errors import Conflict, InvalidInput
from base.ids import public_id
from models import DataSource, Role
from services import sources
from services.platform import Platform
from services.sources import Connected, FileGiven, SourceGiven, Updated
from tests import factories
from tests.services.places import Place, make_place, refused

AT_ONCE = 4


async def connect(platform: Platform, place: Place, *names: str, **options: Any) -> Connected:
    """Drafts of these names, in the default dataset where none is named."""
    given = [SourceGiven(name, FileGiven()) for name in names]
    told: dict[str, Any] = {"project_id": place.project_id, "unique_names": True} | options
    return await sources.connect(platform, place.viewer, given, **told)


async def rename(platform: Platform, place: Place, pk: int, name: str, **options: Any) -> Updated:
    told: dict[str, Any] = {"unique_name": True} | options
    return await sources.update(
        platform, place.viewer, public_id("datasource", pk), {"name": name}, **told
    )


async def names_of(place: Place) -> list[str]:
    there = DataSource.filter(project_id=place.project.id, deleted_at=None)
    return [source.name for source in await there.order_by("id")]


async def test_a_name_that_is_taken_anywhere_in_the_project_is_refused(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    dataset = await factories.make_dataset(place.project)
    await factories.make_source(place.project, dataset, "rain")

    async with refused(Conflict, "input.sources[1].name") as caught:
        await connect(platform, place, "snow", " rain ")
    assert caught.value.message == "The project has a data source of this name already."
    async with refused(Conflict, "input.sources[0].name"):
        await connect(platform, place, "rain", idempotency_key="k")
    await connect(platform, place, "Rain", "rain  fall", idempotency_key="k")

    assert await names_of(place) == ["rain", "Rain", "rain  fall"]


async def test_two_of_a_request_may_not_have_the_same_name(platform: Platform) -> None:
    place = await make_place()

    async with refused(Conflict, "input.sources[2].name"):
        await connect(platform, place, "a", "b", "a ")
    async with refused(InvalidInput, "input.sources[1].name"):
        await connect(platform, place, "a", "")


async def test_what_is_deleted_elsewhere_or_not_asked_for_is_no_obstacle(
    platform: Platform,
) -> None:
    place, other = await make_place(), await make_place()
    (gone,) = (await connect(platform, place, "rain")).source_pks
    await sources.cleanup(
        place.viewer, place.project_id, source_ids=[public_id("datasource", gone)]
    )
    await factories.make_source(other.project, other.dataset, "snow")

    await connect(platform, place, "rain", "snow")
    await connect(platform, place, "rain", "rain", unique_names=False)

    assert await names_of(place) == ["rain", "snow", "rain", "rain"]


async def test_a_repeated_request_is_not_in_its_own_way(platform: Platform) -> None:
    place = await make_place()

    first = await connect(platform, place, "rain", idempotency_key="k")
    assert await connect(platform, place, "rain", idempotency_key="k") == first
    async with refused(Conflict, "input.idempotencyKey"):
        await connect(platform, place, "rain", idempotency_key="k", unique_names=False)

    assert await names_of(place) == ["rain"]


async def test_a_source_is_not_renamed_to_another_s_name(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    rain, snow = (await connect(platform, place, "rain", "snow")).source_pks

    async with refused(Conflict, "input.name"):
        await rename(platform, place, snow, " rain ")
    await rename(platform, place, rain, "rain")
    await rename(platform, place, snow, "rain", unique_name=False)
    source_id = public_id("datasource", snow)
    await sources.update(platform, place.viewer, source_id, {"metadata": {}}, unique_name=True)

    assert await names_of(place) == ["rain", "rain"]


@pytest.mark.parametrize("how", ["connect", "rename"])
async def test_of_several_at_once_one_gets_the_name(platform: Platform, how: str) -> None:
    place = await make_place()
    datasets = [await factories.make_dataset(place.project) for _ in range(AT_ONCE)]
    made = [await factories.make_source(place.project, each) for each in datasets]
    calls = [
        rename(platform, place, source.id, "rain")
        if how == "rename"
        else connect(
            platform, place, "rain", project_id=None, dataset_id=public_id("dataset", dataset.id)
        )
        for source, dataset in zip(made, datasets, strict=True)
    ]

    done = await asyncio.gather(*calls, return_exceptions=True)

    assert (await names_of(place)).count("rain") == 1
    refusals = [each for each in done if isinstance(each, BaseException)]
    assert [type(each) for each in refusals] == [Conflict] * (AT_ONCE - 1)
