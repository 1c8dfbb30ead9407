"""Datasets: made, changed, and deleted only when nothing is in them."""

import asyncio
from typing import Any

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import Dataset, DataSource, Job, JobKind, JobStatus, Role
from models.database import transaction
from services import datasets, leases
from services.platform import Platform
from services.removal import remove_sources
from tests import factories
from tests.services.places import make_place, put_upload, refused
from workers import cleanup

pytestmark = pytest.mark.usefixtures("database")


def id_of(dataset: Dataset) -> str:
    return public_id("dataset", dataset.id)


async def test_a_dataset_is_made_in_a_project(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    pk = await datasets.create(platform, place.viewer, place.project_id, " Rain ", "mm")

    made = await Dataset.get(id=pk).values()
    assert (made["name"], made["description"], made["is_default"]) == ("Rain", "mm", False)
    assert (made["project_id"], made["creator_id"]) == (place.project.id, place.viewer.user_id)


async def test_a_stranger_s_project_is_not_found_and_a_reader_is_refused(
    platform: Platform,
) -> None:
    place = await make_place()
    reader = (await place.member(Role.EXECUTE)).acting(Role.WRITE)
    stranger = (await make_place()).viewer

    async with refused(NotFound, "input.projectId"):
        await datasets.create(platform, stranger, place.project_id, "x")
    async with refused(Forbidden, "input.projectId"):
        await datasets.create(platform, reader, place.project_id, "x")


async def test_a_repeated_request_makes_one_dataset(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    async def create(name: str = "Rain", **more: Any) -> int:
        told = {"idempotency_key": "k"} | more
        return await datasets.create(platform, place.viewer, place.project_id, name, "mm", **told)

    first, second = await asyncio.gather(create(), create())
    async with refused(Conflict, "input.idempotencyKey"):
        await create("Snow")
    async with refused(InvalidInput, "input.name"):
        await create("", idempotency_key="empty")
    async with refused(InvalidInput, "input.idempotencyKey"):
        await create(idempotency_key="")
    other = await create(idempotency_key="j")

    assert first == second != other
    assert await Dataset.filter(project=place.project, name="Rain").count() == 2


async def test_only_what_is_named_changes() -> None:
    place = await make_place(Role.WRITE)
    dataset = await factories.make_dataset(place.project, "old", description="d")

    await datasets.update(place.viewer, id_of(dataset), {"name": "new"})

    now = await Dataset.get(id=dataset.id)
    assert (now.name, now.description) == ("new", "d")
    assert now.updated_at > dataset.updated_at


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"name": None}, "input.name"), ({"description": "x" * 50_001}, "input.description")],
)
async def test_bad_changes_are_refused(changes: dict[str, Any], field: str) -> None:
    place = await make_place()

    async with refused(InvalidInput, field):
        await datasets.update(place.viewer, id_of(place.dataset), changes)


async def test_an_empty_dataset_is_deleted() -> None:
    place = await make_place(Role.WRITE)
    dataset = await factories.make_dataset(place.project)

    assert await datasets.delete(place.viewer, id_of(dataset)) == dataset.id

    assert (await Dataset.get(id=dataset.id)).deleted_at is not None
    async with refused(NotFound, "input.id"):
        await datasets.delete(place.viewer, id_of(dataset))
    async with refused(NotFound, "input.id"):
        await datasets.update(place.viewer, id_of(dataset), {"name": "x"})


@pytest.mark.parametrize("with_sources", [False, True])
async def test_the_default_dataset_stays(*, with_sources: bool) -> None:
    place = await make_place()
    await factories.make_source(dataset=place.dataset)

    async with refused(Conflict, "input.id"):
        await datasets.delete(place.viewer, id_of(place.dataset), with_sources=with_sources)


async def test_a_dataset_with_sources_stays() -> None:
    place = await make_place()
    dataset = await factories.make_dataset(place.project)
    await factories.make_source(dataset=dataset)

    async with refused(Conflict, "input.id"):
        await datasets.delete(place.viewer, id_of(dataset))


async def test_a_dataset_goes_with_its_sources_for_good(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    dataset = await factories.make_dataset(place.project)
    upload = await put_upload(platform, place.project)
    settings = {"object_key": upload.object_key, "file_name": upload.file_name}
    source = await factories.make_source(dataset=dataset, settings=settings)
    work = await factories.make_job(source)
    await factories.make_source(dataset=dataset)
    beside = await factories.make_source(dataset=place.dataset)
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)
    stranger = (await make_place()).viewer

    async with refused(Forbidden, "input.id"):
        await datasets.delete(low, id_of(dataset), with_sources=True)
    async with refused(NotFound, "input.id"):
        await datasets.delete(stranger, id_of(dataset), with_sources=True)
    await datasets.delete(place.viewer, id_of(dataset), with_sources=True)

    assert (await Dataset.get(id=dataset.id)).deleted_at is not None
    assert [left.id for left in await DataSource.filter(deleted_at=None)] == [beside.id]
    assert (await Job.get(id=work.id)).status is JobStatus.CANCELLED
    lease = await leases.claim("w", 30_000)
    assert lease is not None
    assert lease.kind is JobKind.CLEANUP
    await cleanup.run(platform, lease)
    assert [left.id for left in await DataSource.all()] == [beside.id]
    assert await platform.store.head(upload.object_key) is None


async def test_as_many_sources_as_there_are_go_at_once() -> None:
    place = await make_place()
    first, last = [await factories.make_source(dataset=place.dataset) for _ in range(2)]
    nearly_all_gone = [last.id, *range(10**6, 10**6 + 40_000), first.id]

    async with transaction():
        gone = await remove_sources(place.project.id, nearly_all_gone, None)

    assert gone == [first.id, last.id]
    assert await DataSource.filter(deleted_at=None).count() == 0


@pytest.mark.parametrize("with_sources", [False, True])
async def test_a_source_is_not_put_into_a_dataset_that_goes_at_the_same_time(
    *, with_sources: bool
) -> None:
    place = await make_place()
    for _ in range(5):
        dataset = await factories.make_dataset(place.project)
        put, deleted = await asyncio.gather(
            _put_source(dataset),
            datasets.delete(place.viewer, id_of(dataset), with_sources=with_sources),
            return_exceptions=True,
        )

        is_gone = (await Dataset.get(id=dataset.id)).deleted_at is not None
        count = await DataSource.filter(dataset_id=dataset.id, deleted_at=None).count()
        assert (is_gone, count) in {(True, 0), (False, 1)}
        if with_sources:  # whichever was first, the dataset goes
            assert deleted == dataset.id
        else:
            assert isinstance(put if is_gone else deleted, NotFound | Conflict)


async def _put_source(dataset: Dataset) -> None:
    async with transaction():
        await datasets.hold(dataset.id, "input.datasetId")
        await factories.make_source(dataset=dataset)
