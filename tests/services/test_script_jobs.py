"""Script jobs: everything that they will do is pinned when they are made."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from base import isolation
from base.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    SandboxUnavailable,
)
from base.ids import public_id
from models import (
    DataSource,
    Job,
    JobKind,
    JobStatus,
    JobStep,
    Project,
    Role,
    Script,
    Snapshot,
    SnapshotStatus,
)
from models.database import transaction
from services import jobs, projects, scripts
from services.platform import Platform
from services.scripts import StepGiven, TableWanted, starting
from tests import factories
from tests.services.places import Place, make_place, refused
from tests.services.scripting import SAME, create, id_of, manifest, step, steps_of, succeed, synced

SOURCE = "input.dataSourceId"


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place(Role.WRITE)


async def test_a_job_pins_snapshot_table_texts_and_parameters(
    platform: Platform, place: Place
) -> None:
    source = await synced(place, ("sea", "t"))
    script = await factories.make_script(source, "clean/a.py")

    job = await create(platform, place, source, step("clean/a.py", 3, columns=["x"]))

    assert (job.kind, job.status, job.reused) == (JobKind.SCRIPT, JobStatus.QUEUED, False)
    assert job.input_snapshot_id == source.current_snapshot_id
    assert (job.options, job.active_key) == ({"table": ["sea", "t"], "reuse": True}, None)
    assert job.creator_id == place.viewer.user_id  # type: ignore[attr-defined]
    assert (job.data_source_id, job.project_id) == (source.id, place.project.id)  # type: ignore[attr-defined]
    assert (job.revision, job.changed_ms > 0) == (1, True)
    (pinned,) = await steps_of(job)
    assert (pinned.key, pinned.exec_order, pinned.position) == ("clean/a.py", 3, 0)
    assert (pinned.body, pinned.sha256) == (SAME, hashlib.sha256(SAME.encode()).hexdigest())
    assert (pinned.parameters, pinned.status) == ({"columns": ["x"]}, JobStatus.QUEUED)
    assert pinned.script_id == script.id  # type: ignore[attr-defined]
    assert (await DataSource.get(id=source.id)).status is source.status


async def test_later_changes_do_not_reach_a_job(platform: Platform, place: Place) -> None:
    source = await synced(place)
    changed = await factories.make_script(source, "a.py")
    deleted = await factories.make_script(source, "b.py")

    job = await create(platform, place, source, step("a.py"), step("b.py"))
    await scripts.upload(platform, place.viewer, id_of(source), "a.py", body="df = df.tail()")
    await scripts.delete(place.viewer, public_id("script", deleted.id))
    newer = await factories.make_snapshot(source, manifest=manifest("t"))
    await DataSource.filter(id=source.id).update(current_snapshot_id=newer.id)

    pinned = await steps_of(job)
    assert [each.body for each in pinned] == [SAME, SAME]
    assert [each.script_id for each in pinned] == [changed.id, None]  # type: ignore[attr-defined]
    assert (await Job.get(id=job.id)).input_snapshot_id == source.current_snapshot_id


async def test_steps_run_by_their_order_and_then_as_they_were_given(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    for key in ("a.py", "b.py", "c.py", "d.py"):
        await factories.make_script(source, key)
    given = [step("d.py", 2), step("c.py", -1), step("b.py", 2), step("a.py")]

    job = await create(platform, place, source, *given)

    order = [(each.position, each.key, each.exec_order) for each in await steps_of(job)]
    assert order == [(0, "c.py", -1), (1, "a.py", 0), (2, "d.py", 2), (3, "b.py", 2)]


async def test_the_same_script_may_run_twice_with_other_parameters(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    job = await create(platform, place, source, step("a.py", n=1), step("a.py", n=2))

    assert [each.parameters for each in await steps_of(job)] == [{"n": 1}, {"n": 2}]


async def test_predefined_scripts_run_over_any_source(platform: Platform, place: Place) -> None:
    source = await synced(place)
    script = await factories.make_predefined("local:same")

    job = await create(platform, place, source, step("local:same"))

    (pinned,) = await steps_of(job)
    assert (pinned.key, pinned.script_id) == ("local:same", script.id)  # type: ignore[attr-defined]


async def test_a_script_of_another_source_is_not_found(platform: Platform, place: Place) -> None:
    source, other = await synced(place), await synced(place)
    await factories.make_script(other, "a.py")
    await factories.make_script(source, "b.py")

    async with refused(NotFound, "input.steps[1].key") as caught:
        await create(platform, place, source, step("b.py"), step("a.py"))
    assert "'a.py'" in caught.value.message


@pytest.mark.parametrize(
    "key", ["", "..", "../a.py", f"1/{'x' * 300}", "a\x00", "local:", "local:../same"]
)
async def test_keys_that_no_script_has_are_refused(
    platform: Platform, place: Place, key: str
) -> None:
    source = await synced(place)
    await factories.make_predefined("local:same")

    async with refused(InvalidInput, "input.steps[0].key"):
        await create(platform, place, source, step(key))


async def test_a_key_finds_nothing_by_way_of_another_source(
    platform: Platform, place: Place
) -> None:
    """The column is unique by `<source>/<key>`, which a key cannot spell."""
    source, other = await synced(place), await synced(place)
    await factories.make_script(other, "a.py")

    async with refused(NotFound, "input.steps[0].key"):
        await create(platform, place, source, step(f"{other.id}/a.py"))


async def test_a_job_has_one_to_a_hundred_steps(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    job = await create(platform, place, source, *[step("a.py")] * 100)

    assert await JobStep.filter(job_id=job.id).count() == 100
    for steps in ([], [step("a.py")] * 101):
        async with refused(InvalidInput, "input.steps"):
            await scripts.create(platform, place.viewer, id_of(source), steps)


@pytest.mark.parametrize("parameters", [[1], "text", 7, True])
async def test_parameters_are_an_object(
    platform: Platform, place: Place, parameters: object
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    async with refused(InvalidInput, "input.steps[0].parameters"):
        await create(platform, place, source, StepGiven("a.py", 0, parameters))


async def test_parameters_are_bounded(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    deep: Any = {}
    for _ in range(40):
        deep = {"a": deep}

    async with refused(PayloadTooLarge, "input.steps[0].parameters"):
        await create(platform, place, source, step(text="x" * 64 * 1024))
    for odd in (deep, {"n": 2**70}, {"n": float("nan")}, {"t": "\x00"}):
        async with refused(InvalidInput, "input.steps[1].parameters"):
            await create(platform, place, source, step(), StepGiven("a.py", 0, odd))


async def test_the_texts_of_a_job_are_bounded_together(platform: Platform, place: Place) -> None:
    source = await synced(place)
    large = SAME + "#" * (1024**2 - len(SAME))
    await factories.make_script(source, "a.py", large)
    for number in range(9):
        await factories.make_script(source, f"{number}.py", f"{number}\n{large[2:]}")

    assert await create(platform, place, source, *[step("a.py")] * 8)
    async with refused(PayloadTooLarge, "input.steps"):
        await create(platform, place, source, *[step("a.py")] * 9)
    async with refused(PayloadTooLarge, "input.steps"):
        await create(platform, place, source, *(step(f"{number}.py") for number in range(9)))


async def test_the_only_table_is_meant_where_none_is_named(
    platform: Platform, place: Place
) -> None:
    source = await synced(place, "only")
    await factories.make_script(source, "a.py")

    assert (await create(platform, place, source)).options["table"] == [None, "only"]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"table": "rain"}, ["sea", "rain"]),
        ({"table": "land.hail"}, ["land", "hail"]),
        ({"table": "hail", "schema": "sea"}, ["sea", "hail"]),
        ({"table": "sea.hail", "schema": "sea"}, ["sea", "hail"]),
        ({"schema": "land"}, ["land", "hail"]),
        ({"table": "plain"}, [None, "plain"]),
    ],
)
async def test_a_table_is_named_with_its_schema_where_need_be(
    platform: Platform, place: Place, given: dict[str, str], found: list[str | None]
) -> None:
    source = await synced(place, ("sea", "rain"), ("sea", "hail"), ("land", "hail"), "plain")
    await factories.make_script(source, "a.py")

    assert (await create(platform, place, source, **given)).options["table"] == found


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "It has sea.rain, sea.hail, land.hail."),
        ({"table": "hail"}, "It has sea.hail, land.hail."),
        ({"table": "snow"}, "It has sea.rain, sea.hail, land.hail."),
        ({"table": "rain", "schema": "land"}, "It has sea.rain, sea.hail, land.hail."),
        ({"schema": "sea"}, "It has sea.rain, sea.hail."),
    ],
)
async def test_where_it_is_not_clear_which_table_is_meant_they_are_listed(
    platform: Platform, place: Place, given: dict[str, str], said: str
) -> None:
    source = await synced(place, ("sea", "rain"), ("sea", "hail"), ("land", "hail"))
    await factories.make_script(source, "a.py")

    async with refused(InvalidInput, "input.table") as caught:
        await create(platform, place, source, **given)
    assert caught.value.hint == said


async def test_a_long_list_of_tables_is_cut(platform: Platform, place: Place) -> None:
    source = await synced(place, *(f"t{number}" for number in range(500)))
    await factories.make_script(source, "a.py")

    async with refused(InvalidInput, "input.table") as caught:
        await create(platform, place, source)
    assert caught.value.message.endswith("has 500 tables: say which in `table`.")
    assert caught.value.hint is not None
    assert caught.value.hint.endswith("t18, t19, ….")


async def test_without_a_snapshot_there_is_nothing_to_run_over(
    platform: Platform, place: Place
) -> None:
    source = await factories.make_source(place.project, place.dataset)
    await factories.make_script(source, "a.py")

    async with refused(Conflict, SOURCE) as caught:
        await create(platform, place, source)
    assert caught.value.hint is not None
    assert "syncDataSources" in caught.value.hint


async def test_an_older_snapshot_and_a_derived_one_may_be_read(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    older = await factories.make_snapshot(source, manifest=manifest("old"))
    derived = await factories.make_snapshot(source, manifest=manifest("t"), is_derived=True)

    for snapshot, table in ((older, "old"), (derived, "t")):
        public = public_id("snapshot", snapshot.id)
        job = await create(platform, place, source, snapshot_id=public)
        assert (job.input_snapshot_id, job.options["table"]) == (snapshot.id, [None, table])


async def test_what_is_no_published_snapshot_of_the_source_is_refused(
    platform: Platform, place: Place
) -> None:
    source, other = await synced(place), await synced(place)
    await factories.make_script(source, "a.py")
    foreign = await synced(await make_place())
    held = await factories.make_snapshot(source, status=SnapshotStatus.HELD, manifest=manifest("t"))
    removed = await factories.make_snapshot(
        source, removed_at=datetime.now(UTC), manifest=manifest("t")
    )

    for pk in (other.current_snapshot_id, foreign.current_snapshot_id, removed.id, 2**40):
        assert pk is not None
        async with refused(NotFound, "input.snapshotId"):
            await create(platform, place, source, snapshot_id=public_id("snapshot", pk))
    async with refused(Conflict, "input.snapshotId"):
        await create(platform, place, source, snapshot_id=public_id("snapshot", held.id))


async def test_who_may_not_run_jobs_makes_none(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    reader = (await place.member(Role.READ)).acting(Role.EXECUTE)
    executor = (await place.member(Role.EXECUTE)).acting(Role.EXECUTE)
    stranger = (await make_place()).viewer

    async with refused(Forbidden, SOURCE):
        await create(platform, replace(place, viewer=reader), source)
    async with refused(NotFound, SOURCE):
        await create(platform, replace(place, viewer=stranger), source)
    assert await create(platform, replace(place, viewer=executor), source)


async def test_what_is_deleted_gets_no_job(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    await Project.filter(id=place.project.id).update(deleted_at=datetime.now(UTC))

    async with refused(NotFound, SOURCE):
        await create(platform, place, source)


@pytest.mark.parametrize("gone", ["source", "project", "snapshot"])
async def test_what_goes_between_the_plan_and_the_job_is_a_conflict(
    platform: Platform, place: Place, gone: str
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    planned = await scripts.plan(source, [step()], TableWanted())
    now = datetime.now(UTC)
    if gone == "source":
        await DataSource.filter(id=source.id).update(deleted_at=now)
    elif gone == "project":
        await Project.filter(id=place.project.id).update(deleted_at=now)
    else:
        await Snapshot.all().update(removed_at=now)

    async with refused(Conflict, SOURCE), transaction():
        await scripts.start(planned, None, reuse=True)


async def test_a_script_that_goes_between_leaves_its_text(platform: Platform, place: Place) -> None:
    source = await synced(place)
    script = await factories.make_script(source, "a.py")
    planned = await scripts.plan(source, [step()], TableWanted())
    await Script.filter(id=script.id).delete()

    async with transaction():
        job = await scripts.start(planned, None, reuse=True)

    (pinned,) = await steps_of(job)
    assert (pinned.script_id, pinned.body) == (None, SAME)  # type: ignore[attr-defined]


async def test_script_jobs_end_with_their_project(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    job = await create(platform, place, source)

    await projects.delete(place.viewer, place.project_id)

    assert (await Job.get(id=job.id)).status is JobStatus.CANCELLED


async def test_a_partition_is_nobodys_to_cancel_or_retry(platform: Platform, place: Place) -> None:
    source = await synced(place)
    parent = await factories.make_script_job(source)
    part = await factories.make_script_job(source, parent=parent, status=JobStatus.FAILED)

    for act in (jobs.cancel, jobs.retry):
        async with refused(NotFound, "input.id"):
            await act(place.viewer, public_id("job", part.id))


@pytest.fixture
def no_landlock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine whose kernel knows no Landlock."""
    found = isolation.Isolated((), ("seccomp",), ("Landlock",))
    monkeypatch.setattr(isolation, "measured", lambda: found)
    yield
    isolation.allow_limited(False)


@pytest.mark.usefixtures("no_landlock")
async def test_a_server_that_cannot_isolate_scripts_says_so_at_once(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    async with refused(SandboxUnavailable):
        await create(platform, place, source)


@pytest.mark.usefixtures("no_landlock")
async def test_less_isolation_will_do_where_the_operator_says_so_or_the_worker_is_elsewhere(
    platform: Platform, place: Place
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    settings = replace(platform.settings, broker_url="redis://127.0.0.1:6379/0")

    assert await create(replace(platform, settings=settings), place, source)
    isolation.allow_limited(True)
    assert await create(platform, place, source)


async def test_a_project_has_so_many_script_jobs_that_are_not_over_and_no_more(
    platform: Platform, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, neighbour = await synced(place), await synced(place)
    for each in (source, neighbour):
        await factories.make_script(each, "a.py")
    first = await create(platform, place, source, step(n=1))
    await factories.make_job(source)  # a sync, which is not counted
    second = await create(platform, place, source, step(n=2))
    await Job.filter(id=second.id).update(status=JobStatus.CANCELLING)
    made = [first.id, second.id]
    partition = {"kind": JobKind.SCRIPT, "project_id": place.project.id}
    await Job.create(parent_id=first.id, data_source_id=source.id, **partition)
    failed = await create(platform, place, source, step(n=3))
    await Job.filter(id=failed.id).update(status=JobStatus.FAILED)
    monkeypatch.setattr(starting, "JOBS_WAITING_MAX", 2)

    async with refused(Conflict, SOURCE) as caught:
        await create(platform, place, neighbour)
    assert (caught.value.message, caught.value.hint) == (
        "The project has 2 script jobs that are not over, which is the limit.",
        "Wait until some are over, or cancel those that nobody needs with `cancelJob`.",
    )
    viewer, failed_id = place.viewer, public_id("job", failed.id)
    async with refused(Conflict, "input.id"):
        await jobs.retry(viewer, failed_id)
    assert await Job.filter(kind=JobKind.SCRIPT, parent_id=None).count() == len(made) + 1

    await Job.filter(id=first.id).update(status=JobStatus.SUCCEEDED)
    assert await jobs.retry(viewer, failed_id) > failed.id


async def test_what_was_done_already_is_given_however_many_wait(
    platform: Platform, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    await succeed(await create(platform, place, source))
    monkeypatch.setattr(starting, "JOBS_WAITING_MAX", 0)

    assert (await create(platform, place, source)).reused
