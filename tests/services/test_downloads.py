"""Downloads that take longer than their link is good: what they send stays until they are over, and goes then."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

import storage
from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Snapshot
from services import snapshots
from services.platform import Platform
from services.snapshots import downloads, retention
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories
from tests.s3_server import KEY_ID, SECRET
from workers.housekeeping import Housekeeper

PARTS, PART_ROWS = 16, 500


@pytest.fixture(params=["local", "s3"])
async def platform(
    platform: Platform, request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Platform]:
    settings = replace(platform.settings, snapshots_kept=1, snapshots_kept_days=0)
    platform = replace(platform, settings=settings)
    if request.param == "s3":
        store = storage.open(
            request.getfixturevalue("s3_server").url(),
            signing_key=b"",
            public_url="",
            credentials=storage.Credentials(KEY_ID, SECRET),
            folder=tmp_path / "s3",
        )
        platform = replace(platform, store=store)
    yield platform
    platform.rows.close()


@pytest.fixture
async def old(platform: Platform) -> Snapshot:
    """A snapshot of several parts, that another one has replaced."""
    source = await factories.make_source()
    prefix = f"snapshots/{source.id}/1-1"
    noise = Random(0)
    with PartWriter(
        platform.store.scratch(), platform.store.adopt, prefix, part_rows=PART_ROWS
    ) as writer:
        finished = []
        for start in range(0, PARTS * PART_ROWS, PART_ROWS):
            numbers = list(range(start, start + PART_ROWS))
            batch = pa.record_batch(
                {"n": numbers, "noise": [noise.randbytes(500) for _ in numbers]}
            )
            finished += writer.write(batch)
        finished += writer.finish()
    columns = (Column("n", ColumnType.INTEGER), Column("noise", ColumnType.BINARY))
    table = StoredTable(TableSchema("things", columns), tuple(each.part for each in finished))
    old = await factories.make_snapshot(source, number=1, manifest=Manifest((table,)).to_json())
    new = await factories.make_snapshot(source, number=2, manifest=Manifest(()).to_json())
    await DataSource.filter(id=source.id).update(current_snapshot_id=new.id, snapshot_count=2)
    return old


async def tidy_for_hours(platform: Platform) -> None:
    """Two rounds, between which an hour passes for all that was removed."""
    await Housekeeper(platform).tidy()
    long_ago = datetime.now(UTC) - timedelta(seconds=retention.GRACE_SECONDS + 1)
    await Snapshot.filter(removed_at__isnull=False).update(removed_at=long_ago)
    await Housekeeper(platform).tidy()


async def end_pins() -> None:
    """As if the time had come that links and downloads had kept snapshots for."""
    await Snapshot.all().update(pinned_until=datetime.now(UTC) - timedelta(seconds=1))


async def test_a_download_under_way_keeps_its_snapshot_until_it_is_over(
    platform: Platform, old: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "PIN_AGAIN_SECONDS", 0)  # pinned anew with every chunk
    snapshot_id = public_id("snapshot", old.id)
    whole = [
        c async for c in await snapshots.export(platform, snapshot_id, 0, ExportFormat.PARQUET)
    ]
    await end_pins()

    chunks = await snapshots.export(platform, snapshot_id, 0, ExportFormat.PARQUET)
    sent = [await anext(chunks)]
    await tidy_for_hours(platform)
    await end_pins()
    sent.append(await anext(chunks))
    await tidy_for_hours(platform)
    sent += [chunk async for chunk in chunks]

    assert len(sent) > 3  # it was under way
    assert b"".join(sent) == b"".join(whole)
    await end_pins()
    await tidy_for_hours(platform)
    assert await Snapshot.get_or_none(id=old.id) is None
    assert [info async for info in platform.store.list("snapshots/")] == []
