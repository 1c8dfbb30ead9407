"""Partitions of script jobs: what is asked for, how a table is shared out, and what becomes of them with their job."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from base.errors import InvalidInput, PlatformError
from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Job, JobLog, JobStatus, Role
from services import jobs, leases, partitions
from services.leases import Lease, LeaseLost, Progress
from services.platform import Platform
from services.scripts import PARTITIONS_MAX, StepGiven, shares
from services.scripts.sharing import BYTES_WORTH, ROWS_WORTH, partitions_of
from storage.snapshots.manifest import Manifest, Part, StoredFile, StoredTable
from tests import factories
from tests.services.places import Place, make_place, refused
from tests.services.scripting import create, succeed

ENDED = (JobStatus.FAILED, JobStatus.CANCELLED)


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place(Role.WRITE)


def part(rows: int, deleted: int = 0, size_bytes: int = 10) -> Part:
    gone = StoredFile("d", deleted, 1, "") if deleted else None
    return Part("p", rows, size_bytes, "", gone)


async def synced(place: Place, *parts: Part) -> DataSource:
    """A source with two scripts, and a table of these parts."""
    source = await factories.make_source(place.project, place.dataset)
    table = StoredTable(TableSchema("t", (Column("a", ColumnType.INTEGER),)), parts)
    snapshot = await factories.make_snapshot(source, manifest=Manifest((table,)).to_json())
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    for key in ("a.py", "b.py"):
        await factories.make_script(source, key)
    return await DataSource.get(id=source.id)


MAP, REDUCE = StepGiven("a.py", 0, partitioned=True), StepGiven("b.py", 1)
LARGE = part(ROWS_WORTH)


async def test_a_job_pins_how_its_first_steps_are_shared_out(
    platform: Platform, place: Place
) -> None:
    source = await synced(place, *[LARGE] * 5)

    job = await create(platform, place, source, REDUCE, MAP)
    fewer = await create(platform, place, source, REDUCE, MAP, partitions=3)
    more = await create(platform, place, source, MAP, partitions=PARTITIONS_MAX)

    assert job.options == {"table": [None, "t"], "reuse": True, "partitioned": 1, "partitions": 5}
    assert fewer.options["partitions"] == 3
    assert more.options["partitions"] == 5


@pytest.mark.parametrize(
    ("steps", "given", "parts"),
    [
        ((MAP,), {"partitions": 1}, 5),
        ((MAP,), {}, 1),
        ((MAP,), {"partitions": 8}, 1),
        ((MAP,), {}, 0),
        ((REDUCE,), {}, 5),
    ],
)
async def test_a_table_that_stays_whole_makes_a_job_as_any(
    platform: Platform,
    place: Place,
    steps: tuple[StepGiven, ...],
    given: dict[str, Any],
    parts: int,
) -> None:
    source = await synced(place, *[LARGE] * parts)

    job = await create(platform, place, source, *steps, **given)
    same = await create(platform, place, source, StepGiven(steps[0].key))

    assert job.options == {"table": [None, "t"], "reuse": True}
    assert job.memo_key == same.memo_key


@pytest.mark.parametrize(
    ("steps", "partitions", "field"),
    [
        ((StepGiven("a.py"), StepGiven("b.py", partitioned=True)), None, "steps[1].partitioned"),
        ((StepGiven("b.py", 2, partitioned=True), StepGiven("a.py")), None, "steps[0].partitioned"),
        ((MAP,), 0, "partitions"),
        ((MAP,), PARTITIONS_MAX + 1, "partitions"),
        ((REDUCE,), 2, "partitions"),
    ],
)
async def test_what_cannot_be_shared_out_is_refused(
    platform: Platform,
    place: Place,
    steps: tuple[StepGiven, ...],
    partitions: int | None,
    field: str,
) -> None:
    source = await synced(place, LARGE, LARGE)

    async with refused(InvalidInput, f"input.{field}"):
        await create(platform, place, source, *steps, partitions=partitions)


async def test_a_result_is_reused_for_the_same_partitions_only(
    platform: Platform, place: Place
) -> None:
    source = await synced(place, *[LARGE] * 4)
    await succeed(await create(platform, place, source, MAP, partitions=2))

    assert (await create(platform, place, source, MAP, partitions=2)).reused
    assert not (await create(platform, place, source, MAP, partitions=3)).reused
    assert not (await create(platform, place, source, StepGiven("a.py"))).reused


async def test_a_job_that_is_tried_again_is_shared_out_alike(
    platform: Platform, place: Place
) -> None:
    source = await synced(place, *[LARGE] * 4)
    job = await create(platform, place, source, MAP, REDUCE, partitions=3)
    await leases.cancel(job.id)

    again = await Job.get(id=await jobs.retry(place.viewer, public_id("job", job.id)))

    assert again.options == job.options | {"reuse": False}
    assert again.memo_key == job.memo_key


@pytest.mark.parametrize(
    ("parts", "wanted", "count"),
    [
        ([], None, 1),
        ([part(1)] * 100, None, 1),
        ([part(1)] * 100, 7, 7),
        ([part(1)] * 100, 64, 64),
        ([LARGE] * 100, None, PARTITIONS_MAX),
        ([LARGE, part(1)], None, 2),
        ([part(1, size_bytes=BYTES_WORTH)] * 3, None, 3),
        ([part(9, 9), part(9), part(9, 8)], 8, 2),
        ([part(9, 9)], 8, 1),
    ],
)
def test_a_table_has_as_many_partitions_as_are_worth_it(
    parts: list[Part], wanted: int | None, count: int
) -> None:
    assert partitions_of(parts, wanted) == count


@pytest.mark.parametrize(
    ("rows", "count", "expected"),
    [
        ([1, 1, 1, 1], 2, [(0, 2), (2, 4)]),
        ([1, 1, 1, 1], 4, [(0, 1), (1, 2), (2, 3), (3, 4)]),
        ([100, 1, 1], 3, [(0, 1), (1, 2), (2, 3)]),
        ([1, 1, 100], 3, [(0, 1), (1, 2), (2, 3)]),
        ([1, 1, 100], 2, [(0, 2), (2, 3)]),
        ([0, 5, 0, 5, 0], 2, [(0, 3), (3, 5)]),
        ([7], 1, [(0, 1)]),
    ],
)
def test_parts_are_shared_out_in_order_and_by_their_rows(
    rows: list[int], count: int, expected: list[tuple[int, int]]
) -> None:
    assert (
        shares([part(9, 9 - each) if each < 9 else part(each) for each in rows], count) == expected
    )


async def held(count: int = 3) -> tuple[Lease, list[Job]]:
    """A job that is held, and its queued partitions."""
    await factories.make_script_job(priority=1)
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    assert await partitions.queue(lease, [(number, number + 1) for number in range(count)])
    return lease, await Job.filter(parent_id=lease.job_id).order_by("id")


@pytest.mark.usefixtures("database")
async def test_partitions_are_queued_once_by_whoever_holds_the_job() -> None:
    lease, queued = await held()

    assert not await partitions.queue(lease, [(0, 1)])

    job = await Job.get(id=lease.job_id)
    assert [(each.active_key, each.options["partition"]) for each in queued] == [
        (f"partition:{job.id}:{number}", number) for number in range(3)
    ]
    for number, each in enumerate(queued):
        assert each.options == lease.options | {
            "partition": number,
            "of": 3,
            "parts": [number, number + 1],
        }
        assert (each.status, each.kind, each.priority) == (JobStatus.QUEUED, job.kind, 1)
        assert each.input_snapshot_id == job.input_snapshot_id
        assert each.project_id == lease.project_id  # type: ignore[attr-defined]
        assert each.data_source_id == lease.source_id  # type: ignore[attr-defined]
    await leases.expire("w1")
    await leases.sweep()
    with pytest.raises(LeaseLost):
        await partitions.queue(lease, [(0, 1)])
    assert await leases.claim_partition(lease) is None


@pytest.mark.usefixtures("database")
async def test_the_death_of_a_partition_is_told_in_the_log_of_its_job() -> None:
    lease, _ = await held()
    assert await leases.claim_partition(lease) is not None
    second = await leases.claim_partition(lease)
    assert second is not None
    await Job.filter(id=second.job_id).update(lease_until_ms=0)

    await leases.sweep()

    (line,) = await JobLog.filter(job_id=lease.job_id)
    assert line.message.startswith("[2/3] Attempt 1 ended without a word")


@pytest.mark.usefixtures("database")
async def test_two_attempts_at_once_queue_one_set() -> None:
    await factories.make_script_job()
    lease = await leases.claim("w1", 30_000)
    assert lease is not None

    done = await asyncio.gather(*(partitions.queue(lease, [(0, 1), (1, 2)]) for _ in range(4)))

    assert sorted(done) == [False, False, False, True]
    assert await Job.filter(parent_id=lease.job_id).count() == 2


@pytest.mark.usefixtures("database")
async def test_a_job_takes_its_own_partitions_only_and_in_order() -> None:
    lease, queued = await held()
    await factories.make_script_job()
    await Job.filter(id=queued[1].id).update(run_after_ms=2**60)

    first, third, none = [await leases.claim_partition(lease) for _ in range(3)]

    assert first is not None
    assert third is not None
    assert [first.job_id, third.job_id] == [queued[0].id, queued[2].id]
    assert (first.parent_id, first.worker, first.label) == (lease.job_id, "w1", "[1/3] ")
    assert none is None
    assert len(await partitions.look(lease.job_id)) == 3


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("end", ["fail", "cancelled", "cancel", "bury", "cancel_queued", "work"])
async def test_the_end_of_a_job_is_that_of_its_partitions(end: str) -> None:
    lease, queued = await held(4)
    running, done = await leases.claim_partition(lease), await leases.claim_partition(lease)
    assert running is not None
    assert done is not None
    await leases.finish(done, nothing)
    if end == "fail":
        await leases.fail(lease, PlatformError("no"))
    elif end == "cancelled":
        await leases.cancelled(lease)
    elif end == "cancel":
        await leases.cancel(lease.job_id)
    elif end == "work":
        assert lease.source_id is not None
        await jobs.cancel_work([lease.source_id])
    elif end == "bury":
        await Job.filter(id=lease.job_id).update(lease_until_ms=0, deaths=leases.DEATHS_MAX - 1)
        await leases.sweep()
    else:
        await leases.release(lease)
        await leases.cancel(lease.job_id)

    found = [await Job.get(id=each.id) for each in queued]
    assert [each.status for each in found] == [
        JobStatus.CANCELLING,
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    assert [each.active_key is None for each in found] == [False, True, True, True]
    assert [each.finished_at is not None for each in found] == [
        False, True, True, True,
    ]  # fmt: skip
    assert await leases.is_cancelled(running)
    await leases.cancelled(running)
    last = await Job.get(id=running.job_id)
    assert (last.status, last.active_key) == (JobStatus.CANCELLED, None)


async def nothing() -> None:
    pass


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("is_done", [True, False])
async def test_a_partition_that_is_over_keeps_what_it_made(is_done: bool) -> None:  # noqa: FBT001
    lease, _ = await held()
    taken = await leases.claim_partition(lease)
    assert taken is not None
    await leases.checkpoint(taken, {"outputs": [{"x": 1}]}, Progress(7, 70))
    if is_done:
        await leases.finish(taken, nothing)
    else:
        await leases.fail(taken, PlatformError("no"))

    first, *others = await partitions.ended(lease.job_id)

    assert (first.number, first.checkpoint, first.steps_done) == (0, {"outputs": [{"x": 1}]}, 1)
    assert (first.error is None) is is_done
    assert [(each.number, each.status, each.steps_done) for each in others] == [
        (1, JobStatus.QUEUED, 0),
        (2, JobStatus.QUEUED, 0),
    ]
    assert (await partitions.look(lease.job_id))[0].rows_done == 7
    assert (await Job.get(id=lease.job_id)).status is JobStatus.RUNNING


@pytest.mark.usefixtures("database")
async def test_a_partition_writes_into_the_log_of_its_job_while_it_is_held() -> None:
    lease, _ = await held()
    taken = await leases.claim_partition(lease)
    assert taken is not None
    before = (await Job.get(id=lease.job_id)).revision

    await leases.log(taken, "info", "here", "a.py")
    await leases.expire("w1")
    await leases.sweep()
    await leases.log(taken, "info", "gone")

    told = [(line.job_id, line.message, line.step) for line in await JobLog.filter(level="info")]  # type: ignore[attr-defined]
    assert told == [(lease.job_id, "[1/3] here", "a.py")]
    assert (await Job.get(id=lease.job_id)).revision > before


@pytest.mark.usefixtures("database")
async def test_jobs_and_partitions_end_and_expire_at_once_without_a_deadlock() -> None:
    """Whoever locks a job and its partitions takes the job first, or waits for none."""
    for _ in range(10):
        lease, queued = await held(8)
        taken = [await leases.claim_partition(lease) for _ in range(4)]
        held_ones = [each for each in taken if each is not None]
        await Job.filter(id__in=[queued[0].id, lease.job_id]).update(lease_until_ms=0)

        async def write(each: Lease) -> None:
            await leases.log(each, "info", "line")

        await asyncio.gather(
            leases.sweep(), leases.cancel(lease.job_id), leases.sweep(), *map(write, held_ones)
        )

        assert (await Job.get(id=lease.job_id)).status in (*ENDED, JobStatus.CANCELLING)
        await leases.sweep()
        await Job.all().delete()
