"""Rows that cannot be stored: kept beside the table with the place and the reason, and never too many of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from base import process
from models import DataSource, JobLog, JobStatus, Snapshot
from services.platform import Platform
from services.sources.sealing import seal
from storage.snapshots.manifest import StoredFile
from tests.factories import make_source
from tests.workers import odd_sources
from tests.workers.syncing import (
    assert_nothing_left,
    let_remember,
    lines_of,
    objects,
    published,
    rows_of,
    synced,
    table_of,
)
from workers import engine, sync
from workers.messages import PRELOAD


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start([*PRELOAD, "tests.workers.odd_sources"])
    yield
    process.start([])


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One dialect does here: what a sync writes is tested on both in `test_sync`."""
    return sqlite_url


@pytest.fixture
def _odd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    let_remember(monkeypatch, tmp_path)
    monkeypatch.setattr(sync, "READ", "tests.workers.odd_sources:read")
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)


async def odd_source(
    platform: Platform, bad: dict[str, list[int]], rows: int = 100, **values: Any
) -> DataSource:
    """A source whose tables have so many rows, of which some are bad."""
    fault = values.pop("fault", None)
    settings = {"tables": dict.fromkeys(bad, rows), "batch_rows": 1000, "bad_rows": bad}
    source = await make_source(
        kind=odd_sources.KIND, settings=settings | {"fault": fault}, **values
    )
    sealed = seal(platform.keyring, source.id, {"password": "hunter2"})
    await DataSource.filter(id=source.id).update(secrets=sealed)
    return source


async def csv_source(platform: Platform, content: bytes, **settings: Any) -> DataSource:
    async def chunks() -> AsyncIterator[bytes]:
        yield content

    source = await make_source()
    key = f"uploads/{source.id}/data"
    await platform.store.put(key, chunks(), bytes_max=2**20)
    settings = {"object_key": key, "file_name": "data.csv"} | settings
    await DataSource.filter(id=source.id).update(settings=settings)
    return await DataSource.get(id=source.id)


def quarantine_of(snapshot: Snapshot, table: str) -> StoredFile:
    file = table_of(snapshot, table).quarantine
    assert file is not None
    return file


async def test_bad_rows_of_a_csv_go_to_a_side_file_with_line_and_reason(
    platform: Platform,
) -> None:
    lines = ["id,name", *(f"{i},name {i}" for i in range(30))]
    lines[10] = "9,too,many"
    source = await csv_source(platform, "\n".join(lines).encode())

    snapshot = await published(platform, source)

    table = snapshot.manifest["tables"][0]["table"]["name"]
    ids = [row["id"] for row in await rows_of(platform, snapshot, table)]
    assert ids == [i for i in range(30) if i != 9]
    file = quarantine_of(snapshot, table)
    (line,) = await lines_of(platform, file.key)
    assert (line["line"], line["text"]) == (11, "9,too,many")
    assert set(line) == {"line", "column", "reason", "text"}
    assert file.rows == 1
    assert [snapshot.receipt[name] for name in ("rows_read", "inserted", "quarantined")] == [
        30,
        29,
        1,
    ]
    (warning,) = await JobLog.filter(job__snapshots__id=snapshot.id, level="warning")
    assert warning.message == (
        f"{table}: 1 row is set aside. "
        "The row in line 11 has 3 values, but the header in line 1 has 2 values."
    )


async def test_a_small_file_with_a_bad_row_fails_with_its_line(platform: Platform) -> None:
    source = await csv_source(platform, b"id,name\n1,a\n2,b,c\n")

    job = await synced(platform, source)

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "INVALID_INPUT")
    assert "line 3" in job.error["message"].lower()
    await assert_nothing_left(platform, job, None)


@pytest.mark.usefixtures("_odd")
async def test_a_tenth_of_the_rows_may_be_bad_and_not_one_more(platform: Platform) -> None:
    fine = await odd_source(platform, {"orders": list(range(10))})
    bad = await odd_source(platform, {"orders": list(range(11))})

    snapshot = await published(platform, fine)
    job = await synced(platform, bad)

    assert (snapshot.row_count, snapshot.receipt["quarantined"]) == (90, 10)
    assert job.status is JobStatus.FAILED
    assert job.error["message"] == "orders (line 1, column 'id'): is bad"
    assert "11 of 100 rows could not be stored" in job.error["hint"]


@pytest.mark.usefixtures("_odd")
async def test_the_limit_of_a_source_counts_the_bad_rows_of_all_its_tables(
    platform: Platform,
) -> None:
    source = await odd_source(platform, {"a": [5], "b": [7, 8]}, quarantine_rows_max=3)

    snapshot = await published(platform, source)

    assert [quarantine_of(snapshot, name).rows for name in ("a", "b")] == [1, 2]


@pytest.mark.usefixtures("_odd")
@pytest.mark.parametrize("most", [2, 0])
async def test_more_bad_rows_than_the_limit_fail_the_sync(platform: Platform, most: int) -> None:
    source = await odd_source(platform, {"a": [5], "b": [7, 8]}, quarantine_rows_max=most)

    job = await synced(platform, source)

    assert job.status is JobStatus.FAILED
    assert f"more than {most:,} rows could not be stored" in job.error["hint"]
    assert await objects(platform) == set()


@pytest.mark.usefixtures("_odd")
async def test_bad_rows_are_kept_once_when_a_sync_goes_on_after_a_failure(
    platform: Platform, tmp_path: Path
) -> None:
    bad = [3, 4_000, 8_000, 13_000, 19_999]
    fault = {"table": "orders", "row": 12_500, "how": "exit", "once": str(tmp_path / "once")}
    source = await odd_source(platform, {"orders": bad}, 20_000, fault=fault)

    job = await synced(platform, source, 5_000)

    snapshot = await Snapshot.get(id=job.snapshot_id)
    assert job.attempts == 2
    assert [row["id"] for row in await rows_of(platform, snapshot, "orders")] == [
        i for i in range(20_000) if i not in bad
    ]
    lines = await lines_of(platform, quarantine_of(snapshot, "orders").key)
    assert lines == [
        {"line": i + 1, "column": "id", "reason": "is bad", "text": f"row {i}"} for i in bad
    ]
    assert (snapshot.receipt["rows_read"], snapshot.receipt["quarantined"]) == (20_000, 5)
    assert snapshot.receipt["balanced"]
    await assert_nothing_left(platform, job, snapshot)


@pytest.mark.usefixtures("_odd")
async def test_bad_rows_of_a_read_that_starts_over_count_once(
    platform: Platform, tmp_path: Path
) -> None:
    fault = {"table": "orders", "row": 12_500, "how": "again", "once": str(tmp_path / "once")}
    source = await odd_source(platform, {"orders": [3, 13_000]}, 14_000, fault=fault)

    snapshot = await published(platform, source, batch_rows=5_000)

    assert quarantine_of(snapshot, "orders").rows == 2
    assert (snapshot.row_count, snapshot.receipt["rows_read"]) == (13_998, 14_000)


@pytest.mark.usefixtures("_odd")
async def test_a_sync_without_bad_rows_has_no_side_file(platform: Platform) -> None:
    source = await odd_source(platform, {"orders": []})

    snapshot = await published(platform, source)

    assert table_of(snapshot, "orders").quarantine is None
