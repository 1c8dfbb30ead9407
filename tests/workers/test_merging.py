"""MERGE against the source itself: whatever happens to rows and to the sync, the snapshot is what the source holds.

Random inserts, updates and deletes, hundreds of equal timestamps, rows stamped before others that came first, writers
and servers in other time zones over the end of summer time, and children that are killed at random messages. Run it
again with `MERGE_SEED`.
"""

from __future__ import annotations

import os
import random
import secrets
from abc import abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

import connectors
from base import process
from models import DataSource, DataSourceType, Job, JobKind, JobStatus, Snapshot
from services import jobs
from services.leases import Lease
from services.platform import Platform
from services.sources.sealing import seal
from tests import databases
from tests.factories import make_source
from tests.workers import dying
from tests.workers.syncing import SqliteFile, assert_nothing_left, let_remember, rows_of, table_of
from workers import completing, engine, sync
from workers.engine import Engine, Kind
from workers.messages import PRELOAD

SEED = int(os.environ.get("MERGE_SEED") or secrets.randbits(32))
ROUNDS = 4
TIES = 250
START = datetime(2026, 10, 25, 0, 58, 30, tzinfo=UTC)  # summer time ends at 01:00 in Berlin
SELECTION = {"name": "orders", "mode": "merge", "cursor_column": "at", "detect_deletes": True}
Row = tuple[int, datetime | None, Decimal | None, str | None]


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start([*PRELOAD, "tests.workers.dying"])
    yield
    process.start([])


@pytest.fixture(autouse=True)
def _dying(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    let_remember(monkeypatch, tmp_path)
    monkeypatch.setattr(sync, "READ", dying.READ)
    monkeypatch.setattr(completing, "FINISH", dying.FINISH)
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One dialect does here: what a sync writes is tested on both in `test_sync`."""
    return sqlite_url


class Ledger:
    """A table `orders` in a real source. `changes_meanwhile` says whether it can change while it is read."""

    changes_meanwhile = True
    source: DataSource

    @abstractmethod
    async def write(self, gone: list[int], rows: list[Row], chance: random.Random) -> None:
        """Remove these keys, then put these rows in the place of those with their keys."""

    @abstractmethod
    def rows(self) -> list[Row]:
        """What the table holds, by key."""


class PostgresLedger(Ledger):
    """The server's sessions are in Berlin, the writer's somewhere else each time."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        name = urlsplit(url).path.lstrip("/")
        self._connection.execute(
            f"ALTER DATABASE \"{name}\" SET timezone = 'Europe/Berlin'".encode()
        )
        self._connection.execute(
            "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamptz, amount numeric(12,2), note text)"
        )

    async def write(self, gone: list[int], rows: list[Row], chance: random.Random) -> None:
        zone = chance.choice(["Europe/Berlin", "America/St_Johns", "Pacific/Apia", "UTC"])
        with self._connection.transaction(), self._connection.cursor() as cursor:
            cursor.execute(f"SET timezone = '{zone}'".encode())
            cursor.execute(
                "DELETE FROM orders WHERE id = ANY(%s)", [[*gone, *(r[0] for r in rows)]]
            )
            cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s)", rows)

    def rows(self) -> list[Row]:
        self._connection.execute("SET timezone = 'UTC'")
        found = self._connection.execute("SELECT * FROM orders ORDER BY id").fetchall()
        return [(i, at and at.astimezone(UTC), amount, note) for i, at, amount, note in found]

    def close(self) -> None:
        self._connection.close()


class MysqlLedger(Ledger):
    """The writer's session has another offset each time."""

    def __init__(self, url: str) -> None:
        self._connection = databases.mysql_connection(url)
        self._run(
            "CREATE TABLE orders (id bigint PRIMARY KEY, at timestamp(6) NULL, amount decimal(12,2), note text)"
        )

    async def write(self, gone: list[int], rows: list[Row], chance: random.Random) -> None:
        hours = chance.choice([-3, 0, 2, 5])
        zone = timezone(timedelta(hours=hours))
        self._run(f"SET time_zone = '{hours:+03}:00'")
        keys = [*gone, *(row[0] for row in rows)]
        with self._connection.cursor() as cursor:
            cursor.executemany("DELETE FROM orders WHERE id = %s", [[key] for key in keys])
            local = [
                (i, at and at.astimezone(zone).replace(tzinfo=None), a, n) for i, at, a, n in rows
            ]
            cursor.executemany("INSERT INTO orders VALUES (%s, %s, %s, %s)", local)
        self._connection.commit()

    def rows(self) -> list[Row]:
        self._run("SET time_zone = '+00:00'")
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT * FROM orders ORDER BY id")
            found = cursor.fetchall()
        self._connection.commit()
        return [(i, at and at.replace(tzinfo=UTC), amount, note) for i, at, amount, note in found]

    def _run(self, statement: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def close(self) -> None:
        self._connection.close()


class SqliteLedger(Ledger):
    """A file that is uploaded anew after each change; its times have no zone."""

    changes_meanwhile = False

    def __init__(self, file: SqliteFile) -> None:
        self._file = file
        self._rows: dict[int, Row] = {}

    async def write(self, gone: list[int], rows: list[Row], chance: random.Random) -> None:
        del chance
        keys = [*gone, *(row[0] for row in rows)]
        statements = [f"DELETE FROM orders WHERE id IN ({', '.join(map(str, keys)) or 'NULL'})"]
        statements += [
            f"INSERT INTO orders VALUES ({i}, {_quoted(at and at.replace(tzinfo=None))},"
            f" {_quoted(amount)}, {_quoted(note)})"
            for i, at, amount, note in rows
        ]
        await self._file.change(*statements)
        for key in keys:
            self._rows.pop(key, None)
        self._rows |= {row[0]: row for row in rows}

    def rows(self) -> list[Row]:
        return [self._rows[key] for key in sorted(self._rows)]


def _quoted(value: object) -> str:
    return "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"


MYSQL = {server.name: server for server in databases.MYSQL_SERVERS}


@pytest.fixture(params=["postgresql", "sqlite", *MYSQL])
async def ledger(
    request: pytest.FixtureRequest, platform: Platform, tmp_path: Path
) -> AsyncIterator[Ledger]:
    if request.param == "sqlite":
        file = SqliteFile(platform, tmp_path)
        made: Ledger = SqliteLedger(file)
        made.source = await file.connect(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, at TIMESTAMP, amount DECIMAL(12,2), note TEXT)",
            selections=[SELECTION],
        )
        yield made
        return
    with ExitStack() as stack:
        if request.param == "postgresql":
            kind, url = "postgresql", request.getfixturevalue("postgres_database")
            opened: PostgresLedger | MysqlLedger = PostgresLedger(url)
        else:
            server = MYSQL[request.param]
            server.need()
            kind, url = "mysql", stack.enter_context(databases.mysql_database(server.url))
            opened = MysqlLedger(url)
        stack.enter_context(closing(opened))
        settings, hidden = connectors.parse(kind, {"url": url})
        source = await make_source(
            type=DataSourceType.DATABASE, kind=kind, settings=settings, selections=[SELECTION]
        )
        sealed = seal(platform.keyring, source.id, hidden)
        await DataSource.filter(id=source.id).update(secrets=sealed)
        opened.source = await DataSource.get(id=source.id)
        yield opened


class Player:
    """Changes the source at random."""

    def __init__(self, ledger: Ledger, chance: random.Random) -> None:
        self._ledger = ledger
        self._chance = chance
        self._known: dict[int, Row] = {}
        self._clock = START

    async def play(self, *, ties: int = 0) -> None:
        """A few changes, stamped with the time or, as by transactions that commit late, a little before."""
        chance = self._chance
        self._clock += timedelta(seconds=chance.uniform(5, 90))
        gone = chance.sample(sorted(self._known), min(len(self._known), chance.randrange(12)))
        there = sorted(self._known.keys() - set(gone))
        keys = chance.sample(there, min(len(there), chance.randrange(40)))
        keys += [max([0, *self._known]) + 1 + n for n in range(chance.randrange(1, 30))]
        tied = [max(keys) + 1 + n for n in range(ties)]
        rows = [self._row(key, self._stamp()) for key in keys]
        rows += [self._row(key, self._clock) for key in tied]
        await self._ledger.write(gone, rows, chance)
        for key in gone:
            del self._known[key]
        self._known |= {row[0]: row for row in rows}

    def _stamp(self) -> datetime | None:
        chance = self._chance.random()
        if chance < 0.05:
            return None
        if chance < 0.5:
            return self._clock
        return self._clock - timedelta(microseconds=self._chance.randrange(4_000_000))

    def _row(self, key: int, at: datetime | None) -> Row:
        chance = self._chance
        amount = Decimal(chance.randrange(-(10**6), 10**6)).scaleb(-2)
        note = chance.choice([None, "", "note", "Ünï'c\"ode", f"{chance.random()}"])
        return key, at, chance.choice([None, amount]), note


async def stored(platform: Platform, snapshot: Snapshot) -> list[Row]:
    rows = await rows_of(platform, snapshot, "orders")
    found = [(r["id"], r["at"] and _zoned(r["at"]), r["amount"], r["note"]) for r in rows]
    return sorted(found, key=lambda row: row[0])


def _zoned(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def plain(rows: list[Row]) -> list[Any]:
    """Amounts without noughts at their ends: SQLite keeps numbers, not digits."""
    return [
        (i, at, None if amount is None else Decimal(str(amount)).normalize(), note)
        for i, at, amount, note in rows
    ]


async def killed_sync(
    platform: Platform,
    source: DataSource,
    between: Callable[[], Awaitable[None]] | None,
    chance: random.Random,
) -> Job:
    """A sync whose children die at random messages, with something happening before each further attempt."""
    scratch = platform.store.scratch()
    for name, most in ((dying.KILL_READ, 14), (dying.KILL_FINISH, 1)):
        if chance.random() < 0.6:
            (scratch / name).write_text(str(chance.randrange(most)))

    async def run(platform: Platform, lease: Lease) -> None:
        if lease.attempt > 1 and between is not None:
            await between()
        await sync.run(platform, lease)

    source = await DataSource.get(id=source.id)
    job = await jobs.sync(source, None, chance.choice([60, 120, None]))
    worker = Engine(platform, "w1", {JobKind.SYNC: Kind(run, sync.discard)})
    while not (ended := await Job.get(id=job.id)).status.is_terminal:
        await worker.look()
    for name in (dying.KILL_READ, dying.KILL_FINISH):
        (scratch / name).unlink(missing_ok=True)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, None)
    return ended


async def test_whatever_happens_the_snapshot_becomes_what_the_source_holds(
    platform: Platform, ledger: Ledger
) -> None:
    print(f"MERGE_SEED={SEED}")
    chance = random.Random(SEED)
    player = Player(ledger, chance)
    await player.play(ties=TIES)

    for number in range(ROUNDS):
        meddles = ledger.changes_meanwhile and chance.random() < 0.4
        job = await killed_sync(platform, ledger.source, player.play if meddles else None, chance)
        attempts = job.attempts
        if meddles and attempts > 1:  # rows of two states of the source: the next sync mends it
            job = await killed_sync(platform, ledger.source, None, chance)

        snapshot = await Snapshot.get(id=job.snapshot_id)
        where = f"MERGE_SEED={SEED}, round {number}, {attempts} attempts"
        assert snapshot.receipt["balanced"], where
        assert plain(await stored(platform, snapshot)) == plain(ledger.rows()), where
        assert table_of(snapshot, "orders").key == ("id",)
        await assert_nothing_left(platform, job, snapshot)
        await player.play(ties=TIES if chance.random() < 0.3 else 0)
