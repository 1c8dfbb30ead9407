"""`local:plain_types` gives a table the types in which pandas reads the same values from a CSV file."""

import datetime as dt
import io
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pyarrow as pa

from tests.workers.sandbox.shipped import PEOPLE, predefined, refusal

CSV = """price,day,seen,at,some,all,text,ratio,gone
1.50,2026-01-31,2026-01-31 12:00:00,10:00:00,1,1,a,0.5,
2.25,,,,,2,,,
,2026-02-28,2026-02-28 00:00:00,01:02:03,3,3,b,1.5,
"""
TABLE = pa.table(
    {
        "price": pa.array([Decimal("1.50"), Decimal("2.25"), None], pa.decimal128(18, 2)),
        "day": pa.array([dt.date(2026, 1, 31), None, dt.date(2026, 2, 28)]),
        "seen": pa.array(
            [dt.datetime(2026, 1, 31, 12), None, dt.datetime(2026, 2, 28)],  # noqa: DTZ001 - a column without zones
            pa.timestamp("us"),
        ),
        "at": pa.array([dt.time(10), None, dt.time(1, 2, 3)], pa.time64("us")),
        "some": pa.array([1, None, 3]),
        "all": pa.array([1, 2, 3]),
        "text": pa.array(["a", None, "b"]),
        "ratio": pa.array([0.5, None, 1.5]),
        "gone": pa.array([None, None, None], pa.decimal128(18, 2)),
    }
)


async def test_columns_are_those_that_read_csv_makes(tmp_path: Path) -> None:
    wanted = pd.read_csv(io.StringIO(CSV))

    step = await predefined(tmp_path, "plain_types", TABLE)

    assert step.error is None
    assert step.rows == wanted.astype(object).where(wanted.notna(), None).to_dict("records")
    kinds = {"str": "text", "int64": "integer", "float64": "float"}
    assert [each["type"] for each in step.result["columns"]] == [
        kinds[str(dtype)] for dtype in wanted.dtypes
    ]


async def test_some_columns_can_be_chosen(tmp_path: Path) -> None:
    step = await predefined(tmp_path, "plain_types", TABLE, columns=["day"])

    assert [row["day"] for row in step.rows] == ["2026-01-31", None, "2026-02-28"]
    assert step.rows[0]["price"] == Decimal("1.50")


async def test_columns_that_are_not_there_are_named(tmp_path: Path) -> None:
    assert (await refusal(tmp_path, "plain_types", PEOPLE, columns=["x"])).startswith(
        "there is no column 'x'"
    )
    assert (
        await refusal(tmp_path, "plain_types", PEOPLE, columns="Age")
        == "columns has to be a list of names"
    )
