"""A sync, from the claim to the published snapshot, through a real child process, on both databases."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from base import process
from base.errors import Internal
from models import DataSource, DataSourceStatus, Job, JobKind, JobLog, JobStatus, JobStep, Snapshot
from services import jobs, leases
from services.platform import Platform
from services.sources.sealing import seal
from storage.snapshots.manifest import Manifest
from storage.snapshots.writer import QUEUE_BATCHES
from tests.factories import make_source
from tests.workers import odd_sources
from tests.workers.syncing import let_remember
from workers import engine, planning, sync
from workers.engine import Engine, Kind
from workers.messages import PRELOAD

SECRET = "hunter2-canary"
PARTS = {"batch_rows": 5_000}


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start([*PRELOAD, "tests.workers.odd_sources"])
    yield
    process.start([])


@pytest.fixture(autouse=True)
def _odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    let_remember(monkeypatch, tmp_path)
    monkeypatch.setattr(sync, "READ", "tests.workers.odd_sources:read")
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)


async def odd_source(platform: Platform, tables: dict[str, int], **settings: Any) -> DataSource:
    selections = settings.pop("selections", [])
    source = await make_source(
        kind=odd_sources.KIND,
        settings={"tables": tables, "batch_rows": 1000} | settings,
        selections=selections,
    )
    sealed = seal(platform.keyring, source.id, {"password": SECRET})
    await DataSource.filter(id=source.id).update(secrets=sealed)
    return source


async def synced(platform: Platform, source: DataSource, batch_rows: int | None = None) -> Job:
    """The job of a sync, once it is over."""
    job = await jobs.sync(source, None, batch_rows)
    worker = Engine(platform, "w1", {JobKind.SYNC: Kind(sync.run, sync.discard)})
    async with asyncio.timeout(240):
        while not (ended := await Job.get(id=job.id)).status.is_terminal:
            await worker.look()
            await asyncio.sleep(0.01)
    return ended


async def objects(platform: Platform) -> set[str]:
    return {info.key async for info in platform.store.list("snapshots/")}


async def snapshot_of(source: DataSource) -> Snapshot:
    current = await DataSource.get(id=source.id)
    return await Snapshot.get(id=current.current_snapshot_id)


async def rows_of(platform: Platform, snapshot: Snapshot, table: str) -> list[Any]:
    """The ids of a table as its files hold them."""
    stored = next(t for t in Manifest.from_json(snapshot.manifest).tables if t.table.name == table)
    ids: list[Any] = []
    for part in stored.parts:
        path = await platform.store.local_path(part.key)
        assert hashlib.sha256(path.read_bytes()).hexdigest() == part.sha256
        found = pq.read_table(path).column("id").to_pylist()
        assert (len(found), path.stat().st_size) == (part.rows, part.size_bytes)
        ids += found
    return ids


def batches_read(log: Path) -> list[tuple[str, int, int]]:
    lines = [line.split() for line in log.read_text().splitlines()]
    return [(name, int(start), int(count)) for name, start, count in lines]


async def test_what_a_killed_attempt_left_on_the_disk_goes_with_the_next(
    platform: Platform,
) -> None:
    source = await odd_source(platform, {"orders": 10})
    job = await jobs.sync(source, None)
    for name in (f"sync-{job.id}-0", f"finish-{job.id}-0"):
        folder = platform.store.scratch() / name
        folder.mkdir()
        (folder / "0.parquet").write_bytes(b"rows")

    assert (await synced(platform, source)).status is JobStatus.SUCCEEDED

    assert list(platform.store.scratch().iterdir()) == []


async def test_a_sync_publishes_every_row_once_with_its_books(platform: Platform) -> None:
    source = await odd_source(platform, {"orders": 12_345, "nothing": 0})

    job = await synced(platform, source, **PARTS)

    assert (job.status, job.attempts, job.error) == (JobStatus.SUCCEEDED, 1, None)
    assert (job.rows_done, job.rows_total, job.checkpoint) == (12_345, 12_345, None)
    snapshot = await snapshot_of(source)
    assert (snapshot.id, snapshot.number, snapshot.row_count) == (job.snapshot_id, 1, 12_345)
    assert await rows_of(platform, snapshot, "orders") == list(range(12_345))
    assert await rows_of(platform, snapshot, "nothing") == []
    receipt = snapshot.receipt
    assert (receipt["rows_read"], receipt["inserted"], receipt["balanced"]) == (
        12_345,
        12_345,
        True,
    )
    assert sum(file["rows"] for file in receipt["files"]) == 12_345
    assert len(receipt["files"]) == len(parts_of(snapshot)) == 3
    assert await objects(platform) == Manifest.from_json(snapshot.manifest).keys()
    current = await DataSource.get(id=source.id)
    assert (current.status, current.error, current.snapshot_count) == (
        DataSourceStatus.SYNCED,
        None,
        1,
    )
    assert [table["name"] for table in current.tables] == ["orders", "nothing"]
    assert current.last_synced_at is not None


async def test_steps_and_log_tell_of_each_table(platform: Platform) -> None:
    source = await odd_source(platform, {"orders": 10, "payments": 5})

    job = await synced(platform, source)

    steps = await JobStep.filter(job_id=job.id).order_by("exec_order")
    assert [(s.key, s.status, s.rows_in, s.rows_out) for s in steps] == [
        ("orders", JobStatus.SUCCEEDED, 10, 10),
        ("payments", JobStatus.SUCCEEDED, 5, 5),
    ]
    lines = [
        (line.step, line.message) for line in await JobLog.filter(job_id=job.id).order_by("id")
    ]
    assert lines[1:] == [
        ("orders", "Reading orders."),
        ("orders", "orders: 10 rows in 1 parts."),
        ("payments", "Reading payments."),
        ("payments", "payments: 5 rows in 1 parts."),
        (None, "Publishing 15 rows in 2 tables."),
    ]


async def test_only_what_was_selected_is_read(platform: Platform) -> None:
    source = await odd_source(
        platform, {"a": 1, "b": 2, "c": 3}, selections=[{"name": "c"}, {"name": "a"}]
    )

    await synced(platform, source)

    manifest = Manifest.from_json((await snapshot_of(source)).manifest)
    assert [(t.table.name, t.row_count) for t in manifest.tables] == [("c", 3), ("a", 1)]


async def test_a_source_without_tables_is_an_empty_snapshot(platform: Platform) -> None:
    source = await odd_source(platform, {})

    job = await synced(platform, source)

    assert (job.status, (await snapshot_of(source)).row_count) == (JobStatus.SUCCEEDED, 0)


async def test_a_second_sync_of_the_same_rows_finds_them_unchanged(platform: Platform) -> None:
    source = await odd_source(platform, {"orders": 100})
    await synced(platform, source)
    first = await snapshot_of(source)

    await synced(platform, source)

    second = await snapshot_of(source)
    books = ("rows_read", "inserted", "unchanged", "deleted", "balanced")
    assert (second.number, second.id != first.id) == (2, True)
    assert [second.receipt[name] for name in books] == [100, 0, 100, 0, True]
    assert (await DataSource.get(id=source.id)).snapshot_count == 2
    assert await rows_of(platform, first, "orders") == list(range(100))


@pytest.mark.parametrize(
    ("how", "code"),
    [("refuse", "INVALID_INPUT"), ("memory", "PAYLOAD_TOO_LARGE"), ("bug", "INTERNAL")],
)
async def test_a_failed_sync_leaves_yesterday_s_snapshot_and_nothing_else(
    platform: Platform, how: str, code: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = await odd_source(platform, {"orders": 12_000})
    await synced(platform, source, **PARTS)
    before, kept = await snapshot_of(source), await objects(platform)
    fault = {"table": "orders", "row": 11_000, "how": how}
    await DataSource.filter(id=source.id).update(settings=source.settings | {"fault": fault})

    job = await synced(platform, source, **PARTS)

    current = await DataSource.get(id=source.id)
    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, code)
    assert (current.status, current.error) == (DataSourceStatus.FAILED, job.error)
    assert (current.current_snapshot_id, current.snapshot_count) == (before.id, 1)
    assert await objects(platform) == kept
    assert list(platform.store.scratch().iterdir()) == []
    told = f"{job.error} {job.progress_message} {caplog.text}" + "".join(
        line.message for line in await JobLog.all()
    )
    assert SECRET not in told


async def test_a_child_that_keeps_crashing_is_a_job_error_and_the_worker_lives(
    platform: Platform,
) -> None:
    fault = {"table": "orders", "row": 0, "how": "crash"}
    source = await odd_source(platform, {"orders": 10}, fault=fault)

    job = await synced(platform, source)

    assert (job.status, job.attempts) == (JobStatus.FAILED, leases.FAILURES_MAX)
    assert "SIGSEGV" in job.error["message"]
    assert (await synced(platform, await odd_source(platform, {"fine": 1}))).status is (
        JobStatus.SUCCEEDED
    )


@pytest.mark.parametrize("how", ["crash", "exit", "drop"])
async def test_after_a_failure_the_next_attempt_reads_on_behind_the_last_part(
    platform: Platform, how: str, tmp_path: Path
) -> None:
    log = tmp_path / "reads"
    fault = {"table": "second", "row": 17_500, "how": how, "once": str(tmp_path / "once")}
    source = await odd_source(
        platform, {"first": 3_000, "second": 20_000}, log=str(log), fault=fault
    )

    job = await synced(platform, source, **PARTS)

    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
    snapshot = await snapshot_of(source)
    assert await rows_of(platform, snapshot, "first") == list(range(3_000))
    assert await rows_of(platform, snapshot, "second") == list(range(20_000))
    assert snapshot.receipt["rows_read"] == 23_000
    read = batches_read(log)
    assert [start for name, start, _ in read if name == "first"] == [0, 1000, 2000]
    reread = sum(count for name, _, count in read if name == "second") - 20_000
    in_flight = 1_000 * (QUEUE_BATCHES + 1)  # batches that the writer is behind
    assert reread == 0 if how == "drop" else 0 < reread <= PARTS["batch_rows"] + in_flight
    assert await objects(platform) == Manifest.from_json(snapshot.manifest).keys()


def parts_of(snapshot: Snapshot) -> list[Any]:
    tables = Manifest.from_json(snapshot.manifest).tables
    return [part for table in tables for part in table.parts]


async def test_a_source_that_cannot_resume_a_table_reads_it_anew_and_nothing_twice(
    platform: Platform, tmp_path: Path
) -> None:
    fault = {"table": "orders", "row": 12_500, "how": "drop", "once": str(tmp_path / "once")}
    source = await odd_source(platform, {"orders": 14_000}, fault=fault, is_resumable=False)

    job = await synced(platform, source, **PARTS)

    snapshot = await snapshot_of(source)
    assert job.attempts == 2
    assert await rows_of(platform, snapshot, "orders") == list(range(14_000))
    assert await objects(platform) == Manifest.from_json(snapshot.manifest).keys()


async def test_a_table_that_changed_between_attempts_is_read_anew(
    platform: Platform, tmp_path: Path
) -> None:
    fault = {"table": "orders", "row": 12_500, "how": "change", "once": str(tmp_path / "once")}
    source = await odd_source(platform, {"orders": 14_000}, fault=fault)

    await synced(platform, source, **PARTS)

    snapshot = await snapshot_of(source)
    assert await rows_of(platform, snapshot, "orders") == [str(i) for i in range(14_000)]
    assert snapshot.receipt["rows_read"] == 14_000


async def test_a_table_that_has_to_be_read_again_is_stored_once(
    platform: Platform, tmp_path: Path
) -> None:
    fault = {"table": "orders", "row": 12_500, "how": "again", "once": str(tmp_path / "once")}
    source = await odd_source(platform, {"orders": 14_000, "after": 10}, fault=fault)

    job = await synced(platform, source, **PARTS)

    snapshot = await snapshot_of(source)
    assert job.attempts == 1
    assert await rows_of(platform, snapshot, "orders") == list(range(14_000))
    assert await rows_of(platform, snapshot, "after") == list(range(10))
    assert await objects(platform) == Manifest.from_json(snapshot.manifest).keys()


async def test_a_table_that_asks_to_be_read_again_for_ever_fails(platform: Platform) -> None:
    fault = {"table": "orders", "row": 0, "how": "again"}

    job = await synced(platform, await odd_source(platform, {"orders": 10}, fault=fault))

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "CONNECTION_FAILED")


def hold(until: Path, table: str = "orders", row: int = 0) -> dict[str, Any]:
    return {"table": table, "row": row, "until": str(until)}


async def test_a_sync_is_cancelled_while_it_reads(platform: Platform, tmp_path: Path) -> None:
    never = hold(tmp_path / "never", row=50_000)
    source = await odd_source(platform, {"orders": 100_000}, hold=never)

    syncing = asyncio.create_task(synced(platform, source, **PARTS))
    await first_part(platform, syncing)
    await jobs.cancel_work([source.id])
    job = await syncing

    assert (job.status, job.snapshot_id) == (JobStatus.CANCELLED, None)
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.PENDING
    assert await objects(platform) == set()
    assert list(platform.store.scratch().iterdir()) == []


async def first_part(platform: Platform, syncing: asyncio.Task[Job]) -> None:
    while not await objects(platform):
        assert not syncing.done(), syncing.result().error
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("gone", ["source", "project"])
async def test_a_source_that_is_deleted_while_it_is_synced_is_not_resurrected(
    platform: Platform, tmp_path: Path, gone: str
) -> None:
    may_end = tmp_path / "may-end"
    source = await odd_source(platform, {"orders": 12_000}, hold=hold(may_end, row=10_000))
    deleted = datetime(2026, 1, 1, tzinfo=UTC)

    syncing = asyncio.create_task(synced(platform, source, **PARTS))
    await first_part(platform, syncing)
    if gone == "source":
        await DataSource.filter(id=source.id).update(deleted_at=deleted)
    else:
        await (await source.project).update_from_dict({"deleted_at": deleted}).save()
    may_end.touch()
    job = await syncing

    assert job.status is JobStatus.CANCELLED
    assert await Snapshot.all().count() == 0
    assert (await DataSource.get(id=source.id)).current_snapshot_id is None
    assert await objects(platform) == set()


async def test_a_part_that_is_missing_at_the_end_is_not_published(
    platform: Platform, tmp_path: Path
) -> None:
    may_end = tmp_path / "may-end"
    tables = {"orders": 6_000, "second": 3_000}
    source = await odd_source(platform, tables, hold=hold(may_end, "second", 2_000))

    syncing = asyncio.create_task(synced(platform, source, **PARTS))
    await first_part(platform, syncing)
    for key in await objects(platform):
        await platform.store.delete(key)
    may_end.touch()
    job = await syncing

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "INTERNAL")
    assert await Snapshot.all().count() == 0


async def test_books_that_do_not_balance_are_not_published(platform: Platform) -> None:
    source = await odd_source(platform, {"orders": 10})
    await jobs.sync(source, None)
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    source = await DataSource.get(id=source.id)
    attempt = sync._Sync(platform, lease, source, await planning.base_of(source))
    await attempt.read()
    attempt._state.tables[0].rows_read += 1

    with pytest.raises(Internal, match="read 11 rows and stored 10"):
        await attempt.publish()

    assert await Snapshot.all().count() == 0


async def test_progress_is_written_at_most_four_times_a_second(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []
    report = leases.report

    async def counted(lease: leases.Lease, progress: leases.Progress) -> None:
        written.append(progress.rows_done)
        await report(lease, progress)

    monkeypatch.setattr(leases, "report", counted)
    source = await odd_source(platform, {"orders": 100}, batch_rows=1, pause_seconds=0.01)
    started = time.monotonic()

    await synced(platform, source)

    seconds = time.monotonic() - started
    assert 1 <= len(written) <= seconds * 4 + 2
    assert written == sorted(written)


async def test_a_sync_that_takes_too_long_fails_with_its_limit(
    platform: Platform, tmp_path: Path
) -> None:
    short = replace(platform, settings=replace(platform.settings, sync_seconds_max=1))
    source = await odd_source(platform, {"orders": 10}, hold=hold(tmp_path / "never"))

    job = await synced(short, source)

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "TIMEOUT")
    assert "limit of 1 seconds" in job.error["message"]
