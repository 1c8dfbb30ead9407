"""Cursor values as exact text, and which rows of a batch are at or after one."""

# ruff: noqa: DTZ001 - naive timestamps are what some of it is about

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

from base.errors import InvalidInput
from base.tables import ColumnType
from connectors import bounds, since

BERLIN = ZoneInfo("Europe/Berlin")
US = pa.timestamp("us")
UTC_US = pa.timestamp("us", "UTC")

EXACT = [
    (ColumnType.INTEGER, 18_446_744_073_709_551_615, "18446744073709551615"),
    (ColumnType.INTEGER, -5, "-5"),
    (ColumnType.DECIMAL, Decimal("1E+3"), "1000"),
    (ColumnType.DECIMAL, Decimal("0.10"), "0.10"),
    (ColumnType.DECIMAL, Decimal("1" * 50 + ".5"), "1" * 50 + ".5"),
    (ColumnType.FLOAT, 0.1, "0.1"),
    (ColumnType.FLOAT, 1e300, "1e+300"),
    (ColumnType.TEXT, "Ünï 'quoted'", "Ünï 'quoted'"),
    (
        ColumnType.UUID,
        UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    ),
    (ColumnType.DATE, date(1, 1, 1), "0001-01-01"),
    (ColumnType.TIME, time(7, 5), "07:05:00.000000"),
    (ColumnType.TIMESTAMP, datetime(2026, 3, 29, 2, 30, 0, 1), "2026-03-29T02:30:00.000001"),
    (
        ColumnType.TIMESTAMP_TZ,
        datetime(2026, 3, 29, 3, 30, tzinfo=BERLIN),
        "2026-03-29T01:30:00.000000Z",
    ),
]


@pytest.mark.parametrize(("kind", "value", "text"), EXACT)
def test_a_value_has_one_exact_text_and_comes_back_from_it(
    kind: ColumnType, value: Any, text: str
) -> None:
    assert since.text(value, kind) == text
    assert since.text(since.value(text, kind), kind) == text


def test_the_two_halves_of_a_repeated_hour_stay_apart() -> None:
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=fold) for fold in (0, 1))

    assert since.text(first, ColumnType.TIMESTAMP_TZ) == "2026-10-25T00:30:00.000000Z"
    assert since.text(second, ColumnType.TIMESTAMP_TZ) == "2026-10-25T01:30:00.000000Z"


UNORDERED = [
    ColumnType.BOOLEAN,
    ColumnType.BINARY,
    ColumnType.JSON,
    ColumnType.LIST,
    ColumnType.STRUCT,
    ColumnType.DURATION,
    ColumnType.UNKNOWN,
]


@pytest.mark.parametrize("kind", UNORDERED)
def test_a_column_without_order_is_no_cursor(kind: ColumnType) -> None:
    batch = pa.record_batch({"c": pa.array(["x"])})

    with pytest.raises(
        InvalidInput, match=rf"'c' cannot be a cursor: .* {kind.name} have no order"
    ):
        since.check(kind, "c")
    with pytest.raises(InvalidInput, match="no order"):
        since.text("x", kind)
    with pytest.raises(InvalidInput, match="no order"):
        bounds.mask(batch, "c", "x", kind)
    with pytest.raises(InvalidInput, match="no order"):
        bounds.largest(batch, "c", kind)


def test_every_type_is_either_ordered_or_refused() -> None:
    assert {kind for kind, _, _ in EXACT} | set(UNORDERED) == set(ColumnType)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (ColumnType.INTEGER, True),
        (ColumnType.INTEGER, 1.5),
        (ColumnType.DECIMAL, Decimal("NaN")),
        (ColumnType.FLOAT, float("inf")),
        (ColumnType.TEXT, 5),
        (ColumnType.UUID, "no uuid"),
        (ColumnType.TIME, time(1, tzinfo=UTC)),
        (ColumnType.TIMESTAMP, datetime(2026, 1, 1, tzinfo=UTC)),
        (ColumnType.TIMESTAMP_TZ, datetime(2026, 1, 1)),
    ],
)
def test_a_value_that_its_type_cannot_have_is_refused(kind: ColumnType, value: Any) -> None:
    with pytest.raises(InvalidInput, match=f"A {kind.name} cannot be"):
        since.text(value, kind)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ColumnType.INTEGER, "2026-01-01"),
        (ColumnType.DECIMAL, "ten"),
        (ColumnType.DATE, "5"),
        (ColumnType.TIMESTAMP, "2026-01-01T00:00:00.000000Z"),
        (ColumnType.TIMESTAMP_TZ, "2026-01-01T00:00:00.000000"),
    ],
)
def test_a_cursor_of_another_type_is_refused(kind: ColumnType, text: str) -> None:
    with pytest.raises(InvalidInput, match=f"is no {kind.name}"):
        since.value(text, kind)


@pytest.mark.parametrize(
    ("kind", "text", "seconds", "expected"),
    [
        (ColumnType.TIMESTAMP, "2026-01-01T00:00:30.000001", 60, "2025-12-31T23:59:30.000001"),
        (ColumnType.TIMESTAMP, "0001-01-01T00:00:30.000000", 60, "0001-01-01T00:00:00.000000"),
        (ColumnType.TIMESTAMP_TZ, "2026-03-29T01:00:30.000000Z", 60, "2026-03-29T00:59:30.000000Z"),
        (ColumnType.DATE, "2026-01-01", 60, "2025-12-31"),
        (ColumnType.DATE, "2026-01-03", 2 * 86_400, "2026-01-01"),
        (ColumnType.DATE, "0001-01-01", 60, "0001-01-01"),
        (ColumnType.TIME, "00:00:30.000000", 60, "00:00:00.000000"),
        (ColumnType.TIME, "00:02:30.000000", 60, "00:01:30.000000"),
        (ColumnType.INTEGER, "100", 30, "70"),
        (ColumnType.DECIMAL, "100.50", 30, "70.50"),
        (ColumnType.TEXT, "m", 60, "m"),
        (ColumnType.TEXT, "2026-01-01T00:00:30Z", 60, "2025-12-31T23:59:30Z"),
        (ColumnType.TEXT, "2026-01-01 00:00:30.5+02:00", 60, "2025-12-31 23:59:30.5+02:00"),
        (ColumnType.TEXT, "2026-01-01T00:00", 60, "2025-12-31T23:59"),
        (
            ColumnType.TEXT,
            "2026-01-01T00:00:00,123456789-0830",
            1,
            "2025-12-31T23:59:59,123456789-0830",
        ),
        (ColumnType.TEXT, "2026-01-01", 60, "2025-12-31"),
        (ColumnType.TEXT, "0001-01-01", 60, "0001-01-01"),
        (ColumnType.TEXT, "2026-02-31", 60, "2026-02-31"),
        (ColumnType.TEXT, "2026-01-01T00:00:30Z and more", 60, "2026-01-01T00:00:30Z and more"),
        (ColumnType.TEXT, "20260101", 60, "20260101"),
        (ColumnType.INTEGER, "100", 0, "100"),
    ],
)
def test_a_look_back_moves_a_cursor_back(
    kind: ColumnType, text: str, seconds: int, expected: str
) -> None:
    assert since.moved_back(text, kind, seconds) == expected


def column(values: list[Any], kind: pa.DataType) -> pa.RecordBatch:
    return pa.record_batch({"c": pa.array(values, kind)})


MASKS = [
    (ColumnType.INTEGER, pa.int64(), [1, 2, 3, None], "2", [0, 1, 1, 1], "3"),
    (ColumnType.INTEGER, pa.int8(), [1, 127], "1000", [0, 0], "127"),
    (ColumnType.INTEGER, pa.uint8(), [0, 255], "-1", [1, 1], "255"),
    (ColumnType.INTEGER, pa.uint64(), [2**64 - 1, 0], str(2**64 - 1), [1, 0], str(2**64 - 1)),
    (
        ColumnType.DECIMAL,
        pa.decimal128(38, 2),
        [Decimal("1.10"), Decimal("1.11")],
        "1.105",
        [1, 1],
        "1.11",
    ),
    (ColumnType.DECIMAL, pa.decimal128(5, 2), [Decimal("1.10")], "100000.5", [0], "1.10"),
    (ColumnType.DECIMAL, pa.string(), ["9", "10", "NaN", None], "9.5", [0, 1, 1, 1], "10"),
    (ColumnType.FLOAT, pa.float64(), [0.1, 0.3, float("nan"), float("-inf")], "0.3", [0, 1, 1, 1], "0.3"),
    (ColumnType.FLOAT, pa.float32(), [0.5, 1.5], "1.0", [0, 1], "1.5"),
    (ColumnType.TEXT, pa.string(), ["Z", "a", "ä", ""], "a", [0, 1, 1, 0], "ä"),
    (ColumnType.TEXT, pa.large_string(), ["a", "b"], "b", [0, 1], "b"),
    (ColumnType.TEXT, pa.dictionary(pa.int32(), pa.string()), ["a", "b", None], "b", [0, 1, 1], "b"),
    (ColumnType.DATE, pa.date32(), [date(2026, 1, 1), date(2026, 1, 2)], "2026-01-02", [0, 1], "2026-01-02"),
    (ColumnType.TIME, pa.time64("us"), [time(1), time(2)], "02:00:00.000000", [0, 1], "02:00:00.000000"),
    (
        ColumnType.TIMESTAMP,
        US,
        [datetime(2026, 1, 1), datetime(2026, 1, 1, microsecond=1), None],
        "2026-01-01T00:00:00.000001",
        [0, 1, 1],
        "2026-01-01T00:00:00.000001",
    ),
    (
        ColumnType.TIMESTAMP_TZ,
        UTC_US,
        [datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), datetime(2026, 1, 1, 1, tzinfo=UTC)],
        "2026-01-01T00:30:00.000000Z",
        [0, 1],
        "2026-01-01T01:00:00.000000Z",
    ),
    (ColumnType.TIMESTAMP, US, [2**60, 0], "1970-01-01T00:00:00.000001", [1, 0], "1970-01-01T00:00:00.000000"),
    (ColumnType.INTEGER, pa.int64(), [None, None], "1", [1, 1], None),
    (ColumnType.INTEGER, pa.int64(), [], "1", [], None),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arrow", "values", "bound", "expected", "most"), MASKS)
def test_rows_at_or_after_a_cursor_and_those_without_a_value_are_taken(
    kind: ColumnType,
    arrow: pa.DataType,
    values: list[Any],
    bound: str,
    expected: list[int],
    most: str | None,
) -> None:
    batch = column(values, arrow)

    found = bounds.mask(batch, "c", bound, kind)

    assert (found.to_pylist(), found.null_count) == ([bool(each) for each in expected], 0)
    assert bounds.largest(batch, "c", kind) == most


def test_the_largest_value_goes_on_from_the_batches_before() -> None:
    batch = column([5, 9], pa.int64())

    assert bounds.largest(batch, "c", ColumnType.INTEGER, "10") == "10"
    assert bounds.largest(batch, "c", ColumnType.INTEGER, "8") == "9"
    assert bounds.largest(column([], pa.int64()), "c", ColumnType.INTEGER, "8") == "8"


def test_the_largest_text_is_the_one_with_the_largest_bytes() -> None:
    assert bounds.largest(column(["\U0001f600"], pa.string()), "c", ColumnType.TEXT, "\uffff") == (
        "\U0001f600"
    )


def test_times_of_a_day_with_zones_are_no_cursor() -> None:
    batch = column(["10:00:00+01"], pa.string())

    with pytest.raises(InvalidInput, match="times with zones"):
        bounds.mask(batch, "c", "10:00:00.000000", ColumnType.TIME)
    with pytest.raises(InvalidInput, match="times with zones"):
        bounds.largest(batch, "c", ColumnType.TIME)
