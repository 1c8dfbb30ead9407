"""Every value of every type comes out exactly: as a cell, and through each export."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.tables import ColumnType
from storage.snapshots.formats import ExportFormat
from storage.snapshots.pages import RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

MICROSECOND = datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
TEXT = [
    "",
    " ",
    "plain",
    'q"uote',
    "a,b",
    "line\nbreak",
    "cr\rlf\r\n",
    "\\",
    "tab\t",
    "\x00\x01\x7f",
]
TEXT += ["é", "漢字", "😀", "\u2028\u2029", "=1+1", "null", "'; --", "</script>"]

LARGE = "9999999999999999999999999999.9999999999"

# Name, our type, Arrow's, and each stored value with its cell.
KINDS: list[tuple[str, ColumnType, pa.DataType, list[tuple[Any, Any]]]] = [
    ("bool", ColumnType.BOOLEAN, pa.bool_(), [(True, True), (False, False)]),
    ("int8", ColumnType.INTEGER, pa.int8(), [(-128, -128), (127, 127)]),
    ("uint32", ColumnType.INTEGER, pa.uint32(), [(0, 0), (2**32 - 1, 2**32 - 1)]),
    (
        "int64",
        ColumnType.INTEGER,
        pa.int64(),
        [
            (2**53 - 1, 2**53 - 1),
            (-(2**53) + 1, -(2**53) + 1),
            (2**53, "9007199254740992"),
            (-(2**53), "-9007199254740992"),
            (2**63 - 1, "9223372036854775807"),
            (-(2**63), "-9223372036854775808"),
        ],
    ),
    ("uint64", ColumnType.INTEGER, pa.uint64(), [(7, 7), (2**64 - 1, "18446744073709551615")]),
    (
        "decimal",
        ColumnType.DECIMAL,
        pa.decimal128(38, 10),
        [
            (Decimal("1.5"), "1.5000000000"),
            (Decimal("-0.0000000001"), "-0.0000000001"),
            (Decimal(LARGE), LARGE),
        ],
    ),
    ("digits", ColumnType.DECIMAL, pa.string(), [("1e400", "1e400"), ("NaN", "NaN")]),
    (
        "double",
        ColumnType.FLOAT,
        pa.float64(),
        [
            (0.1, 0.1),
            (1.0, 1.0),
            (1e300, 1e300),
            (5e-324, 5e-324),
            (-123456789.123456789, -123456789.123456789),
            (math.nan, "NaN"),
            (math.inf, "Infinity"),
            (-math.inf, "-Infinity"),
        ],
    ),
    ("float", ColumnType.FLOAT, pa.float32(), [(0.5, 0.5), (pa.scalar(0.1, pa.float32()), 0.1)]),
    ("text", ColumnType.TEXT, pa.string(), [(text, text) for text in TEXT]),
    (
        "date",
        ColumnType.DATE,
        pa.date32(),
        [
            (date(2026, 1, 31), "2026-01-31"),
            (date.min, "0001-01-01"),
            (date.max, "9999-12-31"),
            (pa.scalar(-719_163, pa.int32()).cast(pa.date32()), "0000-12-31"),
            (pa.scalar(-735_000, pa.int32()).cast(pa.date32()), "-0043-08-22"),
            (pa.scalar(2_932_897, pa.int32()).cast(pa.date32()), "+10000-01-01"),
            (pa.scalar(-2_440_588, pa.int32()).cast(pa.date32()), "-4713-11-24"),
            (pa.scalar(2_145_042_905, pa.int32()).cast(pa.date32()), "+5874897-12-31"),
            (pa.scalar(-4_371_954, pa.int32()).cast(pa.date32()), "-10001-12-31"),
        ],
    ),
    ("time", ColumnType.TIME, pa.time64("us"), [(time(1, 2, 3, 4), "01:02:03.000004")]),
    (
        "timestamp",
        ColumnType.TIMESTAMP,
        pa.timestamp("us"),
        [
            (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02T03:04:05"),  # noqa: DTZ001 - without a zone
            (datetime(2026, 1, 2, 3, 4, 5, 120000), "2026-01-02T03:04:05.12"),  # noqa: DTZ001 - without a zone
            (
                pa.scalar(-62_135_596_800_000_001).cast(pa.timestamp("us")),
                "0000-12-31T23:59:59.999999",
            ),
            (pa.scalar(-210_866_803_200_000_000).cast(pa.timestamp("us")), "-4713-11-24T00:00:00"),
            (
                pa.scalar(-9_223_372_022_400_000_000).cast(pa.timestamp("us")),
                "-290308-12-22T00:00:00",
            ),
            (pa.scalar(253_402_300_800_000_000).cast(pa.timestamp("us")), "+10000-01-01T00:00:00"),
        ],
    ),
    (
        "timestamp_tz",
        ColumnType.TIMESTAMP_TZ,
        pa.timestamp("us", "UTC"),
        [
            (MICROSECOND, "2026-01-02T03:04:05.000006Z"),
            (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.999999Z"),
        ],
    ),
    ("binary", ColumnType.BINARY, pa.binary(), [(b"", ""), (b'\x00\xff\n"', "AP8KIg==")]),
    ("uuid", ColumnType.UUID, pa.string(), [("c56a4180-65aa-42ec-a945-5fd21dec0538",) * 2]),
    ("duration", ColumnType.DURATION, pa.string(), [("P1DT2H", "P1DT2H")]),
    (
        "json",
        ColumnType.JSON,
        pa.string(),
        [
            ('{"a": [1, 2.50, null], "b": "x\\ny"}', {"a": [1, 2.5, None], "b": "x\ny"}),
            ("[]", []),
            ("null", None),
            (' "text" ', "text"),
            ('{\n  "pretty": true\r\n}', {"pretty": True}),
            ('"NaN, inf and ,] in a string"', "NaN, inf and ,] in a string"),
            # Not JSON, so a text.
            ("", ""),
            ("{broken", "{broken"),
            ("[1,]", "[1,]"),
            ("[NaN]", "[NaN]"),
            ('{"a": -Infinity}', '{"a": -Infinity}'),
            ("01", "01"),
        ],
    ),
    (
        "list",
        ColumnType.LIST,
        pa.list_(pa.int64()),
        [([], []), ([1, None, 2**53], [1, None, "9007199254740992"])],
    ),
    ("fixed", ColumnType.LIST, pa.list_(pa.float32(), 2), [([0.5, None], [0.5, None])]),
    (
        "lists",
        ColumnType.LIST,
        pa.list_(pa.list_(pa.string())),
        [([['a"', None], None, []], [['a"', None], None, []])],
    ),
    (
        "struct",
        ColumnType.STRUCT,
        pa.struct(
            [
                ('it\'s "x"', pa.timestamp("us", "UTC")),
                ("d", pa.decimal128(5, 2)),
                ("b", pa.list_(pa.binary())),
            ]
        ),
        [
            (
                {'it\'s "x"': MICROSECOND, "d": Decimal("1.5"), "b": [b"\xff", None]},
                {'it\'s "x"': "2026-01-02T03:04:05.000006Z", "d": "1.50", "b": ["/w==", None]},
            ),
            ({'it\'s "x"': None, "d": None, "b": None}, {'it\'s "x"': None, "d": None, "b": None}),
        ],
    ),
    (
        "map",
        ColumnType.LIST,
        pa.map_(pa.string(), pa.float64()),
        [
            ([("k", 1.5), ("n", None)], [{"key": "k", "value": 1.5}, {"key": "n", "value": None}]),
            ([], []),
        ],
    ),
    ("unknown", ColumnType.UNKNOWN, pa.string(), [("(1,2)", "(1,2)")]),
    ("nothing", ColumnType.UNKNOWN, pa.null(), []),
]
DEPTH = max(len(values) for *_, values in KINDS) + 1
SCHEMA = tables.schema([(name, kind) for name, kind, *_ in KINDS])
CELLS = [
    [values[row][1] if row < len(values) else None for *_, values in KINDS] for row in range(DEPTH)
]


def stored_array(kind: pa.DataType, values: list[tuple[Any, Any]]) -> pa.Array:
    return pa.array([value for value, _ in values] + [None] * (DEPTH - len(values)), kind)


DATA = pa.table({name: stored_array(arrow, values) for name, _, arrow, values in KINDS})


@pytest.fixture
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


async def exported(rows: Rows, folder: Path, kind: ExportFormat) -> bytes:
    parts = tables.write(folder, DATA, part_rows=5, batch_rows=5)
    return b"".join([chunk async for chunk in rows.exports.stream(parts, SCHEMA, kind)])


async def test_cells_of_every_type_are_exact(rows: Rows, tmp_path: Path) -> None:
    parts = tables.write(tmp_path, DATA, part_rows=5, batch_rows=5)

    page = await rows.page(parts, SCHEMA, RowQuery())

    got = orjson.loads(page.rows_json)
    for at, (name, *_) in enumerate(KINDS):
        assert [row[at] for row in got] == [row[at] for row in CELLS], name
    assert b'"a": [1, 2.50, null]' in page.rows_json


async def test_jsonl_has_the_same_cells(rows: Rows, tmp_path: Path) -> None:
    body = await exported(rows, tmp_path, ExportFormat.JSONL)

    lines = body.decode().split("\n")
    assert lines.pop() == ""
    assert [list(json.loads(line)) for line in lines] == [[name for name, *_ in KINDS]] * DEPTH
    assert [list(json.loads(line).values()) for line in lines] == CELLS


async def test_csv_has_the_same_values_as_text(rows: Rows, tmp_path: Path) -> None:
    body = await exported(rows, tmp_path, ExportFormat.CSV)

    header, *lines = csv.reader(io.StringIO(body.decode(), newline=""))
    assert header == [name for name, *_ in KINDS]
    nested = {ColumnType.LIST, ColumnType.STRUCT}
    for at, (name, kind, arrow, values) in enumerate(KINDS):
        got = [line[at] for line in lines]
        if kind in nested:
            cells = [json.loads(text) if text else None for text in got]
            assert cells == [row[at] for row in CELLS], name
        elif kind in {ColumnType.JSON, ColumnType.TEXT}:
            assert got[: len(values)] == [value for value, _ in values], name
        elif kind is ColumnType.FLOAT:
            numbers = [float(text) for text in got[: len(values)]]
            assert [repr(n) for n in numbers] == [repr(float(cell)) for _, cell in values], arrow
        else:
            expected = [
                str(cell).lower() if kind is ColumnType.BOOLEAN else str(cell) for _, cell in values
            ]
            assert got[: len(values)] == expected, name
        assert set(got[len(values) :]) == {""}, name


async def test_csv_tells_an_empty_text_from_none_and_ends_lines_as_the_rfc_says(
    rows: Rows, tmp_path: Path
) -> None:
    table = tables.schema([('a,"b"', ColumnType.TEXT), ("c", ColumnType.TEXT)])
    parts = tables.write(
        tmp_path / "two", pa.table({'a,"b"': ["", None, "x"], "c": [None, "", "y"]})
    )
    one = tables.write(tmp_path / "one", pa.table({"c": ["", None, "x"]}))

    two_columns = [chunk async for chunk in rows.exports.stream(parts, table, ExportFormat.CSV)]
    one_column = [
        chunk
        async for chunk in rows.exports.stream(
            one, tables.schema([("c", ColumnType.TEXT)]), ExportFormat.CSV
        )
    ]

    assert b"".join(two_columns) == b'"a,""b""",c\r\n"",\r\n,""\r\nx,y\r\n'
    assert b"".join(one_column) == b'c\r\n""\r\n""\r\nx\r\n'


async def test_parquet_is_one_file_with_all_parts(rows: Rows, tmp_path: Path) -> None:
    body = await exported(rows, tmp_path, ExportFormat.PARQUET)

    got = pq.read_table(io.BytesIO(body))
    assert got.schema.equals(DATA.schema)
    for name in DATA.column_names:
        if name != "double":  # NaN is not equal to itself
            assert got[name].combine_chunks().equals(DATA[name].combine_chunks()), name
    assert repr(got["double"].to_pylist()) == repr(DATA["double"].to_pylist())


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(ExportFormat.CSV, b"n,t\r\n"), (ExportFormat.JSONL, b"")],
)
async def test_an_empty_table_exports_to_an_empty_file(
    rows: Rows, kind: ExportFormat, expected: bytes
) -> None:
    table = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])

    assert b"".join([chunk async for chunk in rows.exports.stream([], table, kind)]) == expected


async def test_an_empty_table_exports_to_parquet_with_its_columns(rows: Rows) -> None:
    table = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])

    body = b"".join([chunk async for chunk in rows.exports.stream([], table, ExportFormat.PARQUET)])

    got = pq.read_table(io.BytesIO(body))
    assert got.schema == pa.schema([("n", pa.int64()), ("t", pa.string())])
    assert base64.b64encode(body[:4]) == b"UEFSMQ=="
