"""The shipped scripts that choose and order rows and columns."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.workers.sandbox.shipped import (
    PEOPLE,
    predefined,
    refusal,
)


async def test_snake_case_names(tmp_path: Path) -> None:
    names = ["Order No.", "orderNo", "HTTPServer2Go", "  ", "Größe (cm)", "a", "A"]
    table = pa.table([[1]] * len(names), names=names)

    step = await predefined(tmp_path, "snake_case_names", table)
    (tmp_path / "2").mkdir()
    plain = await predefined(tmp_path / "2", "snake_case_names", table, ascii=True)

    assert list(step.types) == [
        "order_no",
        "order_no_2",
        "http_server2_go",
        "column",
        "größe_cm",
        "a",
        "a_2",
    ]
    assert list(plain.types)[4] == "groe_cm"


async def test_rename_columns(tmp_path: Path) -> None:
    table = pa.table({"a": [1], "b": [2]})

    step = await predefined(tmp_path, "rename_columns", table, names={"a": "b", "b": "a"})
    for folder in ("2", "3"):
        (tmp_path / folder).mkdir()
    skipped = await predefined(
        tmp_path / "2", "rename_columns", table, names={"x": "y"}, skip_unknown=True
    )

    assert step.rows == [{"b": 1, "a": 2}]
    assert skipped.rows == [{"a": 1, "b": 2}]
    assert (
        await refusal(tmp_path / "3", "rename_columns", table, names={"a": "b"})
        == "two columns would be called 'b'"
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [({"columns": ["b", "a"]}, {"b": 2, "a": 1}), ({"drop": ["b"]}, {"a": 1, "c": 3})],
)
async def test_select_columns(
    tmp_path: Path, parameters: dict[str, Any], expected: dict[str, int]
) -> None:
    step = await predefined(
        tmp_path, "select_columns", pa.table({"a": [1], "b": [2], "c": [3]}), **parameters
    )

    assert step.rows == [expected]
    assert list(step.rows[0]) == list(expected)


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [0, 1, 2, 4]),
        ({"columns": ["a"]}, [0, 2]),
        ({"columns": ["a"], "keep": "last"}, [3, 4]),
        ({"columns": ["a", "b"], "keep": "none"}, [1, 2, 4]),
        ({"columns": ["l"]}, [0, 2, 4]),
    ],
)
async def test_drop_duplicates(
    tmp_path: Path, parameters: dict[str, Any], expected: list[int]
) -> None:
    table = pa.table(
        {
            "a": pa.array([1, 1, None, 1, None]),
            "b": ["x", "y", "x", "x", "z"],
            "l": [[1], [1], None, [1], [2]],
        }
    )
    wanted = [table.to_pylist()[at] for at in expected]

    step = await predefined(tmp_path, "drop_duplicates", table, **parameters)

    assert step.error is None
    assert step.rows == wanted


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, [0, 1, 3]),
        ({"blank_texts": False}, [0, 1, 2, 3]),
        ({"how": "any"}, [0]),
        ({"columns": ["a"]}, [0, 3]),
    ],
)
async def test_drop_empty_rows(
    tmp_path: Path, parameters: dict[str, Any], expected: list[int]
) -> None:
    table = pa.table({"a": pa.array([1, None, None, 2, None]), "b": ["x", "y", " \t", None, None]})
    wanted = [table.to_pylist()[at] for at in expected]

    step = await predefined(tmp_path, "drop_empty_rows", table, **parameters)

    assert step.rows == wanted


@pytest.mark.parametrize(
    ("column_name", "operator", "value", "expected"),
    [
        ("Age", "==", 20, [2, 3]),
        ("Age", "!=", 20, [0]),
        ("Age", "<", 20.5, [2, 3]),
        ("Score", ">=", 2, [2]),
        ("Age", "in", [36, 1], [0]),
        ("Age", "not in", [36, 1], [2, 3]),
        ("Name", "==", "Bob", [1, 4]),
        ("Name", "contains", "d", [0]),
        ("Name", "starts with", " ", [0, 3]),
        ("Name", "ends with", "b", [1, 4]),
        ("Name", "matches", "^B.b$", [1, 4]),
        ("Born", "<", "1900-01-01", [0]),
        ("Seen", ">", "2000-01-01T00:00", [2]),
        ("Seen", "==", "1970-01-01", [0]),
        ("Ok", "==", True, [0, 3]),
        ("Tags", "is missing", None, [1, 4]),
        ("Name", "is present", None, [0, 1, 3, 4]),
    ],
)
async def test_filter_rows(
    tmp_path: Path, column_name: str, operator: str, value: Any, expected: list[int]
) -> None:
    condition = {"column": column_name, "operator": operator}
    if value is not None:
        condition["value"] = value

    step = await predefined(tmp_path, "filter_rows", PEOPLE, conditions=[condition])

    assert step.error is None
    assert step.rows == [PEOPLE.to_pylist()[at] for at in expected]


@pytest.mark.parametrize(
    ("options", "expected"),
    [({}, [2]), ({"match": "any"}, [0, 2, 3]), ({"match": "any", "invert": True}, [1, 4])],
)
async def test_filters_go_together(
    tmp_path: Path, options: dict[str, Any], expected: list[int]
) -> None:
    conditions = [
        {"column": "Age", "operator": ">=", "value": 20},
        {"column": "Ok", "operator": "==", "value": False},
    ]

    step = await predefined(tmp_path, "filter_rows", PEOPLE, conditions=conditions, **options)

    assert step.rows == [PEOPLE.to_pylist()[at] for at in expected]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        (
            {"column": "Age", "operator": "~", "value": 1},
            "there is no operator '~'; there are ==, ",
        ),
        (
            {"column": "Age", "operator": "=="},
            "'==' needs a value; for missing ones there is 'is missing'",
        ),
        (
            {"column": "Age", "operator": "==", "value": "x"},
            "column 'Age' of type Int64 cannot be compared so: == 'x'",
        ),
        (
            {"column": "Ok", "operator": "==", "value": 1},
            "column 'Ok' of type boolean cannot be compared so: == 1",
        ),
        (
            {"column": "Name", "operator": "<", "value": 1},
            "column 'Name' of type str cannot be compared so: < 1",
        ),
        (
            {"column": "Born", "operator": "<", "value": "x"},
            "column 'Born' of type date32[day][pyarrow] cannot be",
        ),
        (
            {"column": "Name", "operator": "matches", "value": "("},
            "column 'Name' of type str cannot be compared so",
        ),
        (
            {"column": "Age", "operator": "contains", "value": "1"},
            "column 'Age' of type Int64 cannot be compared so",
        ),
        ({"column": "Age", "operator": "in", "value": 1}, "'in' needs a list, not 1"),
        ({"column": "Tags", "operator": "is missing", "value": 1}, "'is missing' has no value"),
        ({"kolumn": "Tags"}, "a condition has column, operator and value: {'kolumn': 'Tags'}"),
    ],
)
async def test_conditions_that_make_no_sense_are_told(
    tmp_path: Path, condition: dict[str, Any], message: str
) -> None:
    assert (await refusal(tmp_path, "filter_rows", PEOPLE, conditions=[condition])).startswith(
        message
    )


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"columns": ["Age", "Name"]}, [3, 2, 0, 1, 4]),
        ({"columns": ["Age"], "descending": True}, [0, 2, 3, 1, 4]),
        ({"columns": ["Age", "Score"], "descending": [False, True]}, [2, 3, 0, 1, 4]),
        ({"columns": ["Born"], "missing": "first"}, [1, 3, 4, 0, 2]),
        ({"columns": ["Seen"]}, [3, 0, 2, 1, 4]),
    ],
)
async def test_sort_rows(tmp_path: Path, parameters: dict[str, Any], expected: list[int]) -> None:
    step = await predefined(tmp_path, "sort_rows", PEOPLE, **parameters)

    assert step.error is None
    assert step.rows == [PEOPLE.to_pylist()[at] for at in expected]


async def test_lists_have_no_order(tmp_path: Path) -> None:
    message = await refusal(tmp_path, "sort_rows", PEOPLE, columns=["Tags"])

    assert message.startswith("column 'Tags' of type list<")


async def test_add_row_number(tmp_path: Path) -> None:
    table = pa.table({"a": ["x", "y"]})
    first = await predefined(tmp_path, "add_row_number", table)
    for folder in ("2", "3"):
        (tmp_path / folder).mkdir()
    last = await predefined(tmp_path / "2", "add_row_number", table, name="n", start=-5, last=True)

    assert first.rows == [{"row_number": 1, "a": "x"}, {"row_number": 2, "a": "y"}]
    assert list(first.types) == ["row_number", "a"]
    assert last.rows == [{"a": "x", "n": -5}, {"a": "y", "n": -4}]
    assert (
        await refusal(tmp_path / "3", "add_row_number", table, name="a")
        == "there is a column 'a' already"
    )
