"""How columns are written: by their first rows, and whatever the choice, every value comes back."""

from __future__ import annotations

import hashlib
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from base.tables import ColumnType
from storage.snapshots.pages import RowFilter, RowOp, RowQuery
from storage.snapshots.rows import Rows
from storage.snapshots.writer import ROW_GROUP_ROWS
from tests.storage import tables

ROWS = 3000
COLUMNS: dict[str, tuple[pa.DataType, Any]] = {
    "id": (pa.int64(), lambda n: n),
    "small": (pa.uint8(), lambda n: n % 7),
    "random": (pa.int32(), lambda n: n * 7919 % 100_003 - 50_000),
    "day": (pa.date32(), lambda n: date.fromordinal(1 + n * 1000)),
    "clock": (pa.time64("us"), lambda n: time(n % 24, n % 60, n % 59, n)),
    "at": (pa.timestamp("us", "UTC"), lambda n: datetime(2026, 1, 1, 0, 0, 0, n, UTC)),
    "money": (pa.decimal128(12, 2), lambda n: Decimal(n).scaleb(-2)),
    "digits": (pa.decimal128(38, 2), lambda n: Decimal(10**30 + n).scaleb(-2)),
    "ratio": (pa.float64(), lambda n: n / 7 if n else math.inf),
    "hash": (pa.string(), lambda n: f"{n * 7919:x}" * (n % 4)),
    "city": (pa.string(), lambda n: f"city {n % 9}"),
    "bytes": (pa.binary(), lambda n: n.to_bytes(2, "big")),
    "a.b": (pa.string(), lambda n: f"{n}"),
    "a": (
        pa.struct([("b", pa.string()), ("c", pa.float64())]),
        lambda n: {"b": f"{n}", "c": n / 3},
    ),
    "list": (pa.list_(pa.list_(pa.int16())), lambda n: [[n], []]),
    "map": (pa.map_(pa.string(), pa.int8()), lambda n: [("k", n % 5)]),
    "ok": (pa.bool_(), lambda n: n % 3 == 0),
}


@pytest.fixture(scope="module")
def data() -> pa.Table:
    columns = [
        pa.array([None if n % 11 == 10 else of(n) for n in range(ROWS)], kind)
        for kind, of in COLUMNS.values()
    ]
    return pa.table(columns, names=list(COLUMNS))


def encodings(path: Path) -> dict[str, set[str]]:
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    return {each.path_in_schema: {*each.encodings, each.compression} for each in columns}


def test_every_value_comes_back_whatever_its_columns_encoding(
    data: pa.Table, tmp_path: Path
) -> None:
    part = tables.write(tmp_path, data, part_rows=10_000, batch_rows=1000)[0]

    assert pq.read_table(part.path).equals(data)
    assert pq.read_schema(part.path).equals(data.schema)


def test_columns_of_few_values_are_dictionaries_and_others_fast_to_scan(
    data: pa.Table, tmp_path: Path
) -> None:
    part = tables.write(tmp_path, data, part_rows=10_000, batch_rows=1000)[0]

    found = encodings(part.path)
    for name in ("id", "random", "day", "clock", "at", "money"):
        assert {"DELTA_BINARY_PACKED", "ZSTD"} <= found[name], name
    assert {"DELTA_LENGTH_BYTE_ARRAY", "ZSTD"} <= found["hash"]
    assert {"DELTA_LENGTH_BYTE_ARRAY", "SNAPPY"} <= found["bytes"]
    for name in ("small", "city", "a.b", "a.c", "list.list.element.list.element"):
        assert {"RLE_DICTIONARY", "ZSTD"} <= found[name], name
    assert "SNAPPY" in found["ratio"]


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()], ids=str)
def test_texts_that_hardly_pack_are_stored_to_be_unpacked_fast(
    kind: pa.DataType, tmp_path: Path
) -> None:
    hashes = [hashlib.sha256(f"{n}".encode()).hexdigest() for n in range(ROWS)]
    names = [f"the name of the order that has the number {n}" for n in range(ROWS)]
    cells = {"hash": [None, *hashes], "name": [None, *names], "none": [None] * (ROWS + 1)}
    data = pa.table({name: pa.array(values, kind) for name, values in cells.items()})

    part = tables.write(tmp_path, data, part_rows=10_000, batch_rows=1000)[0]

    found = encodings(part.path)
    assert {"DELTA_LENGTH_BYTE_ARRAY", "SNAPPY"} <= found["hash"]
    assert {"DELTA_LENGTH_BYTE_ARRAY", "ZSTD"} <= found["name"]
    assert pq.read_table(part.path).equals(data)


def has_bloom_filters(path: Path, value: str) -> dict[str, bool]:
    """By column, whether a look for a value that its groups could have by their statistics skips them all."""
    excludes = "select bool_and(bloom_filter_excludes) from parquet_bloom_probe(?, ?, ?)"
    names = [name for name in pq.read_schema(path).names if name != "id"]
    return {
        name: duckdb.execute(excludes, [str(path), name, value]).fetchall() == [(True,)]
        for name in names
    }


def test_values_that_rows_are_looked_up_by_have_bloom_filters(tmp_path: Path) -> None:
    numbers = range(ROW_GROUP_ROWS)
    data = pa.table(
        {
            "id": pa.array(numbers),
            "hash": [hashlib.md5(f"{n}".encode()).hexdigest() for n in numbers],
            "city": [f"city {n % 9}" for n in numbers],
            "story": [f"the story of {n}" * 5 for n in numbers],
        }
    )

    part = tables.write(tmp_path / "many", data, part_rows=ROW_GROUP_ROWS, batch_rows=4096)[0]
    few = tables.write(tmp_path / "few", data.slice(0, 5000))[0]

    assert has_bloom_filters(part.path, "no such") == {"hash": True, "city": False, "story": False}
    assert not any(has_bloom_filters(few.path, "no such").values())
    assert not has_bloom_filters(part.path, data["hash"][77_777].as_py())["hash"]


async def test_rows_are_found_by_values_with_bloom_filters(tmp_path: Path) -> None:
    numbers = range(ROW_GROUP_ROWS + 40_000)
    hashes = [None if n % 11 == 10 else f"{n * 7919 % 1_000_003:x}" for n in numbers]
    parts = tables.write(tmp_path, pa.table({"hash": hashes}), part_rows=ROW_GROUP_ROWS)
    table, rows = tables.schema([("hash", ColumnType.TEXT)]), Rows()

    for at in (0, 4095, 99_998, ROW_GROUP_ROWS - 1, ROW_GROUP_ROWS, len(hashes) - 2):
        for op, value in ((RowOp.EQ, hashes[at]), (RowOp.IN, [hashes[at], "no such"])):
            page = await rows.page(parts, table, RowQuery(where=[RowFilter("hash", op, value)]))
            assert json.loads(page.rows_json) == [[hashes[at]]]


def test_long_texts_stay_plain(tmp_path: Path) -> None:
    data = pa.table({"t": [f"{n}" * 10_000 for n in range(20)]})

    assert "DELTA_LENGTH_BYTE_ARRAY" not in encodings(tables.write(tmp_path, data)[0].path)["t"]


def test_rows_unlike_the_first_ones_are_stored_all_the_same(tmp_path: Path) -> None:
    few = pa.table({"n": [1] * 5000, "t": ["x"] * 5000})
    many = pa.table({"n": list(range(-5000, 95_000)), "t": [f"{n}" * 9 for n in range(100_000)]})
    for order in ([few, many], [many, few]):
        data = pa.concat_tables(order)
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        parts = tables.write(folder, data, part_rows=200_000, batch_rows=5000)

        assert pq.read_table(parts[0].path).equals(data)


def test_a_first_batch_without_values_is_no_trouble(tmp_path: Path) -> None:
    nulls = pa.table({"n": pa.nulls(10, pa.int64()), "t": pa.nulls(10, pa.string())})
    data = pa.concat_tables([nulls, pa.table({"n": [1], "t": ["x"]})])

    assert pq.read_table(tables.write(tmp_path, data, batch_rows=10)[0].path).equals(data)


async def test_filters_find_rows_in_every_encoding(data: pa.Table, tmp_path: Path) -> None:
    names = ["id", "random", "hash", "city"]
    parts = tables.write(tmp_path, data.select(names), part_rows=1000, batch_rows=500)
    kinds = [ColumnType.INTEGER, ColumnType.INTEGER, ColumnType.TEXT, ColumnType.TEXT]
    table = tables.schema(list(zip(names, kinds, strict=True)))
    rows = Rows()

    for name in names:
        value = data[name][2000].as_py()
        asked = RowQuery(where=[RowFilter(name, RowOp.EQ, value)], first=1000, count=True)
        page = await rows.page(parts, table, asked)
        assert page.total == data[name].to_pylist().count(value) > 0

    rows.close()
