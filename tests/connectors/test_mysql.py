from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from contextlib import closing

import pyarrow as pa
import pymysql
import pytest

from base.errors import ConnectionFailed, TimedOut
from connectors.connector import Connector, ReadLimits, Selection
from connectors.errors import (
    CellTooLarge,
    ReadAgain,
    SourceUnreachable,
    TableMissing,
)
from connectors.mysql import KIND
from connectors.mysql.wire import CELLS_MAX
from tests import databases
from tests.connectors.peers import connect, read_all
from tests.databases import MysqlServer, numbers

UTC = dt.UTC
EVIL = 'a`b"; DROP TABLE x; -- \\'
Cursor = pymysql.cursors.Cursor


@pytest.fixture(scope="module")
def url(mysql_server: MysqlServer) -> Iterator[str]:
    with databases.mysql_database(mysql_server.url) as made:
        yield made


@pytest.fixture
def database(url: str) -> Iterator[Cursor]:
    with databases.mysql_session(url) as cursor:
        cursor.execute("SET sql_mode = '', time_zone = '+02:00'")
        cursor.execute("SHOW FULL TABLES")
        for name, kind in cursor.fetchall():
            quoted = "`" + name.replace("`", "``") + "`"
            cursor.execute(f"DROP {'VIEW' if kind == 'VIEW' else 'TABLE'} {quoted}")
        yield cursor


@pytest.fixture
def source(url: str, database: Cursor) -> Iterator[Connector]:
    with closing(connect(KIND, {"url": url})) as connector:
        yield connector


def test_the_catalog_tells_kinds_keys_and_estimates(
    mysql_server: MysqlServer, database: Cursor, source: Connector
) -> None:
    integer = "int(11)" if mysql_server.is_mariadb else "int"
    database.execute("CREATE TABLE orders (note text, line int, id int, PRIMARY KEY (id, line))")
    database.execute(f"INSERT INTO orders SELECT 'x', seq, 1 FROM {numbers(1000)}")
    database.execute("ANALYZE TABLE orders")
    database.execute("CREATE VIEW recent AS SELECT id FROM orders")
    if mysql_server.is_mariadb:
        database.execute("CREATE SEQUENCE counter")

    tables = source.tables()
    if mysql_server.is_mariadb:
        database.execute("DROP SEQUENCE counter")

    assert [(t.name, t.schema, t.details["kind"], t.row_estimate) for t in tables] == [
        ("orders", None, "table", 1000),
        ("recent", None, "view", None),
    ]
    assert tables[0].primary_key == ("line", "id")
    assert [(c.name, c.native_type, c.nullable) for c in tables[0].columns] == [
        ("note", "text", True), ("line", integer, False), ("id", integer, False)]  # fmt: skip


def test_estimates_are_of_now_whatever_the_server_remembers(
    database: Cursor, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY)")
    database.execute("INSERT INTO t VALUES (1)")
    database.execute("ANALYZE TABLE t")
    database.execute(f"INSERT INTO t SELECT seq + 1 FROM {numbers(9999)}")

    (table,) = source.tables()

    assert 9000 < (table.row_estimate or 0) < 11000


BOTH, MARIADB, MYSQL = {True, False}, {True}, {False}  # whether it is MariaDB
ODD_TABLES: dict[str, tuple[set[bool], str, tuple[str, ...]]] = {  # products, definition, key
    "descending": (BOTH, "(id int, v int, PRIMARY KEY (v, id DESC))", ("id", "v")),
    "invisible": (BOTH, "(id int INVISIBLE PRIMARY KEY AUTO_INCREMENT, v int)", ("id",)),
    "history": (MARIADB, "(id int PRIMARY KEY AUTO_INCREMENT, v int) WITH SYSTEM VERSIONING", ("id",)),
    "generated": (MYSQL, "(v int)", ("my_row_id",)),
    "functional": (MYSQL, "(id int PRIMARY KEY AUTO_INCREMENT, v int, KEY ((v + 1)))", ("id",)),
    "by range": (BOTH, """(v int, id int, PRIMARY KEY (id, v)) PARTITION BY RANGE (v)
        (PARTITION low VALUES LESS THAN (2), PARTITION high VALUES LESS THAN MAXVALUE)""", ("v", "id")),
}  # fmt: skip
PLACES = [
    pytest.param(server, name, id=f"{server.name}-{name}")
    for server in databases.MYSQL_SERVERS
    for name, (products, _, _) in ODD_TABLES.items()
    if server.is_mariadb in products
]


@pytest.mark.parametrize(("mysql_server", "name"), PLACES, indirect=["mysql_server"])
def test_each_kind_of_key_orders_its_table(
    mysql_server: MysqlServer, name: str, database: Cursor, source: Connector
) -> None:
    _, definition, key = ODD_TABLES[name]
    if not mysql_server.is_mariadb:
        database.execute(f"SET sql_generate_invisible_primary_key = {int(name == 'generated')}")
    database.execute(f"CREATE TABLE t {definition}")
    named = len(key) > 1
    for number in (1, 2, 3):
        database.execute(
            f"INSERT INTO t ({'id, v' if named else 'v'}) VALUES ({f'{number}, ' * named}{number})"
        )

    table, data = read_all(source, "t")
    (batch,) = source.read(Selection("t")).batches

    assert table.primary_key == key
    assert data["v"].to_pylist() == [1, 2, 3]
    assert batch.position is not None


def test_a_column_that_is_invisible_is_read(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int INVISIBLE DEFAULT 5)")
    database.execute("INSERT INTO t (id) VALUES (1)")

    assert read_all(source, "t")[1].to_pylist() == [{"id": 1, "v": 5}]


def test_a_view_of_what_is_gone_is_not_listed(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE t (id int)")
    database.execute("CREATE TABLE gone (id int)")
    database.execute("CREATE VIEW broken AS SELECT * FROM gone")
    database.execute("DROP TABLE gone")

    assert [table.name for table in source.tables()] == ["t"]


def test_partitions_and_views_are_read_whole(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY HASH (id) PARTITIONS 3")
    database.execute(f"INSERT INTO parted SELECT seq FROM {numbers(10)}")
    database.execute("CREATE VIEW doubled AS SELECT id * 2 AS twice FROM parted WHERE id < 3")

    assert read_all(source, "parted")[1]["id"].to_pylist() == list(range(1, 11))
    assert sorted(read_all(source, "doubled")[1]["twice"].to_pylist()) == [2, 4]


def test_names_that_need_quoting_are_read(url: str, database: Cursor, source: Connector) -> None:
    quoted = "`" + EVIL.replace("`", "``") + "`"
    database.execute(
        f"CREATE TABLE {quoted} ({quoted} varchar(20) PRIMARY KEY, `select` text, `Größe {{0}} %s` json)"
    )
    database.execute(f"""INSERT INTO {quoted} VALUES ('it''s \\\\', 'a', '1'), ('z', 'c', '2')""")

    _, data = read_all(source, EVIL, url.rpartition("/")[2])
    rest = [
        b.data.to_pylist() for b in source.read(Selection(EVIL), [[EVIL], ["it's \\"], []]).batches
    ]

    assert data.to_pylist()[0] == {EVIL: "it's \\", "select": "a", "Größe {0} %s": "1"}
    assert rest == [[{EVIL: "z", "select": "c", "Größe {0} %s": "2"}]]


def test_an_empty_table_has_columns_and_no_rows(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE nothing (id int, at timestamp)")

    reading = source.read(Selection("nothing"))

    assert [c.name for c in reading.table.columns] == ["id", "at"]
    assert list(reading.batches) == []


KEYS = {
    "float": "seq / 7",
    "double": "seq / 7",
    "bigint": "(cast(seq as signed) - 500) * 1000000000000",
    "varchar(50)": "concat(char(33 + seq div 30), '\\'\\\\ ', seq)",
    "varchar(50) character set latin1": "concat(char(33 + seq div 30), 'é ', seq)",
    "varchar(50) collate utf8mb4_bin": "concat(char(33 + seq div 30), if(seq % 2, '😀', 'é'), seq)",
    "binary(16)": "left(unhex(sha2(seq, 256)), 16)",
    "date": "date '2020-01-01' + interval seq day",
    "datetime(6)": "timestamp '2020-01-01 00:00:00.000001' + interval seq microsecond",
    "timestamp(6)": "timestamp '2020-01-01 00:00:00.000001' + interval seq microsecond",
    "decimal(20,5)": "seq * 1.00001",
    "decimal(65,5)": "seq * 1.00001",
}


@pytest.mark.parametrize("native", KEYS)
def test_reading_on_behind_any_batch_gives_exactly_the_rest(
    native: str, url: str, database: Cursor
) -> None:
    database.execute(f"CREATE TABLE t (id {native}, part int, v int, PRIMARY KEY (part, id))")
    database.execute(
        f"INSERT INTO t SELECT {KEYS[native]}, seq % 3, seq FROM {numbers(1000)} ORDER BY rand()"
    )
    limits = ReadLimits(batch_rows=150)
    with closing(connect(KIND, {"url": url}, limits=limits)) as first:
        batches = list(first.read(Selection("t")).batches)
    values = [v for batch in batches for v in batch.data["v"].to_pylist()]

    assert sorted(values) == list(range(1, 1001))
    assert len(batches) >= 7
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


@pytest.mark.parametrize(
    "definition",
    [
        "id enum('b','a') PRIMARY KEY",
        "id varchar(50), PRIMARY KEY (id(5))",
        "id int",
    ],
)
def test_keys_that_do_not_order_exactly_give_no_positions(
    definition: str, database: Cursor, source: Connector
) -> None:
    database.execute(f"CREATE TABLE t ({definition})")
    database.execute("INSERT INTO t VALUES (1)")

    (batch,) = source.read(Selection("t")).batches

    assert batch.position is None


def test_a_large_table_that_is_not_kept_by_key_is_read_as_it_lies(
    database: Cursor, source: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("connectors.relational.ORDERED_BYTES_MAX", 0)
    for name, engine in (("heap", "MyISAM"), ("clustered", "InnoDB")):
        database.execute(f"CREATE TABLE {name} (id int PRIMARY KEY, v int) ENGINE={engine}")
        database.execute(f"INSERT INTO {name} VALUES (2, 0), (1, 0)")

    (heap,), (clustered,) = (
        list(source.read(Selection(name)).batches) for name in ("heap", "clustered")
    )

    assert (heap.data["id"].to_pylist(), heap.position) == ([2, 1], None)
    assert (clustered.data["id"].to_pylist(), clustered.position) == ([1, 2], [["id"], [2], []])


def test_a_position_of_another_key_starts_the_table_over(
    database: Cursor, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a int)")

    with pytest.raises(ReadAgain):
        list(source.read(Selection("t"), [["a"], [5], []]).batches)


def test_a_row_over_several_packets_arrives_whole(database: Cursor, url: str) -> None:
    half = 9 * 1024**2
    database.execute("CREATE TABLE t (id int PRIMARY KEY, a longtext, b longblob)")
    database.execute(
        f"INSERT INTO t VALUES (1, 'x', 'y'), (2, repeat('a', {half}), repeat('b', {half})), (3, 'x', 'y')"
    )

    with closing(connect(KIND, {"url": url})) as source:
        _, data = read_all(source, "t")

    assert data["id"].to_pylist() == [1, 2, 3]
    assert [len(v) for v in data["a"].to_pylist()] == [1, half, 1]
    assert data["b"][1].as_py() == b"b" * half


def test_many_small_rows_are_cut_at_the_limit(database: Cursor, url: str) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v varchar(300))")
    database.execute(
        f"INSERT INTO t SELECT seq, if(seq % 7, repeat(char(97 + seq % 26), seq % 300), NULL) FROM {numbers(20000)}"
    )
    with closing(
        connect(KIND, {"url": url}, limits=ReadLimits(batch_rows=3000, batch_bytes=100_000))
    ) as source:
        batches = [batch.data for batch in source.read(Selection("t")).batches]

    assert max(batch.num_rows for batch in batches) <= 3000
    data = pa.Table.from_batches(batches)
    assert data["id"].to_pylist() == list(range(1, 20001))
    assert data["v"].to_pylist() == [
        chr(97 + n % 26) * (n % 300) if n % 7 else None for n in range(1, 20001)
    ]


def test_many_columns_of_nothing_are_few_rows_at_once(database: Cursor, source: Connector) -> None:
    names = [f"c{n}" for n in range(800)]
    database.execute(f"CREATE TABLE t ({', '.join(f'{name} tinyint' for name in names)})")
    database.execute(f"INSERT INTO t (c0) SELECT seq % 100 FROM {numbers(5000)}")

    batches = [batch.data for batch in source.read(Selection("t")).batches]

    assert max(batch.num_rows for batch in batches) <= CELLS_MAX // len(names)
    data = pa.Table.from_batches(batches)
    assert sorted(data["c0"].to_pylist()) == sorted(n % 100 for n in range(1, 5001))
    assert data["c799"].null_count == 5000


def test_all_tables_come_from_one_state_of_the_source(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE a (id int)")
    database.execute("CREATE TABLE b (id int)")
    database.execute("INSERT INTO a VALUES (1)")

    assert read_all(source, "a")[1].num_rows == 1
    database.execute("INSERT INTO b VALUES (1)")

    assert list(source.read(Selection("b")).batches) == []


@pytest.mark.parametrize("change", ["TRUNCATE t", "ALTER TABLE t MODIFY v varchar(20)"])
def test_a_table_that_is_remade_after_the_read_began_can_be_tried_again(
    change: str, url: str, database: Cursor, source: Connector
) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, v int)")
    assert source.tables()
    database.execute(change)

    with pytest.raises(SourceUnreachable) as caught:
        list(source.read(Selection("t")).batches)
    with closing(connect(KIND, {"url": url})) as later:
        assert list(later.read(Selection("t")).batches) == []

    assert caught.value.message == "The table t was altered or emptied while MySQL was read."
    assert caught.value.retryable


def test_a_missing_table_or_column_is_named(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE t (id int)")

    with pytest.raises(TableMissing, match="The table nope is not in this MySQL database"):
        source.read(Selection("nope"))
    with pytest.raises(TableMissing, match="The table t has no column gone"):
        source.read(Selection("t", columns=("gone",)))
    with pytest.raises(TableMissing, match=r"The table mysql\.user"):
        source.read(Selection("user", "mysql"))


SEEN = {"sql_select_limit": 2**64 - 1, "sql_big_selects": 1, "wait_timeout": 3600}
LARGE = 10**9  # cuts nobody else's reads


def test_a_read_has_none_of_the_limits_that_a_server_sets_for_all(
    url: str, database: Cursor
) -> None:
    for name in SEEN:
        database.execute(f"DROP FUNCTION IF EXISTS own_{name}")
        database.execute(
            f"CREATE FUNCTION own_{name}() RETURNS bigint unsigned NO SQL RETURN @@session.{name}"
        )
    listed = ", ".join(f"own_{name}() AS {name}" for name in SEEN)
    database.execute(f"CREATE VIEW seen AS SELECT {listed}")
    globally = ("sql_select_limit", "max_join_size")
    try:
        for name in globally:
            database.execute(f"SET GLOBAL {name} = {LARGE}")
        with closing(connect(KIND, {"url": url})) as source:
            source.check()
            assert read_all(source, "seen")[1].to_pylist() == [SEEN]
    finally:
        for name in globally:
            database.execute(f"SET GLOBAL {name} = DEFAULT")


def test_the_transaction_cannot_write(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE t (id int)")
    database.execute("DROP FUNCTION IF EXISTS sneaky")
    database.execute(
        "CREATE FUNCTION sneaky() RETURNS int DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO t VALUES (1); RETURN 1; END"
    )
    database.execute("CREATE VIEW trap AS SELECT sneaky() AS id")

    with pytest.raises(ConnectionFailed):
        list(source.read(Selection("trap")).batches)
    database.execute("SELECT count(*) FROM t")
    assert database.fetchone() == (0,)


def test_a_connection_cut_in_the_midst_can_be_tried_again(url: str, database: Cursor) -> None:
    database.execute("CREATE TABLE t (id int, pad char(200))")
    database.execute(f"INSERT INTO t SELECT seq, repeat('x', 200) FROM {numbers(200000)}")
    with closing(connect(KIND, {"url": url}, limits=ReadLimits(batch_rows=100))) as source:
        batches = iter(source.read(Selection("t")).batches)
        next(batches)
        database.execute(
            "SELECT id FROM information_schema.PROCESSLIST WHERE db = database() AND id <> connection_id()"
        )
        for (process,) in database.fetchall():
            database.execute(f"KILL {process}")

        with pytest.raises(
            SourceUnreachable, match="stopped answering while the table t was read"
        ) as caught:
            list(batches)

    assert caught.value.retryable


def test_a_read_that_takes_too_long_ends_with_its_limit(url: str, database: Cursor) -> None:
    database.execute("CREATE VIEW slow AS SELECT sleep(30) AS s")
    with (
        closing(connect(KIND, {"url": url, "options": {"statement_timeout": 1}})) as source,
        pytest.raises(TimedOut, match="1 seconds"),
    ):
        list(source.read(Selection("slow")).batches)


def test_a_value_over_the_limit_is_named_and_not_stored(url: str, database: Cursor) -> None:
    database.execute("CREATE TABLE t AS SELECT repeat('x', 2000) AS big")
    limits = ReadLimits(cell_bytes_max=1000)
    with (
        closing(connect(KIND, {"url": url}, limits=limits)) as source,
        pytest.raises(CellTooLarge, match="column big of the table t has 2000 bytes"),
    ):
        list(source.read(Selection("t")).batches)


def test_a_text_that_is_not_utf_8_names_its_column(database: Cursor, source: Connector) -> None:
    database.execute("CREATE TABLE t (id int PRIMARY KEY, good text, bad varchar(9))")
    # Half of a surrogate pair, which MariaDB takes for a character, and MySQL for none.
    database.execute("INSERT INTO t VALUES (1, 'a', convert(x'EDA080' using utf8mb4))")
    database.execute("SELECT hex(bad) FROM t")
    ((stored,),) = database.fetchall()

    assert len(list(source.read(Selection("t", columns=("id", "good"))).batches)) == 1
    if stored != "EDA080":
        assert len(list(source.read(Selection("t")).batches)) == 1
        return
    with pytest.raises(ConnectionFailed, match="column bad of the table t is none of its type"):
        list(source.read(Selection("t")).batches)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("date '2020-01-01'", "timestamp '2020-01-02 05:00:00'", "2020-01-02 05:00:00"),
        ("date '2020-01-01'", "20200102", "20200102"),
        ("timestamp '2020-01-01 00:00:00'", "12345678901", "12345678901"),
        ("time '01:00:00'", "12345678901", "12345678901"),
        ("cast(1 as signed)", "date '2020-01-02'", None),
        ("on_off", "on_off + 6", None),
        ("small", "1e300", None),
    ],
)
def test_a_view_that_becomes_another_meanwhile_changes_no_value(
    before: str, after: str, text: str | None, database: Cursor, source: Connector
) -> None:
    database.execute("CREATE TABLE t (on_off bit, small float)")
    database.execute("INSERT INTO t VALUES (b'1', 1)")
    database.execute(f"CREATE VIEW v AS SELECT {before} AS c FROM t")
    assert source.tables()
    database.execute(f"CREATE OR REPLACE VIEW v AS SELECT {after} AS c FROM t")

    if text is None:
        with pytest.raises(ConnectionFailed, match="column c of the table v is none of its type"):
            read_all(source, "v")
    else:
        assert read_all(source, "v")[1]["c"].to_pylist() == [text]
