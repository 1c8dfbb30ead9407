"""Filters by numbers that the column's own type does not have."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest

from base.tables import ColumnType
from storage.snapshots.pages import RowFilter, RowOp, RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


FAR: dict[str, list[float]] = {
    "float": [1.0, 3.4028234663852886e38, math.inf, math.nan, -math.inf],
    "double": [1.0, 1.7976931348623157e308, math.inf, math.nan, -math.inf],
}


@pytest.mark.parametrize("kind", FAR)
@pytest.mark.parametrize(
    ("op", "value", "met"),
    [
        (RowOp.EQ, "1e400", []),
        (RowOp.NE, "1e400", [0, 1, 2, 3, 4]),
        (RowOp.IN, ["1e400", 1, "Infinity"], [0, 2]),
        (RowOp.LT, "1e400", [0, 1, 4]),
        (RowOp.LE, "1e400", [0, 1, 4]),
        (RowOp.GT, "1e400", [2, 3]),
        (RowOp.GE, "1e400", [2, 3]),
        (RowOp.LT, "-1e400", [4]),
        (RowOp.GE, "-1e400", [0, 1, 2, 3]),
        (RowOp.LE, "Infinity", [0, 1, 2, 4]),
    ],
)
async def test_numbers_past_all_floats_compare_as_they_are(
    rows: Rows, tmp_path: Path, kind: str, op: RowOp, value: Any, met: list[int]
) -> None:
    data = pa.table({"n": range(5), "f": pa.array(FAR[kind], kind)})
    parts = tables.write(tmp_path, data)
    table = tables.schema([("n", ColumnType.INTEGER), ("f", ColumnType.FLOAT)])
    asked = RowQuery(columns=["n"], where=[RowFilter("f", op, value)])

    page = await rows.page(parts, table, asked)

    assert orjson.loads(page.rows_json) == [[each] for each in met]


async def test_a_number_past_single_floats_alone_is_no_error(rows: Rows, tmp_path: Path) -> None:
    parts = tables.write(tmp_path, pa.table({"f": pa.array(FAR["float"], "float")}))
    asked = RowQuery(where=[RowFilter("f", RowOp.LT, 1e300)], count=True)

    page = await rows.page(parts, tables.schema([("f", ColumnType.FLOAT)]), asked)

    assert page.total == 3


@pytest.mark.parametrize("value", [-0.0, "-0", "-0.0"])
async def test_a_negative_zero_is_a_zero(rows: Rows, tmp_path: Path, value: Any) -> None:
    parts = tables.write(tmp_path, pa.table({"n": pa.array([0, 5], pa.uint64())}))
    asked = RowQuery(where=[RowFilter("n", RowOp.GE, value)], count=True)

    page = await rows.page(parts, tables.schema([("n", ColumnType.INTEGER)]), asked)

    assert page.total == 2
