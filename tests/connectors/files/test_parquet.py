"""Parquet files: every type that Arrow has, stored exactly; broken files refused."""

from __future__ import annotations

import struct
import uuid
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import connectors
from base.errors import Unsupported
from base.tables import ColumnType
from connectors.connector import ReadLimits
from connectors.errors import CellTooLarge, FileInvalid
from connectors.files.arrow_types import convert, stored
from tests.connectors.files.reading import connection, read, write

MOMENT = datetime(2020, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
PLAIN = MOMENT.replace(tzinfo=None)


def save(path: Path, values: pa.Array | list[Any], **options: Any) -> Path:
    pq.write_table(pa.table({"a": values}), path, **options)
    return path


@pytest.mark.parametrize(
    ("values", "kind", "target", "cells"),
    [
        (pa.array([1, None], pa.int8()), ColumnType.INTEGER, pa.int8(), [1, None]),
        (pa.array([2**64 - 1], pa.uint64()), ColumnType.INTEGER, pa.uint64(), [2**64 - 1]),
        (pa.array([1.5], pa.float16()), ColumnType.FLOAT, pa.float32(), [1.5]),
        (pa.array([0.1]), ColumnType.FLOAT, pa.float64(), [0.1]),
        (pa.array([True]), ColumnType.BOOLEAN, pa.bool_(), [True]),
        (pa.array([Decimal("1.50")], pa.decimal128(9, 2)), ColumnType.DECIMAL, pa.decimal128(9, 2), [Decimal("1.50")]),
        (pa.array([Decimal("1.5")], pa.decimal256(20, 1)), ColumnType.DECIMAL, pa.decimal128(20, 1), [Decimal("1.5")]),
        (pa.array([Decimal("1E-49")], pa.decimal256(50, 49)), ColumnType.DECIMAL, pa.string(), ["0." + "0" * 48 + "1"]),
        (pa.array(["x", ""], pa.large_string()), ColumnType.TEXT, pa.string(), ["x", ""]),
        (pa.array(["x", None, "x"]).dictionary_encode(), ColumnType.TEXT, pa.string(), ["x", None, "x"]),
        (pa.array([b"\xff"], pa.large_binary()), ColumnType.BINARY, pa.binary(), [b"\xff"]),
        (pa.array([b"ab"], pa.binary(2)), ColumnType.BINARY, pa.binary(), [b"ab"]),
        (pa.array([uuid.UUID(int=5).bytes], pa.uuid()), ColumnType.UUID, pa.string(), [str(uuid.UUID(int=5))]),
        (pa.array([date(2020, 1, 2)], pa.date32()), ColumnType.DATE, pa.date32(), [date(2020, 1, 2)]),
        (pa.array([time(1, 2, 3)], pa.time32("s")), ColumnType.TIME, pa.time64("us"), [time(1, 2, 3)]),
        (pa.array([1001], pa.time64("ns")), ColumnType.TEXT, pa.string(), ["00:00:00.000001001"]),
        (pa.array([PLAIN], pa.timestamp("ms")), ColumnType.TIMESTAMP, pa.timestamp("us"), [PLAIN]),
        (pa.array([PLAIN], pa.timestamp("ns")), ColumnType.TIMESTAMP, pa.timestamp("us"), [PLAIN]),
        (pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")), ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"), [MOMENT]),
        (pa.array([1], pa.timestamp("ns", "UTC")), ColumnType.TEXT, pa.string(), ["1970-01-01T00:00:00.000000001Z"]),
        (pa.array([2**62], pa.timestamp("ms")), ColumnType.TEXT, pa.string(), ["<value out of range: 4611686018427387904>"]),
        (pa.array([90_061_500, -1], pa.duration("ms")), ColumnType.DURATION, pa.string(), ["PT25H1M1.5S", "PT-0.001S"]),
        (pa.nulls(2), ColumnType.TEXT, pa.string(), [None, None]),
        (pa.array([[1, None], None, []]), ColumnType.LIST, pa.list_(pa.int64()), [[1, None], None, []]),
        (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), ColumnType.LIST, pa.list_(pa.int8()), [[1, 2], None]),
        (pa.array([["x"], None, ["y"]], pa.large_list(pa.large_string())), ColumnType.LIST, pa.list_(pa.string()), [["x"], None, ["y"]]),
        (pa.array([[1], None, [2, 3]], pa.list_view(pa.int64())), ColumnType.LIST, pa.list_(pa.int64()), [[1], None, [2, 3]]),
        (pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())), ColumnType.LIST,
         pa.list_(pa.struct([("key", pa.string()), ("value", pa.int64())])), [[{"key": "k", "value": 1}], None]),
        (pa.array([{"x": PLAIN}, None], pa.struct([("x", pa.timestamp("ms"))])), ColumnType.STRUCT,
         pa.struct([("x", pa.timestamp("us"))]), [{"x": PLAIN}, None]),
        (pa.array([[1], [None]], pa.list_(pa.timestamp("ns"))), ColumnType.LIST, pa.list_(pa.string()), [["1970-01-01T00:00:00.000000001"], [None]]),
    ],
    ids=lambda value: str(value) if isinstance(value, pa.DataType) else None,
)  # fmt: skip
def test_types_are_kept_or_converted_exactly(
    tmp_path: Path, values: pa.Array, kind: ColumnType, target: pa.DataType, cells: list[Any]
) -> None:
    table = read(save(tmp_path / "t.parquet", values))

    assert table.types == [kind]
    assert table.batches[0].data.schema.types == [target]
    assert [row[0] for row in table.rows] == cells


@pytest.mark.parametrize(
    "found",
    [
        pa.list_(pa.large_string()),
        pa.large_list(pa.int64()),
        pa.list_(pa.string(), 2),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.string()),
        pa.struct([("x", pa.list_(pa.large_string()))]),
        pa.map_(pa.string(), pa.large_string()),
    ],
    ids=str,
)
def test_slices_are_converted_like_wholes(found: pa.DataType) -> None:
    cells: dict[pa.DataType, Any] = {
        pa.struct([("x", pa.list_(pa.large_string()))]): {"x": ["a", "b"]},
        pa.map_(pa.string(), pa.large_string()): [("k", "v")],
        pa.large_list(pa.int64()): [1, 2],
    }
    cell = cells.get(found, ["a", "b"])
    values = pa.array([None, cell, None, cell, cell], found)

    whole = convert(values, ("a",), frozenset()).to_pylist()

    assert whole[0] is None
    assert whole[3] is not None
    assert convert(values[1:4], ("a",), frozenset()).to_pylist() == whole[1:4]


ENDLESS = datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC).replace(tzinfo=None)
FIRST = datetime(1, 1, 1, tzinfo=UTC).replace(tzinfo=None)


def spark(path: Path, values: pa.Array, **options: Any) -> Path:
    """A file as Spark writes it: timestamps in 96 bits."""
    plain = {"compression": "none", "use_dictionary": False, "store_schema": False}
    return save(path, values, use_deprecated_int96_timestamps=True, **plain, **options)


@pytest.mark.parametrize(
    ("values", "cells"),
    [
        (pa.array([PLAIN, ENDLESS, None, FIRST], pa.timestamp("us")), [PLAIN, ENDLESS, None, FIRST]),
        (pa.array([[PLAIN, None], None, [ENDLESS]], pa.list_(pa.timestamp("us"))), [[PLAIN, None], None, [ENDLESS]]),
        (pa.array([{"x": ENDLESS}], pa.struct([("x", pa.timestamp("us"))])), [{"x": ENDLESS}]),
    ],
    ids=["column", "list", "struct"],
)  # fmt: skip
def test_timestamps_of_96_bits_keep_every_year(
    tmp_path: Path, values: pa.Array, cells: list[Any]
) -> None:
    table = read(spark(tmp_path / "t.parquet", values))

    assert [row[0] for row in table.rows] == cells


def test_timestamps_of_96_bits_are_read_batch_by_batch(tmp_path: Path) -> None:
    values = [PLAIN] * 20_000 + [ENDLESS] + [PLAIN] * 20_000
    arrays = pa.array(values, pa.timestamp("us"))
    path = spark(tmp_path / "t.parquet", arrays, row_group_size=30_000)

    table = read(path, limits=ReadLimits(batch_rows=7_000))

    assert [row[0] for row in table.rows] == values
    assert table.types == [ColumnType.TIMESTAMP]


def test_timestamps_of_96_bits_with_nanoseconds_are_exact_text(tmp_path: Path) -> None:
    path = spark(tmp_path / "t.parquet", pa.array([PLAIN, ENDLESS, FIRST], pa.timestamp("us")))
    day = struct.pack("<qI", 86_399_999_999_000, 5_373_484)  # 9999-12-31
    assert path.read_bytes().count(day) == 1
    write(path, path.read_bytes().replace(day, struct.pack("<qI", 86_399_999_999_007, 5_373_484)))

    table = read(path)

    assert [row[0] for row in table.rows] == [
        "2020-01-02T03:04:05.678",
        "9999-12-31T23:59:59.999999007",
        "0001-01-01T00:00:00",
    ]
    assert table.again == 1


def test_all_columns_that_do_not_fit_are_found_at_once(tmp_path: Path) -> None:
    late = pa.array([0] * 50_000 + [1], pa.timestamp("ns"))
    pq.write_table(pa.table({f"c{place}": late for place in range(20)}), tmp_path / "t.parquet")

    table = read(tmp_path / "t.parquet")

    assert (set(table.types), table.again) == ({ColumnType.TEXT}, 1)
    assert table.rows[-1][19] == "1970-01-01T00:00:00.000000001"
    expected = "text: a value of timestamp[ns] does not fit the types that are stored"
    assert table.column("c19").inference == expected


@pytest.mark.parametrize(
    ("kind", "fitting", "late"),
    [
        (pa.timestamp("ns"), "2020-07-01T12:00:00.5", "2020-07-01T12:00:00.500000001"),
        (pa.timestamp("ns", "Europe/Berlin"), "2020-07-01T12:00:00.5Z", "2020-07-01T12:00:00.500000001Z"),
        (pa.time64("ns"), "12:00:00.5", "12:00:00.500000001"),
    ],
)  # fmt: skip
def test_moments_that_fit_keep_the_text_that_they_were_shown_with(
    tmp_path: Path, kind: pa.DataType, fitting: str, late: str
) -> None:
    half_past = 1_593_604_800_500_000_000 % (24 * 3600 * 10**9 if pa.types.is_time(kind) else 2**63)
    path = save(tmp_path / "t.parquet", pa.array([half_past, half_past + 1]).cast(kind))

    assert [row[0] for row in read(path).rows] == [fitting, late]


def test_a_read_goes_on_behind_a_row_group(tmp_path: Path) -> None:
    values = pa.array([*range(0, 3_000_000, 1000), 1], pa.timestamp("ns"))
    path = save(tmp_path / "t.parquet", values, row_group_size=1000)
    whole = read(path)

    positions = [batch.position for batch in whole.batches]
    rest = read(path, after=positions[0])

    assert positions == [[group, [["a"]]] for group in (1, 2, 3, 4)]
    assert (rest.rows, rest.types, rest.again) == (whole.rows[1000:], [ColumnType.TEXT], 0)


def test_batches_are_small_and_tell_the_bytes_behind_them(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", list(range(100_000)), row_group_size=50_000)
    limits = ReadLimits(batch_rows=9_000, batch_bytes=40_000)

    table = read(path, limits=limits)

    assert max(batch.data.num_rows for batch in table.batches) == 5_000
    assert table.rows == [(number,) for number in range(100_000)]
    told = [batch.bytes_read for batch in table.batches]
    assert told == sorted(told)
    assert 0 < told[-1] < path.stat().st_size


def test_names_are_made_unique_and_columns_found_behind_them(tmp_path: Path) -> None:
    arrays = [pa.array([1]), pa.array([2]), pa.array([3]), pa.array([4])]
    path = tmp_path / "t.parquet"
    pq.write_table(pa.Table.from_arrays(arrays, names=["a", "A", "x.y", "a"]), path)

    assert read(path).names == ["a", "A_2", "x.y", "a_3"]
    assert read(path, None, "a_3", "x.y").rows == [(4, 3)]


def test_rows_are_counted_exactly(tmp_path: Path) -> None:
    path = save(tmp_path / "Big one.parquet", list(range(1234)))

    (table,) = connectors.tables(connection(path))

    assert (table.name, table.row_estimate) == ("Big one", 1234)
    assert connectors.check(connection(path)).message == "Parquet file, 1 columns, 1,234 rows."


def test_a_large_value_is_refused_with_its_row(tmp_path: Path) -> None:
    path = save(tmp_path / "t.parquet", ["x", "y" * 1001, "z"])

    with pytest.raises(CellTooLarge, match="row 2"):
        read(path, limits=ReadLimits(cell_bytes_max=1000))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:0],
        lambda data: b"hello" + data[:0],
        lambda data: data[:4] + b" this is not it",
        lambda data: data[: len(data) // 2],
        lambda data: data[:200] + b"\xff" * 3000 + data[3200:],
        lambda data: data[:-200] + b"\xff" * 150 + data[-50:],
    ],
    ids=["empty", "another", "a fake", "cut off", "broken pages", "broken footer"],
)
def test_a_broken_file_is_refused(tmp_path: Path, damage: Any) -> None:
    path = save(tmp_path / "t.parquet", [f"text {number}" for number in range(10_000)])
    write(path, damage(path.read_bytes()))

    with pytest.raises(FileInvalid) as refused:
        read(path)

    assert str(tmp_path) not in refused.value.message
    assert not refused.value.message.endswith("..")


def test_a_file_without_columns_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({}), tmp_path / "t.parquet")

    with pytest.raises(FileInvalid, match="has no columns"):
        read(tmp_path / "t.parquet")


def test_texts_that_are_no_texts_are_refused(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"\0\0\0\0\1\0\0\0")
    broken = pa.StringArray.from_buffers(1, offsets, pa.py_buffer(b"\xff"))

    with pytest.raises(FileInvalid, match="rows 1 to 1"):
        read(save(tmp_path / "t.parquet", broken))


@pytest.mark.parametrize(
    "found", [pa.month_day_nano_interval(), pa.run_end_encoded(pa.int32(), pa.int64())], ids=str
)
def test_types_that_cannot_be_stored_are_refused_by_name(found: pa.DataType) -> None:
    with pytest.raises(Unsupported, match=r"'a\.item' is of the type"):
        stored(pa.list_(found), ("a",), frozenset())


def test_fields_that_differ_in_case_only_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="case"):
        read(save(tmp_path / "t.parquet", pa.array([{"x": 1, "X": 2}])))
