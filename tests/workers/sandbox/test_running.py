"""A script is called as its contract says, with what it needs, and its result is what comes out."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from base.errors import InvalidInput
from base.process import LimitExceeded
from tests.workers.sandbox.stepping import GIB, LIMITS, Files, run_files, run_script
from workers.sandbox.messages import StepOrder

TABLE = pa.table({"n": [3, 1, 2], "s": ["c", "a", None]})
SORTED = [{"n": 1, "s": "a"}, {"n": 2, "s": None}, {"n": 3, "s": "c"}]


@pytest.mark.parametrize(
    "body",
    [
        "def run(df): return df.sort_values('n')",
        "def run(df, context): return df.sort_values('n')",
        "df = df.sort_values('n')",
        "def clean():\n    global df\n    df = df.sort_values('n')\nclean()",
        "def run_batches(batches):\n    for batch in batches: yield batch.sort_values('n')",
        "def run_batches(batches): return [batch.sort_values('n') for batch in batches]",
        "import pandas as pd\ndef run_batches(batches): yield pd.concat(batches).sort_values('n')",
        "def run(df):\n    df.sort_values('n', inplace=True)\n    return df",
    ],
)
async def test_each_contract_gives_what_plain_pandas_gives(tmp_path: Path, body: str) -> None:
    step = await run_script(tmp_path, body, TABLE)

    assert step.error is None
    assert step.rows == SORTED
    assert step.result["rows_in"] == step.result["rows_out"] == 3
    assert step.result["columns"] == [
        {"name": "n", "type": "integer", "has_nulls": False, "has_values": True},
        {"name": "s", "type": "text", "has_nulls": True, "has_values": True},
    ]
    assert step.result["size_bytes"] == (tmp_path / "output.arrow").stat().st_size


async def test_values_can_be_changed_in_place(tmp_path: Path) -> None:
    body = "def run(df):\n    df.loc[0, 'n'] = 7\n    df['s'].values[1] = 'z'\n    df['n'] += 1\n    return df"

    step = await run_script(tmp_path, body, TABLE)

    assert step.error is None
    assert [row["n"] for row in step.rows] == [8, 2, 3]


async def test_the_libraries_and_the_script_itself_can_be_used(tmp_path: Path) -> None:
    body = """
from __future__ import annotations
import dataclasses, pickle, typing
import duckdb, numpy, pandas, pyarrow

@dataclasses.dataclass
class Point:
    x: int
    y: typing.ClassVar[int] = 2

def run(df):
    assert __name__ == "__script__" and __file__ == "clean/trim.py"
    typing.get_type_hints(Point)
    assert pickle.loads(pickle.dumps(Point(3))) == Point(3)
    return duckdb.sql("select sum(n)::bigint as total from df").df()
"""

    step = await run_script(tmp_path, body, TABLE)

    assert step.error is None
    assert step.rows == [{"total": 6}]


async def test_a_context_has_the_parameters_and_the_other_tables(tmp_path: Path) -> None:
    files = Files(tmp_path)
    source = files.ipc("orders", pa.table({"customer": [2, 1]}))
    others = (
        files.parquet(
            "customers",
            [pa.table({"id": [1, 2, 9], "name": ["a", "b", "x"]})],
            deletes={0: [2]},
            schema="crm",
        ),
        files.parquet("log", [pa.table({"a": [1]})], schema="crm"),
        files.parquet("log", [pa.table({"a": [2]})], schema="web"),
    )
    body = """
def run(df, context):
    assert context.parameters == {"suffix": ["!", 1.5]}
    assert list(context.tables) == ["crm.customers", "crm.log", "web.log"]
    assert "log" not in context.tables and "customers" in context.tables
    assert context.tables["web.log"]["a"].tolist() == [2]
    customers = context.tables["customers"]
    customers["name"] += context.parameters["suffix"][0]
    assert context.tables["crm.customers"]["name"].tolist() == ["a", "b"]
    return df.merge(customers, left_on="customer", right_on="id")[["customer", "name"]]
"""
    order = StepOrder("a.py", body, source, {"suffix": ["!", 1.5]}, others)

    step = await run_files(files, order)

    assert step.error is None
    assert step.rows == [{"customer": 2, "name": "b!"}, {"customer": 1, "name": "a!"}]


async def test_a_table_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    files = Files(tmp_path)
    source = files.ipc("t", TABLE)
    body = "def run(df, context): return context.tables['no']"
    order = StepOrder("a.py", body, source, {}, (files.ipc("other", TABLE),))

    step = await run_files(files, order)

    assert str(step.error) == "KeyError: \"no table 'no'; there are other\" (a.py, line 1)"


async def test_batches_are_bounded_and_progress_counts_them(tmp_path: Path) -> None:
    rows = 300_000
    body = """
def run_batches(batches):
    for batch in batches:
        assert len(batch) <= 131_072 and batch.index[0] == 0
        print(len(batch), batch["n"].dtype)
        yield batch[batch["n"] % 2 == 0]
"""
    files = Files(tmp_path)
    numbers = list(range(rows))
    source = files.parquet(
        "t", [pa.table({"n": numbers[:200_000]}), pa.table({"n": numbers[200_000:]})]
    )

    step = await run_files(files, StepOrder("a.py", body, source))

    assert step.error is None
    assert step.table is not None
    assert step.table.column("n").to_pylist() == numbers[::2]
    assert (step.result["rows_in"], step.result["rows_out"]) == (rows, rows // 2)
    assert [line for _, line in step.log] == ["131072 int64", "68928 int64", "100000 int64"]
    progress = [message["progress"] for message in step.messages if "progress" in message]
    assert progress[-1] == {
        "rows_in": rows,
        "rows_out": rows // 2,
        "fraction": None,
        "message": None,
    }


async def test_a_null_in_one_batch_makes_all_batches_nullable(tmp_path: Path) -> None:
    body = "def run_batches(batches):\n    for batch in batches:\n        print(batch['n'].dtype, batch['m'].dtype)\n        yield batch\n"
    files = Files(tmp_path)
    parts = [
        pa.table({"n": [1], "m": [1]}),
        pa.table({"n": pa.array([None], pa.int64()), "m": [2]}),
    ]

    step = await run_files(files, StepOrder("a.py", body, files.parquet("t", parts)))

    assert [line for _, line in step.log] == ["Int64 int64", "Int64 int64"]
    assert step.rows == [{"n": 1, "m": 1}, {"n": None, "m": 2}]


async def test_a_step_goes_on_with_what_the_step_before_wrote(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    first = await run_script(tmp_path / "one", "df['m'] = df['n'] * 2", TABLE)
    assert first.table is not None

    second = await run_script(tmp_path / "two", "df = df[df['m'] > 2]", first.table)

    assert second.rows == [{"n": 3, "s": "c", "m": 6}, {"n": 2, "s": None, "m": 4}]


async def test_a_script_of_globals_finds_its_context(tmp_path: Path) -> None:
    body = "df['n'] = df['n'] * context.parameters['by']"

    step = await run_script(tmp_path, body, TABLE, parameters={"by": 3})

    assert [row["n"] for row in step.rows] == [9, 3, 6]


async def test_a_script_of_globals_finds_common_modules(tmp_path: Path) -> None:
    body = (
        "df['n'] = np.maximum(df['n'], 2)\ndf['s'] = json.dumps(re.findall('[0-9]', 'a1'))\n"
        "df = pd.concat([df])"
    )

    step = await run_script(tmp_path, body, TABLE)

    assert step.error is None
    assert step.rows == [{"n": n, "s": '["1"]'} for n in (3, 2, 2)]


async def test_a_table_larger_than_the_memory_is_seen_in_batches(tmp_path: Path) -> None:
    column = pa.array(np.zeros(3_000_000, np.int64))
    part = pa.table({f"c{at}": column for at in range(10)})  # 240 MB, and hardly any on disk
    files = Files(tmp_path)
    source = files.parquet("t", [part, part])
    limits = replace(LIMITS, memory_bytes=3 * GIB // 4)
    counting = (
        "def run_batches(batches):\n    for batch in batches: yield batch.count().to_frame('n')"
    )

    whole = await run_files(files, StepOrder("a.py", "df", source), limits)
    files.folder = tmp_path / "batches"
    files.folder.mkdir()
    parts = await run_files(files, StepOrder("a.py", counting, source), limits)

    assert isinstance(whole.error, LimitExceeded)
    assert parts.error is None
    assert sum(row["n"] for row in parts.rows) == 6_000_000 * 10


@pytest.mark.parametrize("body", ["df", "def run_batches(batches): yield from batches"])
@pytest.mark.parametrize("damage", ["cut", "garbage", "other columns"])
async def test_a_table_that_a_step_before_damaged_is_refused(
    tmp_path: Path, body: str, damage: str
) -> None:
    files = Files(tmp_path)
    source = files.ipc("t", TABLE)
    path = Path(files.paths[0])
    if damage == "other columns":
        Files(tmp_path).ipc("t", pa.table({"x": [1]}))  # of the same path
    else:
        size_bytes = path.stat().st_size  # noqa: ASYNC240
        with path.open("r+b") as file:  # noqa: ASYNC230
            file.truncate(size_bytes - 20) if damage == "cut" else file.write(b"x" * size_bytes)

    step = await run_files(files, StepOrder("a.py", body, source))

    assert isinstance(step.error, InvalidInput)
    assert (
        step.error.message
        == "What the step before left is damaged, or not the table that it told of."
    )


async def test_started_comes_before_anything_of_the_script(tmp_path: Path) -> None:
    step = await run_script(tmp_path, "print('first')\ndf = df", TABLE)

    started = step.messages.index({"started": True})
    assert not any("log" in message for message in step.messages[:started])
    assert step.log == [["info", "first"]]
