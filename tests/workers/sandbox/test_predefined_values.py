"""The shipped scripts that change values."""

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.workers.sandbox.shipped import (
    PEOPLE,
    column,
    refusal,
)


async def test_trim_whitespace(tmp_path: Path) -> None:
    texts = [" a ", "b \t c\u00a0", "  ", None, "d"]

    assert await column(tmp_path, "trim_whitespace", texts) == ["a", "b \t c", "", None, "d"]
    (tmp_path / "2").mkdir()
    options = {"collapse": True, "empty_as_missing": True, "columns": ["c"]}
    assert await column(tmp_path / "2", "trim_whitespace", texts, **options) == [
        "a",
        "b c",
        None,
        None,
        "d",
    ]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("lower", ["straße ab", None]),
        ("upper", ["STRAẞE AB", None]),
        ("title", ["Straße Ab", None]),
        ("fold", ["strasse ab", None]),
    ],
)
async def test_change_case(tmp_path: Path, case: str, expected: list[str | None]) -> None:
    assert await column(tmp_path, "change_case", ["Straße aB", None], case=case) == expected


async def test_case_has_four_names(tmp_path: Path) -> None:
    assert (
        await refusal(tmp_path, "change_case", PEOPLE, case="x")
        == "case is lower, upper, title or fold, not 'x'"
    )


@pytest.mark.parametrize(
    ("values", "parameters", "expected"),
    [
        ([1, None, 2**60 + 1], {"values": {"c": 7}}, [1, 7, 2**60 + 1]),
        (["a", None], {"values": {"c": "?"}}, ["a", "?"]),
        ([True, None], {"values": {"c": False}}, [True, False]),
        ([1.5, None], {"values": {"c": 0}}, [1.5, 0.0]),
        (
            pa.array([0, None], pa.timestamp("us", "UTC")),
            {"values": {"c": "2020-01-02"}},
            [dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 1, 2, tzinfo=dt.UTC)],
        ),
        (
            pa.array([Decimal("1.50"), None]),
            {"values": {"c": 2}},
            [Decimal("1.50"), Decimal("2.00")],
        ),
        (
            [dt.date(2020, 1, 1), None],
            {"values": {"c": "1815-12-10"}},
            [dt.date(2020, 1, 1), dt.date(1815, 12, 10)],
        ),
        ([None, 1, None, 2], {"method": "forward"}, [None, 1, 1, 2]),
        ([None, 1, None, 2], {"method": "backward", "columns": ["c"]}, [1, 1, 2, 2]),
        ([1, None, 3], {"method": "mean"}, [1, 2, 3]),
        ([1, None, 2], {"method": "mean"}, [1.0, 1.5, 2.0]),
        ([1.0, None, 2.0, 9.0], {"method": "median"}, [1.0, 2.0, 2.0, 9.0]),
        (["b", "a", "b", None], {"method": "mode"}, ["b", "a", "b", "b"]),
        (["a", None], {"method": "mean"}, ["a", None]),
        (pa.nulls(2, pa.int64()), {"method": "mean"}, [None, None]),
        (pa.nulls(2, pa.string()), {"method": "mode"}, [None, None]),
    ],
)
async def test_fill_missing(
    tmp_path: Path, values: Any, parameters: dict[str, Any], expected: list[Any]
) -> None:
    assert await column(tmp_path, "fill_missing", values, **parameters) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "give either values by column (values) or a method"),
        (
            {"method": "magic"},
            "method is one of forward, backward, mean, median, mode, not 'magic'",
        ),
        ({"values": {"Age": "x"}}, "'x' does not go into column 'Age' of type Int64"),
        (
            {"values": {"Born": "x"}},
            "'x' does not go into column 'Born' of type date32[day][pyarrow]",
        ),
        ({"values": {"Name": 1}}, "1 does not go into column 'Name' of type str"),
        ({"values": {"Age": 1.5}}, "1.5 does not go into column 'Age' of type Int64"),
        ({"method": "mean", "columns": ["Name"]}, "column 'Name' has no mean: it is str"),
    ],
)
async def test_fill_missing_says_what_is_wrong(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    assert await refusal(tmp_path, "fill_missing", PEOPLE, **parameters) == message


@pytest.mark.parametrize(
    ("values", "parameters", "expected"),
    [
        (["2026-01-31", " ", None], {}, ["2026-01-31", None, None]),
        (["2026-01-31 12:30:01.000005"], {}, ["2026-01-31T12:30:01.000005"]),
        (["01/02/2026"], {"day_first": True}, ["2026-02-01"]),
        (["31.01.2026 12:00"], {"format": "%d.%m.%Y %H:%M"}, ["2026-01-31T12:00"]),
        (["2026-01-31", "x"], {"errors": "missing"}, ["2026-01-31", None]),
        (["1500-01-01", "2500-01-01"], {}, ["1500-01-01", "2500-01-01"]),
        (["2026-01-31T01:00+02:00", "2026-01-31T01:00+00:00"], {"utc": True}, ["2026-01-30T23:00+00:00", "2026-01-31T01:00+00:00"]),
        (["2026-01-31", "Feb 1 2026 12:00"], {"format": "mixed"}, ["2026-01-31", "2026-02-01T12:00"]),
        (pa.array([None], pa.timestamp("us")), {}, [None]),
    ],
)  # fmt: skip
async def test_parse_dates(
    tmp_path: Path, values: Any, parameters: dict[str, Any], expected: list[str | None]
) -> None:
    found = await column(tmp_path, "parse_dates", values, columns=["c"], **parameters)

    assert found == [each and dt.datetime.fromisoformat(each) for each in expected]


async def test_dates_only(tmp_path: Path) -> None:
    texts = ["2026-01-31T23:59", "1969-12-31T23:59", None]

    found = await column(tmp_path, "parse_dates", texts, columns=["c"], dates_only=True)

    assert found == [dt.date(2026, 1, 31), dt.date(1969, 12, 31), None]


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (["2026-01-31", "soon"], "column 'c', row 2: 'soon' is no time as the others are (1 such rows); name a format, or let errors be missing"),
        (["x", "y"], "column 'c', row 1: 'x' is no time as the others are (2 such rows); name a format, or let errors be missing"),
        (["2026-01-31T01:00+02:00", "2026-01-31T01:00+00:00"], "column 'c': it has times of different offsets; let utc be true"),
    ],
)  # fmt: skip
async def test_texts_that_are_no_times_are_named(
    tmp_path: Path, texts: list[str], reason: str
) -> None:
    assert await refusal(tmp_path, "parse_dates", pa.table({"c": texts}), columns=["c"]) == reason


@pytest.mark.parametrize(
    ("values", "parameters", "expected"),
    [
        (["1", " -2 ", "+3", None, ""], {}, [1, -2, 3, None, None]),
        (["1", "999999999999999999"], {}, [1, 999999999999999999]),
        (["1.5", "2", None, "-1e3", ".5", "5."], {}, [1.5, 2.0, None, -1000.0, 0.5, 5.0]),
        (["1.234,5 €", "€ 2"], {"decimal": ",", "thousands": ".", "strip": "€"}, [1234.5, 2.0]),
        (["1,234", "12"], {"thousands": ","}, [1234, 12]),
        (["1", "n/a"], {"errors": "missing"}, [1, None]),
        (["nan", "1_000", "0x1", "٣"], {"errors": "missing"}, [None] * 4),
        ([1, 2], {}, [1, 2]),
    ],
)
async def test_parse_numbers(
    tmp_path: Path, values: Any, parameters: dict[str, Any], expected: list[Any]
) -> None:
    found = await column(tmp_path, "parse_numbers", values, columns=["c"], **parameters)

    assert found == expected
    assert [type(each) for each in found] == [type(each) for each in expected]


NO_NUMBER = "is no number ({} such rows); let errors be missing to go on without them"


@pytest.mark.parametrize(
    ("texts", "parameters", "reason"),
    [
        (["1", "n/a"], {}, f"row 2: 'n/a' {NO_NUMBER.format(1)}"),
        (["1.5", "1.5"], {"decimal": ","}, f"row 1: '1.5' {NO_NUMBER.format(2)}"),
        (["1", "9" * 19], {}, f"row 2: '{'9' * 19}' has more than 18 digits, of which some would be lost; let it stay text"),
        (["1.5", "9" * 16], {}, f"row 2: '{'9' * 16}' has more than 15 digits, of which some would be lost; let it stay text"),
    ],
)  # fmt: skip
async def test_texts_that_are_no_numbers_are_named(
    tmp_path: Path, texts: list[str], parameters: dict[str, Any], reason: str
) -> None:
    table = pa.table({"c": texts})

    message = await refusal(tmp_path, "parse_numbers", table, columns=["c"], **parameters)

    assert message == f"column 'c', {reason}"


@pytest.mark.parametrize(
    ("values", "pairs", "expected"),
    [
        (
            ["n/a", "x", None],
            [{"from": "n/a", "to": None}, {"from": "x", "to": "n/a"}],
            [None, "n/a", None],
        ),
        (
            [1, 2, None],
            [{"from": 1, "to": 2}, {"from": 2, "to": 1}, {"from": None, "to": 0}],
            [2, 1, 0],
        ),
        ([1.5, 2.0], [{"from": 2, "to": 3}], [1.5, 3.0]),
        ([True, None], [{"from": True, "to": False}], [False, None]),
        (["1"], [{"from": 1, "to": 2}], ["1"]),
        ([2**60 + 1, 2**60], [{"from": 2**60 + 1, "to": 2**60 + 3}], [2**60 + 3, 2**60]),
    ],
)
async def test_replace_values(
    tmp_path: Path, values: Any, pairs: list[Any], expected: list[Any]
) -> None:
    assert await column(tmp_path, "replace_values", values, values=pairs) == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"values": [{"from": 1}]}, 'values has to be a list of {"from": …, "to": …}'),
        (
            {"values": [{"from": "x", "to": 1}], "columns": ["Age"]},
            "'x' is no value of column 'Age': Int64",
        ),
        ({"values": [{"from": 20, "to": "x"}]}, "'x' does not go into column 'Age': Int64"),
    ],
)
async def test_replace_values_says_what_is_wrong(
    tmp_path: Path, parameters: dict[str, Any], message: str
) -> None:
    assert await refusal(tmp_path, "replace_values", PEOPLE, **parameters) == message
