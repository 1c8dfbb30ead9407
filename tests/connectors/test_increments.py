"""Rows changed since: each database leaves out what `connectors.since` would, to the last digit, and no more."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pyarrow as pa
import pytest

import connectors
from base.errors import InvalidInput
from base.tables import TableSchema
from connectors import bounds, since
from connectors.connector import (
    Batch,
    Connection,
    Connector,
    Increment,
    ReadLimits,
    Selection,
)
from connectors.errors import ReadAgain
from tests import databases
from tests.connectors.peers import LOOPBACK

ONE_BY_ONE = ReadLimits(batch_rows=1)
MYSQL = {server.name: server for server in databases.MYSQL_SERVERS}
SERVERS = ["postgresql", *MYSQL]
NAMES = {  # of the databases that a line of CURSORS is for
    "postgresql": ["postgresql"],
    "mysql": [*MYSQL],
    "mariadb": ["mariadb"],
    "mysql 8": [name for name, server in MYSQL.items() if not server.is_mariadb],
    "sqlite": ["sqlite"],
}


@dataclass(frozen=True)
class Server:
    """A database of our own: `run` executes a statement in it."""

    kind: str
    raw: dict[str, Any]
    run: Callable[[str], Any]
    path: Path | None = None

    @contextmanager
    def opened(self, limits: ReadLimits | None = None) -> Iterator[Connector]:
        settings, hidden = ({}, {}) if self.path else connectors.parse(self.kind, self.raw)
        connection = Connection(
            self.kind, settings, hidden, self.path, LOOPBACK, limits or ReadLimits()
        )
        with closing(connectors.open(connection)) as source:
            yield source


@contextmanager
def postgresql() -> Iterator[Server]:
    with databases.postgres_database() as url:
        name = url.rpartition("/")[2]
        with psycopg.connect(url, autocommit=True) as session:
            session.execute(f"ALTER DATABASE {name} SET timezone = 'America/New_York'".encode())
            session.execute("SET timezone = 'America/New_York'")
            yield Server("postgresql", {"url": url}, lambda sql: session.execute(sql.encode()))


@contextmanager
def mysql(server: databases.MysqlServer) -> Iterator[Server]:
    server.need()
    with databases.mysql_database(server.url) as url, databases.mysql_session(url) as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '-04:00'")
        yield Server("mysql", {"url": url}, cursor.execute)


@contextmanager
def sqlite(path: Path) -> Iterator[Server]:
    with closing(sqlite3.connect(path, isolation_level=None)) as session:
        yield Server("sqlite", {}, session.execute, path)


@pytest.fixture(scope="module")
def servers(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Server]]:
    """Opens each database once."""
    opened: dict[str, Server] = {}
    with ExitStack() as stack:

        def server(name: str) -> Server:
            if name not in opened:
                if name == "sqlite":
                    made = sqlite(tmp_path_factory.mktemp(name) / "a.db")
                elif name == "postgresql":
                    request.getfixturevalue("postgres_url")
                    made = postgresql()
                else:
                    made = mysql(MYSQL[name])
                opened[name] = stack.enter_context(made)
            opened[name].run("DROP VIEW IF EXISTS seen")
            opened[name].run("DROP TABLE IF EXISTS changes")
            return opened[name]

        yield server


@pytest.fixture(params=[*SERVERS, "sqlite"])
def server(request: pytest.FixtureRequest, servers: Callable[[str], Server]) -> Server:
    return servers(request.param)


def batches_of(
    source: Connector, selection: Selection, after: list[Any] | None = None
) -> tuple[TableSchema, list[Batch], bool]:
    for _ in range(3):
        reading = source.read(selection, after)
        try:
            return reading.table, list(reading.batches), reading.is_since
        except ReadAgain:
            continue
    raise AssertionError("asked to be read again for the third time")


def ids(batches: list[Batch]) -> list[int]:
    return [key for batch in batches for key in batch.data["id"].to_pylist()]


# The values of each type ascend as stored, whatever the source's own order is.
CURSORS: dict[tuple[str, str], list[str]] = {
    ("postgresql", "int2"): ["-32768", "0", "32767"],
    ("postgresql", "int8"): ["-9223372036854775808", "9223372036854775806", "9223372036854775807"],
    ("postgresql", "oid"): ["1", "4294967295"],
    ("postgresql", "numeric(38,10)"): [
        "1234567890123456789012345678.0123456788",
        "1234567890123456789012345678.0123456789",
    ],
    ("postgresql", "numeric"): ["'-Infinity'", "-1e-30", "0", "1e-30", "1e60", "1e60 + 1e-30", "'NaN'", "'Infinity'"],
    ("postgresql", "numeric(5,2)"): ["-1.25", "1.25", "'NaN'"],
    ("postgresql", "float4"): ["'-Infinity'", "0.1", "0.10000001", "16777216", "'NaN'"],
    ("postgresql", "float8"): ["'-Infinity'", "5e-324", "0.1", "0.30000000000000004", "'Infinity'", "'NaN'"],
    ("postgresql", "text"): ["''", "'A'", "'B'", "'a'", "'it''s \\'", "'é'", "'😀'"],
    ("postgresql", 'varchar(9) COLLATE "en-x-icu"'): ["'B'", "'Z'", "'_'", "'a'", "'b'"],
    ("postgresql", "char(4)"): ["E'a\\x01'", "'a'", "'a b'", "'aa'"],
    ("postgresql", "name"): ["'A'", "'a'"],
    ("postgresql", "uuid"): ["'00000000-0000-0000-0000-00000000000a'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"],
    ("postgresql", "date"): ["'0001-01-01'", "'2024-02-29'", "'9999-12-31'"],
    ("postgresql", "time"): ["'00:00:00.000001'", "'23:59:59.999999'"],
    ("postgresql", "timestamp"): ["'0001-01-01'", "'2024-11-03 01:30:00.000001'", "'2024-11-03 01:30:00.000002'"],
    ("postgresql", "timestamptz"): [  # an hour that comes twice, in the session's own zone
        "'2024-03-10 01:59:59.999999 America/New_York'",
        "'2024-03-10 03:00:00 America/New_York'",
        "'2024-11-03 01:30:00-04'",
        "'2024-11-03 01:30:00.000001-04'",
        "'2024-11-03 01:30:00-05'",
    ],
    ("mysql", "tinyint"): ["-128", "127"],
    ("mysql", "bigint unsigned"): ["0", "18446744073709551614", "18446744073709551615"],
    ("mysql", "decimal(38,0)"): ["12345678901234567890123456789012345671", "12345678901234567890123456789012345672"],
    ("mysql", "decimal(65,30)"): ["-0.000000000000000000000000000001", "0", "0.000000000000000000000000000001"],
    ("mysql", "float"): ["-1.5", "0.1", "0.10000001", "16777216"],
    ("mysql", "double"): ["-1e300", "5e-324", "0.1e0", "0.1e0 + 0.2e0"],
    ("mysql", "year"): ["0", "1901", "2155"],
    ("mysql", "bit(64)"): ["b'0'", "0xFFFFFFFFFFFFFFFF"],
    ("mysql", "date"): ["'0001-01-01'", "'2024-02-29'", "'9999-12-31'"],
    ("mysql", "time(6)"): ["'00:00:00.000001'", "'23:59:59.999999'"],
    ("mysql", "datetime(6)"): ["'0001-01-01'", "'2024-11-03 01:30:00.000001'", "'2024-11-03 01:30:00.000002'"],
    ("mysql", "timestamp(6) null"): ["'1970-01-02'", "'2024-11-03 01:30:00'", "'2024-11-03 01:30:00.000001'"],
    ("mysql", "varchar(20) collate utf8mb4_general_ci"): ["''", "'A'", "'B'", "'a'", "'a '", "'it''s \\\\'", "'é'", "'😀'"],
    ("mysql", "varchar(20) character set latin1"): ["'A'", "'a'", "'é'", "'€'"],
    ("mysql", "char(3)"): ["'A'", "'a'"],
    ("mysql", "longtext"): ["'A'", "'a'", "'a '"],
    ("mariadb", "uuid"): ["'00000000-0000-0000-0000-00000000000a'", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    ("mysql 8", "varchar(20) collate utf8mb4_0900_ai_ci"): ["''", "'A'", "'B'", "'a'", "'a '", "'é'", "'😀'"],
    ("mysql 8", "varchar(20) character set gb18030"): ["'A'", "'a'", "'é'", "'汉'", "'😀'"],
    ("sqlite", "integer"): ["-9223372036854775808", "0", "9223372036854775807"],
    ("sqlite", "real"): ["-9e999", "-1.5", "5e-324", "0.1", "9e999"],
    ("sqlite", "numeric(9,2)"): ["-1", "0.5", "3"],
    ("sqlite", "text collate nocase"): ["''", "'A'", "'B'", "'a'", "'é'", "'😀'"],
    ("sqlite", "date"): ["'0001-01-01'", "'2024-02-29'"],
    ("sqlite", "timestamp"): [
        "'2024-01-01 00:00:00'",
        "'2024-01-01 00:00:00.5'",
        "'2024-01-01 00:00:00.500001'",
        "'2024-01-01 00:00:01'",
    ],
    ("sqlite", "datetime"): ["'2024-01-01T00:00:00'", "'2024-01-01T00:00:00.000001'"],
    ("sqlite", "time"): ["'00:00:00'", "'00:00:00.1'", "'23:59:59'"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "native"),
    [(name, *case) for case in CURSORS for name in NAMES[case[0]]],
    ids=lambda each: each,
)
def test_a_database_and_we_agree_on_what_is_at_or_after_every_value(
    name: str, kind: str, native: str, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    server.run(f"CREATE TABLE changes (id int PRIMARY KEY, at {native})")
    values = ["NULL", *CURSORS[kind, native], *reversed(CURSORS[kind, native]), "NULL"]
    for number, value in enumerate(values):
        server.run(f"INSERT INTO changes VALUES ({number}, {value})")

    with server.opened(ONE_BY_ONE) as source:
        table, batches, _ = batches_of(source, Selection("changes"))
        whole = pa.Table.from_batches([batch.data for batch in batches]).combine_chunks()
        kept = table.columns[1].type
        rows = whole.to_batches()[0]
        marks = {
            bounds.largest(batch.data, "at", kept)
            for batch in batches
            if batch.data["at"][0].is_valid
        } - {None}
        assert len(marks) >= 2
        for bound in marks:
            assert bound is not None
            selection = Selection("changes", increment=Increment("at", bound))
            _, found, is_since = batches_of(source, selection)
            assert is_since
            wanted = rows.filter(bounds.mask(rows, "at", bound, kept))
            assert sorted(ids(found)) == wanted["id"].to_pylist(), bound
            for number, batch in enumerate(found):
                if batch.position is not None:
                    position = json.loads(json.dumps(batch.position))
                    _, rest, _ = batches_of(source, selection, position)
                    assert ids(rest) == ids(found[number + 1 :])
            assert {batch.position is None for batch in found} == {native == "longtext"}


def make_changes(server: Server) -> None:
    """Four rows at one moment, two before it, one after, and two without."""
    server.run("CREATE TABLE changes (id int PRIMARY KEY, at date, note varchar(9))")
    for number, day in enumerate(("01", "01", "02", "02", "02", "02", "03"), start=1):
        server.run(f"INSERT INTO changes VALUES ({number}, '2024-01-{day}', 'x')")
    server.run("INSERT INTO changes VALUES (8, NULL, 'x')")
    server.run("INSERT INTO changes VALUES (9, NULL, 'x')")


SINCE = Increment("at", "2024-01-02")


def test_ties_at_the_bound_and_rows_without_a_cursor_are_read(server: Server) -> None:
    make_changes(server)
    with server.opened() as source:
        _, batches, _ = batches_of(source, Selection("changes", increment=SINCE))

    assert sorted(ids(batches)) == [3, 4, 5, 6, 7, 8, 9]


def test_a_read_that_was_interrupted_within_ties_goes_on_with_the_next_of_them(
    server: Server,
) -> None:
    make_changes(server)
    selection = Selection("changes", increment=SINCE)
    with server.opened(ONE_BY_ONE) as source:
        _, batches, _ = batches_of(source, selection)
        order = ids(batches)
        place = order.index(4)
        _, rest, _ = batches_of(source, selection, batches[place].position)

    assert ids(rest) == order[place + 1 :]
    assert {5, 6, 7} <= set(ids(rest))


def test_a_row_that_came_late_is_read_by_a_bound_that_reaches_back_to_it(server: Server) -> None:
    make_changes(server)
    server.run("INSERT INTO changes VALUES (10, '2024-01-02', 'late')")
    back = since.moved_back("2024-01-03", _type_of(server), 60)

    with server.opened() as source:
        _, batches, _ = batches_of(source, Selection("changes", increment=Increment("at", back)))

    assert back == "2024-01-02"
    assert 10 in ids(batches)


def _type_of(server: Server) -> Any:
    with server.opened() as source:
        (table,) = source.tables()
        return table.columns[1].type


@pytest.mark.parametrize("name", SERVERS)
def test_what_changes_while_a_read_is_interrupted_lies_behind_its_position(
    name: str, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    make_changes(server)
    selection = Selection("changes", increment=SINCE)
    with server.opened(ONE_BY_ONE) as source:
        _, batches, _ = batches_of(source, selection)
    position = batches[ids(batches).index(6)].position
    server.run("UPDATE changes SET at = '2024-01-04', note = 'new' WHERE id = 3")

    with server.opened() as later:
        _, rest, _ = batches_of(later, selection, position)

    assert {3, 7} <= set(ids(rest))


def test_only_chosen_columns_come_without_the_cursor_and_key(server: Server) -> None:
    make_changes(server)
    with server.opened() as source:
        table, batches, is_since = batches_of(
            source, Selection("changes", columns=("note",), increment=SINCE)
        )

    assert is_since
    assert [column.name for column in table.columns] == ["note"]
    assert [row for batch in batches for row in batch.data.to_pylist()] == [{"note": "x"}] * 7


@pytest.mark.parametrize("name", SERVERS)
def test_a_key_pass_sees_the_state_that_the_increment_was_read_from(
    name: str, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    make_changes(server)
    with server.opened() as source:
        batches_of(source, Selection("changes", increment=SINCE))
        server.run("DELETE FROM changes WHERE id < 5")
        server.run("INSERT INTO changes VALUES (99, NULL, '')")
        _, keys, _ = batches_of(source, Selection("changes", columns=("id",)))

    assert sorted(ids(keys)) == list(range(1, 10))


@pytest.mark.parametrize("name", SERVERS)
@pytest.mark.parametrize("increment", [None, SINCE])
def test_a_key_of_the_users_orders_where_the_table_has_none(
    name: str, increment: Increment | None, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    server.run("CREATE TABLE changes (id int, part varchar(9), at date)")
    for part in ("'a'", "'A'", "NULL", "'b'"):
        for number in (1, 2, 2, 2, 3):  # not unique, against what the user says
            server.run(f"INSERT INTO changes VALUES ({number}, {part}, '2024-01-02')")
    selection = Selection("changes", key=("id", "part"), increment=increment)

    with server.opened(ONE_BY_ONE) as source:
        _, batches, _ = batches_of(source, selection)
        rows = [row for batch in batches for row in batch.data.to_pylist()]
        positions = [batch.position for batch in batches]
        assert sum(position is not None for position in positions) == 12
        for number, position in enumerate(positions, start=1):
            if position is not None:
                _, rest, _ = batches_of(source, selection, json.loads(json.dumps(position)))
                assert [row for batch in rest for row in batch.data.to_pylist()] == rows[number:]

    assert len(rows) == 20


@pytest.mark.parametrize("name", SERVERS)
def test_an_increment_of_a_view_is_read(name: str, servers: Callable[[str], Server]) -> None:
    server = servers(name)
    make_changes(server)
    server.run("CREATE VIEW seen AS SELECT id, at FROM changes")

    with server.opened(ONE_BY_ONE) as source:
        _, batches, _ = batches_of(source, Selection("seen", key=("id",), increment=SINCE))
        _, plain, _ = batches_of(source, Selection("seen", increment=SINCE))

    assert sorted(ids(batches)) == sorted(ids(plain)) == [3, 4, 5, 6, 7, 8, 9]
    assert all(batch.position is not None for batch in batches)
    assert all(batch.position is None for batch in plain)


REFUSED: dict[str, tuple[Selection, str, str]] = {
    "no such cursor": (
        Selection("changes", increment=Increment("gone", "1")), "cursorColumn", "has no column gone to be its cursor"),
    "no such key": (Selection("changes", key=("id", "gone")), "primaryKey", "has no column gone to be in its key"),
    "no order": (Selection("changes", increment=Increment("raw", None)), "cursorColumn", "cannot be a cursor"),
    "another type": (Selection("changes", increment=Increment("at", "abc")), "cursorColumn", "'abc' is no DATE"),
    "not a statement": (
        Selection("changes", increment=Increment("id", "1) OR (1=1")), "cursorColumn", "is no INTEGER"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_cursor_or_key_is_refused_at_its_field(case: str, server: Server) -> None:
    binary = "bytea" if server.kind == "postgresql" else "blob"
    server.run(f"CREATE TABLE changes (id int, at date, raw {binary})")
    server.run("INSERT INTO changes (id, at) VALUES (1, '2024-01-01')")
    selection, field, message = REFUSED[case]

    with server.opened() as source, pytest.raises(InvalidInput, match=message) as refused:
        list(source.read(selection).batches)

    assert refused.value.field == field


@pytest.mark.parametrize(
    ("name", "odd"),
    [
        ("postgresql", "infinity"),
        ("postgresql", "0044-03-15 BC"),
        *((name, "0000-00-00") for name in MYSQL),
    ],
)
def test_a_cursor_that_holds_what_is_no_date_is_refused(
    name: str, odd: str, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    make_changes(server)
    server.run(f"INSERT INTO changes VALUES (10, '{odd}', 'odd')")

    with (
        server.opened() as source,
        pytest.raises(InvalidInput, match="cannot be a cursor") as refused,
    ):
        batches_of(source, Selection("changes", increment=Increment("at")))

    assert refused.value.field == "cursorColumn"


@pytest.mark.parametrize("name", SERVERS)
def test_a_column_that_was_read_as_text_before_comes_as_text_again(
    name: str, servers: Callable[[str], Server]
) -> None:
    server = servers(name)
    make_changes(server)
    selection = Selection("changes", increment=Increment("id", "7"), widened=("at", "note", "gone"))

    with server.opened() as source:
        table, batches, _ = batches_of(source, selection)

    assert [column.type.value for column in table.columns] == ["integer", "text", "text"]
    assert [column.inference is None for column in table.columns] == [True, False, True]
    rows = [row["at"] for batch in batches for row in batch.data.to_pylist()]
    assert rows == ["2024-01-03", None, None]


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_texts_that_sqlite_orders_otherwise_are_left_to_the_reader(
    encoding: str, tmp_path: Path
) -> None:
    with sqlite(tmp_path / "a.db") as server:
        server.run(f"PRAGMA encoding = '{encoding}'")
        server.run("CREATE TABLE changes (id int, at, plain text)")
        for number, value in enumerate(("1", "'a'", "2.5")):
            server.run(f"INSERT INTO changes VALUES ({number}, {value}, 'x')")
        with server.opened() as source:
            _, mixed, is_mixed = batches_of(
                source, Selection("changes", increment=Increment("at", "a"))
            )
            plain = source.read(Selection("changes", increment=Increment("plain", "a")))

    assert (ids(mixed), is_mixed) == ([0, 1, 2], False)
    assert plain.is_since == (encoding == "UTF-8")
