"""SQLite files as sources: exact values, honest types, and nothing but reading."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import connectors
from base.errors import InvalidInput
from base.tables import Column, ColumnType, TableSchema
from connectors.connector import Connection, Connector, ReadLimits, Selection
from connectors.errors import CellTooLarge, FileInvalid, ReadAgain, TableMissing

Make = Callable[..., Connector]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weird #name?.db"


@pytest.fixture
def make(path: Path) -> Iterator[Make]:
    """Opens a database made by the script, as a source."""
    opened: list[Connector] = []

    def open_made(script: str, limits: ReadLimits | None = None) -> Connector:
        with closing(sqlite3.connect(path)) as session:
            session.executescript(script)
        opened.append(
            connectors.open(Connection("sqlite", {}, path=path, limits=limits or ReadLimits()))
        )
        return opened[-1]

    yield open_made
    for each in opened:
        each.close()


def _read(
    connector: Connector, name: str, columns: Sequence[str] = (), after: list[Any] | None = None
) -> tuple[TableSchema, pa.Table]:
    selection = Selection(name, columns=tuple(columns))
    while True:
        reading = connector.read(selection, after)
        try:
            batches = [batch.data for batch in reading.batches]
        except ReadAgain:
            continue
        return reading.table, pa.Table.from_batches(batches) if batches else pa.table({})


def _column(
    connector: Connector, name: str = "t"
) -> tuple[ColumnType, str | None, pa.DataType, list[Any]]:
    """Type, inference, Arrow type and values of the first column."""
    table, data = _read(connector, name)
    column = table.columns[0]
    return column.type, column.inference, data.schema.types[0], data.column(0).to_pylist()


def _at(*parts: int) -> datetime:
    """A time of no zone."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


def test_declared_types_are_kept_where_every_value_is_one(make: Make) -> None:
    source = make(
        "create table t (i integer, r real, s text, b blob, f boolean, d date, ts timestamp, tm time, n numeric(9, 2), j json, u);"
        "insert into t values (9223372036854775807, 0.1, '00123', x'00ff', 1, '2024-02-29', '2024-02-29 23:59:59.123456', '23:59:59.5', 1.25, '{\"a\": 1}', 7),"
        "(-1, 2, '', x'', 0, '0001-01-01', '9999-12-31 00:00:00', '00:00:00', 3, '[1.50]', null), (null, null, null, null, null, null, null, null, null, null, null);"
    )

    table, data = _read(source, "t")

    assert [column.type.value for column in table.columns] == [
        *(
            "integer",
            "float",
            "text",
            "binary",
            "boolean",
            "date",
            "timestamp",
            "time",
            "float",
            "json",
            "integer",
        ),
    ]
    assert {column.inference for column in table.columns} == {None}
    assert table.columns[8].native_type == "numeric(9, 2)"
    assert table.columns[10].native_type is None
    assert [str(each) for each in data.schema.types] == [
        *(
            "int64",
            "double",
            "string",
            "binary",
            "bool",
            "date32[day]",
            "timestamp[us]",
            "time64[us]",
            "double",
            "string",
            "int64",
        ),
    ]
    assert [tuple(row.values()) for row in data.to_pylist()] == [
        (
            9223372036854775807,
            0.1,
            "00123",
            b"\0\xff",
            True,
            date(2024, 2, 29),
            _at(2024, 2, 29, 23, 59, 59, 123456),
            time(23, 59, 59, 500000),
            1.25,
            '{"a": 1}',
            7,
        ),
        (
            -1,
            2.0,
            "",
            b"",
            False,
            date(1, 1, 1),
            _at(9999, 12, 31),
            time(0),
            3.0,
            "[1.50]",
            None,
        ),
        (None,) * 11,
    ]


@pytest.mark.parametrize(
    ("declared", "values", "kind", "inference", "expected"),
    [
        ("integer", "(1), ('x'), (2.5)", "text", "text: declared INTEGER, holds 1 integers and 1 reals and 1 texts", ["1", "x", "2.5"]),
        ("", "(0.1), (9007199254740993)", "text", "text: no declared type, holds 1 integers and 1 reals, 1 of them beyond what a float holds exactly", ["0.1", "9007199254740993"]),
        ("", "(0.5), (9007199254740992)", "float", None, [0.5, 9007199254740992.0]),
        ("text", "('a'), (x'ff')", "binary", "binary: declared TEXT, holds 1 texts and 1 blobs", [b"a", b"\xff"]),
        ("boolean", "(1), (2)", "integer", "integer: declared BOOLEAN, holds 2 integers", [1, 2]),
        ("boolean", "(1), ('true')", "text", "text: declared BOOLEAN, holds 1 integers and 1 texts", ["1", "true"]),
        ("date", "('2024-02-30')", "text", "text: declared DATE, holds 1 texts", ["2024-02-30"]),
        ("date", "('0000-02-03')", "text", "text: declared DATE, holds 1 texts", ["0000-02-03"]),
        ("time", "('24:00:00')", "text", "text: declared TIME, holds 1 texts", ["24:00:00"]),
        ("date", "('2024-2-3')", "text", "text: declared DATE, holds 1 texts", ["2024-2-3"]),
        ("date", "('2024-02-03 ' || char(0))", "text", "text: declared DATE, holds 1 texts", ["2024-02-03 \0"]),
        ("date", "(1700000000)", "integer", "integer: declared DATE, holds 1 integers", [1700000000]),
        ("date", "('2024-02-03T04:05:06')", "timestamp", "timestamp: declared DATE, holds 1 texts", [_at(2024, 2, 3, 4, 5, 6)]),
        ("datetime", "('2024-02-03T04:05:06'), ('2024-02-03 04:05:06')", "text", "text: declared DATETIME, holds 2 texts", ["2024-02-03T04:05:06", "2024-02-03 04:05:06"]),
        ("datetime", "('2024-02-03 24:00:00')", "text", "text: declared DATETIME, holds 1 texts", ["2024-02-03 24:00:00"]),
        ("datetime", "('2024-02-03 04:05:06.1234567')", "text", "text: declared DATETIME, holds 1 texts", ["2024-02-03 04:05:06.1234567"]),
        ("datetime", "('2024-02-03 04:05:06Z')", "text", "text: declared DATETIME, holds 1 texts", ["2024-02-03 04:05:06Z"]),
        ("json", "('{\"a\":'), ('1')", "text", "text: declared JSON, holds 1 integers and 1 texts", ['{"a":', "1"]),
        ("", "(1e300 * 1e300), (-0.0)", "float", None, [float("inf"), 0.0]),
        ("text collate rtrim", "('a '), ('a')", "text", None, ["a ", "a"]),
        ("date collate rtrim", "('2024-02-03 ')", "text", "text: declared DATE, holds 1 texts", ["2024-02-03 "]),
    ],
)  # fmt: skip
def test_a_column_takes_the_narrowest_type_that_holds_every_value(
    make: Make, declared: str, values: str, kind: str, inference: str | None, expected: list[Any]
) -> None:
    source = make(f"create table t (c {declared}); insert into t values {values};")

    found, said, _, stored = _column(source)

    assert (found.value, stored) == (kind, expected)
    assert (said or "").lower() == (inference or "").lower()


@pytest.mark.parametrize(
    ("declared", "kind", "stored"),
    [
        *(("bigint", "integer", "int64"), ("varchar(9)", "text", "string"), ("blob", "binary", "binary")),
        *(("double precision", "float", "double"), ("bool", "boolean", "bool"), ("datetime", "timestamp", "timestamp[us]")),
        *(("date", "date", "date32[day]"), ("decimal(9, 2)", "float", "double"), ("", "text", "string")),
    ],
)  # fmt: skip
def test_a_column_without_values_has_its_declared_type(
    make: Make, declared: str, kind: str, stored: str
) -> None:
    source = make(f"create table t (c {declared}); insert into t values (null);")

    found, _, arrow, values = _column(source)

    assert (found.value, str(arrow), values) == (kind, stored, [None])


def test_an_empty_table_is_read_as_no_batches(make: Make) -> None:
    source = make("create table t (a int, b text);")

    reading = source.read(Selection("t"))

    assert list(reading.batches) == []
    assert [column.type.value for column in reading.table.columns] == ["integer", "text"]


def test_text_that_is_not_utf8_is_kept_as_bytes(make: Make) -> None:
    source = make(
        "create table t (c text, d text); insert into t values ('é', 'a'), (cast(x'ff41' as text), 'b');"
    )

    table, data = _read(source, "t")

    assert data.to_pylist() == [{"c": "é".encode(), "d": "a"}, {"c": b"\xffA", "d": "b"}]
    assert table.columns[0].inference == "binary: declared TEXT, but its text is not all UTF-8"


def test_utf16_databases_are_read(make: Make) -> None:
    source = make(
        "pragma encoding = 'UTF-16le'; create table t (c text); insert into t values ('zoë 🎈');"
    )

    assert _column(source)[3] == ["zoë 🎈"]


def test_tables_views_and_odd_ones_are_listed(make: Make) -> None:
    source = make(
        'create table "a ""quoted"" \'name\'; drop table x --" ("select" int primary key, "b""]`" text not null);'
        'insert into "a ""quoted"" \'name\'; drop table x --" values (1, \'x\');'
        "create table keyed (a int, b int, c text, primary key (b, a)) without rowid;"
        "insert into keyed values (1, 2, 'x');"
        "create table made (a int, double int generated always as (a * 2), kept int as (a + 1) stored);"
        "insert into made (a) values (21);"
        "create table counter (id integer primary key autoincrement);"
        "create view v as select a + 0.5 as half, 'x' as \"a:1\" from made;"
        "analyze;"
    )

    assert source.tables() == [
        TableSchema(
            "a \"quoted\" 'name'; drop table x --",
            (
                Column("select", ColumnType.INTEGER, "INT", primary_key=True),
                Column('b"]`', ColumnType.TEXT, "TEXT", nullable=False),
            ),
            row_estimate=1,
        ),
        TableSchema("counter", (Column("id", ColumnType.INTEGER, "INTEGER", primary_key=True),), row_estimate=0),
        TableSchema(
            "keyed",
            (
                Column("a", ColumnType.INTEGER, "INT", nullable=False, primary_key=True),
                Column("b", ColumnType.INTEGER, "INT", nullable=False, primary_key=True),
                Column("c", ColumnType.TEXT, "TEXT"),
            ),
            row_estimate=1,
        ),
        TableSchema(
            "made",
            (
                Column("a", ColumnType.INTEGER, "INT"),
                Column("double", ColumnType.INTEGER, "INT"),
                Column("kept", ColumnType.INTEGER, "INT"),
            ),
            row_estimate=1,
        ),
        TableSchema("v", (Column("half", ColumnType.FLOAT), Column("a:1", ColumnType.TEXT))),
    ]  # fmt: skip
    for table in source.tables():
        found, data = _read(source, table.name)
        assert found.columns == table.columns
        assert data.num_rows == (table.row_estimate if table.row_estimate is not None else 1)
    assert _read(source, "made")[1].to_pylist() == [{"a": 21, "double": 42, "kept": 22}]
    assert _read(source, "v")[1].to_pylist() == [{"half": 21.5, "a:1": "x"}]


def test_full_text_tables_are_read_and_their_shadows_are_not(make: Make) -> None:
    source = make(
        "create virtual table notes using fts5(title, body); insert into notes values ('a', 'b c');"
    )

    assert [table.name for table in source.tables()] == ["notes"]
    assert _read(source, "notes", ["title", "body"])[1].to_pylist() == [
        {"title": "a", "body": "b c"}
    ]


def test_chosen_columns_come_in_the_chosen_order(make: Make) -> None:
    source = make("create table t (a int, b int, c int); insert into t values (1, 2, 3);")

    table, data = _read(source, "t", ["c", "a"])

    assert [column.name for column in table.columns] == ["c", "a"]
    assert data.to_pylist() == [{"c": 3, "a": 1}]


@pytest.mark.parametrize(
    ("columns", "keys"),
    [
        ("a int, b int", [[1], [2], [3], [4], [5]]),
        ("rowid text, _rowid_ text, a int", [[1], [2], [3], [4], [5]]),
        ("a int, b int, primary key (b, a)) without rowid --", [[9, 1], [9, 2], [9, 3], [9, 4], [9, 5]]),
        ("a int, RowId text, _rowid_ text, oid text", [None] * 5),
        ("a text primary key, b int) without rowid --", [None] * 5),
    ],
)  # fmt: skip
def test_a_read_goes_on_behind_any_batch(
    make: Make, columns: str, keys: list[list[int]] | list[None]
) -> None:
    target = "a, b" if " b " in f" {columns} " else "a"
    values = ", ".join(f"({n}, 9)" if target == "a, b" else f"({n})" for n in (3, 1, 2, 5, 4))
    script = f"create table t ({columns});\n insert into t ({target}) values {values};"
    source = make(script.replace("--);", "--\n;"), ReadLimits(batch_rows=1))

    batches = list(source.read(Selection("t")).batches)

    whole = [batch.data.to_pylist()[0] for batch in batches]
    assert len(whole) == 5
    assert [batch.position for batch in batches] == keys
    for done, batch in enumerate(batches, 1):
        if batch.position is not None:
            rest = [
                each.data.to_pylist()[0]
                for each in source.read(Selection("t"), batch.position).batches
            ]
            assert rest == whole[done:]


def test_batches_are_bounded_in_rows_and_bytes(make: Make) -> None:
    rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 100)"
    limits = ReadLimits(batch_rows=40, batch_bytes=100_000, cell_bytes_max=50_000)
    source = make(
        f"create table small (i int); {rows.replace('with', 'insert into small with')} select i from n;"
        f"create table large (b blob); {rows.replace('with', 'insert into large with')} select zeroblob(iif(i % 10, 10, 40000)) from n;"
        f"create table nul (t text); {rows.replace('with', 'insert into nul with')} select char(0) || printf('%.20000c', 'x') from n;",
        limits,
    )

    small = [batch.data.num_rows for batch in source.read(Selection("small")).batches]

    assert small == [40, 40, 20]
    for name in ("large", "nul"):
        large = [batch.data for batch in source.read(Selection(name)).batches]
        assert sum(batch.num_rows for batch in large) == 100
        assert max(batch.nbytes for batch in large) < 200_000


@pytest.mark.parametrize("size", [1_001, 3 * 1024**2])
def test_a_cell_over_the_limit_is_refused(make: Make, size: int) -> None:
    source = make(
        f"create table t (a int, c blob); insert into t values (1, zeroblob({size}));",
        ReadLimits(cell_bytes_max=1_000),
    )

    with pytest.raises(CellTooLarge, match=r"over the limit"):
        _read(source, "t")


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection("T2"), "The table T2 is not in this SQLite database."),
        (Selection("t", schema="temp"), "The table temp.t is not in this SQLite database."),
        (Selection("sqlite_master"), "The table sqlite_master is not in this SQLite database."),
        (Selection("t", columns=("a", "x")), "The table t has no column x."),
    ],
)
def test_what_is_not_there_is_missing(make: Make, selection: Selection, message: str) -> None:
    source = make("create table t (a int);")

    with pytest.raises(TableMissing) as caught:
        source.read(selection)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "view",
    [
        "select load_extension('/lib/x.so') as a",
        "select fts3_tokenizer('simple') as a",
        "select * from pragma_database_list",
        "select * from missing",
        "select no_such_function(1) as a",
    ],
)
def test_a_view_that_does_more_than_read_is_left_out(make: Make, view: str) -> None:
    source = make(f"create table t (a int); create view evil as {view};")

    assert [table.name for table in source.tables()] == ["t"]
    with pytest.raises((FileInvalid, TableMissing)):
        source.read(Selection("evil"))


@pytest.mark.parametrize(
    "statement",
    [
        "attach 'file:other.db?mode=rwc' as other",
        "pragma writable_schema = on",
        "pragma query_only = off",
        "insert into t values (1)",
        "create temp table x (a)",
        "vacuum into 'copy.db'",
    ],
)
def test_the_session_can_only_read(make: Make, path: Path, statement: str) -> None:
    source: Any = make("create table t (a int);")
    before = path.read_bytes()

    with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|authorization denied"):
        source._session.execute(statement)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The file is empty (0 bytes)."),
        (b"hello, world\n" * 100, "The file is not a SQLite database, or it is encrypted."),
        (bytes(range(256)) * 32, "The file is not a SQLite database, or it is encrypted."),
        (b"PAR1" + bytes(100), "The file is named like SQLITE, but looks like a Parquet file."),
        (b"SQLite format 3\0" + bytes(20), "The SQLite file is cut off: it has 36 of 100 bytes."),
    ],
)  # fmt: skip
def test_other_files_are_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)

    with pytest.raises(FileInvalid) as caught:
        connectors.check(Connection("sqlite", {}, path=path))
    assert caught.value.message == message


def test_a_cut_off_or_damaged_database_is_refused(make: Make, path: Path) -> None:
    make(
        "create table t (a text); insert into t select hex(zeroblob(3000)) from (values (1), (2), (3));"
    ).close()
    whole = path.read_bytes()

    path.write_bytes(whole[:-4096])
    with pytest.raises(
        FileInvalid, match=r"^The SQLite file is cut off: it has [\d,]+ of [\d,]+ bytes\.$"
    ):
        connectors.tables(Connection("sqlite", {}, path=path))
    path.write_bytes(whole[:4096] + b"\x55" * (len(whole) - 4096))
    with pytest.raises(FileInvalid, match=r"^The SQLite file is damaged"):
        connectors.tables(Connection("sqlite", {}, path=path))


def test_a_check_says_what_is_not_in_the_file(make: Make) -> None:
    source = make(
        "pragma journal_mode = wal; create table t (a int); create view v as select * from gone;"
    )

    health = source.check()

    assert health.message == (
        "The file is a SQLite database with 1 tables and views. v cannot be read: SQLite refuses to read this part of the"
        " file (no such table: main.gone). It is in WAL mode: changes in a -wal file beside it are not part of it."
    )
    assert health.server_version == f"SQLite {sqlite3.sqlite_version}"


def test_settings_are_the_uploaded_file() -> None:
    given = {"engine": "sqlite", "object_key": "uploads/1/a", "file_name": "a.db", "options": {}}

    assert connectors.parse("sqlite", given) == (
        {"object_key": "uploads/1/a", "file_name": "a.db"},
        {},
    )
    for name, value in (
        ("host", "localhost"),
        ("url", "sqlite:////etc/passwd"),
        ("options", {"mode": "rw"}),
    ):
        with pytest.raises(InvalidInput) as caught:
            connectors.parse("sqlite", given | {name: value})
        assert caught.value.field == name


@pytest.mark.parametrize(
    ("sound", "broken", "message"),
    [
        (b"wholly", b"wh\xbblly", "A name in the SQLite file's schema is not UTF-8."),
        (b"tablewholly", b"tablewh\xbblly", "The SQLite file is damaged (its schema is not UTF-8)."),
        (b"(a int)", b"(a int,", "The SQLite file is damaged (malformed database schema (wholly) - incomplete input)."),
    ],
)  # fmt: skip
def test_a_broken_schema_is_refused(
    make: Make, path: Path, sound: bytes, broken: bytes, message: str
) -> None:
    make("create table wholly (a int);").close()
    path.write_bytes(path.read_bytes().replace(sound, broken))

    with pytest.raises(FileInvalid) as caught:
        connectors.tables(Connection("sqlite", {}, path=path))
    assert caught.value.message == message
