from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from base.errors import ConnectionFailed, TimedOut
from connectors.connector import Connector, ReadLimits, Selection
from connectors.errors import (
    CellTooLarge,
    SourceUnreachable,
    TableMissing,
)
from connectors.postgres import KIND
from tests import databases
from tests.connectors.peers import connect, read_all


@pytest.fixture(scope="module")
def url(postgres_url: str) -> Iterator[str]:
    with databases.postgres_database() as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA IF EXISTS shop, public CASCADE; CREATE SCHEMA public")
        yield connection


@pytest.fixture
def source(url: str, database: psycopg.Connection) -> Iterator[Connector]:
    with closing(connect(KIND, {"url": url})) as connector:
        yield connector


def test_a_table_dropped_after_introspection_is_missing(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int)")
    reading = source.read(Selection("t"))
    database.execute("DROP TABLE t")

    with pytest.raises(TableMissing, match=r"The table public\.t is not there any more\."):
        list(reading.batches)


def test_what_the_user_may_not_read_is_not_listed(url: str, database: psycopg.Connection) -> None:
    role = f"reader_{secrets.token_hex(4)}"
    database.execute(
        f"""CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA public TO {role};
        CREATE TABLE open (id int, secret text, PRIMARY KEY (id)); CREATE TABLE shut (id int);
        INSERT INTO open VALUES (1, 'x');
        GRANT SELECT (id) ON open TO {role}""".encode()
    )
    try:
        with closing(connect(KIND, {"url": url.replace("postgres@", f"{role}@")})) as reader:
            tables = reader.tables()
            data = read_all(reader, "open")[1]
    finally:
        database.execute(f"DROP OWNED BY {role}; DROP ROLE {role}".encode())

    assert [(t.name, [c.name for c in t.columns]) for t in tables] == [("open", ["id"])]
    assert data.to_pylist() == [{"id": 1}]


def test_the_session_cannot_write(database: psycopg.Connection, source: Connector) -> None:
    database.execute("""CREATE TABLE t (id int); CREATE FUNCTION sneaky() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (1) RETURNING 1';
        CREATE VIEW trap AS SELECT sneaky() AS id""")

    with pytest.raises(
        ConnectionFailed, match=r"reported an error while the table public\.trap was read"
    ):
        list(source.read(Selection("trap")).batches)
    count = database.execute("SELECT count(*) FROM t").fetchone()
    assert count == (0,)


def test_a_failing_view_says_so_without_its_values(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute(
        "CREATE VIEW v AS SELECT ('secret' || n)::int AS id FROM generate_series(1, 3) n"
    )

    with pytest.raises(ConnectionFailed) as caught:
        list(source.read(Selection("v")).batches)

    assert not caught.value.retryable
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"


def test_a_connection_cut_in_the_midst_can_be_tried_again(
    url: str, database: psycopg.Connection
) -> None:
    database.execute(
        "CREATE TABLE t AS SELECT n AS id, repeat('x', 1000) AS pad FROM generate_series(1, 60000) n"
    )
    with closing(connect(KIND, {"url": url + "?application_name=headwater_cut"})) as source:
        batches = iter(source.read(Selection("t")).batches)
        next(batches)
        database.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'headwater_cut' AND datname = current_database()"
        )

        with pytest.raises(
            SourceUnreachable, match=r"stopped answering while the table public\.t was read"
        ) as caught:
            list(batches)

    assert caught.value.retryable


def test_a_read_that_takes_too_long_ends_with_its_limit(
    url: str, database: psycopg.Connection
) -> None:
    database.execute("CREATE VIEW slow AS SELECT pg_sleep(30)::text AS s")
    with (
        closing(connect(KIND, {"url": url, "options": {"statement_timeout": 1}})) as source,
        pytest.raises(TimedOut, match="1 seconds"),
    ):
        list(source.read(Selection("slow")).batches)


def test_a_value_over_the_limit_is_named_and_not_stored(
    url: str, database: psycopg.Connection
) -> None:
    database.execute("CREATE TABLE t AS SELECT repeat('x', 2000) AS big")
    limits = ReadLimits(cell_bytes_max=1000)
    with (
        closing(connect(KIND, {"url": url}, limits=limits)) as source,
        pytest.raises(
            CellTooLarge,
            match=r"column big of the table public\.t has 2000 bytes, over the limit of 1000",
        ),
    ):
        list(source.read(Selection("t")).batches)


def test_texts_in_no_encoding_are_never_stored_as_utf_8(
    database: psycopg.Connection, url: str
) -> None:
    name = f"headwater_ascii_{secrets.token_hex(4)}"
    database.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0".encode()
    )
    other = f"{url.rpartition('/')[0]}/{name}"
    try:
        with psycopg.connect(other, autocommit=True) as ascii_database:
            ascii_database.execute(
                rb"CREATE TABLE bad AS SELECT E'\xE9'::text AS a; CREATE TABLE good AS SELECT E'\xC3\xA9'::text AS a"
            )
        with closing(connect(KIND, {"url": other})) as source:
            assert read_all(source, "good")[1].to_pylist() == [{"a": "é"}]
            with pytest.raises(
                ConnectionFailed,
                match=r"reported an error while the table public\.bad was read",
            ):
                read_all(source, "bad")
    finally:
        database.execute(f"DROP DATABASE {name}".encode())
