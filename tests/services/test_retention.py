"""Which snapshots leave, when, and what goes with them; whatever else happens to them at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.errors import Conflict, NotFound
from base.ids import public_id
from base.tables import TableSchema
from models import DataSource, Job, JobStatus, Snapshot, SnapshotStatus
from models.database import Database
from services import snapshots
from services.platform import Platform
from services.snapshots import retention
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, Part, StoredFile, StoredTable
from tests import factories
from tests.graph.asking import statements
from tests.services.places import Place, make_place
from workers.housekeeping import Housekeeper

KEPT, DAYS = 2, 10


@dataclass(frozen=True)
class World:
    """A source with as many snapshots as days are given, the last of which is the current one."""

    platform: Platform
    place: Place
    source: DataSource

    async def make(self, *days_ago: float, **values: Any) -> list[Snapshot]:
        """Further snapshots of these ages, each with an object of its own and all with a common one."""
        made = []
        for days in days_ago:
            number = await Snapshot.all().count() + 1
            own = f"snapshots/{self.source.id}/{number}-1/0.parquet"
            await put(self.platform, own)
            parts = (Part(own, 1, 1, "0"), Part(self.common, 1, 1, "0"))
            manifest = Manifest((StoredTable(TableSchema("t", ()), parts),))
            snapshot = await factories.make_snapshot(
                self.source, number=number, manifest=manifest.to_json(), **values
            )
            at = datetime.now(UTC) - timedelta(days=days)
            await Snapshot.filter(id=snapshot.id).update(published_at=at)
            made.append(await Snapshot.get(id=snapshot.id))
        current = {} if values else {"current_snapshot_id": made[-1].id}
        await DataSource.filter(id=self.source.id).update(
            snapshot_count=await Snapshot.all().count(), **current
        )
        return made

    @property
    def common(self) -> str:
        return f"snapshots/{self.source.id}/0-1/0.parquet"

    async def there(self) -> list[int]:
        """Numbers of the snapshots in the catalogue."""
        found = await Snapshot.filter(removed_at=None).order_by("number")
        return [each.number for each in found]

    async def objects(self) -> set[int]:
        """Numbers of the snapshots whose own objects are stored; 0 is the common one."""
        keys = [info.key async for info in self.platform.store.list("snapshots/")]
        return {int(key.split("/")[2].partition("-")[0]) for key in keys}


async def put(platform: Platform, *keys: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    for key in keys:
        await platform.store.put(key, chunks(), bytes_max=10)


async def an_hour_later() -> None:
    """Whatever was removed was removed more than an hour ago."""
    long_ago = datetime.now(UTC) - timedelta(seconds=retention.GRACE_SECONDS + 1)
    await Snapshot.filter(removed_at__isnull=False).update(removed_at=long_ago)


@pytest.fixture
async def world(platform: Platform) -> AsyncIterator[World]:
    settings = replace(platform.settings, snapshots_kept=KEPT, snapshots_kept_days=DAYS)
    platform = replace(platform, settings=settings)
    place = await make_place()
    source = await factories.make_source(place.project, place.dataset)
    made = World(platform, place, source)
    await put(platform, made.common)
    yield made
    platform.rows.close()


@pytest.mark.parametrize(
    ("days_ago", "own", "there"),
    [
        ((40, 30, 20, 15), {}, [3, 4]),  # beyond the count and the age
        ((40, 30, 9, 8, 7), {}, [3, 4, 5]),  # beyond the count, not the age
        ((40, 30), {}, [1, 2]),  # beyond the age, not the count
        ((40,), {}, [1]),
        ((40, 30, 20, 15), {"snapshots_kept": 3}, [2, 3, 4]),
        ((40, 30, 20, 15), {"snapshots_kept": 1}, [4]),
        ((40, 30, 9, 8, 7), {"snapshots_kept_days": 0}, [4, 5]),
        ((40, 30, 20, 15), {"snapshots_kept_days": 35}, [2, 3, 4]),
        ((3, 2, 1), {"snapshots_kept": 1, "snapshots_kept_days": 0}, [3]),
    ],
)
async def test_what_is_beyond_the_count_and_the_age_leaves(
    world: World, days_ago: tuple[float, ...], own: dict[str, int], there: list[int]
) -> None:
    await world.make(*days_ago)
    await DataSource.filter(id=world.source.id).update(name="s", **own)

    removed = await retention.retain(world.platform)

    assert (removed, await world.there()) == (len(days_ago) - len(there), there)
    assert await retention.retain(world.platform) == 0


async def test_sources_with_nothing_to_remove_cost_one_statement_together(
    world: World, database: Database
) -> None:
    await world.make(40, 30, 20, 15)
    await retention.retain(world.platform)
    for _ in range(5):
        young = await factories.make_source(world.place.project, snapshot_count=100)
        for number in range(1, 5):
            await factories.make_snapshot(young, number=number)

    async with statements(database) as sent:
        assert await retention.retain(world.platform) == 0

    assert len(sent) == 1


async def test_rows_and_objects_go_an_hour_later_but_those_that_another_snapshot_names(
    world: World,
) -> None:
    await world.make(40, 30, 20, 15)
    tidy = Housekeeper(world.platform).tidy

    await tidy()
    assert await world.objects() == {0, 1, 2, 3, 4}
    assert await Snapshot.all().count() == 4
    await an_hour_later()
    await tidy()

    assert await world.objects() == {0, 3, 4}
    assert [each.number for each in await Snapshot.all().order_by("number")] == [3, 4]


async def test_every_kind_of_object_that_a_snapshot_names_stays(world: World) -> None:
    job = await factories.make_job(world.source, status=JobStatus.SUCCEEDED)
    keys = [f"snapshots/{world.source.id}/{job.id}-1/{each}" for each in "abcde"]
    await put(world.platform, *keys)
    files = [StoredFile(key, 1, 1, "0") for key in keys[1:4]]
    table = StoredTable(
        TableSchema("t", ()),
        (Part(keys[0], 1, 1, "0", deletes=files[0]),),
        profile=files[1],
        quarantine=files[2],
    )
    await factories.make_snapshot(world.source, manifest=Manifest((table,)).to_json())

    await Housekeeper(world.platform).tidy()

    found = {info.key async for info in world.platform.store.list("snapshots/")}
    assert found == set(keys[:4])


async def test_what_somebody_needs_stays(world: World) -> None:
    made = await world.make(60, 50, 40, 30, 20, 15)
    now = datetime.now(UTC)
    await Snapshot.filter(id=made[0].id).update(pinned_until=now + timedelta(minutes=1))
    await Snapshot.filter(id=made[1].id).update(pinned_until=now - timedelta(minutes=1))
    await DataSource.filter(id=world.source.id).update(current_snapshot_id=made[2].id)
    await world.make(70, status=SnapshotStatus.HELD)

    assert await retention.retain(world.platform) == 2

    assert await world.there() == [1, 3, 5, 6, 7]


async def test_what_scripts_made_is_counted_apart_and_replaces_nothing(world: World) -> None:
    await world.make(60, 50, 40)
    derived = await world.make(39, 38, 37, 36, is_derived=True)
    await DataSource.filter(id=world.source.id).update(derived_snapshot_id=derived[-1].id)

    assert await retention.retain(world.platform) == 3

    assert await world.there() == [2, 3, 6, 7]
    staying = await Snapshot.filter(removed_at=None, replaced_at__isnull=False)
    assert staying == []


async def test_what_a_script_job_reads_stays_until_the_job_is_over(world: World) -> None:
    made = await world.make(60, 50, 40, 30)
    job = await factories.make_script_job(world.source, input_snapshot_id=made[0].id)

    assert await retention.retain(world.platform) == 1
    assert await world.there() == [1, 3, 4]
    await Snapshot.filter(id=made[0].id).update(removed_at=datetime.now(UTC))  # a moment too early
    await an_hour_later()
    assert await retention.forget() == 1
    await Job.filter(id=job.id).update(status=JobStatus.SUCCEEDED)
    assert await retention.forget() == 1


async def test_a_discarded_snapshot_goes_an_hour_later(world: World) -> None:
    await world.make(1)
    (held,) = await world.make(0, status=SnapshotStatus.HELD)
    await DataSource.filter(id=world.source.id).update(held_snapshot_id=held.id)
    tidy = Housekeeper(world.platform).tidy

    await snapshots.discard(world.place.viewer, public_id("snapshot", held.id))
    await tidy()
    assert await world.objects() == {0, 1, 2}
    await an_hour_later()
    await tidy()

    assert await world.objects() == {0, 1}


async def test_objects_of_a_job_that_is_not_over_stay(world: World) -> None:
    running = await factories.make_job(world.source, status=JobStatus.RUNNING)
    key = f"snapshots/{world.source.id}/{running.id}-1/0.parquet"
    await put(world.platform, key)
    await world.make(40, 30, 20, 15)

    await Housekeeper(world.platform).tidy()
    await an_hour_later()
    await Housekeeper(world.platform).tidy()

    assert await world.objects() == {0, 3, 4, running.id}


async def test_sources_that_are_deleted_are_left_to_the_cleanup(world: World) -> None:
    await world.make(40, 30, 20, 15)
    await DataSource.filter(id=world.source.id).update(deleted_at=datetime.now(UTC))

    assert await retention.retain(world.platform) == 0


async def test_many_go_in_several_steps_and_of_several_workers_each_takes_some(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "SNAPSHOTS_AT_ONCE", 2)
    monkeypatch.setattr(retention, "SOURCES_AT_ONCE", 1)
    await world.make(*range(40, 29, -1))

    removed = await asyncio.gather(*(retention.retain(world.platform) for _ in range(3)))

    assert (sum(removed), await world.there()) == (9, [10, 11])
    await an_hour_later()
    assert sum(await asyncio.gather(*(retention.forget() for _ in range(3)))) == 9
    assert await Snapshot.all().count() == 2


async def test_between_a_removal_and_whoever_wants_a_snapshot_one_wins(world: World) -> None:
    made = await world.make(40, 30, 20, 15)
    first, second = (public_id("snapshot", each.id) for each in made[:2])
    source_id = public_id("datasource", world.source.id)

    done = await asyncio.gather(
        snapshots.restore(world.place.viewer, first),
        snapshots.presign(
            world.platform,
            world.place.viewer,
            source_id,
            format=ExportFormat.CSV,
            snapshot_id=second,
        ),
        retention.retain(world.platform),
        retention.retain(world.platform),
        return_exceptions=True,
    )

    restored, link, *_ = done
    there = await world.there()
    if isinstance(restored, int):
        assert 5 in there
        current = await Snapshot.get(id=restored)
        assert {part["key"] for part in current.manifest["tables"][0]["parts"]} <= {
            info.key async for info in world.platform.store.list("snapshots/")
        }
    else:
        assert isinstance(restored, NotFound)
        assert 5 not in there
    assert isinstance(link, NotFound) is (2 not in there)
    newest = {4, 5} if isinstance(restored, int) else {3, 4}
    assert newest <= set(there)


async def test_objects_of_a_restored_snapshot_outlive_the_one_that_it_came_from(
    world: World,
) -> None:
    made = await world.make(40, 30, 20, 15)
    tidy = Housekeeper(world.platform).tidy

    await snapshots.restore(world.place.viewer, public_id("snapshot", made[0].id))
    await tidy()
    await an_hour_later()
    await tidy()

    assert await world.there() == [4, 5]
    assert await world.objects() == {0, 1, 4}
    with pytest.raises(NotFound):
        await snapshots.restore(world.place.viewer, public_id("snapshot", made[0].id))
    with pytest.raises(Conflict):
        await snapshots.restore(
            world.place.viewer, public_id("snapshot", (await Snapshot.get(number=5)).id)
        )


async def test_one_that_stays_says_when_the_one_after_it_that_is_gone_replaced_it(
    world: World,
) -> None:
    made = await world.make(60, 50, 40, 30, 20, 15)
    pinned = datetime.now(UTC) + timedelta(minutes=1)
    await Snapshot.filter(id__in=[made[0].id, made[2].id]).update(pinned_until=pinned)

    await retention.retain(world.platform)

    staying = await Snapshot.filter(removed_at=None).order_by("number")
    assert [(each.number, each.replaced_at) for each in staying] == [
        (1, made[1].published_at),
        (3, made[3].published_at),
        (5, None),
        (6, None),
    ]


async def test_one_that_stays_says_so_too_when_the_one_between_goes_later(world: World) -> None:
    made = await world.make(60, 50, 40, 20, 15)
    now = datetime.now(UTC)
    await Snapshot.filter(id__in=[each.id for each in made[:2]]).update(
        pinned_until=now + timedelta(minutes=1)
    )
    assert await retention.retain(world.platform) == 1
    await Snapshot.filter(id=made[1].id).update(pinned_until=now - timedelta(minutes=1))

    assert await retention.retain(world.platform) == 1

    first = await Snapshot.get(number=1)
    assert first.replaced_at == made[1].published_at
