"""What a script gives becomes a table, column by column, or is refused in words that name the column."""

import datetime as dt
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from base.errors import InvalidInput
from tests.workers.sandbox.stepping import run_script
from workers.sandbox import results

TABLE = pa.table({"n": [1, 2, 3], "s": ["a", "b", "b"]})
HEAD = """
import datetime as dt, uuid
from decimal import Decimal
import numpy as np, pandas as pd, pyarrow as pa
at = dt.datetime.fromisoformat
def obj(*values): return pd.Series(values, dtype=object)
NAN = float("nan")
"""
at = dt.datetime.fromisoformat


async def column(tmp_path: Path, expression: str) -> tuple[str, list[Any]]:
    body = f"{HEAD}def run(df): return pd.DataFrame({{'c': {expression}}})"
    step = await run_script(tmp_path, body, TABLE)
    assert step.error is None
    return step.types["c"], [row["c"] for row in step.rows]


@pytest.mark.parametrize(
    ("expression", "kind", "expected"),
    [
        ("obj('a', None, pd.NA, NAN)", "text", ["a", None, None, None]),
        ("obj(1, None, True - 2)", "integer", [1, None, -1]),
        ("obj(1, 2.5)", "float", [1.0, 2.5]),
        ("obj(2**63, 2**64 - 1, None)", "integer", [2**63, 2**64 - 1, None]),
        ("obj(-1, 2**70)", "decimal", [Decimal(-1), Decimal(2**70)]),
        ("obj(True, np.bool_(False), None)", "boolean", [True, False, None]),
        ("obj(Decimal('1.50'), 2, None)", "decimal", [Decimal("1.50"), Decimal("2.00"), None]),
        ("obj(Decimal(10) ** 50)", "decimal", ["1" + "0" * 50]),
        ("obj(dt.date(2020, 2, 29), None)", "date", [dt.date(2020, 2, 29), None]),
        ("obj(dt.time(1, 2, 3, 4), None)", "time", [dt.time(1, 2, 3, 4), None]),
        (
            "obj(dt.datetime(2020, 1, 1), pd.Timestamp('2021-01-01'), pd.NaT)",
            "timestamp",
            [at("2020-01-01"), at("2021-01-01"), None],
        ),
        (
            "obj(pd.Timestamp('2020-01-01', tz='Europe/Berlin'), dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc))",
            "timestamp_tz",
            [dt.datetime(2019, 12, 31, 23, tzinfo=dt.UTC), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)],
        ),
        ("obj(dt.timedelta(days=1, seconds=2), None)", "duration", ["PT24H2S", None]),
        ("pd.to_timedelta(['1s', None])", "duration", ["PT1S", None]),
        ("obj(b'a', bytearray(b'b'), None)", "binary", [b"a", b"b", None]),
        ("obj([1], (2, 3), np.array([4]), None)", "list", [[1], [2, 3], [4], None]),
        ("obj({'a': 1}, {'b': 'x'}, None)", "struct", [{"a": 1, "b": None}, {"a": None, "b": "x"}, None]),
        ("obj(['a', NAN], [None], [])", "list", [["a", None], [None], []]),
        ("obj([1], [2.5, None])", "list", [[1.0], [2.5, None]]),
        ("obj([dt.time(1)], np.array([], dtype='O'))", "list", [[dt.time(1)], []]),
        ("obj({'a': [pd.NaT, at('2020-01-01')]}, {})", "struct", [{"a": [None, at("2020-01-01")]}, {"a": None}]),
        ("obj(uuid.UUID(int=7), None)", "uuid", [str(uuid.UUID(int=7)), None]),
        ("obj(None, None)", "text", [None, None]),
        ("np.array([1.5, NAN])", "float", [1.5, None]),
        ("np.array([1.5, 2], dtype='f2')", "float", [1.5, 2.0]),
        ("np.array([1, 2], dtype='>i4')", "integer", [1, 2]),
        ("np.array([255], dtype='u1')", "integer", [255]),
        ("pd.array([1.5, None])", "float", [1.5, None]),
        ("pd.array([1, None])", "integer", [1, None]),
        ("pd.Series(['a', None, 'a'], dtype='category')", "text", ["a", None, "a"]),
        ("pd.Series([3, None, 3], dtype='category')", "integer", [3, None, 3]),
        ("pd.Series([0, 1], dtype='Sparse[int]')", "integer", [0, 1]),
        ("pd.Series(pd.arrays.SparseArray([NAN, 1.0]))", "float", [None, 1.0]),
        ("np.array(['2020-01-01'], dtype='M8[s]')", "timestamp", [at("2020-01-01")]),
        ("pd.to_datetime(['2020-01-01 12:00']).astype('M8[ns]')", "timestamp", [at("2020-01-01T12")]),
        (
            "pd.to_datetime(['2020-01-01', None]).tz_localize('Europe/Berlin')",
            "timestamp_tz",
            [dt.datetime(2019, 12, 31, 23, tzinfo=dt.UTC), None],
        ),
        ("pd.Series(['a'], dtype=pd.ArrowDtype(pa.large_string()))", "text", ["a"]),
        ("pd.Series(['[1]'], dtype=pd.ArrowDtype(pa.json_()))", "json", ["[1]"]),
        ("pd.Series([[('k', 1)]], dtype=pd.ArrowDtype(pa.map_(pa.string(), pa.int8())))", "list", [[{"key": "k", "value": 1}]]),
        ("pd.Series(['x', None], dtype='string[python]')", "text", ["x", None]),
    ],
)  # fmt: skip
async def test_a_column_becomes_what_it_holds(
    tmp_path: Path, expression: str, kind: str, expected: list[Any]
) -> None:
    assert await column(tmp_path, expression) == (kind, expected)


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("obj('a', None, 1)", "it mixes values of the types str and int (first in row 3)."),
        ("obj(None, 1, 'a')", "it mixes values of the types int and str (first in row 3)."),
        ("obj(1, True)", "it mixes values of the types int and bool (first in row 2)."),
        ("obj(1.5, Decimal(1))", "it mixes values of the types float and Decimal (first in row 2)."),
        ("obj(b'a', 'a')", "it mixes values of the types bytes and str (first in row 2)."),
        ("obj(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1))", "it mixes values of the types date and datetime (first in row 2)."),
        ("obj([1], {})", "it mixes values of the types list and dict (first in row 2)."),
        ("obj(pd.Timestamp(0), pd.Timestamp(0, tz='UTC'))", "it mixes times with and without a time zone."),
        ("obj(None, 1j)", "values of the type complex cannot be stored (first in row 2)."),
        ("obj('a', {1})", "values of the type set cannot be stored (first in row 2)."),
        ("obj('a', obj)", "values of the type function cannot be stored (first in row 2)."),
        ("np.array([1j])", "values of the type complex128 cannot be stored."),
        ("np.array([1], dtype='g')", "values of the type float128 cannot be stored."),
        ("pd.period_range('2020', periods=1, freq='D')", "values of the type period[D] cannot be stored."),
        ("pd.interval_range(0, 1)", "values of the type interval[int64, right] cannot be stored."),
        ("obj(2**53 + 1, 0.5)", "its values cannot be stored together: Integer value 9007199254740993 is outside of the range exactly representable by a IEEE 754 double precision value."),
        ("obj(2**200)", "its integers have more than 38 digits."),
        ("obj('\\ud800')", "its values cannot be stored together: 'utf-8' codec can't encode character '\\ud800' in position 0: surrogates not allowed."),
        ("obj(dt.time(1, tzinfo=dt.timezone.utc))", "it has times of a day with a time zone, which would be lost."),
        ("obj([pd.Timestamp(1)])", "it has times with nanoseconds; microseconds are stored."),
        ("obj({'a': [pd.Timedelta(1)]})", "it has times with nanoseconds; microseconds are stored."),
        ("obj([at('2020-01-01')], (at('2020-01-01T00+02:00'),))", "it mixes times with and without a time zone."),
        ("obj([[dt.time(1, tzinfo=dt.timezone.utc)]])", "it has times of a day with a time zone, which would be lost."),
        ("obj([dt.date(2020, 1, 1)], [at('2020-01-01T05')])", "its lists or structs mix values of the types date and datetime."),
        ("obj({'a': dt.date(2020, 1, 1)}, {'a': at('2020-01-01T05')})", "its lists or structs mix values of the types date and datetime."),
        ("obj([b'a', 'a'])", "its lists or structs mix values of the types bytes and str."),
        ("obj([2**64])", "its values cannot be stored together: Python int too large to convert to C long."),
        ("obj({'a': 1}, {'a': 'x'})", "its lists or structs mix values of the types int and str."),
        ("obj({'a': 1, 'A': 2})", "The fields of 'c' have names that differ in nothing but case."),
        ("obj(pd.Timestamp(1))", "it has times with nanoseconds; microseconds are stored."),
        ("obj(pd.Timedelta(1))", "it has times with nanoseconds; microseconds are stored."),
        ("pd.Series([1], dtype='M8[ns]')", "it has times with nanoseconds; microseconds are stored."),
        ("pd.Series([1], dtype=pd.ArrowDtype(pa.time64('ns')))", "it has times with nanoseconds; microseconds are stored."),
    ],
)  # fmt: skip
async def test_a_column_that_is_nothing_to_store_is_refused(
    tmp_path: Path, expression: str, reason: str
) -> None:
    body = f"{HEAD}def run(df): return pd.DataFrame({{'c': {expression}}})"

    step = await run_script(tmp_path, body, TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.message == f"The result of clean/trim.py, column 'c': {reason}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("df.columns = ['a', 3]", "has columns whose names are not text: 3."),
        ("df = df.groupby('s').agg(['sum'])", "has columns whose names are not text: ('s', ''), ('n', 'sum')."),
        ("df.columns = ['a', 'a']", "has more than one column of these names: 'a'."),
        ("df.columns = ['a', '']", "has a column without a name, number 2."),
        ("df.columns = pd.Index(['a', '\\ud800'], dtype=object)", "has columns whose names are no valid text: '\\ud800'."),
        ("df.columns = ['a', 'b\\0']", "has columns whose names are no valid text: 'b\\x00'."),
        ("df = df[[]]", "has no columns."),
        ("df.index.name = 'n'", "has an index called 'n', and a column of that name."),
        ("df = df.T.head(1)[[0] * 10_001]", "has 10,001 columns; the limit is 10,000."),
    ],
)  # fmt: skip
async def test_columns_need_names_of_their_own(tmp_path: Path, change: str, reason: str) -> None:
    step = await run_script(
        tmp_path, f"import pandas as pd\ndef run(df):\n    {change}\n    return df", TABLE
    )

    assert isinstance(step.error, InvalidInput)
    assert step.error.message == f"The result of clean/trim.py {reason}"


async def test_names_that_differ_in_case_or_hold_odd_characters_stay(tmp_path: Path) -> None:
    names = ["a", "A", "a.b", " x ", "ä\n😀"]
    body = f"import pandas as pd\ndf = pd.DataFrame([[1, 2, 3, 4, 5]], columns={names!r})"

    step = await run_script(tmp_path, body, TABLE)

    assert step.rows == [dict(zip(names, [1, 2, 3, 4, 5], strict=True))]


@pytest.mark.parametrize(
    ("change", "rows", "warned"),
    [
        ("df.groupby('s').sum()", [{"s": "a", "n": 1}, {"s": "b", "n": 5}], 0),
        ("df.groupby(['s', 'n']).size().to_frame('z').tail(1)", [{"s": "b", "n": 3, "z": 1}], 0),
        ("df[df['n'] > 2]", [{"n": 3, "s": "b"}], 0),
        ("df[['n']].agg(['max', 'min'])", [{"n": 3}, {"n": 1}], 1),
        ("df.set_index(['s', 'n'], append=True).assign(z=1).head(1)", [{"s": "a", "n": 1, "z": 1}], 1),
    ],
)  # fmt: skip
async def test_a_named_index_becomes_columns_and_another_is_left_out(
    tmp_path: Path, change: str, rows: list[dict[str, Any]], warned: int
) -> None:
    step = await run_script(tmp_path, f"def run(df): return {change}", TABLE)

    assert step.error is None
    assert step.rows == rows
    assert [level for level, _ in step.log] == ["warning"] * warned


async def test_a_column_of_nothing_keeps_the_type_that_it_had(tmp_path: Path) -> None:
    table = pa.table({"d": [dt.date(2020, 1, 1)], "n": [1]})
    body = "def run(df): return df.assign(d=[None], n=[None], new=[None])"

    step = await run_script(tmp_path, body, table)

    assert step.types == {"d": "date", "n": "integer", "new": "text"}
    assert step.rows == [{"d": None, "n": None, "new": None}]


def batches(*frames: str) -> str:
    return f"{HEAD}def run_batches(batches):\n" + "".join(
        f"    yield pd.DataFrame({frame})\n" for frame in frames
    )


@pytest.mark.parametrize(
    ("frames", "rows"),
    [
        (["{'c': [1.5]}", "{'c': [2]}"], [1.5, 2.0]),
        (["{'c': [1]}", "{'c': [2.0, NAN]}"], [1, 2, None]),
        (["{'c': [1]}", "{'c': pd.array([None, 2])}"], [1, None, 2]),
        (["{'c': ['a']}", "{'c': [None]}", "{'c': ['b']}"], ["a", None, "b"]),
        (["{'c': [None]}", "{'c': ['b']}"], [None, "b"]),
        (["{'c': obj(Decimal('1.50'))}", "{'c': obj(Decimal('100.2'))}"], [Decimal("1.50"), Decimal("100.20")]),
        (["{'c': [], 'd': []}", "{'d': [1.5], 'c': [2.5]}"], [2.5]),
        (["{'c': np.array([], 'i8')}", "{'c': []}"], []),
    ],
)  # fmt: skip
async def test_later_batches_fit_the_first_if_no_value_is_lost(
    tmp_path: Path, frames: list[str], rows: list[Any]
) -> None:
    step = await run_script(tmp_path, batches(*frames), TABLE)

    assert step.error is None
    assert [row["c"] for row in step.rows] == rows


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (["{'c': [1]}", "{'c': [2]}", "{'c': [2.5]}"], "batch 3, column 'c': double does not fit int64, which it was in the first batch."),
        (["{'c': [1.5]}", "{'c': [2**53 + 1]}"], "batch 2, column 'c': int64 does not fit double, which it was in the first batch."),
        (["{'c': ['a']}", "{'c': [1]}"], "batch 2, column 'c': int64 does not fit string, which it was in the first batch."),
        (["{'c': [1]}", "{'c': ['1']}"], "batch 2, column 'c': string does not fit int64, which it was in the first batch."),
        (["{'c': [1]}", "{'c': [True]}"], "batch 2, column 'c': bool does not fit int64, which it was in the first batch."),
        (["{'c': np.array([1], 'f2')}", "{'c': [0.1]}"], "batch 2, column 'c': double does not fit float, which it was in the first batch."),
        (["{'c': obj(Decimal('1.5'))}", "{'c': obj(Decimal('1.25'))}"], "batch 2, column 'c': decimal128(3, 2) does not fit decimal128(38, 1), which it was in the first batch."),
        (["{'c': [1]}", "{'d': [1]}"], "batch 2 lacks the column 'c'; all batches have the columns of the first."),
        (["{'c': [1]}", "{'c': [1], 'd': [1]}"], "batch 2 has another column, 'd'; all batches have the columns of the first."),
        (["{'c': [1]}", "{'c': obj('a', 1)}"], "batch 2, column 'c': it mixes values of the types str and int (first in row 2)."),
    ],
)  # fmt: skip
async def test_a_batch_that_does_not_fit_is_named(
    tmp_path: Path, frames: list[str], reason: str
) -> None:
    step = await run_script(tmp_path, batches(*frames), TABLE)

    assert isinstance(step.error, InvalidInput)
    assert step.error.message == f"The result of clean/trim.py, {reason}".replace(
        ", batch 2 ", ", batch 2 "
    )


async def test_many_small_batches_are_a_few_in_the_file(tmp_path: Path) -> None:
    body = "def run_batches(batches):\n    batch = next(batches)\n    for n in range(2500): yield batch.assign(n=n)"

    step = await run_script(tmp_path, body, TABLE)

    assert step.error is None
    assert [row["n"] for row in step.rows] == [n for n in range(2500) for _ in range(3)]
    assert step.table is not None
    assert step.table.column("n").num_chunks == 3


def test_a_result_is_what_it_was_before() -> None:
    frame = pd.DataFrame({"a": [1]}, index=pd.Index(["x"], name="key"))
    warned: list[str] = []

    results.arrow(frame, "It", warned.append)

    assert list(frame.columns) == ["a"]
