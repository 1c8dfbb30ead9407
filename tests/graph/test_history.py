"""A source's snapshots through the API: found by id and time, restored, released, discarded; and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from base.errors import Conflict, InvalidInput
from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Job, JobStatus, Role, Snapshot, SnapshotStatus
from services import jobs, leases, snapshots
from services.platform import Platform
from services.snapshots import retention
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Cursor, Manifest, StoredFile, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, refusal
from tests.services.places import Place, make_place
from workers.planning import base_of

# What a drift leaves behind is kept beside what the source says, and shown to nobody.
DETAILS = {"title": "T", "drifted": {"n": "text"}, "earlier": {"n": "boolean"}}
TABLE = TableSchema("t", (Column("n", ColumnType.INTEGER),), details=DETAILS)
BOOKS: dict[str, Any] = {
    **dict.fromkeys(("rows_read", "inserted", "updated", "unchanged", "deleted", "quarantined"), 0),
    "balanced": True,
    "cursor_from": None,
    "cursor_to": {"t": "7"},
    "files": [],
}


def stored(platform: Platform, key: str, *parts: list[int]) -> StoredTable:
    """A table with these parts."""
    kept = []
    for index, numbers in enumerate(parts):
        prefix = f"snapshots/1/{key}-{index}"
        writer = PartWriter(platform.store.scratch(), platform.store.adopt, prefix)
        batch = pa.record_batch({"n": pa.array(numbers, pa.int64())})
        kept += [each.part for each in (*writer.write(batch), *writer.finish())]
    return StoredTable(TABLE, tuple(kept))


@dataclass(frozen=True)
class World:
    """A source with three snapshots, the last of which is the current one, and someone who may write."""

    place: Place
    source: DataSource
    asker: Asker
    made: list[Snapshot]

    @property
    def id(self) -> str:
        return public_id("datasource", self.source.id)

    def snapshot(self, number: int) -> str:
        return public_id("snapshot", self.made[number - 1].id)

    async def now(self) -> DataSource:
        return await DataSource.get(id=self.source.id)

    async def hold(self, base: int | None = 3, **values: Any) -> str:
        """A held snapshot on top of one of the others."""
        drift = [
            {"table": "t", "column": "n", "change": "widened", "old": "integer", "new": "text"}
        ]
        made = await factories.make_snapshot(
            self.source,
            status=SnapshotStatus.HELD,
            base_id=base and self.made[base - 1].id,
            drift=drift,
            manifest=self.made[0].manifest,
            receipt=BOOKS,
            **values,
        )
        await DataSource.filter(id=self.source.id).update(
            held_snapshot_id=made.id, snapshot_count=4
        )
        return public_id("snapshot", made.id)


@pytest.fixture
async def world(platform: Platform) -> AsyncIterator[World]:
    place = await make_place(Role.WRITE)
    source = await factories.make_source(place.project, place.dataset, snapshot_count=3)
    first = stored(platform, "a", [1, 2], [3])
    second = replace(first, parts=(*first.parts, *stored(platform, "b", [4, 5]).parts[:1]))
    third = stored(platform, "c", [6])
    made: list[Snapshot] = []
    for number, table in enumerate((first, second, third), 1):
        manifest = Manifest((replace(table, key=("n",), cursor=Cursor("n", str(number))),))
        made.append(
            await factories.make_snapshot(
                source,
                manifest=manifest.to_json(),
                row_count=manifest.row_count,
                size_bytes=manifest.size_bytes,
                receipt=BOOKS,
                generation=number,
                base_id=made[-1].id if made else None,
            )
        )
    await DataSource.filter(id=source.id).update(current_snapshot_id=made[-1].id, generation=3)
    yield World(place, source, Asker(platform, place.viewer), made)
    platform.rows.close()


SHOWN = """query ($id: ID!, $of: ID, $asOf: DateTime) { dataSource(id: $id) { snapshot(id: $of, asOf: $asOf) {
  number status rowCount publishedAt drift { table column change old new }
  base { number } restoredFrom { number } job { id }
  receipt { rowsRead inserted updated unchanged deleted balanced cursorTo }
  tables { cursorColumn primaryKey metadata quarantinedRows rows { rows } } } } }"""


async def shown(world: World, **arguments: Any) -> Any:
    data = await world.asker.data(SHOWN, id=world.id, **arguments)
    return data["dataSource"]["snapshot"]


async def test_every_snapshot_can_be_read(world: World) -> None:
    first = await shown(world, of=world.snapshot(1))

    assert first | {"publishedAt": None} == {
        "number": 1,
        "status": "PUBLISHED",
        "rowCount": 3,
        "publishedAt": None,
        "drift": [],
        "base": None,
        "restoredFrom": None,
        "job": None,
        "receipt": {
            **dict.fromkeys(("rowsRead", "inserted", "updated", "unchanged", "deleted"), 0),
            "balanced": True,
            "cursorTo": {"t": "7"},
        },
        "tables": [
            {
                "cursorColumn": "n",
                "primaryKey": ["n"],
                "metadata": {"title": "T"},
                "quarantinedRows": 0,
                "rows": {"rows": [[1], [2], [3]]},
            }
        ],
    }
    assert (await shown(world))["tables"][0]["rows"]["rows"] == [[6]]
    assert (await shown(world, of=world.snapshot(2)))["base"] == {"number": 1}


async def test_a_restored_snapshot_is_a_new_one_with_the_old_rows(world: World) -> None:
    restore = "snapshot { id number tables { rows { rows } } dataSource { snapshot { number } } }"

    done = await do(world.asker, "restoreSnapshot", restore, id=world.snapshot(2))

    rows = [{"rows": {"rows": [[1], [2], [3], [4], [5]]}}]
    assert done["snapshot"] | {"id": ""} == {
        "id": "",
        "number": 4,
        "tables": rows,
        "dataSource": {"snapshot": {"number": 4}},
    }
    current = await shown(world)
    assert (current["restoredFrom"], current["base"]) == ({"number": 2}, {"number": 3})
    assert current["receipt"] == {
        "rowsRead": 5, "inserted": 5, "updated": 0, "unchanged": 0, "deleted": 1,
        "balanced": True, "cursorTo": {"t": "7"},
    }  # fmt: skip
    row = await Snapshot.get(number=4)
    assert (row.manifest, row.generation) == ((await Snapshot.get(number=2)).manifest, 2)
    assert row.manifest["tables"][0]["cursor"] == {"column": "n", "value": "2"}
    source = await world.now()
    assert (source.snapshot_count, source.current_snapshot_id) == (4, row.id)
    assert [table["name"] for table in source.tables] == ["t"]
    assert not (await base_of(source)).is_alike  # the source was changed since it was read


async def test_the_number_of_a_snapshot_that_is_gone_is_not_given_again(world: World) -> None:
    await do(world.asker, "discardSnapshot", "dataSource { id }", id=await world.hold())
    await Snapshot.filter(number=4).update(removed_at=datetime(2026, 1, 1, tzinfo=UTC))
    assert await retention.forget() == 1

    restored = await do(world.asker, "restoreSnapshot", "snapshot { number }", id=world.snapshot(2))

    assert restored == {"snapshot": {"number": 5}}


async def test_rows_that_both_snapshots_have_are_unchanged_by_a_restore(world: World) -> None:
    await do(world.asker, "restoreSnapshot", "snapshot { id }", id=world.snapshot(2))

    await do(world.asker, "restoreSnapshot", "snapshot { id }", id=world.snapshot(1))

    receipt = (await shown(world))["receipt"]
    assert (receipt["rowsRead"], receipt["inserted"], receipt["unchanged"], receipt["deleted"]) == (
        3, 0, 3, 2,
    )  # fmt: skip


async def test_what_cannot_be_restored_is_refused(world: World) -> None:
    held = await world.hold()

    for snapshot in (world.snapshot(3), held):
        assert await refusal(world.asker, "restoreSnapshot", id=snapshot) == (
            "CONFLICT",
            "input.id",
        )
    await Snapshot.filter(id=world.made[0].id).update(removed_at=datetime.now(UTC))
    gone = await refusal(world.asker, "restoreSnapshot", id=world.snapshot(1))
    assert gone == ("NOT_FOUND", "input.id")


@pytest.mark.parametrize("mutation", ["restoreSnapshot", "releaseSnapshot"])
async def test_nothing_becomes_current_beside_a_sync(world: World, mutation: str) -> None:
    held = await world.hold()
    job = await jobs.sync(await world.now(), None)
    asked = world.snapshot(1) if mutation == "restoreSnapshot" else held

    for _ in range(2):  # queued, then running
        assert await refusal(world.asker, mutation, id=asked) == ("CONFLICT", "input.id")
        lease = await leases.claim("w1", 30_000)

    assert lease is None
    await jobs.cancel_jobs([job.id])
    await Job.filter(id=job.id).update(status=JobStatus.CANCELLED, active_key=None)
    await do(world.asker, mutation, "snapshot { id }", id=asked)


async def test_restores_and_syncs_at_once_leave_one_current_snapshot(world: World) -> None:
    restores = [snapshots.restore(world.place.viewer, world.snapshot(n)) for n in (1, 2, 1, 2)]
    source = await world.now()

    done = await asyncio.gather(*restores, jobs.sync(source, None), return_exceptions=True)

    job = done.pop()
    assert isinstance(job, Job)
    assert all(isinstance(each, int | Conflict) for each in done)
    made = [each for each in done if isinstance(each, int)]
    numbers = [each.number for each in await Snapshot.all().order_by("number")]
    assert numbers == list(range(1, 4 + len(made)))
    newest = await Snapshot.get(number=3 + len(made))
    assert (await world.now()).current_snapshot_id == newest.id


async def test_a_held_snapshot_is_seen_but_is_not_the_current_one(world: World) -> None:
    held = await world.hold()
    query = "query ($id: ID!) { dataSource(id: $id) { heldSnapshot { id number } snapshot { number } } }"

    assert (await world.asker.data(query, id=world.id))["dataSource"] == {
        "heldSnapshot": {"id": held, "number": 4},
        "snapshot": {"number": 3},
    }
    seen = await shown(world, of=held)
    assert (seen["status"], seen["publishedAt"], seen["number"]) == ("HELD", None, 4)
    assert seen["drift"] == [
        {"table": "t", "column": "n", "change": "WIDENED", "old": "INTEGER", "new": "TEXT"}
    ]
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert (await shown(world, asOf=soon))["number"] == 3


async def test_a_released_snapshot_is_the_current_one_from_then_on(world: World) -> None:
    held = await world.hold()
    await Snapshot.filter(status=SnapshotStatus.HELD).update(
        published_at=datetime.now(UTC) - timedelta(days=1)
    )
    before = datetime.now(UTC)

    done = await do(
        world.asker, "releaseSnapshot", "snapshot { id status dataSource { heldSnapshot { id } } }", id=held
    )  # fmt: skip

    assert done["snapshot"] == {
        "id": held, "status": "PUBLISHED", "dataSource": {"heldSnapshot": None},
    }  # fmt: skip
    assert (await shown(world))["number"] == 4
    assert (await shown(world, asOf=before.isoformat()))["number"] == 3
    source = await world.now()
    row = await Snapshot.get(id=source.current_snapshot_id)
    assert source.last_synced_at == row.created_at
    assert row.published_at >= before
    assert [table["name"] for table in source.tables] == ["t"]
    for mutation in ("releaseSnapshot", "discardSnapshot"):
        assert await refusal(world.asker, mutation, id=held) == ("CONFLICT", "input.id")


async def test_a_snapshot_that_a_script_made_is_read_but_never_the_current_one(
    world: World,
) -> None:
    base = world.made[1]
    made = await factories.make_snapshot(
        world.source, is_derived=True, base_id=base.id, manifest=base.manifest, receipt=BOOKS
    )
    await DataSource.filter(id=world.source.id).update(derived_snapshot_id=made.id)
    derived = public_id("snapshot", made.id)
    soon = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    assert (await shown(world, of=derived))["number"] == 4
    assert (await shown(world))["number"] == 3
    assert (await shown(world, asOf=soon))["number"] == 3
    for mutation in ("restoreSnapshot", "releaseSnapshot", "discardSnapshot"):
        assert await refusal(world.asker, mutation, id=derived) == ("CONFLICT", "input.id")
    link = await snapshots.presign(
        world.asker.platform, world.place.viewer, world.id, format=ExportFormat.CSV, snapshot_id=derived
    )  # fmt: skip
    assert "/exports/" in link.url
    with pytest.raises(InvalidInput, match="no snapshotId") as refused:
        await snapshots.presign(
            world.asker.platform, world.place.viewer, world.id, snapshot_id=derived
        )
    assert refused.value.hint == "Ask for CSV, PARQUET or JSONL, or leave it out."


async def test_a_held_snapshot_whose_base_is_not_current_is_only_discarded(world: World) -> None:
    held = await world.hold(base=2)

    assert await refusal(world.asker, "releaseSnapshot", id=held) == ("CONFLICT", "input.id")

    asked = "dataSource { id heldSnapshot { id } snapshot { number } }"
    assert (await do(world.asker, "discardSnapshot", asked, id=held))["dataSource"] == {
        "id": world.id, "heldSnapshot": None, "snapshot": {"number": 3},
    }  # fmt: skip
    assert await shown(world, of=held) is None
    assert (await Snapshot.get(number=4)).status is SnapshotStatus.DISCARDED
    assert await refusal(world.asker, "discardSnapshot", id=held) == ("NOT_FOUND", "input.id")


async def test_the_first_snapshot_may_be_held_too(platform: Platform, world: World) -> None:
    await DataSource.filter(id=world.source.id).update(current_snapshot_id=None)

    held = await world.hold(base=None)

    assert await shown(world) is None
    await do(world.asker, "releaseSnapshot", "snapshot { id }", id=held)
    assert (await shown(world))["number"] == 4


async def test_what_is_removed_nobody_sees(world: World) -> None:
    gone = world.made[1]
    await factories.make_job(world.source, status=JobStatus.SUCCEEDED, snapshot_id=gone.id)
    await Snapshot.filter(id=gone.id).update(removed_at=datetime.now(UTC))
    query = """query ($id: ID!, $snapshot: ID!) { node(id: $snapshot) { id } dataSource(id: $id) {
      snapshot(id: $snapshot) { id } snapshots { totalCount nodes { number base { number } } }
      jobs { nodes { snapshot { id } } } } }"""

    seen = await world.asker.data(query, id=world.id, snapshot=world.snapshot(2))

    assert seen == {
        "node": None,
        "dataSource": {
            "snapshot": None,
            "snapshots": {
                "totalCount": 2,
                "nodes": [{"number": 3, "base": None}, {"number": 1, "base": None}],
            },
            "jobs": {"nodes": [{"snapshot": None}]},
        },
    }
    assert await refusal(
        world.asker, "presignDataSource", id=world.id, format="CSV", snapshotId=world.snapshot(2)
    ) == ("NOT_FOUND", "input.snapshotId")


async def test_the_snapshot_of_a_time_is_the_one_that_was_current_then_or_none(
    world: World,
) -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for index, each in enumerate(world.made):
        await Snapshot.filter(id=each.id).update(published_at=start + timedelta(days=index))

    async def at(days: float) -> int | None:
        found = await shown(world, asOf=(start + timedelta(days=days)).isoformat())
        return None if found is None else int(found["number"])

    assert [await at(days) for days in (-1, 0, 0.5, 1, 1.5, 2, 9)] == [None, 1, 1, 2, 2, 3, 3]
    await Snapshot.filter(id=world.made[1].id).update(removed_at=datetime.now(UTC))
    assert [await at(days) for days in (0.5, 1.5, 2)] == [1, None, 3]
    await Snapshot.filter(id=world.made[0].id).update(replaced_at=start + timedelta(days=1))
    await Snapshot.filter(id=world.made[1].id).delete()
    assert [await at(days) for days in (0.5, 1, 1.5, 2)] == [1, None, None, 3]


async def test_rejected_rows_are_counted_and_downloaded(platform: Platform, world: World) -> None:
    lines = b'{"line":2,"column":"n","reason":"not a number","text":"x"}\n'

    async def chunks() -> AsyncIterator[bytes]:
        yield lines

    key = "snapshots/1/9-1/0.ndjson"
    await platform.store.put(key, chunks(), bytes_max=1000)
    table = replace(stored(platform, "d", [1]), quarantine=StoredFile(key, 1, len(lines), "0" * 64))
    made = await factories.make_snapshot(
        world.source, manifest=Manifest((table,)).to_json(), receipt=BOOKS
    )
    await DataSource.filter(id=world.source.id).update(current_snapshot_id=made.id)

    (shown_table,) = (await shown(world))["tables"]
    link = await do(
        world.asker, "presignDataSource", "url", id=world.id, format="QUARANTINE", table="t"
    )

    assert shown_table["quarantinedRows"] == 1
    assert f"/files/{key}?name=" in link["url"]
    assert ".quarantine.ndjson&" in link["url"]
    assert await refusal(
        world.asker, "presignDataSource", id=world.id, format="QUARANTINE",
        snapshotId=world.snapshot(1),
    ) == ("NOT_FOUND", "input.format")  # fmt: skip


async def test_a_link_pins_its_snapshot_until_it_expires(world: World) -> None:
    async def link(seconds: int, **values: Any) -> datetime:
        done = await do(
            world.asker, "presignDataSource", "expiresAt",
            id=world.id, expiresIn=seconds, format="CSV", **values,
        )  # fmt: skip
        return datetime.fromisoformat(done["expiresAt"])

    async def pinned(number: int) -> datetime | None:
        return (await Snapshot.get(id=world.made[number - 1].id)).pinned_until

    late = await link(3600)
    assert await pinned(3) == late
    assert await link(60) < late
    assert await pinned(3) == late
    later = await link(7200)
    assert await pinned(3) == later
    assert await pinned(1) is None
    early = await link(60, snapshotId=world.snapshot(1))
    assert await pinned(1) == early
