"""Profiles: statistics of every type exactly, the same from few rows as from many, and never a reason to fail."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from base.tables import ColumnType
from storage.snapshots import engine
from storage.snapshots.manifest import LocalPart
from storage.snapshots.profile import profile
from tests.storage import tables

MEMORY_BYTES = 512 * 1024**2
EXACT = "Everything is exact, over every row."


def column_of(
    folder: Path, values: pa.Array, kind: ColumnType, *, memory_bytes: int = MEMORY_BYTES
) -> dict[str, Any]:
    """The profile of a table of one column, as a reader of its JSON gets it."""
    parts = tables.write(folder, pa.table({"c": values}), part_rows=4, batch_rows=4)
    return profiled(folder, parts, kind, memory_bytes=memory_bytes)


def profiled(
    folder: Path, parts: list[LocalPart], kind: ColumnType, *, memory_bytes: int = MEMORY_BYTES
) -> dict[str, Any]:
    table = tables.schema([("c", kind)])
    spill = folder / "spill"
    spill.mkdir(exist_ok=True)
    found = profile(parts, table, spill, memory_bytes=memory_bytes)
    assert list(spill.iterdir()) == []
    (column,) = json.loads(json.dumps(found, allow_nan=False))["columns"]
    assert column.pop("column") == "c"
    return column  # type: ignore[no-any-return]


def counts(*pairs: tuple[Any, int]) -> list[dict[str, Any]]:
    return [{"value": value, "count": count} for value, count in pairs]


def bins(*triples: tuple[Any, Any, int]) -> list[dict[str, Any]]:
    return [{"lower": lower, "upper": upper, "count": count} for lower, upper, count in triples]


def test_whole_numbers(tmp_path: Path) -> None:
    found = column_of(tmp_path, pa.array([3, 1, 4, 1, 5, None], pa.int32()), ColumnType.INTEGER)

    assert found == {
        "count": 5,
        "nulls": 1,
        "distinct": 4,
        "distinctIsExact": True,
        "min": 1,
        "max": 5,
        "mean": 2.8,
        "stddev": 1.7888543819998317,
        "median": 3.0,
        "top": counts((1, 2), (3, 1), (4, 1), (5, 1)),
        "histogram": bins((1, 2, 2), (2, 3, 0), (3, 4, 1), (4, 5, 1), (5, 5, 1)),
        "method": EXACT,
    }


def test_large_whole_numbers_are_exact_strings(tmp_path: Path) -> None:
    low, high = -(2**63), 2**63 - 1
    found = column_of(tmp_path, pa.array([low, high, high], pa.int64()), ColumnType.INTEGER)

    assert (found["min"], found["max"]) == (str(low), str(high))
    assert found["top"] == counts((str(high), 2), (str(low), 1))
    assert found["median"] == float(high)
    assert found["mean"] == pytest.approx((low + 2 * high) / 3)
    assert len(found["histogram"]) == 20
    assert [each["count"] for each in found["histogram"]] == [1, *[0] * 18, 2]
    assert found["histogram"][-1]["upper"] == str(high)


def test_unsigned_numbers_past_63_bits(tmp_path: Path) -> None:
    high = 2**64 - 1
    found = column_of(tmp_path, pa.array([high - 2, high], pa.uint64()), ColumnType.INTEGER)

    assert (found["min"], found["max"]) == (str(high - 2), str(high))
    assert found["stddev"] == math.sqrt(2)
    assert found["mean"] == float(high - 1)


def test_close_numbers_far_from_zero_keep_their_deviation(tmp_path: Path) -> None:
    values = [2**60 + each for each in (1, 2, 3, 4)]

    found = column_of(tmp_path, pa.array(values, pa.int64()), ColumnType.INTEGER)

    assert found["stddev"] == 1.2909944487358056


@pytest.mark.parametrize("digits", [18, 19, 38])
def test_decimals(tmp_path: Path, digits: int) -> None:
    values = [Decimal("0.10"), Decimal("-12.34"), Decimal("0.10"), None]

    found = column_of(tmp_path, pa.array(values, pa.decimal128(digits, 2)), ColumnType.DECIMAL)

    assert (found["min"], found["max"]) == ("-12.34", "0.10")
    assert (found["count"], found["nulls"], found["distinct"]) == (3, 1, 2)
    assert found["top"] == counts(("0.10", 2), ("-12.34", 1))
    assert found["mean"] == pytest.approx(-4.046666666666667, rel=1e-15)
    assert found["median"] == 0.1
    assert sum(each["count"] for each in found["histogram"]) == 3
    if digits == 18:
        assert found["method"] == EXACT
        assert found["histogram"][0] == {"lower": "-12.34", "upper": "-11.71", "count": 1}
        assert found["histogram"][-1]["upper"] == "0.10"
    else:
        assert found["method"] == "Mean, stddev, median and histogram are of the nearest doubles."
        assert found["histogram"][-1]["upper"] == 0.1


def test_many_wide_decimals_are_all_counted(tmp_path: Path) -> None:
    values = pa.array(range(-6_000, 6_000)).cast(pa.decimal128(38, 0))
    parts = tables.write(tmp_path, pa.table({"c": values}), part_rows=6_000)

    found = profiled(tmp_path, parts, ColumnType.DECIMAL)

    assert (found["count"], found["distinct"]) == (12_000, 12_000)


def test_many_lists_of_which_some_are_empty_are_all_counted(tmp_path: Path) -> None:
    lists: list[Any] = [[], [None], [None], *([number] for number in range(10_001))]
    values = pa.array(lists, pa.list_(pa.int64()))
    parts = tables.write(tmp_path, pa.table({"c": values}), part_rows=6_000)

    found = profiled(tmp_path, parts, ColumnType.LIST)

    assert (found["count"], found["distinct"]) == (10_004, 10_003)
    assert found["top"] == counts(([None], 2))


def test_decimals_as_text(tmp_path: Path) -> None:
    values = ["9" * 60, "10", "9.5", "NaN", None]

    found = column_of(tmp_path, pa.array(values), ColumnType.DECIMAL)

    assert (found["min"], found["max"]) == ("9.5", "9" * 60)
    assert (found["count"], found["nulls"], found["distinct"]) == (4, 1, 4)
    assert found["median"] == 10.0
    assert found["mean"] == pytest.approx(1e60 / 3)


def test_floats_with_nan_and_infinities(tmp_path: Path) -> None:
    values = [1.5, math.nan, math.inf, -0.0, 0.0, math.nan, None]

    found = column_of(tmp_path, pa.array(values, pa.float64()), ColumnType.FLOAT)

    assert (found["count"], found["nulls"], found["distinct"]) == (6, 1, 4)
    assert (found["min"], found["max"]) == (0.0, "Infinity")
    assert (found["mean"], found["median"]) == (0.5, 0.0)
    assert found["top"] == counts((0.0, 2), ("NaN", 2), (1.5, 1), ("Infinity", 1))
    assert sum(each["count"] for each in found["histogram"]) == 3
    assert found["method"] == (
        f"{EXACT} Left out of mean, stddev, median and histogram: Infinity (1), NaN (2)."
    )


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        ([math.nan, math.nan], None, None),
        ([-math.inf], "-Infinity", "-Infinity"),
        ([math.inf, -math.inf], "-Infinity", "Infinity"),
        ([math.inf, math.nan], "Infinity", "Infinity"),
    ],
)
def test_floats_without_a_number(tmp_path: Path, values: list[float], low: Any, high: Any) -> None:
    found = column_of(tmp_path, pa.array(values, pa.float64()), ColumnType.FLOAT)

    assert (found["min"], found["max"]) == (low, high)
    assert (found["mean"], found["stddev"], found["median"]) == (None, None, None)
    assert found["histogram"] == []


def test_floats_at_the_ends_of_their_range(tmp_path: Path) -> None:
    values = [-1.7e308, 1.7e308, 1.7e308]

    found = column_of(tmp_path, pa.array(values, pa.float64()), ColumnType.FLOAT)

    assert (found["min"], found["max"], found["median"]) == (-1.7e308, 1.7e308, 1.7e308)
    assert found["stddev"] is None
    assert [each["count"] for each in found["histogram"]] == [1, *[0] * 18, 2]


def test_single_floats_are_shown_as_rows_show_them(tmp_path: Path) -> None:
    found = column_of(tmp_path, pa.array([0.1, 0.3], pa.float32()), ColumnType.FLOAT)

    assert (found["min"], found["max"]) == (0.1, 0.3)


@pytest.mark.parametrize(
    ("values", "kind", "low", "high", "second"),
    [
        (
            pa.array([date(2026, 1, 1), date(2026, 1, 3)]),
            ColumnType.DATE,
            "2026-01-01",
            "2026-01-03",
            "2026-01-02",
        ),
        (
            pa.array([time(1, 2, 3, 4), time(23, 59)], pa.time64("us")),
            ColumnType.TIME,
            "01:02:03.000004",
            "23:59:00",
            "02:10:53.850004",
        ),
        (
            pa.array([-62135596800000000, 253402300799999999], pa.timestamp("us")),
            ColumnType.TIMESTAMP,
            "0001-01-01T00:00:00",
            "9999-12-31T23:59:59.999999",
            "0500-12-13T22:48:00",
        ),
        (
            pa.array([datetime(2026, 1, 1, tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
            ColumnType.TIMESTAMP_TZ,
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00Z",
        ),
    ],
)
def test_dates_and_times(
    tmp_path: Path, values: pa.Array, kind: ColumnType, low: str, high: str, second: str
) -> None:
    found = column_of(tmp_path, values, kind)

    assert (found["min"], found["max"]) == (low, high)
    assert found["histogram"][0]["lower"] == low
    assert found["histogram"][0]["upper"] == second
    assert found["histogram"][-1]["upper"] == high
    assert sum(each["count"] for each in found["histogram"]) == 2
    assert (found["mean"], found["stddev"], found["median"]) == (None, None, None)
    assert found["method"] == EXACT


def test_endless_dates_are_ends_but_in_no_bin(tmp_path: Path) -> None:
    days = pa.array([2**31 - 1, 20_000, 1 - 2**31], pa.int32()).cast(pa.date32())
    moments = pa.array([2**63 - 1, 0, 0], pa.int64()).cast(pa.timestamp("us", "UTC"))

    day = column_of(tmp_path / "a", days, ColumnType.DATE)
    moment = column_of(tmp_path / "b", moments, ColumnType.TIMESTAMP_TZ)

    assert (day["min"], day["max"], day["distinct"]) == ("-infinity", "infinity", 3)
    assert day["histogram"] == bins(("2024-10-04", "2024-10-04", 1))
    assert (moment["min"], moment["max"]) == ("1970-01-01T00:00:00Z", "infinity")
    assert moment["method"] == f"{EXACT} Left out of the histogram: infinity (1)."


@pytest.mark.parametrize(
    ("values", "kind", "low", "high", "top"),
    [
        (pa.array([True, False, True]), ColumnType.BOOLEAN, False, True, ((True, 2), (False, 1))),
        (pa.array(["b", "a", "b"]), ColumnType.TEXT, "a", "b", (("b", 2), ("a", 1))),
        (pa.array([b"\xff", b"", b"\xff"]), ColumnType.BINARY, "", "/w==", (("/w==", 2), ("", 1))),
        (pa.array(['{"a":1}', "[]", "[]"]), ColumnType.JSON, None, None, (([], 2), ({"a": 1}, 1))),
        (pa.array([[1], [2, None], [1]]), ColumnType.LIST, None, None, (([1], 2), ([2, None], 1))),
        (pa.array([{"x": "y"}] * 3), ColumnType.STRUCT, None, None, (({"x": "y"}, 3),)),
        (
            pa.array(["P1D", "PT1S", "P1D"]),
            ColumnType.DURATION,
            None,
            None,
            (("P1D", 2), ("PT1S", 1)),
        ),
    ],
)
def test_other_values(
    tmp_path: Path, values: pa.Array, kind: ColumnType, low: Any, high: Any, top: Any
) -> None:
    found = column_of(tmp_path, values, kind)

    assert (found["count"], found["nulls"], found["distinct"]) == (3, 0, len(top))
    assert (found["min"], found["max"]) == (low, high)
    assert found["top"] == counts(*top)
    assert (found["mean"], found["stddev"], found["median"]) == (None, None, None)
    assert found["histogram"] == []
    assert found["method"] == EXACT


@pytest.mark.parametrize("kind", [ColumnType.INTEGER, ColumnType.TEXT, ColumnType.LIST])
def test_a_column_of_nulls(tmp_path: Path, kind: ColumnType) -> None:
    types = {ColumnType.INTEGER: pa.int64(), ColumnType.TEXT: pa.string()}
    values = pa.array([None, None], types.get(kind, pa.list_(pa.int64())))

    found = column_of(tmp_path, values, kind)

    assert (found["count"], found["nulls"], found["distinct"]) == (0, 2, 0)
    assert (found["min"], found["max"], found["top"], found["histogram"]) == (None, None, [], [])


def test_a_table_without_rows(tmp_path: Path) -> None:
    written = tables.write(tmp_path, pa.table({"c": [1, 2]}))

    for parts in ([], tables.without(written, [0, 1], tmp_path)):
        found = profiled(tmp_path, parts, ColumnType.INTEGER)
        assert (found["count"], found["nulls"], found["distinct"]) == (0, 0, 0)
        assert found["distinctIsExact"] is True


def test_values_that_occur_once_are_not_top_values(tmp_path: Path) -> None:
    texts = [f"t{at}" for at in range(50)] + ["t7", "t7", "t9"]

    found = column_of(tmp_path, pa.array(texts), ColumnType.TEXT)

    assert found["top"] == counts(("t7", 3), ("t9", 2))
    assert found["distinct"] == 50


def test_long_values_are_cut(tmp_path: Path) -> None:
    text = "é" * 5000
    shown = {
        ColumnType.TEXT: (pa.array([text]), "é" * 1000 + "…"),
        ColumnType.JSON: (pa.array([json.dumps([1] * 5000)]), json.dumps([1] * 5000)[:1000] + "…"),
        ColumnType.LIST: (
            pa.array([[1] * 5000]),
            json.dumps([1] * 5000, separators=(",", ":"))[:1000] + "…",
        ),
        ColumnType.BINARY: (pa.array([b"\0" * 5000]), "A" * 1000 + "…"),
    }

    for at, (kind, (values, expected)) in enumerate(shown.items()):
        found = column_of(tmp_path / str(at), values, kind)
        assert found["top"] == counts((expected, 1))


def test_values_beyond_memory_are_counted_and_the_other_columns_described(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As large as a value may be: DuckDB reads some rows of them at once, and gives up."""
    defaults = engine.locked.__kwdefaults__
    assert defaults is not None
    monkeypatch.setitem(defaults, "memory_bytes", 128 * 1024**2)
    data = pa.table({"n": list(range(5)), "t": [*(letter * 2**24 for letter in "abcd"), None]})
    (part,) = tables.write(tmp_path, data, part_rows=5, batch_rows=5)
    parts = [part] * 15 + tables.without([part], [0, 4], tmp_path / "gone")
    table = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])

    numbers, large = profile(parts, table, tmp_path, memory_bytes=2**28)["columns"]

    assert (numbers["count"], numbers["distinct"], numbers["method"]) == (78, 5, EXACT)
    assert (large["count"], large["nulls"], large["top"]) == (63, 15, [])
    assert (large["distinct"], large["distinctIsExact"]) == (None, False)
    assert large["method"] == "Its values are too large for more than counts, which are exact."


def test_many_columns_of_few_rows_are_as_each_by_itself(tmp_path: Path) -> None:
    texts = ["a", "b", None, "a"]
    data = pa.table({f"c{at}": texts for at in range(70)} | {"n": [1, 2, 3, 4]})
    names = [(name, ColumnType.TEXT) for name in data.column_names[:-1]]
    table = tables.schema([*names, ("n", ColumnType.INTEGER)])

    found = profile(tables.write(tmp_path, data), table, tmp_path, memory_bytes=2**28)["columns"]

    alone = column_of(tmp_path / "alone", pa.array(texts), ColumnType.TEXT)
    assert [each["column"] for each in found] == data.column_names
    assert all(each == alone | {"column": each["column"]} for each in found[:-1])
    assert found[-1]["mean"] == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "[" * 490 + "]" * 490,
        "[" + "9" * 30 + "]",
        '["\\ud800"]',
        "[1e999]",
        '{"a":{"b":[0.5,null]}}',
    ],
)
def test_json_that_is_hard_to_write_is_shown_as_its_text(tmp_path: Path, text: str) -> None:
    """The caller writes the profile with a writer that takes neither half characters nor numbers past 64 bits."""
    parts = tables.write(tmp_path, pa.table({"c": [text]}))

    found = profile(parts, tables.schema([("c", ColumnType.JSON)]), tmp_path, memory_bytes=1)

    (column,) = orjson.loads(orjson.dumps(found))["columns"]
    (top,) = column["top"]
    assert top in ({"value": text, "count": 1}, {"value": {"a": {"b": [0.5, None]}}, "count": 1})


@given(
    values=st.lists(
        st.one_of(st.none(), st.integers(-(2**62), 2**62), st.integers(0, 5)), max_size=60
    ),
    gone=st.sets(st.integers(0, 59)),
)
@settings(max_examples=60)
def test_random_whole_numbers_as_pandas_has_them(
    tmp_path_factory: pytest.TempPathFactory, values: list[int | None], gone: set[int]
) -> None:
    folder = tmp_path_factory.mktemp("random")
    parts = tables.write(
        folder, pa.table({"c": pa.array(values, pa.int64())}), part_rows=20, batch_rows=20
    )
    parts = tables.without(parts, list(gone), folder)
    live = pd.Series([v for at, v in enumerate(values) if at not in gone], dtype="Int64")

    found = profiled(folder, parts, ColumnType.INTEGER)

    known = live.dropna()
    assert (found["count"], found["nulls"]) == (len(known), int(live.isna().sum()))
    assert found["distinct"] == known.nunique()
    assert sum(each["count"] for each in found["histogram"]) == len(known)
    least = 1 if known.nunique() <= 10 else 2
    often = [count for count in Counter(known.tolist()).values() if count >= least]
    assert [each["count"] for each in found["top"]] == sorted(often, reverse=True)[:10]
    if len(known):
        whole = [int(value) for value in known]
        assert (int(found["min"]), int(found["max"])) == (min(whole), max(whole))
        assert found["mean"] == pytest.approx(sum(whole) / len(whole), rel=1e-12, abs=1e4)
        middle = sorted(whole)
        half = (middle[(len(whole) - 1) // 2] + middle[len(whole) // 2]) / 2
        assert found["median"] == half
        for each in found["histogram"][:-1]:
            lower, upper = int(each["lower"]), int(each["upper"])
            assert each["count"] == sum(lower <= value < upper for value in whole)


@given(st.lists(st.floats(width=64, min_value=-1e100, max_value=1e100), min_size=2, max_size=50))
@settings(max_examples=40)
def test_random_floats_as_numpy_has_them(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    folder = tmp_path_factory.mktemp("random")
    found = column_of(folder, pa.array(values, pa.float64()), ColumnType.FLOAT)

    scale = max(abs(np.array(values)).max(), 1e-300)
    assert found["mean"] == pytest.approx(
        math.fsum(values) / len(values), rel=1e-9, abs=1e-12 * scale
    )
    assert found["stddev"] == pytest.approx(
        float(np.std(values, ddof=1)), rel=1e-6, abs=1e-7 * scale
    )
    assert found["median"] == pytest.approx(float(np.median(values)), rel=1e-15, abs=1e-300)
    assert found["distinct"] == len(set(values))
    assert sum(each["count"] for each in found["histogram"]) == len(values)
    for each in found["histogram"][:-1]:
        inside = sum(each["lower"] <= value < each["upper"] for value in values)
        assert each["count"] == inside
