"""What workers do by the clock goes on, whatever one round meets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from tortoise.context import TortoiseContext

from models import Job, Snapshot
from services.platform import Platform
from storage.location import Location
from storage.s3 import S3Store
from storage.sigv4 import Credentials
from tests import factories
from tests.s3_server import KEY_ID, S3Server
from tests.storage.conformance import chunks_of
from workers import schedule
from workers.housekeeping import Housekeeper


async def test_an_object_store_that_refuses_ends_one_round_of_tidying_and_not_all(
    platform: Platform,
    s3_server: S3Server,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    wrong = Credentials(KEY_ID, "not the secret")
    store = S3Store(Location.parse(s3_server.url()), wrong, tmp_path / "s3", 1024**3)
    settings = replace(platform.settings, snapshots_kept=1, snapshots_kept_days=0)
    source = await factories.make_source(snapshot_count=2)
    old, _ = [await factories.make_snapshot(source, number=number) for number in (1, 2)]

    await schedule.tidy(Housekeeper(replace(platform, store=store, settings=settings)))

    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "tidying up did not finish; the next round goes on"
    ]
    assert (await Snapshot.get(id=old.id)).removed_at is not None  # what needs no store is done


async def test_what_nobody_can_read_ends_one_round_of_tidying_and_not_all(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    source = await factories.make_source()
    await factories.make_snapshot(source, manifest={"of": "a release to come"})
    await platform.store.put(f"snapshots/{source.id}/1-1/0", chunks_of(b"x"), bytes_max=1)

    await schedule.tidy(Housekeeper(platform))

    assert _failures(caplog) == ["tidying up did not finish; the next round goes on"]


async def test_a_failure_that_nobody_thought_of_ends_one_round_and_not_all(
    platform: Platform, caplog: pytest.LogCaptureFixture
) -> None:
    with TortoiseContext():  # where there is no database at all
        running = asyncio.create_task(schedule.run(platform))
    expected = ["jobs could not be swept", "schedules could not be looked for"]
    try:
        async with asyncio.timeout(60):
            while any(  # noqa: ASYNC110 - the log tells, nobody else
                _failures(caplog).count(each) < 2 for each in expected
            ):
                await asyncio.sleep(0.05)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.wait({running})


def _failures(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.exc_info]


async def test_schedules_run_while_a_worker_does(platform: Platform) -> None:
    staff = await factories.make_user(is_staff=True)
    made = [await factories.make_schedule(creator=staff) for _ in range(2)]
    running = asyncio.create_task(schedule.run(platform))
    try:
        async with asyncio.timeout(60):
            while await Job.all().count() < len(made):  # noqa: ASYNC110 - the row tells, nobody else
                await asyncio.sleep(0.05)
    finally:
        running.cancel()
        await asyncio.wait({running})

    assert await Job.all().count() == len(made)
