"""The scripts that ship do what they say, to the rows that they are meant for and to none; wrong parameters are named."""

import ast
import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import services.scripts
from base.errors import InvalidInput
from tests.workers.sandbox.stepping import Step, run_script
from workers.sandbox.contracts import Examined, examine

FOLDER = Path(services.scripts.__file__).parent / "predefined"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
PEOPLE = pa.table(
    {
        "Name": [" Ada ", "Bob", None, "  ", "Bob"],
        "Note": ["a  b", "X", "x\ty ", None, "X"],
        "Age": pa.array([36, None, 20, 20, None]),
        "Score": pa.array([1.5, None, 2.5, 1.5, None]),
        "Born": pa.array([dt.date(1815, 12, 10), None, dt.date(2000, 1, 1), None, None]),
        "Seen": pa.array([0, None, 10**15, -1, None], pa.timestamp("us")),
        "Ok": pa.array([True, None, False, True, None]),
        "Tags": pa.array([["a"], None, [], ["a"], None], pa.list_(pa.string())),
    }
)
REQUIRED: dict[str, dict[str, Any]] = {
    "filter_rows": {"conditions": [{"column": "Name", "operator": "is present"}]},
    "fill_missing": {"method": "forward"},
    "parse_dates": {"columns": ["Seen"]},
    "parse_numbers": {"columns": ["Age"]},
    "rename_columns": {"names": {"Name": "name"}},
    "replace_values": {"values": [{"from": "X", "to": "Y"}]},
    "select_columns": {"columns": ["Age", "Name"]},
    "sort_rows": {"columns": ["Age", "Name"]},
}


async def predefined(folder: Path, script: str, table: pa.Table, /, **parameters: Any) -> Step:
    body = (FOLDER / f"{script}.py").read_text()
    return await run_script(folder, body, table, key=f"local:{script}", parameters=parameters)


async def column(folder: Path, script: str, given: Any, /, **parameters: Any) -> list[Any]:
    step = await predefined(folder, script, pa.table({"c": given}), **parameters)
    assert step.error is None
    assert step.log == []
    return [row["c"] for row in step.rows]


async def refusal(folder: Path, script: str, table: pa.Table, /, **parameters: Any) -> str:
    step = await predefined(folder, script, table, **parameters)
    assert isinstance(step.error, InvalidInput)
    message = step.error.message
    assert message.startswith("ValueError: ")
    assert f"(local:{script}, line " in message
    return message.removeprefix("ValueError: ").rpartition(" (local:")[0]


def test_there_is_a_dozen_of_them() -> None:
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_each_takes_a_context_and_says_what_it_does(name: str) -> None:
    body = (FOLDER / f"{name}.py").read_text()
    documented = ast.get_docstring(ast.parse(body))

    assert examine(body) == Examined("dataframe", takes_context=True)
    assert documented is not None
    assert documented.split("\n")[0].endswith((".", "`."))
    assert "Parameters" in documented


@pytest.mark.parametrize("name", NAMES)
def test_each_documents_its_parameters(name: str) -> None:
    tree = ast.parse((FOLDER / f"{name}.py").read_text())
    told = next(
        node.value
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "PARAMETERS"
    )
    assert told is not None

    names = set(ast.literal_eval(told))

    lines = (ast.get_docstring(tree) or "").split("\n")
    assert names == {line[2:].partition(":")[0] for line in lines if line.startswith("- ")}


@pytest.mark.parametrize("name", NAMES)
async def test_an_unknown_parameter_is_named(tmp_path: Path, name: str) -> None:
    message = await refusal(tmp_path, name, PEOPLE, nonsense=1)

    assert message.startswith("unknown parameter 'nonsense'; there are ")


@pytest.mark.parametrize("name", NAMES)
async def test_a_table_without_rows_stays_one(tmp_path: Path, name: str) -> None:
    step = await predefined(tmp_path, name, PEOPLE.slice(0, 0), **REQUIRED.get(name, {}))

    assert step.error is None
    assert step.rows == []
    assert step.log == []
    kept = {"Age", "Name"} if name == "select_columns" else {*PEOPLE.column_names}
    assert {each.casefold() for each in step.types} >= {each.casefold() for each in kept}


@pytest.mark.parametrize("name", NAMES)
async def test_a_table_of_every_kind_of_column_goes_through(tmp_path: Path, name: str) -> None:
    step = await predefined(tmp_path, name, PEOPLE, **REQUIRED.get(name, {}))

    assert step.error is None
    assert step.log == []
    assert step.types.get("Born", step.types.get("born", "date")) == "date"


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in {"snake_case_names", "add_row_number"}]
)
async def test_a_column_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    parameters: dict[str, Any] = REQUIRED.get(name, {}) | {"columns": ["no"]}
    if name == "filter_rows":
        parameters = {"conditions": [{"column": "no", "operator": "=="}]}
    if name == "rename_columns":
        parameters = {"names": {"no": "n"}}

    message = await refusal(tmp_path, name, PEOPLE, **parameters)

    assert message.startswith("there is no column 'no'; there are Name, Note, Age")


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
