"""Types of columns in partitions, each of which finds its own: those that go together become one, others are told."""

from __future__ import annotations

import pytest

from models import JobStatus
from services.platform import Platform
from tests.workers.partitioning import cells, parted, partitioned
from tests.workers.scripting import assert_nothing_left, derived_of, worked
from tests.workers.syncing import table_of
from workers import partitions


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "LOOK_SECONDS", 0.05)


CLASH = """
def run(df):
    if df["id"].iloc[0] == 400:
        df["x"] = "text"
    else:
        df["x"] = 1
    return df
"""
LOST = """
def run(df):
    return df if df["id"].iloc[0] else df.drop(columns="day").assign(year=1)
"""
NESTED = """
import pandas as pd, pyarrow as pa
def run(df):
    kind = pa.int64() if df["id"].iloc[0] < 600 else pa.string()
    value = 1 if df["id"].iloc[0] < 600 else "a"
    df["x"] = pd.array([[value]] * len(df), dtype=pd.ArrowDtype(pa.list_(kind)))
    return df
"""


@pytest.mark.parametrize("behind", [(), ("df = df",)])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (CLASH, "step-0.py: the column 'x' is INTEGER in partition 1, and TEXT in partition 3."),
        (
            LOST,
            "step-0.py: the result of partition 2 lacks the column 'year'; all have the columns of the first.",
        ),
        (
            NESTED,
            "The column 'x' is list<item: int64> in partition 1, and list<item: string> in partition 4.",
        ),
    ],
)
async def test_partitions_whose_columns_do_not_go_together_fail_the_job(
    platform: Platform, body: str, message: str, behind: tuple[str, ...]
) -> None:
    source = await parted(platform)

    job = await worked(platform, await partitioned(source, body, *behind, steps=1))

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "INVALID_INPUT")
    assert job.error["message"] == message
    await assert_nothing_left(platform, job)


@pytest.mark.parametrize("behind", [(), ("df = df",)])
async def test_types_that_go_together_become_one_without_loss(
    platform: Platform, behind: tuple[str, ...]
) -> None:
    source = await parted(platform)
    body = """
from decimal import Decimal
import numpy as np
def run(df):
    first = df["id"].iloc[0]
    df["number"] = df["id"] if first == 0 else df["id"] + 0.5
    df["empty"] = None if first == 0 else df["id"].astype("int32")
    df["small"] = df["id"].astype("int16" if first == 200 else "int64")
    df["exact"] = [Decimal(1 if first == 400 else 100).scaleb(-3 if first == 400 else 0)] * len(df)
    if first == 0:
        df = df[["day", "amount", "name", "id", "number", "empty", "small", "exact"]]
    return df
"""

    job = await worked(platform, await partitioned(source, body, *behind, steps=1))

    rows = await cells(platform, job)
    assert list(rows[0]) == ["day", "amount", "name", "id", "number", "empty", "small", "exact"]
    for row in rows:
        number = row["id"]
        is_first = number < 200
        assert row["number"] == (number if is_first else number + 0.5)
        assert row["empty"] == (None if is_first else number)
        assert row["small"] == number
        assert str(row["exact"].normalize()) == ("0.001" if 400 <= number < 600 else "1E+2")
    kinds = {
        each.name: each.type.name for each in table_of(await derived_of(job), "t").table.columns
    }
    assert (kinds["number"], kinds["empty"], kinds["small"], kinds["exact"]) == (
        "FLOAT", "INTEGER", "INTEGER", "DECIMAL",
    )  # fmt: skip


async def test_a_number_that_the_common_type_does_not_hold_is_an_error(platform: Platform) -> None:
    source = await parted(platform)
    body = "def run(df):\n    df['x'] = 2**53 + 1 if df['id'].iloc[0] else 0.5\n    return df\n"

    job = await worked(platform, await partitioned(source, body))

    assert job.status is JobStatus.FAILED
    assert job.error["message"] == (
        "The column 'x' is int64 in partition 2, with values that double, which it is in another, does not hold."
    )
