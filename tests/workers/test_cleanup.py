"""Cleanups and housekeeping remove what nobody needs, all of it, and nothing else."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.tables import TableSchema
from models import (
    DataSource,
    DataSourceStatus,
    IdempotencyKey,
    Job,
    JobKind,
    JobLog,
    JobStatus,
    Project,
    Snapshot,
    Upload,
)
from services import leases
from services.leases import Lease
from services.platform import Platform
from storage.snapshots.manifest import Manifest, Part, StoredTable
from tests.factories import (
    make_job,
    make_project,
    make_script_job,
    make_snapshot,
    make_source,
    make_upload,
    make_user,
)
from workers import cleanup
from workers.housekeeping import Housekeeper

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


async def put(platform: Platform, *keys: str) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    for key in keys:
        await platform.store.put(key, chunks(), bytes_max=10)


async def stored(platform: Platform) -> set[str]:
    found = set()
    for prefix in ("snapshots/", "uploads/"):
        found |= {info.key async for info in platform.store.list(prefix)}
    return found


async def cleanup_of(project: Project, *source_ids: int) -> Lease:
    await Job.create(
        kind=JobKind.CLEANUP, project=project, options={"data_source_ids": list(source_ids)}
    )
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    return lease


def manifest_of(*keys: str) -> dict[str, Any]:
    parts = tuple(Part(key, 1, 1, "a") for key in keys)
    return Manifest((StoredTable(TableSchema("t", ()), parts),)).to_json()


async def test_a_deleted_source_goes_with_all_that_is_stored_of_it(platform: Platform) -> None:
    project = await make_project()
    upload = await make_upload(project)
    settings = {"object_key": upload.object_key}
    gone = await make_source(project, deleted_at=LONG_AGO, settings=settings)
    kept = await make_source(project)
    job = await make_job(gone, status=JobStatus.SUCCEEDED)
    await JobLog.create(job=job, level="info", message="hello")
    await make_snapshot(gone, job=job)
    parts = [
        f"snapshots/{gone.id}/{job.id}-1/0.parquet",
        f"snapshots/{gone.id}/{job.id}-2/0.parquet",
    ]
    others = [f"snapshots/{kept.id}/7-1/0.parquet", f"snapshots/{gone.id}0/7-1/0.parquet"]
    await put(platform, upload.object_key, *parts, *others)
    lease = await cleanup_of(project, gone.id)

    await cleanup.run(platform, lease)

    assert await stored(platform) == set(others)
    assert [source.id for source in await DataSource.all()] == [kept.id]
    assert [await model.all().count() for model in (Snapshot, JobLog, Upload)] == [0, 0, 0]
    assert [(j.kind, j.status) for j in await Job.all()] == [(JobKind.CLEANUP, JobStatus.SUCCEEDED)]


async def test_a_source_that_is_not_deleted_is_left_alone(platform: Platform) -> None:
    project = await make_project()
    source = await make_source(project)
    key = f"snapshots/{source.id}/7-1/0.parquet"
    await put(platform, key)

    await cleanup.run(platform, await cleanup_of(project, source.id, 999_999))

    assert await stored(platform) == {key}
    assert await DataSource.filter(id=source.id).exists()


async def test_a_file_that_another_source_reads_is_kept(platform: Platform) -> None:
    project = await make_project()
    upload = await make_upload(project)
    settings = {"object_key": upload.object_key}
    gone = await make_source(project, deleted_at=LONG_AGO, settings=settings)
    await make_source(project, settings=settings)
    await put(platform, upload.object_key)

    await cleanup.run(platform, await cleanup_of(project, gone.id))

    assert await stored(platform) == {upload.object_key}
    assert await Upload.all().count() == 1


async def test_it_goes_on_where_the_last_attempt_stopped_and_may_repeat_a_step(
    platform: Platform,
) -> None:
    project = await make_project()
    gone = [await make_source(project, deleted_at=LONG_AGO) for _ in range(2)]
    lease = await cleanup_of(project, *(source.id for source in gone))
    await leases.checkpoint(lease, {"done": 1}, leases.Progress(1, 0))

    await cleanup.run(platform, lease)

    assert [source.id for source in await DataSource.all()] == [gone[0].id]
    assert (await Job.get(id=lease.job_id)).rows_done == 2


@pytest.mark.parametrize("make", [make_job, make_script_job])
async def test_a_job_of_a_deleted_source_is_ended_first(
    platform: Platform, make: Callable[[DataSource], Awaitable[Job]]
) -> None:
    project = await make_project()
    gone = await make_source(project, deleted_at=LONG_AGO, status=DataSourceStatus.SYNCING)
    await make(gone)
    syncing = await leases.claim("w2", 30_000)
    assert syncing is not None
    lease = await cleanup_of(project, gone.id)
    cleaning = asyncio.create_task(cleanup.run(platform, lease))

    while not await leases.is_cancelled(syncing):  # noqa: ASYNC110 - what changes is a row
        await asyncio.sleep(0.01)
    assert await DataSource.filter(id=gone.id).exists()
    await leases.cancelled(syncing)
    await cleaning

    assert not await DataSource.filter(id=gone.id).exists()


async def test_a_sync_that_does_not_end_is_waited_for_later(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleanup, "END_SECONDS_MAX", 0.1)
    project = await make_project()
    gone = await make_source(project, deleted_at=LONG_AGO)
    await make_job(gone)
    await leases.claim("w2", 30_000)

    with pytest.raises(cleanup.StillWorking) as caught:
        await cleanup.run(platform, await cleanup_of(project, gone.id))

    assert caught.value.retryable
    assert await DataSource.filter(id=gone.id).exists()


async def test_housekeeping_keeps_what_a_snapshot_or_a_running_job_holds(
    platform: Platform,
) -> None:
    source = await make_source()
    over = await make_job(source, status=JobStatus.SUCCEEDED)
    running = await make_job(source, status=JobStatus.RUNNING)
    published = f"snapshots/{source.id}/{over.id}-2/0.parquet"
    stale = f"snapshots/{source.id}/{over.id}-1/0.parquet"
    fresh = f"snapshots/{source.id}/{running.id}-1/0.parquet"
    orphan = f"snapshots/{source.id}/999999-1/0.parquet"
    await make_snapshot(source, job=over, manifest=manifest_of(published))
    await put(platform, published, stale, fresh, orphan)

    await Housekeeper(platform).tidy()

    assert await stored(platform) == {published, fresh}


async def test_an_upload_without_a_row_gets_one_round_to_become_one(platform: Platform) -> None:
    upload = await make_upload()
    late = "uploads/1/" + "a" * 32
    await put(platform, upload.object_key, late)
    housekeeper = Housekeeper(platform)

    await housekeeper.tidy()
    assert await stored(platform) == {upload.object_key, late}
    await housekeeper.tidy()

    assert await stored(platform) == {upload.object_key}


async def test_old_idempotency_keys_go(platform: Platform) -> None:
    user = await make_user()
    for hours in (1, 30):
        key = await IdempotencyKey.create(
            user=user, operation="sync", key=str(hours), fingerprint="f"
        )
        await IdempotencyKey.filter(id=key.id).update(
            created_at=datetime.now(UTC) - timedelta(hours=hours)
        )

    await Housekeeper(platform).tidy()

    assert [key.key for key in await IdempotencyKey.all()] == ["1"]


async def test_a_file_of_sources_that_go_at_once_goes_with_them(platform: Platform) -> None:
    project = await make_project()
    upload = await make_upload(project)
    await put(platform, upload.object_key)
    settings = {"object_key": upload.object_key}
    gone = [await make_source(project, deleted_at=LONG_AGO, settings=settings) for _ in range(2)]
    cleanups = [await cleanup_of(project, source.id) for source in gone]

    await asyncio.gather(*(cleanup.run(platform, lease) for lease in cleanups))

    assert await stored(platform) == set()
    assert not await Upload.all().exists()
