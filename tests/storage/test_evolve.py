"""Columns of two readings put together, and rows cast to the result: every value is shown as it was."""

# ruff: noqa: DTZ001 - timestamps without a zone are stored too

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.errors import Conflict, InvalidInput
from base.tables import Column, ColumnType, TableSchema
from storage.snapshots.evolve import Change, Evolution, cast, evolve, rewrite
from tests.storage import tables

T = ColumnType
Held = tuple[ColumnType, pa.DataType]


def described(
    columns: Sequence[tuple[str, ColumnType, pa.DataType]],
) -> tuple[TableSchema, pa.Schema]:
    table = TableSchema("things", tuple(Column(name, kind) for name, kind, _ in columns))
    return table, pa.schema([(name, of) for name, _, of in columns])


def evolved(old: Held, new: Held) -> Evolution:
    return evolve(*described([("c", *old)]), *described([("c", *new)]))


WIDENED = [
    ((T.INTEGER, pa.int32()), (T.INTEGER, pa.int64()), (T.INTEGER, pa.int64())),
    ((T.INTEGER, pa.int8()), (T.INTEGER, pa.uint8()), (T.INTEGER, pa.int16())),
    ((T.INTEGER, pa.uint64()), (T.INTEGER, pa.int8()), (T.DECIMAL, pa.decimal128(20, 0))),
    ((T.INTEGER, pa.int64()), (T.DECIMAL, pa.decimal128(6, 2)), (T.DECIMAL, pa.decimal128(21, 2))),
    (
        (T.DECIMAL, pa.decimal128(6, 2)),
        (T.DECIMAL, pa.decimal128(6, 4)),
        (T.DECIMAL, pa.decimal128(8, 4)),
    ),
    (
        (T.DECIMAL, pa.decimal128(38, 0)),
        (T.DECIMAL, pa.decimal128(38, 9)),
        (T.DECIMAL, pa.string()),
    ),
    ((T.INTEGER, pa.int64()), (T.DECIMAL, pa.string()), (T.DECIMAL, pa.string())),
    ((T.INTEGER, pa.int32()), (T.FLOAT, pa.float64()), (T.TEXT, pa.string())),
    ((T.DECIMAL, pa.decimal128(6, 2)), (T.FLOAT, pa.float64()), (T.TEXT, pa.string())),
    ((T.FLOAT, pa.float32()), (T.FLOAT, pa.float64()), (T.FLOAT, pa.float64())),
    ((T.DATE, pa.date32()), (T.TIMESTAMP, pa.timestamp("us")), (T.TIMESTAMP, pa.timestamp("us"))),
    ((T.DATE, pa.date32()), (T.TIMESTAMP_TZ, pa.timestamp("us", "UTC")), (T.TEXT, pa.string())),
    (
        (T.TIMESTAMP, pa.timestamp("us")),
        (T.TIMESTAMP_TZ, pa.timestamp("us", "UTC")),
        (T.TEXT, pa.string()),
    ),
    ((T.TIME, pa.time64("us")), (T.TIME, pa.string()), (T.TIME, pa.string())),
    ((T.BOOLEAN, pa.bool_()), (T.INTEGER, pa.int8()), (T.TEXT, pa.string())),
    ((T.UUID, pa.string()), (T.TEXT, pa.string()), (T.TEXT, pa.string())),
    ((T.JSON, pa.string()), (T.TEXT, pa.string()), (T.TEXT, pa.string())),
    ((T.JSON, pa.string()), (T.INTEGER, pa.int8()), (T.TEXT, pa.string())),
    ((T.UNKNOWN, pa.string()), (T.DATE, pa.date32()), (T.TEXT, pa.string())),
    (
        (T.LIST, pa.list_(pa.int8())),
        (T.LIST, pa.list_(pa.decimal128(4, 1))),
        (T.LIST, pa.list_(pa.decimal128(4, 1))),
    ),
    (
        (T.STRUCT, pa.struct([("a", pa.int8()), ("b", pa.string())])),
        (T.STRUCT, pa.struct([("c", pa.bool_()), ("a", pa.int16())])),
        (T.STRUCT, pa.struct([("a", pa.int16()), ("b", pa.string()), ("c", pa.bool_())])),
    ),
    ((T.TEXT, pa.null()), (T.LIST, pa.list_(pa.int8())), (T.LIST, pa.list_(pa.int8()))),
]


@pytest.mark.parametrize(("one", "other", "held"), WIDENED, ids=str)
def test_the_wider_type_holds_both(one: Held, other: Held, held: Held) -> None:
    for old, new in ((one, other), (other, one)):
        result = evolved(old, new)

        stored = result.schema.field("c").type
        assert result.table.columns[0].type is held[0]
        assert stored == held[1] or {f.name: f.type for f in stored} == {
            f.name: f.type for f in held[1]
        }
        assert result.rewrites is (stored != old[1])
        for column in (one, other):
            batch = pa.record_batch([pa.nulls(2, column[1])], names=["c"])
            assert cast(batch, result.schema).column(0).to_pylist() == [None, None]


INCOMPATIBLE = [
    ((T.BINARY, pa.binary()), (T.TEXT, pa.string())),
    ((T.LIST, pa.list_(pa.int8())), (T.INTEGER, pa.int8())),
    ((T.LIST, pa.list_(pa.int8())), (T.LIST, pa.list_(pa.string()))),
    ((T.LIST, pa.list_(pa.int64())), (T.LIST, pa.list_(pa.float64()))),
    ((T.STRUCT, pa.struct([("a", pa.int8())])), (T.JSON, pa.string())),
    ((T.STRUCT, pa.struct([("a", pa.int8())])), (T.STRUCT, pa.struct([("a", pa.string())]))),
]


@pytest.mark.parametrize(("one", "other"), INCOMPATIBLE, ids=str)
def test_types_that_no_type_holds_are_refused_by_name(one: Held, other: Held) -> None:
    for old, new in ((one, other), (other, one)):
        with pytest.raises(Conflict) as caught:
            evolved(old, new)

        assert "The column 'c' of the table 'things' was" in caught.value.message
        assert caught.value.message.index(old[0].name) < caught.value.message.rindex(new[0].name)


def test_added_vanished_and_changed_columns() -> None:
    stored = described(
        [("a", T.INTEGER, pa.int64()), ("b", T.TEXT, pa.string()), ("c", T.INTEGER, pa.int64())]
    )
    incoming = described(
        [("new", T.DATE, pa.date32()), ("c", T.TEXT, pa.string()), ("a", T.INTEGER, pa.int64())]
    )

    result = evolve(*stored, *incoming)

    assert [(column.name, column.type) for column in result.table.columns] == [
        ("a", T.INTEGER),
        ("b", T.TEXT),
        ("c", T.TEXT),
        ("new", T.DATE),
    ]
    assert result.schema.types == [pa.int64(), pa.string(), pa.string(), pa.date32()]
    assert result.changes == (
        Change("b", "removed", "text", None),
        Change("c", "widened", "integer", "text"),
        Change("new", "added", None, "date"),
    )
    assert result.rewrites


def test_a_change_is_told_once_and_going_back_is_one_too() -> None:
    wide = described([("a", T.TEXT, pa.string()), ("b", T.DATE, pa.date32())])
    narrow = described([("a", T.INTEGER, pa.int64())])

    first = evolve(*wide, *narrow)
    second = evolve(first.table, first.schema, *narrow)
    back = evolve(second.table, second.schema, *wide)
    after = evolve(back.table, back.schema, *wide)

    assert first.changes == (
        Change("a", "narrowed", "text", "integer"),
        Change("b", "removed", "date", None),
    )
    assert (second.changes, second.rewrites, second.table) == ((), False, first.table)
    assert back.changes == (
        Change("a", "widened", "integer", "text"),
        Change("b", "added", None, "date"),
    )
    assert (after.changes, after.rewrites) == ((), False)
    assert after.table.details == {}
    assert TableSchema.from_json(first.table.to_json()) == first.table


def test_a_change_is_called_by_the_source_s_types_and_not_by_what_holds_both() -> None:
    stored = described([("a", T.INTEGER, pa.int64())])
    incoming = described([("a", T.FLOAT, pa.float64())])

    result = evolve(*stored, *incoming)

    assert [column.type for column in result.table.columns] == [T.TEXT]
    assert result.changes == (Change("a", "incompatible", "integer", "float"),)


def test_the_same_columns_in_another_order_are_no_change() -> None:
    one = described([("a", T.INTEGER, pa.int64()), ("b", T.LIST, pa.list_(pa.int8()))])
    other = described([("b", T.LIST, pa.list_(pa.int8())), ("a", T.INTEGER, pa.int64())])

    result = evolve(*one, *other)

    assert (result.changes, result.rewrites, result.schema) == ((), False, one[1])


SHOWN: list[tuple[pa.Array, list[str | None]]] = [
    (pa.array([1, None, -(2**63)]), ["1", None, "-9223372036854775808"]),
    (pa.array([2**64 - 1], pa.uint64()), ["18446744073709551615"]),
    (pa.array([Decimal("0.0000001"), Decimal("-12.5000000")]), ["0.0000001", "-12.5000000"]),
    (
        pa.array([0.1, -0.0, 1e300, float("nan"), float("-inf")]),
        ["0.1", "-0.0", "1e+300", "NaN", "-Infinity"],
    ),
    (pa.array([7.0, -120.0, 0.0, 2.0**53, 1e22]), ["7", "-120", "0", "9007199254740992", "1e+22"]),
    (pa.array([7.0, 0.5], pa.float32()), ["7", "0.5"]),
    (pa.array([True, False]), ["true", "false"]),
    (pa.array([date(1, 1, 1), date(2026, 12, 31)]), ["0001-01-01", "2026-12-31"]),
    (pa.array([time(1, 2, 3), time(0, 0, 0, 1)]), ["01:02:03", "00:00:00.000001"]),
    (pa.array([datetime(2026, 1, 1, 1, 2, 3, 4)]), ["2026-01-01T01:02:03.000004"]),
    (
        pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("us", "UTC")),
        ["2026-01-01T00:00:00Z"],
    ),
    (pa.nulls(1), [None]),
]


@pytest.mark.parametrize(("values", "texts"), SHOWN, ids=lambda value: str(value)[:30])
def test_texts_are_what_rows_showed_before(values: pa.Array, texts: list[str | None]) -> None:
    batch = pa.record_batch([values], names=["c"])

    assert cast(batch, pa.schema([("c", pa.string())])).column(0).to_pylist() == texts


def test_nested_values_go_along_in_any_order_of_their_fields() -> None:
    stored = pa.array([[{"b": "x", "a": 1}], None, [None]])
    schema = pa.schema(
        [
            (
                "c",
                pa.list_(
                    pa.struct([("a", pa.decimal128(20, 0)), ("c", pa.bool_()), ("b", pa.string())])
                ),
            )
        ]
    )

    result = cast(pa.record_batch([stored.slice(1), stored.slice(0, 2)], names=["x", "c"]), schema)

    assert result.column(0).to_pylist() == [[{"a": 1, "c": None, "b": "x"}], None]


def test_days_become_midnights() -> None:
    batch = pa.record_batch([pa.array([date(2026, 1, 1), None])], names=["c"])

    result = cast(batch, pa.schema([("c", pa.timestamp("us"))]))

    assert result.column(0).to_pylist() == [datetime(2026, 1, 1), None]


@settings(max_examples=50)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_integers_go_to_decimals_and_texts_without_loss(values: list[int | None]) -> None:
    batch = pa.record_batch([pa.array(values, pa.int64())], names=["c"])

    decimals = cast(batch, pa.schema([("c", pa.decimal128(21, 2))])).column(0).to_pylist()
    texts = cast(batch, pa.schema([("c", pa.string())])).column(0).to_pylist()

    assert decimals == values
    assert texts == [None if value is None else str(value) for value in values]


LOSSY = [
    (pa.array([1, None, 300]), pa.int8(), "row 3 has '300'"),
    (pa.array([1]), pa.float64(), "row 1 has '1'"),
    (pa.array([None, 0.5]), pa.int64(), "row 2 has '0.5'"),
    (pa.array([Decimal("1.00"), Decimal("1.05")]), pa.decimal128(4, 1), "row 2 has '1.05'"),
    (pa.array(["7"]), pa.int64(), "row 1 has '7'"),
    (pa.array([b"\x00"]), pa.string(), "row 1 has"),
    (pa.array([None, [1]]), pa.string(), "row 2 has"),
    (pa.array([None, datetime(2026, 1, 1, 1)]), pa.date32(), "row 2 has"),
]


@pytest.mark.parametrize(("values", "wanted", "message"), LOSSY, ids=lambda value: str(value)[:30])
def test_what_would_lose_anything_is_refused(
    values: pa.Array, wanted: pa.DataType, message: str
) -> None:
    batch = pa.record_batch([values], names=["c"])

    with pytest.raises(InvalidInput, match="Column 'c'") as caught:
        cast(batch, pa.schema([("c", wanted)]))

    assert message in caught.value.message


def test_stored_parts_are_written_anew_without_deleted_rows(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "n": list(range(1000)),
        "l": [[n] if n % 2 else None for n in range(1000)],
        "s": [{"a": n} for n in range(1000)],
    }
    data = pa.table(values)
    gone = [0, 5, *range(300, 700), 999]
    parts = tables.without(tables.write(tmp_path / "old", data), gone, tmp_path / "gone")
    schema = pa.schema(
        [
            ("n", pa.string()),
            ("l", pa.list_(pa.decimal128(20, 1))),
            ("x", pa.date32()),
            ("s", pa.struct([("a", pa.int64()), ("b", pa.string())])),
        ]
    )

    made = rewrite(parts, schema, tmp_path / "new", 7)

    kept = [n for n in range(1000) if n not in gone]
    assert [part.path.name for part in made] == ["7.parquet"]
    assert (made[0].rows, made[0].size_bytes) == (len(kept), made[0].path.stat().st_size)
    table = pq.read_table(made[0].path)
    assert table.schema.equals(schema)
    assert table.to_pylist() == [
        {"n": str(n), "l": [n] if n % 2 else None, "x": None, "s": {"a": n, "b": None}}
        for n in kept
    ]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["7.parquet"]
