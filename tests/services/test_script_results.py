"""What scripts gave before is not worked out again, and what failed is tried again as it was."""

import asyncio
from datetime import UTC, datetime

import pytest

from base.errors import Conflict
from base.ids import public_id
from models import (
    DataSource,
    Job,
    JobKind,
    JobLog,
    JobStatus,
    Role,
    Snapshot,
)
from services import jobs, scripts
from services.platform import Platform
from services.scripts import StepGiven
from services.scripts.memo import memo_key
from tests import factories
from tests.services.places import Place, make_place, refused
from tests.services.scripting import SAME, create, id_of, manifest, step, steps_of, succeed, synced


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place(Role.WRITE)


async def test_the_same_again_gives_the_earlier_result_at_once(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    first = await create(platform, place, source, step(n=1, m=2))
    snapshot = await succeed(first)

    again = await create(platform, place, source, step(m=2, n=1))

    assert again.id != first.id
    assert (again.status, again.reused) == (JobStatus.SUCCEEDED, True)
    assert (again.snapshot_id, again.memo_key) == (snapshot.id, first.memo_key)
    assert again.started_at == again.finished_at is not None
    assert (again.rows_done, again.rows_total, again.bytes_done) == (7, 10, 70)
    assert (again.attempts, again.revision, again.worker) == (0, 1, None)
    (done,) = await steps_of(again)
    assert (done.status, done.rows_in, done.rows_out) == (JobStatus.SUCCEEDED, 10, 7)
    assert (done.started_at, done.finished_at) == (again.started_at, again.finished_at)
    assert done.body == SAME
    (line,) = await JobLog.filter(job_id=again.id)
    assert line.message == (
        f"Nothing ran: {public_id('job', first.id)} ran the same scripts over the same snapshot."
        " Its result is this job's, too."
    )


async def test_the_same_text_under_another_key_is_the_same(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    await factories.make_script(source, "b.py")
    await succeed(await create(platform, place, source, step("a.py")))

    assert (await create(platform, place, source, step("b.py", 7))).reused


async def test_what_is_not_the_same_runs(platform: Platform, place: Place) -> None:
    source = await synced(place, "t", "u")
    await factories.make_script(source, "a.py")
    await factories.make_script(source, "b.py", "df = df.head()")
    await succeed(await create(platform, place, source, step("a.py"), step("b.py"), table="t"))
    newer = await factories.make_snapshot(source, manifest=manifest("t", "u"))

    both = (step("a.py"), step("b.py"))
    others = [
        await create(platform, place, source, *both, table="u"),
        await create(platform, place, source, *both, table="t", reuse=False),
        await create(platform, place, source, *reversed(both), table="t"),
        await create(platform, place, source, step("a.py"), table="t"),
        await create(platform, place, source, step("a.py", n=1), step("b.py"), table="t"),
        await create(
            platform, place, source, *both, table="t", snapshot_id=public_id("snapshot", newer.id)
        ),
    ]

    assert [(job.status, job.reused) for job in others] == [(JobStatus.QUEUED, False)] * 6
    assert (await create(platform, place, source, *both, table="t")).reused


async def test_parameters_of_other_types_are_others() -> None:
    keys = {memo_key(1, (None, "t"), [("a", {"n": n})]) for n in (1, 1.0, "1", True, None)}

    assert len(keys) == 5


@pytest.mark.parametrize("why", ["failed", "removed", "forgotten"])
async def test_a_result_that_is_not_there_is_not_reused(
    platform: Platform, place: Place, why: str
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    first = await create(platform, place, source)
    snapshot = await succeed(first)
    if why == "failed":
        await Job.filter(id=first.id).update(status=JobStatus.FAILED)
    elif why == "removed":
        await Snapshot.filter(id=snapshot.id).update(removed_at=datetime.now(UTC))
    else:
        await Snapshot.filter(id=snapshot.id).delete()

    assert not (await create(platform, place, source)).reused


async def test_the_newest_result_that_is_there_is_reused(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    made = [await succeed(await create(platform, place, source, reuse=False)) for _ in range(3)]
    await Snapshot.filter(id=made[2].id).update(removed_at=datetime.now(UTC))

    assert (await create(platform, place, source)).snapshot_id == made[1].id


async def test_an_idempotency_key_gives_the_same_job(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    async def ask(*steps: StepGiven) -> int:
        return (await create(platform, place, source, *steps, idempotency_key="k")).id  # type: ignore[no-any-return]

    made = set(await asyncio.gather(*(ask() for _ in range(5))))

    assert len(made) == 1
    await Snapshot.all().update(removed_at=datetime.now(UTC))
    assert {await ask()} == made
    async with refused(Conflict, "input.idempotencyKey"):
        await ask(step("a.py", 1))


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.CANCELLED])
async def test_a_retry_runs_the_pinned_texts_again(
    platform: Platform, place: Place, status: JobStatus
) -> None:
    source = await synced(place)
    script = await factories.make_script(source, "a.py")
    first = await create(platform, place, source, step(n=1), step("a.py", -1))
    await Job.filter(id=first.id).update(status=status, error={"code": "TIMEOUT"})
    await scripts.upload(platform, place.viewer, id_of(source), "a.py", body="df = 1")
    newer = await factories.make_snapshot(source, manifest=manifest("t"))
    await DataSource.filter(id=source.id).update(current_snapshot_id=newer.id)

    pk = await jobs.retry(place.viewer, public_id("job", first.id))

    again = await Job.get(id=pk)
    assert again.id != first.id
    assert (again.kind, again.status, again.error) == (JobKind.SCRIPT, JobStatus.QUEUED, None)
    assert (again.input_snapshot_id, again.options["table"]) == (
        first.input_snapshot_id,
        [None, "t"],
    )
    assert again.memo_key == first.memo_key
    columns = ("key", "exec_order", "position", "body", "sha256", "parameters", "script_id")
    pinned = [
        [[getattr(each, name) for name in columns] for each in await steps_of(job)]
        for job in (first, again)
    ]
    before, after = pinned
    assert after == before
    assert before[0] == ["a.py", -1, 0, SAME, script.sha256, {}, script.id]


async def test_a_retry_needs_the_snapshot_and_the_source(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    job = await create(platform, place, source)
    await Job.filter(id=job.id).update(status=JobStatus.FAILED)
    public = public_id("job", job.id)
    await Snapshot.all().update(removed_at=datetime.now(UTC))

    async with refused(Conflict, "input.id") as caught:
        await jobs.retry(place.viewer, public)
    assert "snapshot" in caught.value.message
    await Snapshot.all().update(removed_at=None)
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))
    async with refused(Conflict, "input.id"):
        await jobs.retry(place.viewer, public)


async def test_a_retry_does_not_take_an_earlier_result(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    await succeed(await create(platform, place, source))
    failed = await create(platform, place, source, reuse=False)
    await Job.filter(id=failed.id).update(status=JobStatus.FAILED)

    pk = await jobs.retry(place.viewer, public_id("job", failed.id))

    assert not (await Job.get(id=pk)).reused
