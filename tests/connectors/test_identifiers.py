"""Names of any characters: quoted as the catalog has them, and never taken from what a user wrote."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

import connectors
from base.errors import InvalidInput
from connectors.connector import Connection, Connector, Increment, ReadLimits, Selection
from connectors.errors import TableMissing
from tests import databases
from tests.connectors.peers import LOOPBACK

NAMES = (
    'a"b', "a'b", "a`b", "semi;colon", "100%s %(x)s %", "Ünï漢字", "UPPER", "Upper", "select", "back\\slash", "dot.ted",
    " space", "{0}", "{", "-- comment", "/* comment", "new\nline", "?", "$1", ":x", '"', "`", "'; DROP TABLE t; --",
)  # fmt: skip
Run = Callable[[str], Any]
Opened = tuple[str, Run, Callable[[], Connector]]


def opener(kind: str, raw: dict[str, Any], path: Path | None = None) -> Callable[[], Connector]:
    settings, hidden = ({}, {}) if path else connectors.parse(kind, raw)
    limits = ReadLimits(batch_rows=1)
    return lambda: connectors.open(Connection(kind, settings, hidden, path, LOOPBACK, limits))


@contextmanager
def postgresql() -> Iterator[Opened]:
    with (
        databases.postgres_database() as url,
        psycopg.connect(url, autocommit=True) as session,
    ):
        yield '"', lambda sql: session.execute(sql.encode()), opener("postgresql", {"url": url})


@contextmanager
def mysql(server: databases.MysqlServer) -> Iterator[Opened]:
    server.need()
    with databases.mysql_database(server.url) as url, databases.mysql_session(url) as cursor:
        cursor.execute("SET sql_mode = 'NO_BACKSLASH_ESCAPES'")
        yield "`", cursor.execute, opener("mysql", {"url": url})


@contextmanager
def sqlite(path: Path) -> Iterator[Opened]:
    with closing(sqlite3.connect(path, isolation_level=None)) as session:
        yield '"', session.execute, opener("sqlite", {}, path)


SERVERS = {server.name: server for server in databases.MYSQL_SERVERS}


@pytest.fixture(params=["postgresql", "sqlite", *SERVERS])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    if request.param == "sqlite":
        opening = sqlite(tmp_path / "a.db")
    elif request.param == "postgresql":
        request.getfixturevalue("postgres_url")
        opening = postgresql()
    else:
        opening = mysql(SERVERS[request.param])
    with opening as made:
        yield made


def rows(source: Connector, selection: Selection, after: list[Any] | None = None) -> list[Any]:
    return [
        row
        for batch in source.read(selection, after).batches
        for row in zip(*(column.to_pylist() for column in batch.data.columns), strict=True)
    ]


def test_tables_and_columns_of_any_name_are_read_in_every_way(opened: Opened) -> None:
    mark, run, open_source = opened
    names = [name for name in NAMES if mark != '"' or name != "Upper"]  # SQLite folds ASCII case
    for name in names:
        quoted, key, at = (
            mark + each.replace(mark, mark * 2) + mark for each in (name, f"{name}k", f"{name}@")
        )
        run(f"CREATE TABLE {quoted} ({key} int PRIMARY KEY, {at} date, {quoted} varchar(9))")
        for number in (1, 2, 3):
            run(f"INSERT INTO {quoted} VALUES ({number}, '2024-01-0{number}', 'x{number}')")

    with closing(open_source()) as source:
        assert {table.name for table in source.tables()} == set(names)
        for name in names:
            key, at = f"{name}k", f"{name}@"
            assert [row[2] for row in rows(source, Selection(name))] == ["x1", "x2", "x3"]
            since = Selection(
                name, columns=(name,), key=(key,), increment=Increment(at, "2024-01-02")
            )
            assert rows(source, since) == [("x2",), ("x3",)]
            first = next(iter(source.read(since).batches)) if mark == '"' else None
        assert first is None or rows(source, since, first.position) == [("x3",)]


HOSTILE = (
    "t; DROP TABLE t",
    't"; DROP TABLE t; --',
    "t`; DROP TABLE t; --",
    "t' OR '1'='1",
    "T",
    "t ",
)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_the_catalog_does_not_have_goes_into_no_statement(
    name: str, opened: Opened
) -> None:
    _, run, open_source = opened
    run("CREATE TABLE t (id int PRIMARY KEY)")
    run("INSERT INTO t VALUES (1)")

    with closing(open_source()) as source:
        for wrong in (Selection(name), Selection("t", name), Selection("t", columns=(name,))):
            with pytest.raises(TableMissing):
                source.read(wrong)
        for wrong in (
            Selection("t", key=(name,)),
            Selection("t", increment=Increment(name)),
            Selection("t", increment=Increment("id", f"1{name}")),
        ):
            with pytest.raises(InvalidInput):
                list(source.read(wrong).batches)
        assert rows(source, Selection("t")) == [(1,)]
