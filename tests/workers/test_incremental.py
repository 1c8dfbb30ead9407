"""Incremental syncs of a real SQLite file: what is read, what becomes of it, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base import process
from models import DataSource, DataSourceStatus, DriftPolicy, JobStatus, Snapshot, SnapshotStatus
from services.platform import Platform
from storage.snapshots.manifest import Manifest
from tests.workers.syncing import (
    SqliteFile,
    assert_nothing_left,
    books,
    objects,
    published,
    rows_of,
    synced,
    table_of,
)
from workers import engine
from workers.completing import Completed, Completion
from workers.messages import PRELOAD

CREATE = "CREATE TABLE orders (id INTEGER PRIMARY KEY, at TIMESTAMP, note TEXT)"
ONE = "INSERT INTO orders VALUES (1, '2026-01-01 00:00:00', 'one')"
TWO = "INSERT INTO orders VALUES (2, '2026-01-01 01:00:00', 'two')"
MERGE = {"name": "orders", "mode": "merge", "cursor_column": "at"}
APPEND = {"name": "orders", "mode": "append", "cursor_column": "at"}


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start(PRELOAD)
    yield
    process.start([])


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One dialect does here: what a sync writes is tested on both in `test_sync`."""
    return sqlite_url


@pytest.fixture
def file(platform: Platform, tmp_path: Path) -> SqliteFile:
    return SqliteFile(platform, tmp_path)


async def notes(platform: Platform, snapshot: Snapshot) -> dict[int, str]:
    rows = await rows_of(platform, snapshot, "orders")
    found = {row["id"]: row["note"] for row in rows}
    assert len(found) == len(rows), "no key twice"
    return dict(sorted(found.items()))


async def test_a_merge_reads_what_changed_and_replaces_rows_by_key(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    first = await published(platform, source)
    await file.change(
        "UPDATE orders SET note = 'TWO', at = '2026-01-01 02:00:00' WHERE id = 2",
        "INSERT INTO orders VALUES (3, '2026-01-01 01:30:00', 'three')",
    )

    second = await published(platform, source)

    assert books(first) == [2, 2, 0, 0, 0, 0]
    assert (first.receipt["cursor_from"], first.receipt["cursor_to"]) == (
        None,
        {"orders": "2026-01-01T01:00:00.000000"},
    )
    assert await notes(platform, second) == {1: "one", 2: "TWO", 3: "three"}
    assert books(second) == [2, 1, 1, 0, 0, 0]
    assert second.receipt["cursor_from"] == {"orders": "2026-01-01T00:59:00.000000"}
    assert second.receipt["cursor_to"] == {"orders": "2026-01-01T02:00:00.000000"}
    assert await notes(platform, first) == {1: "one", 2: "two"}
    stored = table_of(second, "orders")
    assert (stored.key, stored.cursor and stored.cursor.value) == (
        ("id",),
        "2026-01-01T02:00:00.000000",
    )
    assert second.base_id == first.id


async def test_a_sync_of_nothing_new_shares_every_object(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    first = await published(platform, source)

    second = await published(platform, source)

    assert books(second) == [1, 0, 0, 1, 0, 0]  # the last row again, as the bound is closed
    assert second.manifest == first.manifest
    assert second.number == 2


async def test_nothing_at_all_is_published_without_a_second_child(
    platform: Platform, file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    first = await published(platform, source)
    await file.change("DELETE FROM orders")
    monkeypatch.setattr("workers.completing.FINISH", "nowhere:nothing")

    second = await published(platform, source)

    assert books(second) == [0, 0, 0, 0, 0, 0]
    assert second.manifest == first.manifest


async def test_the_key_may_be_the_cursor(platform: Platform, file: SqliteFile) -> None:
    source = await file.connect(CREATE, ONE, selections=[MERGE | {"cursor_column": "id"}])
    await published(platform, source)
    await file.change(TWO)

    assert books(await published(platform, source)) == [2, 1, 0, 1, 0, 0]


async def test_rows_that_commit_late_are_found_within_the_look_back(
    platform: Platform, file: SqliteFile
) -> None:
    late = "INSERT INTO orders VALUES ({}, '{}', 'late')"
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    await published(platform, source)
    await file.change(late.format(3, "2026-01-01 00:59:01"), late.format(4, "2026-01-01 00:58:59"))

    usual = await published(platform, source)
    await file.set(selections=[MERGE | {"lookback_seconds": 120}])
    longer = await published(platform, source)

    assert list(await notes(platform, usual)) == [1, 2, 3]
    assert list(await notes(platform, longer)) == [1, 2, 3, 4]


async def test_an_append_keeps_every_row_ever_read_and_none_twice(
    platform: Platform, file: SqliteFile
) -> None:
    same = "INSERT INTO log VALUES ('2026-01-01 01:00:00', 'same')"
    selection = APPEND | {"name": "log"}
    source = await file.connect(
        "CREATE TABLE log (at TIMESTAMP, note TEXT)", same, same, selections=[selection]
    )
    await published(platform, source)
    await file.change(
        "DELETE FROM log", same, same, same, "INSERT INTO log VALUES ('2026-01-01 02:00:00', 'x')"
    )

    second = await published(platform, source)

    assert [row["note"] for row in await rows_of(platform, second, "log")] == ["same"] * 3 + ["x"]
    assert books(second) == [4, 2, 0, 2, 0, 0]
    assert table_of(second, "log").key == ()


async def test_a_merge_without_a_cursor_reads_everything_and_sees_deletes(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[{"name": "orders", "mode": "merge"}])
    await published(platform, source)
    await file.change("DELETE FROM orders WHERE id = 1", "UPDATE orders SET note = 'TWO'")

    second = await published(platform, source)

    assert await notes(platform, second) == {2: "TWO"}
    assert books(second) == [1, 0, 1, 0, 1, 0]
    assert second.receipt["cursor_to"] is None


async def test_deleted_rows_are_found_by_their_keys_where_asked_for(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    await published(platform, source)
    await file.change("DELETE FROM orders WHERE id = 1")

    without = await published(platform, source)
    await file.set(selections=[MERGE | {"detect_deletes": True}])
    with_keys = await published(platform, source)

    assert await notes(platform, without) == {1: "one", 2: "two"}
    assert await notes(platform, with_keys) == {2: "two"}
    assert books(with_keys) == [1, 0, 0, 1, 1, 0]


async def test_the_user_s_key_tells_rows_apart_where_it_is_given(
    platform: Platform, file: SqliteFile
) -> None:
    selection = MERGE | {"primary_key": ["note"]}
    source = await file.connect(CREATE, ONE, TWO, selections=[selection])
    await published(platform, source)
    await file.change("INSERT INTO orders VALUES (9, '2026-01-01 03:00:00', 'one')")

    second = await published(platform, source)

    assert await notes(platform, second) == {2: "two", 9: "one"}
    assert table_of(second, "orders").key == ("note",)


async def test_without_incremental_everything_is_read_and_replaced(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    await published(platform, source)
    await file.change(
        "DELETE FROM orders", "INSERT INTO orders VALUES (7, '2025-01-01 00:00:00', 'old')"
    )

    whole = await published(platform, source, incremental=False)

    assert await notes(platform, whole) == {7: "old"}
    assert books(whole) == [1, 1, 0, 0, 2, 0]
    assert whole.receipt["cursor_to"] == {"orders": "2025-01-01T00:00:00.000000"}


async def test_tables_of_all_modes_go_into_one_snapshot(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(
        CREATE,
        ONE,
        "CREATE TABLE log AS SELECT at, note FROM orders",
        "CREATE TABLE plain AS SELECT id FROM orders",
        selections=[MERGE, APPEND | {"name": "log"}, {"name": "plain"}],
    )
    first = await published(platform, source)
    await file.change(
        TWO,
        "INSERT INTO log SELECT at, note FROM orders WHERE id = 2",
        "UPDATE plain SET id = 5",
    )

    second = await published(platform, source)

    assert await notes(platform, second) == {1: "one", 2: "two"}
    assert [row["note"] for row in await rows_of(platform, second, "log")] == ["one", "two"]
    assert await rows_of(platform, second, "plain") == [{"id": 5}]
    assert second.row_count == 5
    assert books(first) == [3, 3, 0, 0, 0, 0]
    assert books(second) == [5, 3, 0, 2, 1, 0]


async def test_many_small_parts_become_few(platform: Platform, file: SqliteFile) -> None:
    source = await file.connect(CREATE, selections=[MERGE])
    snapshot = await published(platform, source)
    for number in range(1, 12):
        await file.change(
            f"INSERT INTO orders VALUES ({number}, '2026-01-01 {number:02}:00:00', 'x')"
        )
        snapshot = await published(platform, source)

    assert list(await notes(platform, snapshot)) == list(range(1, 12))
    assert len(table_of(snapshot, "orders").parts) < 8


# What is refused.


REFUSED: list[tuple[dict[str, Any], list[str], str]] = [
    (
        {"mode": "merge", "cursor_column": "changed"},
        [],
        "no column changed",
    ),
    (
        {"mode": "append", "cursor_column": "blob"},
        ["ALTER TABLE orders ADD blob BLOB"],
        "The column blob of the table orders cannot be a cursor",
    ),
    (
        {"name": "keyless", "mode": "merge"},
        ["CREATE TABLE keyless (a INTEGER)"],
        "The table keyless has no primary key, so that its rows cannot be merged.",
    ),
    (
        {"mode": "merge", "primary_key": ["number"]},
        [],
        "no column number to be in its key",
    ),
    (
        {"mode": "merge", "primary_key": ["note"]},
        ["INSERT INTO orders VALUES (8, NULL, NULL), (9, NULL, NULL)"],
        "In the table orders, 2 or more rows have no value in the key column 'note'.",
    ),
]


@pytest.mark.parametrize(("selection", "statements", "message"), REFUSED)
async def test_a_table_that_cannot_be_synced_so_fails_and_changes_nothing(
    platform: Platform,
    file: SqliteFile,
    selection: dict[str, Any],
    statements: list[str],
    message: str,
) -> None:
    source = await file.connect(CREATE, ONE)
    before = await published(platform, source)
    await file.change(*statements)
    await file.set(selections=[{"name": "orders"} | selection])
    kept = await objects(platform)

    job = await synced(platform, source)

    now = await DataSource.get(id=source.id)
    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert message in job.error["message"]
    assert (now.status, now.current_snapshot_id) == (DataSourceStatus.FAILED, before.id)
    assert await objects(platform) == kept
    assert list(platform.store.scratch().iterdir()) == []


# Columns that change.


async def test_a_new_column_is_null_in_the_rows_of_before(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    await published(platform, source)
    await file.change(
        "ALTER TABLE orders ADD amount INTEGER",
        "UPDATE orders SET amount = 5, at = '2026-01-01 02:00:00' WHERE id = 2",
    )

    second = await published(platform, source)

    rows = await rows_of(platform, second, "orders")
    assert sorted((row["id"], row["amount"]) for row in rows) == [(1, None), (2, 5)]
    assert second.drift == [
        {"table": "orders", "column": "amount", "change": "added", "old": None, "new": "integer"}
    ]
    assert books(second) == [1, 0, 1, 0, 0, 0]
    third = await published(platform, source)
    assert third.drift == []


async def test_a_column_that_is_gone_stays_and_is_null_in_new_rows(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, TWO, selections=[MERGE])
    await published(platform, source)
    await file.change(
        "ALTER TABLE orders DROP note", "INSERT INTO orders VALUES (3, '2026-01-01 01:00:00')"
    )

    second = await published(platform, source)

    assert await notes(platform, second) == {1: "one", 2: None, 3: None}
    assert [change["change"] for change in second.drift] == ["removed"]


async def test_a_table_that_is_read_whole_gets_the_columns_that_the_source_has(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE)
    await published(platform, source)
    await file.change(
        "DROP TABLE orders",
        "CREATE TABLE orders (id INTEGER PRIMARY KEY, at TEXT, amount INTEGER)",
    )

    second = await published(platform, source)

    told = {
        change["column"]: (change["change"], change["old"], change["new"])
        for change in second.drift
    }
    assert told == {
        "at": ("widened", "timestamp", "text"),
        "note": ("removed", "text", None),
        "amount": ("added", None, "integer"),
    }
    columns = [column.name for column in table_of(second, "orders").table.columns]
    assert columns == ["id", "at", "amount"]


@pytest.mark.parametrize("selection", [MERGE, {"name": "orders"}], ids=["merge", "full"])
async def test_changed_columns_fail_the_sync_where_the_user_says_so(
    platform: Platform, file: SqliteFile, selection: dict[str, Any]
) -> None:
    source = await file.connect(
        CREATE, ONE, TWO, selections=[selection], drift_policy=DriftPolicy.FAIL
    )
    before = await published(platform, source)
    await file.change("ALTER TABLE orders ADD amount INTEGER")

    job = await synced(platform, source)

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "CONFLICT")
    assert job.error["message"] == (
        "The source changed the columns of orders: 'amount' is new (INTEGER)."
    )
    assert (await DataSource.get(id=source.id)).current_snapshot_id == before.id
    await assert_nothing_left(platform, job, None)


@pytest.mark.parametrize("selection", [MERGE, {"name": "orders"}], ids=["merge", "full"])
async def test_a_snapshot_with_changed_columns_is_held_where_the_user_says_so(
    platform: Platform, file: SqliteFile, selection: dict[str, Any]
) -> None:
    source = await file.connect(
        CREATE, ONE, TWO, selections=[selection], drift_policy=DriftPolicy.HOLD
    )
    before = await published(platform, source)
    tables = (await DataSource.get(id=source.id)).tables
    await file.change("ALTER TABLE orders ADD amount INTEGER")

    held = await published(platform, source)

    now = await DataSource.get(id=source.id)
    assert (held.status, held.base_id, len(held.drift)) == (SnapshotStatus.HELD, before.id, 1)
    assert (now.status, now.current_snapshot_id, now.held_snapshot_id, now.tables) == (
        DataSourceStatus.SYNCED,
        before.id,
        held.id,
        tables,
    )

    again = await published(platform, source)

    assert (await Snapshot.get(id=held.id)).status is SnapshotStatus.DISCARDED
    assert again.status is SnapshotStatus.HELD
    assert (await DataSource.get(id=source.id)).held_snapshot_id == again.id

    await file.set(drift_policy=DriftPolicy.EVOLVE)
    last = await published(platform, source)

    assert last.status is SnapshotStatus.PUBLISHED
    assert (await Snapshot.get(id=again.id)).status is SnapshotStatus.DISCARDED
    now = await DataSource.get(id=source.id)
    assert (now.current_snapshot_id, now.held_snapshot_id) == (last.id, None)


async def test_what_the_user_changed_is_no_drift_and_is_read_anew(
    platform: Platform, file: SqliteFile
) -> None:
    narrow = MERGE | {"columns": ["id", "at"]}
    source = await file.connect(
        CREATE, ONE, TWO, selections=[narrow], drift_policy=DriftPolicy.FAIL
    )
    await published(platform, source)
    await file.set(selections=[MERGE], generation=1)

    second = await published(platform, source)

    assert second.drift == []
    assert second.generation == 1
    assert await notes(platform, second) == {1: "one", 2: "two"}


async def test_a_sync_whose_base_was_replaced_goes_on_with_the_new_one(
    platform: Platform, file: SqliteFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await file.connect(CREATE, ONE, selections=[MERGE])
    first = await published(platform, source)
    await file.change(TWO)
    second = await published(platform, source)
    await file.change("INSERT INTO orders VALUES (3, '2026-01-01 02:00:00', 'three')")
    complete = Completion.run

    async def overtaken(self: Completion) -> Completed:
        done = await complete(self)
        current = (await DataSource.get(id=source.id)).current_snapshot_id
        if current == second.id:
            await file.set(current_snapshot_id=first.id)
        return done

    monkeypatch.setattr(Completion, "run", overtaken)

    job = await synced(platform, source)

    third = await Snapshot.get(id=job.snapshot_id)
    assert (job.status, job.attempts, third.base_id) == (JobStatus.SUCCEEDED, 2, first.id)
    assert await notes(platform, third) == {1: "one", 2: "two", 3: "three"}
    assert books(third) == [3, 2, 0, 1, 0, 0]
    await assert_nothing_left(platform, job, third)


async def test_every_object_of_a_snapshot_outlives_the_sync_after_it(
    platform: Platform, file: SqliteFile
) -> None:
    source = await file.connect(CREATE, ONE, selections=[MERGE])
    first = await published(platform, source)
    await file.change(TWO)
    await published(platform, source)

    assert Manifest.from_json(first.manifest).keys() <= await objects(platform)
