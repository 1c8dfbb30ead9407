"""Schedules: made, changed and removed by whoever may, with a next run that the database's clock decides."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from base.tables import TableSchema
from models import DataSource, JobKind, Role, Schedule
from services import schedules
from services.access import find
from services.platform import Platform
from services.schedules import ScriptsWork, SyncWork, cron, storing
from services.schedules.ticks import NEVER_MS
from services.scripts import StepGiven
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories
from tests.services.places import Place, make_place, refused

HOUR_MS = 3_600_000
MANIFEST = Manifest((StoredTable(TableSchema("t", ()), ()),)).to_json()


@pytest.fixture
async def place(platform: Platform) -> Place:
    assert platform
    return await make_place(Role.WRITE)


async def make(platform: Platform, place: Place, source: DataSource, **values: Any) -> Schedule:
    given: dict[str, Any] = {"name": "Hourly", "expression": "0 * * * *", "work": SyncWork()}
    pk = await schedules.create(
        platform, place.viewer, public_id("datasource", source.id), **given | values
    )
    return await Schedule.get(id=pk)


async def synced(place: Place) -> DataSource:
    """A source with one table, `t`."""
    source = await factories.make_source(place.project, place.dataset)
    snapshot = await factories.make_snapshot(source, manifest=MANIFEST)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    return await DataSource.get(id=source.id)


async def test_a_schedule_is_made(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)
    before = time.time() * 1000

    made = await make(
        platform,
        place,
        source,
        name=" Nightly ",
        expression="30  2 * * mon-fri",
        time_zone="Europe/Berlin",
        work=SyncWork(incremental=False, batch_rows=7),
    )

    row = dict(await Schedule.get(id=made.id).values())
    assert (row["project_id"], row["data_source_id"], row["creator_id"]) == (
        place.project.id,
        source.id,
        place.viewer.user_id,
    )
    assert (made.name, made.kind, made.cron) == ("Nightly", JobKind.SYNC, "30 2 * * mon-fri")
    assert (made.time_zone, made.is_enabled) == ("Europe/Berlin", True)
    assert made.options == {"incremental": False, "batch_rows": 7}
    assert before < made.next_run_ms < before + 4 * 24 * HOUR_MS
    assert (made.last_run_at, made.last_job_id, made.error) == (None, None, None)


async def test_a_schedule_of_scripts_is_made(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")
    steps = (StepGiven("a.py", 2, {"x": [1]}), StepGiven("a.py", partitioned=True))
    work = ScriptsWork(steps, table="t", reuse=False, partitions=3)

    made = await make(platform, place, source, work=work)

    assert made.kind is JobKind.SCRIPT
    assert made.options == {
        "table": "t",
        "schema": None,
        "partitions": 3,
        "reuse": False,
        "steps": [
            {"key": "a.py", "exec_order": 2, "parameters": {"x": [1]}, "partitioned": False},
            {"key": "a.py", "exec_order": 0, "parameters": {}, "partitioned": True},
        ],
    }


async def test_one_of_scripts_may_be_made_before_the_first_sync(
    platform: Platform, place: Place
) -> None:
    source = await factories.make_source(place.project)

    made = await make(platform, place, source, work=ScriptsWork((StepGiven("later.py"),)))

    assert [each["key"] for each in made.options["steps"]] == ["later.py"]


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": " "}, "input.name"),
        ({"name": "x" * 201}, "input.name"),
        ({"expression": "0 25 * * *"}, "input.cron"),
        ({"expression": "* * * * * *"}, "input.cron"),
        ({"time_zone": "Europe/Bonn"}, "input.timeZone"),
        ({"work": SyncWork(batch_rows=0)}, "input.work.sync.batchSize"),
        ({"work": ScriptsWork(())}, "input.work.job.steps"),
        ({"work": ScriptsWork((StepGiven("../a.py"),))}, "input.work.job.steps[0].key"),
        (
            {"work": ScriptsWork((StepGiven("a.py", 0, [1]),))},
            "input.work.job.steps[0].parameters",
        ),
        ({"work": ScriptsWork((StepGiven("a.py"),), table="u")}, "input.work.job.table"),
        ({"work": ScriptsWork((StepGiven("a.py"),), schema="\x00")}, "input.work.job.schema"),
    ],
)
async def test_what_is_wrong_is_refused_in_words(
    platform: Platform, place: Place, values: dict[str, Any], field: str
) -> None:
    source = await synced(place)
    await factories.make_script(source, "a.py")

    async with refused(InvalidInput, field):
        await make(platform, place, source, **values)


async def test_a_script_that_there_is_not_is_refused(platform: Platform, place: Place) -> None:
    source = await synced(place)
    await factories.make_predefined("local:same")

    async with refused(NotFound, "input.work.job.steps[1].key"):
        await make(
            platform,
            place,
            source,
            work=ScriptsWork((StepGiven("local:same"), StepGiven("gone.py"))),
        )


async def test_a_day_that_never_comes_is_refused(
    platform: Platform, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await factories.make_source(place.project)
    monkeypatch.setattr(cron, "following", lambda *_given: None)

    async with refused(InvalidInput, "input.cron"):
        await make(platform, place, source)


async def test_a_source_takes_only_so_many(
    platform: Platform, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "SCHEDULES_MAX", 2)
    source = await factories.make_source(place.project)
    for _ in range(2):
        await make(platform, place, source)

    async with refused(Conflict, "input.dataSourceId"):
        await make(platform, place, source)


async def test_the_same_request_makes_one_schedule(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)

    made = [await make(platform, place, source, idempotency_key="k") for _ in range(2)]

    assert made[0].id == made[1].id
    assert await Schedule.all().count() == 1
    with pytest.raises(Conflict):
        await make(platform, place, source, idempotency_key="k", time_zone="Asia/Kolkata")


async def test_a_schedule_is_changed_and_taken_over(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)
    made = await make(platform, place, source)
    other = (await place.member(Role.WRITE)).acting(Role.WRITE)
    schedule_id = public_id("schedule", made.id)

    await schedules.update(other, schedule_id, {"name": "Daily", "work": SyncWork(batch_rows=9)})

    changed = await Schedule.get(id=made.id)
    assert (changed.name, changed.options) == ("Daily", {"incremental": True, "batch_rows": 9})
    assert (changed.cron, changed.next_run_ms) == (made.cron, made.next_run_ms)
    assert (await Schedule.get(id=made.id).values())["creator_id"] == other.user_id
    await schedules.update(other, schedule_id, {"cron": "0 0 1 1 *", "time_zone": "Asia/Kolkata"})
    yearly = await Schedule.get(id=made.id)
    next_run = datetime.fromtimestamp(yearly.next_run_ms / 1000, UTC)
    assert (next_run.month, next_run.day, next_run.hour, next_run.minute) == (12, 31, 18, 30)


async def test_a_change_of_nothing_changes_nothing(platform: Platform, place: Place) -> None:
    made = await make(platform, place, await factories.make_source(place.project))
    other = (await place.member(Role.WRITE)).acting(Role.WRITE)

    await schedules.update(other, public_id("schedule", made.id), {})

    row = await Schedule.get(id=made.id).values()
    assert row["creator_id"] == place.viewer.user_id


async def test_a_pause_has_no_next_run_and_is_not_made_up_for(
    platform: Platform, place: Place
) -> None:
    made = await make(platform, place, await factories.make_source(place.project))
    schedule_id = public_id("schedule", made.id)

    await schedules.update(place.viewer, schedule_id, {"is_enabled": False})
    await schedules.update(place.viewer, schedule_id, {"cron": "*/5 * * * *"})
    paused = await Schedule.get(id=made.id)
    await schedules.update(place.viewer, schedule_id, {"is_enabled": True})
    resumed = await Schedule.get(id=made.id)

    assert (paused.is_enabled, paused.next_run_ms) == (False, NEVER_MS)
    assert resumed.is_enabled
    assert abs(resumed.next_run_ms - time.time() * 1000) < HOUR_MS
    assert await schedules.tick() == 0


async def test_one_is_made_paused(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)

    made = await make(platform, place, source, is_enabled=False)

    assert (made.is_enabled, made.next_run_ms) == (False, NEVER_MS)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": None}, "input.name"),
        ({"cron": None}, "input.cron"),
        ({"cron": "* * *"}, "input.cron"),
        ({"time_zone": "Mars"}, "input.timeZone"),
        ({"is_enabled": None}, "input.isEnabled"),
        ({"work": None}, "input.work"),
        ({"work": SyncWork(batch_rows=-1)}, "input.work.sync.batchSize"),
    ],
)
async def test_changes_that_are_wrong_are_refused(
    platform: Platform, place: Place, changes: dict[str, Any], field: str
) -> None:
    made = await make(platform, place, await factories.make_source(place.project))

    async with refused(InvalidInput, field):
        await schedules.update(place.viewer, public_id("schedule", made.id), changes)


async def test_a_schedule_is_removed(platform: Platform, place: Place) -> None:
    made = await make(platform, place, await factories.make_source(place.project))

    await schedules.delete(place.viewer, public_id("schedule", made.id))

    assert await Schedule.all().count() == 0


async def test_only_writers_of_the_team_may(platform: Platform, place: Place) -> None:
    source = await factories.make_source(place.project)
    made = await make(platform, place, source)
    source_id, schedule_id = public_id("datasource", source.id), public_id("schedule", made.id)
    runner = (await factories.make_viewer(place.team, Role.EXECUTE)).acting(Role.WRITE)
    stranger = (await factories.make_viewer()).acting(Role.WRITE)
    for viewer, kind in ((runner, Forbidden), (stranger, NotFound)):
        async with refused(kind, "input.dataSourceId"):
            await schedules.create(
                platform, viewer, source_id, name="s", expression="* * * * *", work=SyncWork()
            )
        async with refused(kind, "input.id"):
            await schedules.update(viewer, schedule_id, {"name": "n"})
        async with refused(kind, "input.id"):
            await schedules.delete(viewer, schedule_id)


async def test_one_whose_source_is_removed_meanwhile_is_not_found(
    platform: Platform, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await factories.make_source(place.project)
    made = await make(platform, place, source)

    async def find_and_remove(*args: Any, **given: Any) -> Any:
        found = await find(*args, **given)
        await DataSource.filter(id=source.id).delete()
        return found

    monkeypatch.setattr(storing, "find", find_and_remove)

    with pytest.raises(NotFound) as caught:
        await schedules.update(
            place.viewer, public_id("schedule", made.id), {"work": SyncWork(batch_rows=9)}
        )
    assert caught.value.field == "input.id"


async def test_schedules_of_a_deleted_source_are_gone_with_it(
    platform: Platform, place: Place
) -> None:
    source = await factories.make_source(place.project)
    made = await make(platform, place, source)
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))

    async with refused(NotFound, "input.id"):
        await schedules.update(place.viewer, public_id("schedule", made.id), {"name": "n"})
    await DataSource.filter(id=source.id).delete()
    assert await Schedule.all().count() == 0
