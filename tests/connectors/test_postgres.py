from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import closing

import psycopg
import pytest

from base.tables import ColumnType
from connectors.connector import Connector, ReadLimits, Selection
from connectors.errors import (
    ReadAgain,
    TableMissing,
)
from connectors.postgres import KIND
from tests import databases
from tests.connectors.peers import connect, read_all

UTC = dt.UTC
EVIL = 'a"b; DROP TABLE x; --'


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


def test_all_odd_columns_are_found_in_one_pass_in_one_snapshot(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a date, b time, c date)")
    database.execute(
        "INSERT INTO t SELECT n, '2020-01-01', '10:00', '2020-01-01' FROM generate_series(1, 9) n"
    )
    database.execute(
        "UPDATE t SET a = 'infinity' WHERE id = 2; UPDATE t SET b = '24:00' WHERE id = 9"
    )
    reading = source.read(Selection("t"))
    with pytest.raises(ReadAgain):
        list(reading.batches)
    database.execute("INSERT INTO t VALUES (10, NULL, NULL, '-infinity')")

    table, data = read_all(source, "t")

    assert [c.type for c in table.columns[1:]] == [
        ColumnType.TEXT,
        ColumnType.TIME,
        ColumnType.DATE,
    ]
    assert data.num_rows == 9
    assert data["a"].to_pylist()[:3] == ["2020-01-01", "infinity", "2020-01-01"]


def test_the_catalog_tells_schemas_kinds_keys_and_estimates(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE SCHEMA shop;
        CREATE TABLE shop.orders (note text, line int, id int NOT NULL, PRIMARY KEY (id, line));
        INSERT INTO shop.orders SELECT 'x', n, 1 FROM generate_series(1, 1000) n; ANALYZE shop.orders;
        CREATE VIEW shop.recent AS SELECT id FROM shop.orders;
        CREATE MATERIALIZED VIEW shop.stored AS SELECT id FROM shop.orders;
        CREATE MATERIALIZED VIEW shop.unfilled AS SELECT 1 AS a WITH NO DATA;
        CREATE TABLE shop.parted (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE shop.parted_1 PARTITION OF shop.parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE shop.parted_2 PARTITION OF shop.parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
        INSERT INTO shop.parted VALUES (1, '2020-05-05'), (2, '2021-05-05'); ANALYZE shop.parted""")

    tables = {(t.schema, t.name): t for t in source.tables()}

    assert {key: t.details["kind"] for key, t in tables.items()} == {
        ("shop", "orders"): "table",
        ("shop", "parted"): "partitioned table",
        ("shop", "recent"): "view",
        ("shop", "stored"): "materialized view",
    }
    orders = tables["shop", "orders"]
    assert orders.primary_key == ("line", "id")
    assert orders.row_estimate == 1000
    assert [(c.name, c.native_type, c.nullable) for c in orders.columns] == [
        ("note", "text", True), ("line", "integer", False), ("id", "integer", False)]  # fmt: skip
    assert tables["shop", "recent"].row_estimate is None
    assert tables["shop", "parted"].row_estimate == 2


def test_partitions_and_views_are_read_whole(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("""CREATE TABLE parted (id int, at date) PARTITION BY RANGE (at);
        CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE parted_2 PARTITION OF parted DEFAULT; INSERT INTO parted VALUES (2, '2020-05-05'), (1, NULL);
        CREATE VIEW doubled AS SELECT id * 2 AS twice FROM parted ORDER BY id""")

    assert sorted(read_all(source, "parted")[1]["id"].to_pylist()) == [1, 2]
    assert read_all(source, "doubled")[1].to_pylist() == [{"twice": 2}, {"twice": 4}]


def test_names_that_need_quoting_are_read(database: psycopg.Connection, source: Connector) -> None:
    quoted = '"' + EVIL.replace('"', '""') + '"'
    database.execute(
        f"""CREATE TABLE {quoted} ({quoted} int PRIMARY KEY, "select" text, "Größe {{0}} %s" text)""".encode()
    )
    database.execute(f"INSERT INTO {quoted} VALUES (1, 'a', 'b'), (2, 'c', 'd')".encode())

    _, data = read_all(source, EVIL)
    rest = [
        b.data.to_pylist()
        for b in source.read(Selection(EVIL, "public"), [[EVIL], [1], []]).batches
    ]

    assert data.to_pylist()[0] == {EVIL: 1, "select": "a", "Größe {0} %s": "b"}
    assert rest == [[{EVIL: 2, "select": "c", "Größe {0} %s": "d"}]]


def test_an_empty_table_has_columns_and_no_rows(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE nothing (id int, at timestamptz)")

    reading = source.read(Selection("nothing"))

    assert [c.name for c in reading.table.columns] == ["id", "at"]
    assert list(reading.batches) == []


def test_chosen_columns_alone_are_read_and_the_key_still_gives_positions(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute(
        "CREATE TABLE t (id int PRIMARY KEY, a text, b text); INSERT INTO t VALUES (7, 'x', 'y')"
    )

    reading = source.read(Selection("t", columns=("b",)))
    (batch,) = reading.batches

    assert [c.name for c in reading.table.columns] == ["b"]
    assert batch.data.to_pylist() == [{"b": "y"}]
    assert batch.position == [["id"], [7], []]


KEYS = {
    "char(9)": "chr(65 + n % 26) || n",
    "float8": "n / 7.0",
    "int8": "(n - 500)::int8 * 1000000000000",
    "text": "chr(33 + n / 30) || '''\\ ' || n",
    "uuid": "md5(n::text)::uuid",
    "date": "date '2020-01-01' + n",
    "timestamptz": "timestamptz '2020-01-01 00:00:00.000001Z' + n * interval '1 us'",
    "numeric(20,5)": "n * 1.00001",
    "numeric": "n / 7.0",
}


@pytest.mark.parametrize("native", KEYS)
def test_reading_on_behind_any_batch_gives_exactly_the_rest(
    native: str, url: str, database: psycopg.Connection
) -> None:
    database.execute(
        f"CREATE TABLE t (id {native}, part int, v int, PRIMARY KEY (part, id))".encode()
    )
    database.execute(
        f"INSERT INTO t SELECT {KEYS[native]}, n % 3, n FROM generate_series(1, 1000) n ORDER BY random()".encode()
    )
    limits = ReadLimits(batch_rows=150)
    with closing(connect(KIND, {"url": url}, limits=limits)) as first:
        batches = list(first.read(Selection("t")).batches)
    values = [v for batch in batches for v in batch.data["v"].to_pylist()]

    assert sorted(values) == list(range(1, 1001))
    done = 0
    for batch in batches:
        done += batch.data.num_rows
        position = json.loads(json.dumps(batch.position))
        with closing(connect(KIND, {"url": url}, limits=limits)) as other:
            rest = [
                v
                for b in other.read(Selection("t"), position).batches
                for v in b.data["v"].to_pylist()
            ]
        assert rest == values[done:]


def test_a_resumed_read_has_the_types_that_the_first_part_had(
    url: str, database: psycopg.Connection
) -> None:
    database.execute("""CREATE TABLE t (id int PRIMARY KEY, price numeric(8,2), until date);
        INSERT INTO t VALUES (1, 'NaN', 'infinity'), (2, 1.50, '2020-01-01'), (3, 2, NULL)""")
    with closing(connect(KIND, {"url": url}, limits=ReadLimits(batch_rows=1))) as first:
        table, _ = read_all(first, "t")
        batches = list(first.read(Selection("t")).batches)
    position = json.loads(json.dumps(batches[0].position))
    with closing(connect(KIND, {"url": url})) as second:
        reading = second.read(Selection("t"), position)
        (rest,) = reading.batches

    assert position == [["id"], [1], ["price", "until"]]
    assert reading.table == table
    assert rest.data.to_pylist() == [
        {"id": 2, "price": "1.50", "until": "2020-01-01"},
        {"id": 3, "price": "2.00", "until": None},
    ]


def test_a_position_of_another_key_starts_the_table_over(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")

    with pytest.raises(ReadAgain):
        list(source.read(Selection("t"), [["a"], [5], []]).batches)


def test_large_tables_are_read_in_key_order_only_where_they_lie_in_it(
    database: psycopg.Connection, source: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.relational.ORDERED_BYTES_MAX", 0)
    database.execute("""CREATE TABLE sorted (id int PRIMARY KEY, pad text); CREATE TABLE shuffled (LIKE sorted INCLUDING ALL);
        INSERT INTO sorted SELECT n, repeat('x', 500) FROM generate_series(1, 5000) n;
        INSERT INTO shuffled SELECT * FROM sorted ORDER BY md5(id::text)""")

    in_order = [b.position for b in source.read(Selection("sorted")).batches]
    shuffled = list(source.read(Selection("shuffled")).batches)

    assert in_order[-1] == [["id"], [5000], []]
    assert [batch.position for batch in shuffled] == [None] * len(shuffled)
    assert sum(batch.data.num_rows for batch in shuffled) == 5000


def test_a_table_whose_children_may_repeat_its_keys_has_no_positions(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute(
        "CREATE TABLE p (id int PRIMARY KEY); CREATE TABLE c () INHERITS (p); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)"
    )

    (batch,) = source.read(Selection("p")).batches

    assert batch.data["id"].to_pylist() == [1, 1]
    assert batch.position is None


def test_all_tables_come_from_one_state_of_the_source(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE a (id int); CREATE TABLE b (id int); INSERT INTO a VALUES (1)")

    assert read_all(source, "a")[1].num_rows == 1
    database.execute("INSERT INTO b VALUES (1)")

    assert list(source.read(Selection("b")).batches) == []


def test_a_missing_table_or_column_is_named(
    database: psycopg.Connection, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int)")

    with pytest.raises(TableMissing, match="The table nope is not in this PostgreSQL database"):
        source.read(Selection("nope"))
    with pytest.raises(TableMissing, match=r"The table public\.t has no column gone"):
        source.read(Selection("t", "public", ("id", "gone")))
    with pytest.raises(TableMissing, match=r"The table pg_catalog\.pg_class"):
        source.read(Selection("pg_class", "pg_catalog"))


def test_a_large_partitioned_table_is_read_in_key_order_where_it_lies_in_it(
    database: psycopg.Connection, source: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.relational.ORDERED_BYTES_MAX", 0)
    database.execute("""CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (500); CREATE TABLE p_2 PARTITION OF p DEFAULT;
        INSERT INTO p SELECT n FROM generate_series(1, 1000) n""")

    batches = list(source.read(Selection("p")).batches)

    assert [n for b in batches for n in b.data["id"].to_pylist()] == list(range(1, 1001))
    assert batches[-1].position == [["id"], [1000], []]
