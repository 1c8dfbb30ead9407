"""Every column type goes into a script and out of it again with nothing lost, and is what the contract says inside."""

import ast
import datetime as dt
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from base.tables import ColumnType
from tests.workers.sandbox.stepping import Files, run_files, run_script
from workers.sandbox.messages import ColumnIn, StepOrder, TableIn

AS_IS = "def run(df):\n    print(dict(df.dtypes.astype(str)))\n    return df\n"
BATCHES = "def run_batches(batches):\n    yield from batches\n"
GLOBAL = "df = df\n"
NAN = float("nan")
FAR = [dt.date(1, 1, 1), dt.date(9999, 12, 31), None]
MICROSECONDS = [-(2**62), -1, 0, 2**62, None]
UUIDS = ["0b5e8f1c-52a4-4d6a-9d57-6f1d1c2b3a40", None]

T = ColumnType
CASES: dict[str, tuple[pa.Array, ColumnType, str]] = {
    "integers": (pa.array([1, -(2**63), 2**63 - 1]), T.INTEGER, "int64"),
    "integers_null": (pa.array([2**53 + 1, None, -(2**63)]), T.INTEGER, "Int64"),
    "small": (pa.array([1, -128, 127], pa.int8()), T.INTEGER, "int64"),
    "unsigned": (pa.array([0, 2**64 - 1], pa.uint64()), T.INTEGER, "uint64"),
    "unsigned_null": (pa.array([None, 2**64 - 1], pa.uint64()), T.INTEGER, "UInt64"),
    "unsigned_32": (pa.array([0, 2**32 - 1], pa.uint32()), T.INTEGER, "int64"),
    "floats": (pa.array([1.5, -0.0, float("inf"), 5e-324]), T.FLOAT, "float64"),
    "floats_null": (pa.array([1.5, None]), T.FLOAT, "float64"),
    "floats_nan": (pa.array([1.5, None, NAN]), T.FLOAT, "double[pyarrow]"),
    "floats_32": (pa.array([1.5, None], pa.float32()), T.FLOAT, "float64"),
    "texts": (pa.array(["a", "", None, "ä😀", "nan", "x\0y"]), T.TEXT, "str"),
    "booleans": (pa.array([True, False]), T.BOOLEAN, "bool"),
    "booleans_null": (pa.array([True, None]), T.BOOLEAN, "boolean"),
    "timestamps": (pa.array(MICROSECONDS, pa.timestamp("us")), T.TIMESTAMP, "datetime64[us]"),
    "timestamps_min": (
        pa.array([-(2**63), 0, None], pa.timestamp("us")),
        T.TIMESTAMP,
        "timestamp[us][pyarrow]",
    ),
    "instants": (
        pa.array(MICROSECONDS, pa.timestamp("us", "UTC")),
        T.TIMESTAMP_TZ,
        "datetime64[us, UTC]",
    ),
    "dates": (pa.array(FAR, pa.date32()), T.DATE, "date32[day][pyarrow]"),
    "dates_bc": (
        pa.array([-(2**31), 2**31 - 1, -1_000_000, None], pa.int32()).view(pa.date32()),
        T.DATE,
        "date32[day][pyarrow]",
    ),
    "times": (pa.array([dt.time(23, 59, 59, 999999), None]), T.TIME, "time64[us][pyarrow]"),
    "decimals": (
        pa.array([Decimal("9" * 36 + ".99"), None, Decimal("-0.01")], pa.decimal128(38, 2)),
        T.DECIMAL,
        "decimal128(38, 2)[pyarrow]",
    ),
    "long_decimals": (pa.array(["9" * 60 + ".5", "NaN", None]), T.DECIMAL, "string[pyarrow]"),
    "durations": (pa.array(["P1DT2H", None]), T.DURATION, "string[pyarrow]"),
    "odd_times": (pa.array(["24:00:00", "12:00:00+02"]), T.TIME, "string[pyarrow]"),
    "json": (pa.array(['{"a": [1, null]}', None, "3"]), T.JSON, "string[pyarrow]"),
    "uuids": (pa.array(UUIDS), T.UUID, "string[pyarrow]"),
    "unknown": (pa.array(["(1,2)", None]), T.UNKNOWN, "string[pyarrow]"),
    "binary": (pa.array([b"\x00\xff", b"", None], pa.binary()), T.BINARY, "binary[pyarrow]"),
    "lists": (
        pa.array([[1, None], [], None, [2**62]], pa.list_(pa.int64())),
        T.LIST,
        "list<item: int64>[pyarrow]",
    ),
    "structs": (
        pa.array([{"a": 1, "b": ["x", None]}, {"a": None, "b": None}, None]),
        T.STRUCT,
        "struct<a: int64, b: list<item: string>>[pyarrow]",
    ),
    "all_null": (pa.nulls(2, pa.string()), T.TEXT, "str"),
}


def cells(table: pa.Table) -> list[Any]:
    """Values that tell everything apart: NaN from null, the zeros, and times that Python cannot write."""
    column = table.column("c")
    if pa.types.is_temporal(column.type) and not pa.types.is_time(column.type):
        width = pa.int32() if pa.types.is_date(column.type) else pa.int64()
        return list(column.cast(width).to_pylist())
    return [repr(value) for value in column.to_pylist()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("form", ["ipc", "parquet"])
async def test_a_column_goes_through_a_script_unchanged(
    tmp_path: Path, case: str, form: str
) -> None:
    values, ours, dtype = CASES[case]
    table = pa.table({"c": values})
    files = Files(tmp_path)
    types = {"c": ours}
    source = (
        files.ipc("t", table, types=types)
        if form == "ipc"
        else files.parquet("t", [table], types=types)
    )

    step = await run_files(files, StepOrder("a.py", AS_IS, source))

    assert step.error is None
    said = [[level, text.replace("list<element:", "list<item:")] for level, text in step.log]
    assert said == [["info", f"{{'c': '{dtype}'}}"]]  # Parquet has its own name for items
    assert step.table is not None
    assert cells(step.table) == cells(table)
    assert step.types == {"c": ours}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("body", [BATCHES, GLOBAL])
async def test_so_it_does_by_the_other_contracts(tmp_path: Path, case: str, body: str) -> None:
    values, ours, _ = CASES[case]
    table = pa.table({"c": values})

    step = await run_script(tmp_path, body, table, types={"c": ours})

    assert step.error is None
    assert step.table is not None
    assert cells(step.table) == cells(table)
    assert step.types == {"c": ours}


@pytest.mark.parametrize("case", CASES)
async def test_values_that_pandas_moves_stay_what_they_are(tmp_path: Path, case: str) -> None:
    values, ours, _ = CASES[case]
    table = pa.table({"c": values, "n": list(range(len(values)))})
    body = "import pandas as pd\ndf = pd.concat([df.sort_values('n', ascending=False), df[df['n'] == 0]])"

    step = await run_script(tmp_path, body, table, types={"c": ours})

    assert step.error is None
    assert step.table is not None
    assert cells(step.table) == [*reversed(cells(table)), cells(table)[0]]
    assert step.types == {"c": ours, "n": T.INTEGER}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("body", [AS_IS, BATCHES, GLOBAL])
async def test_a_column_without_rows_keeps_its_type(tmp_path: Path, case: str, body: str) -> None:
    values, ours, _ = CASES[case]
    table = pa.table({"c": values[:0]})

    step = await run_script(tmp_path, body, table, types={"c": ours})

    assert step.error is None
    assert step.rows == []
    assert step.types == {"c": ours}
    assert step.result["rows_in"] == step.result["rows_out"] == 0


@pytest.mark.parametrize(
    ("ours", "values", "change"),
    [
        (T.UUID, UUIDS, "df['c'].str[:8]"),
        (T.JSON, ['{"a": 1}', None], "df['c'].str[:3]"),
        (T.DECIMAL, ["1" * 40, None], "df['c'] + 'x'"),
        (T.TIME, ["24:00:00", None], "df['c'] + ' h'"),
    ],
)
async def test_text_that_a_script_made_something_else_is_text(
    tmp_path: Path, ours: ColumnType, values: list[str | None], change: str
) -> None:
    body = f"def run(df):\n    df['c'] = {change}\n    return df\n"

    step = await run_script(tmp_path, body, pa.table({"c": values}), types={"c": ours})

    assert step.error is None
    assert step.types == {"c": T.TEXT}


async def test_a_table_without_columns_keeps_its_rows_inside(tmp_path: Path) -> None:
    body = "def run(df):\n    df['n'] = range(len(df))\n    return df\n"
    table = pa.table({"c": [1, 2, 3]}).select([])

    step = await run_script(tmp_path, body, table)

    assert step.rows == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_parts_are_read_in_order_without_their_deleted_rows(tmp_path: Path) -> None:
    files = Files(tmp_path)
    parts = [pa.table({"n": list(range(at, at + 100))}) for at in (0, 100, 200)]
    deletes = {0: [0, 1, 99], 2: list(range(100))}
    source = files.parquet("t", parts, deletes=deletes)
    expected = [{"n": n} for n in [*range(2, 99), *range(100, 200)]]

    steps = []
    for number, body in enumerate((AS_IS, BATCHES)):
        (tmp_path / str(number)).mkdir()
        files.folder = tmp_path / str(number)
        steps.append(await run_files(files, StepOrder("a.py", body, source)))

    assert [step.rows for step in steps] == [expected, expected]
    assert [step.result["rows_in"] for step in steps] == [197, 197]


async def test_columns_are_found_by_name_points_and_all(tmp_path: Path) -> None:
    files = Files(tmp_path)
    table = pa.table({"a": [1], "a.b": ["x"], " é": [True], "A": [2]})
    whole = files.parquet("t", [table])
    source = type(whole)(whole.name, None, (whole.columns[3], whole.columns[1]), whole.files)

    step = await run_files(files, StepOrder("a.py", AS_IS, source))

    assert step.rows == [{"A": 2, "a.b": "x"}]


@pytest.mark.parametrize("body", [AS_IS, BATCHES, GLOBAL])
async def test_a_stored_table_without_parts_keeps_its_types(tmp_path: Path, body: str) -> None:
    files = Files(tmp_path)
    columns = tuple(ColumnIn(each.value, each) for each in ColumnType)

    step = await run_files(files, StepOrder("a.py", body, TableIn("t", None, columns, ())))

    assert step.error is None
    assert step.rows == []
    assert step.types == {each.value: each for each in ColumnType}
    if body == AS_IS:
        assert ast.literal_eval(step.log[0][1]) == {
            "boolean": "bool",
            "integer": "int64",
            "decimal": "decimal128(38, 10)[pyarrow]",
            "float": "float64",
            "text": "str",
            "date": "date32[day][pyarrow]",
            "time": "time64[us][pyarrow]",
            "timestamp": "datetime64[us]",
            "timestamp_tz": "datetime64[us, UTC]",
            "duration": "string[pyarrow]",
            "binary": "binary[pyarrow]",
            "json": "string[pyarrow]",
            "list": "list<item: string>[pyarrow]",
            "struct": "struct<>[pyarrow]",
            "uuid": "string[pyarrow]",
            "unknown": "string[pyarrow]",
        }


async def test_batches_of_what_a_step_left_have_dtypes_for_nulls_only_where_some_are(
    tmp_path: Path,
) -> None:
    table = pa.table(
        {
            "n": [1],
            "m": pa.array([1, None], pa.int64()).slice(0, 1),
            "b": [True],
        }
    )
    files = Files(tmp_path)
    made = files.ipc("t", table)
    told = {"n": False, "m": True, "b": False}
    columns = tuple(replace(each, has_nulls=told[each.name]) for each in made.columns)
    body = "def run_batches(batches):\n    for df in batches:\n        print(*df.dtypes)\n        yield df"

    step = await run_files(files, StepOrder("a.py", body, replace(made, columns=columns)))

    assert step.log == [["info", "int64 Int64 bool"]]
