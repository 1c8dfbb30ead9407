"""Queueing syncs and taking sources away: who may, what of, and once."""

import asyncio
from typing import Any

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import DataSource, DataSourceStatus, Job, JobKind, JobStatus, Role
from services import sources
from services.platform import Platform
from services.sources import syncing
from tests import factories
from tests.services.places import Place, make_place, refused


def id_of(source: DataSource) -> str:
    return public_id("datasource", source.id)


async def make_sources(place: Place, count: int) -> list[DataSource]:
    return [await factories.make_source(place.project, place.dataset) for _ in range(count)]


async def test_named_sources_are_synced_in_their_order(platform: Platform) -> None:
    place = await make_place(Role.EXECUTE)
    one, two, other = await make_sources(place, 3)

    job_pks = await sources.start_sync(
        platform, place.viewer, source_ids=[id_of(two), id_of(one), id_of(two)], batch_rows=7
    )

    jobs = [await Job.get(id=pk).values() for pk in job_pks]
    assert [job["data_source_id"] for job in jobs] == [two.id, one.id]
    how = {"batch_rows": 7, "incremental": True}
    assert [job["options"] for job in jobs] == [how] * 2
    assert [job["creator_id"] for job in jobs] == [place.viewer.user_id] * 2
    assert (await DataSource.get(id=other.id)).status is DataSourceStatus.PENDING


async def test_without_ids_every_source_of_the_project_is_synced(platform: Platform) -> None:
    place = await make_place(Role.EXECUTE)
    one, two = await make_sources(place, 2)
    gone = await factories.make_source(place.project, deleted_at=one.created_at)
    await factories.make_source()

    job_pks = await sources.start_sync(platform, place.viewer, project_id=place.project_id)

    assert [(await Job.get(id=pk).values())["data_source_id"] for pk in job_pks] == [one.id, two.id]
    assert await Job.filter(data_source_id=gone.id).count() == 0


async def test_a_project_without_sources_gives_no_jobs(platform: Platform) -> None:
    place = await make_place()

    assert await sources.start_sync(platform, place.viewer, project_id=place.project_id) == []


async def test_a_source_that_is_syncing_gives_its_running_job(platform: Platform) -> None:
    place = await make_place()
    (source,) = await make_sources(place, 1)
    running = await factories.make_job(source, status=JobStatus.RUNNING)

    job_pks = await sources.start_sync(platform, place.viewer, source_ids=[id_of(source)])

    assert job_pks == [running.id]


async def test_fifty_syncs_at_once_are_one_job(platform: Platform) -> None:
    place = await make_place()
    ids = [id_of(source) for source in await make_sources(place, 2)]

    answers = await asyncio.gather(
        *(
            sources.start_sync(platform, place.viewer, source_ids=ids[:: 1 if n % 2 else -1])
            for n in range(50)
        )
    )

    assert len({frozenset(answer) for answer in answers}) == 1
    assert await Job.all().count() == 2


async def test_the_same_request_again_gives_the_same_jobs(platform: Platform) -> None:
    place = await make_place()
    (source,) = await make_sources(place, 1)

    async def once(**values: Any) -> list[int]:
        return await sources.start_sync(
            platform, place.viewer, source_ids=[id_of(source)], idempotency_key="k", **values
        )

    first = await once()
    await Job.all().update(status=JobStatus.SUCCEEDED, active_key=None)

    assert await once() == first
    assert await Job.all().count() == 1
    async with refused(Conflict, "input.idempotencyKey"):
        await once(batch_rows=9)


@pytest.mark.parametrize("batch_rows", [0, -1, syncing.BATCH_ROWS_MAX + 1])
async def test_a_batch_size_has_limits(platform: Platform, batch_rows: int) -> None:
    place = await make_place()
    await make_sources(place, 1)

    async with refused(InvalidInput, "input.options.batchSize"):
        await sources.start_sync(
            platform, place.viewer, project_id=place.project_id, batch_rows=batch_rows
        )


async def test_something_has_to_be_named(platform: Platform) -> None:
    place = await make_place()

    async with refused(InvalidInput, "input.projectId"):
        await sources.start_sync(platform, place.viewer)
    for ids in ([], ["x"] * (syncing.SOURCES_MAX + 1)):
        async with refused(InvalidInput, "input.dataSourceIds"):
            await sources.start_sync(
                platform, place.viewer, project_id=place.project_id, source_ids=ids
            )


async def test_a_project_with_too_many_sources_is_synced_in_parts(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await make_place()
    await make_sources(place, 3)
    monkeypatch.setattr(syncing, "SOURCES_MAX", 2)

    async with refused(InvalidInput, "input.dataSourceIds"):
        await sources.start_sync(platform, place.viewer, project_id=place.project_id)


async def test_one_foreign_source_syncs_none(platform: Platform) -> None:
    place, other = await make_place(), await make_place()
    ids = [id_of(each) for each in (*await make_sources(place, 1), *await make_sources(other, 1))]

    async with refused(NotFound, "input.dataSourceIds[1]"):
        await sources.start_sync(platform, place.viewer, source_ids=ids)


async def test_a_source_of_another_project_is_not_found(platform: Platform) -> None:
    place = await make_place()
    sibling = await factories.make_source(await factories.make_project(place.team))

    async with refused(NotFound, "input.dataSourceIds[0]"):
        await sources.start_sync(
            platform, place.viewer, project_id=place.project_id, source_ids=[id_of(sibling)]
        )
    async with refused(NotFound, "input.dataSourceIds[0]"):
        await sources.cleanup(place.viewer, place.project_id, source_ids=[id_of(sibling)])


async def test_a_reader_syncs_nothing(platform: Platform) -> None:
    place = await make_place()
    reader = (await place.member(Role.READ)).acting(Role.EXECUTE)
    (source,) = await make_sources(place, 1)

    async with refused(Forbidden, "input.projectId"):
        await sources.start_sync(platform, reader, project_id=place.project_id)
    async with refused(Forbidden, "input.dataSourceIds[0]"):
        await sources.start_sync(platform, reader, source_ids=[id_of(source)])


@pytest.mark.usefixtures("database")
async def test_cleaned_up_sources_are_gone_and_their_syncs_end() -> None:
    place = await make_place(Role.WRITE)
    one, two, kept = await make_sources(place, 3)
    sync = await factories.make_job(one)

    gone = await sources.cleanup(
        place.viewer, place.project_id, source_ids=[id_of(two), id_of(one)]
    )

    assert gone == [id_of(two), id_of(one)]
    left = await DataSource.filter(deleted_at=None).values_list("id", flat=True)
    assert left == [kept.id]
    assert (await Job.get(id=sync.id)).status is JobStatus.CANCELLED
    (job,) = await Job.filter(kind=JobKind.CLEANUP).values()
    assert job["options"] == {"data_source_ids": [one.id, two.id]}
    assert (job["project_id"], job["data_source_id"], job["active_key"]) == (
        place.project.id, None, None,
    )  # fmt: skip
    async with refused(NotFound, "input.dataSourceIds[0]"):
        await sources.cleanup(place.viewer, place.project_id, source_ids=[id_of(one)])


@pytest.mark.usefixtures("database")
async def test_all_sources_of_a_project_are_cleaned_up() -> None:
    place, other = await make_place(Role.WRITE), await make_place()
    ids = [id_of(source) for source in await make_sources(place, 3)]
    await make_sources(other, 1)

    assert await sources.cleanup(place.viewer, place.project_id, every=True) == ids
    assert await DataSource.filter(deleted_at=None).count() == 1
    assert await sources.cleanup(place.viewer, place.project_id, every=True) == []
    assert await Job.filter(kind=JobKind.CLEANUP).count() == 1


@pytest.mark.usefixtures("database")
async def test_a_cleanup_says_what_or_all() -> None:
    place = await make_place()
    (source,) = await make_sources(place, 1)

    for ids, every in ((None, False), ([id_of(source)], True), ([], True)):
        async with refused(InvalidInput, "input.dataSourceIds"):
            await sources.cleanup(place.viewer, place.project_id, source_ids=ids, every=every)
    async with refused(InvalidInput, "input.dataSourceIds"):
        await sources.cleanup(place.viewer, place.project_id, source_ids=[])


@pytest.mark.usefixtures("database")
async def test_strangers_and_lower_roles_clean_nothing_up() -> None:
    place = await make_place()
    (source,) = await make_sources(place, 1)
    stranger = (await make_place()).viewer
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)

    async with refused(NotFound, "input.projectId"):
        await sources.cleanup(stranger, place.project_id, every=True)
    async with refused(Forbidden, "input.projectId"):
        await sources.cleanup(low, place.project_id, source_ids=[id_of(source)])
