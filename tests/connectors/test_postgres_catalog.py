"""What a PostgreSQL database holds: every kind of table, once, with what is known of it before the first sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from base.tables import ColumnType
from connectors.connector import Connector, Selection
from connectors.postgres import KIND
from tests import databases
from tests.connectors.peers import connect, read_all


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    assert postgres_url
    with databases.postgres_database() as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def source(url: str, database: psycopg.Connection) -> Iterator[Connector]:
    with closing(connect(KIND, {"url": url})) as connector:
        yield connector


def estimates(url: str) -> dict[str, int | None]:
    with closing(connect(KIND, {"url": url})) as connector:
        return {table.name: table.row_estimate for table in connector.tables()}


def test_rows_are_estimated_where_the_server_has_counted_and_nowhere_else(
    url: str, database: psycopg.Connection
) -> None:
    database.execute("""CREATE TABLE plain (id int) WITH (autovacuum_enabled = off); INSERT INTO plain VALUES (1), (2);
        CREATE TABLE parted (id int) PARTITION BY RANGE (id);
        CREATE TABLE low PARTITION OF parted FOR VALUES FROM (0) TO (5) WITH (autovacuum_enabled = off);
        CREATE TABLE high PARTITION OF parted FOR VALUES FROM (5) TO (9) WITH (autovacuum_enabled = off);
        CREATE TABLE bare (id int) PARTITION BY HASH (id);
        INSERT INTO parted SELECT generate_series(1, 8); CREATE VIEW seen AS SELECT * FROM plain;
        CREATE MATERIALIZED VIEW kept AS SELECT * FROM plain""")
    before = estimates(url)
    database.execute("ANALYZE plain; ANALYZE low")
    half = estimates(url)
    database.execute("ANALYZE high; ANALYZE kept")

    assert before == {"bare": None, "kept": None, "parted": None, "plain": None, "seen": None}
    assert half == {"bare": None, "kept": None, "parted": None, "plain": 2, "seen": None}
    assert estimates(url) == {"bare": None, "kept": 2, "parted": 8, "plain": 2, "seen": None}


def test_a_partitioned_table_is_one_table_however_deep_its_partitions_lie(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE TABLE sales (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
        CREATE TABLE old PARTITION OF sales FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY HASH (id);
        CREATE TABLE old_0 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE old_1 PARTITION OF old FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        CREATE TABLE rest PARTITION OF sales DEFAULT;
        INSERT INTO sales SELECT n, date '2020-06-01' + n * 100 FROM generate_series(1, 6) n""")

    (table,) = source.tables()
    _, data = read_all(source, "sales")

    assert (table.name, table.details["kind"]) == ("sales", "partitioned table")
    assert table.primary_key == ("id", "at")
    assert data["id"].to_pylist() == [1, 2, 3, 4, 5, 6]


def test_foreign_tables_are_read_and_so_are_foreign_partitions(
    url: str, database: psycopg.Connection, source: Connector
) -> None:
    name = url.rpartition("/")[2]
    database.execute(
        f"""CREATE SCHEMA far; CREATE TABLE far.real (id int PRIMARY KEY, note text, at timestamptz);
        INSERT INTO far.real VALUES (1, 'ä', '2024-01-01 00:00:00.000001Z'), (2, NULL, 'infinity');
        CREATE EXTENSION postgres_fdw;
        CREATE SERVER here FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', dbname '{name}');
        CREATE USER MAPPING FOR postgres SERVER here OPTIONS (user 'postgres');
        CREATE FOREIGN TABLE near (id int, note text, at timestamptz) SERVER here
          OPTIONS (schema_name 'far', table_name 'real');
        CREATE TABLE mixed (id int, note text, at timestamptz) PARTITION BY RANGE (id);
        CREATE TABLE own PARTITION OF mixed FOR VALUES FROM (5) TO (9);
        CREATE FOREIGN TABLE theirs PARTITION OF mixed FOR VALUES FROM (0) TO (5) SERVER here
          OPTIONS (schema_name 'far', table_name 'real');
        INSERT INTO mixed VALUES (7, 'own', NULL)""".encode()
    )

    kinds = {table.name: (table.details["kind"], table.row_estimate) for table in source.tables()}
    near, mixed = (read_all(source, name)[1].to_pylist() for name in ("near", "mixed"))

    assert kinds == {
        "real": ("table", None),
        "near": ("foreign table", None),
        "mixed": ("partitioned table", None),
    }
    assert near == [
        {"id": 1, "note": "ä", "at": "2024-01-01T00:00:00.000001Z"},
        {"id": 2, "note": None, "at": "infinity"},
    ]
    assert sorted(row["id"] for row in mixed) == [1, 2, 7]


def test_generated_and_identity_columns_have_their_values(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, a int,
          twice int GENERATED ALWAYS AS (a * 2) STORED);
        ALTER TABLE t ADD COLUMN gone int, ADD COLUMN late text DEFAULT 'x'; ALTER TABLE t DROP COLUMN gone;
        INSERT INTO t (a) VALUES (21)""")

    table, data = read_all(source, "t")

    assert [column.name for column in table.columns] == ["id", "a", "twice", "late"]
    assert data.to_pylist() == [{"id": 1, "a": 21, "twice": 42, "late": "x"}]


def test_a_name_in_two_schemas_is_the_default_ones_or_the_one_that_is_named(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE SCHEMA shop; CREATE TABLE shop.t (id int); CREATE TABLE t (id int);
        INSERT INTO shop.t VALUES (1); INSERT INTO t VALUES (2)""")

    assert read_all(source, "t")[1]["id"].to_pylist() == [2]
    assert read_all(source, "t", "shop")[1]["id"].to_pylist() == [1]
    assert [(table.schema, table.name) for table in source.tables()] == [
        ("public", "t"),
        ("shop", "t"),
    ]


def test_enums_domains_ranges_and_arrays_say_their_native_type(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE TYPE mood AS ENUM ('sad'); CREATE DOMAIN price AS numeric(8,2);
        CREATE TABLE t (a mood, b price, c int4range, d text[], e int[][], f numeric(9,3)[])""")

    (table,) = source.tables()

    assert [(column.native_type, column.type) for column in table.columns] == [
        ("mood", ColumnType.TEXT),
        ("price", ColumnType.DECIMAL),
        ("int4range", ColumnType.TEXT),
        ("text[]", ColumnType.LIST),
        ("integer[]", ColumnType.LIST),
        ("numeric(9,3)[]", ColumnType.LIST),
    ]


def test_a_sync_of_many_tables_takes_one_connection(
    url: str, database: psycopg.Connection, source: Connector
) -> None:
    database.execute(
        "CREATE TABLE a (id int); CREATE TABLE b (id date); INSERT INTO b VALUES ('infinity')"
    )
    for name in ("a", "b"):
        assert source.read(Selection(name)).table.name == name
    read_all(source, "b")

    count = database.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchone()

    assert count == (1,)
