"""Filters whose rows are spread over many parts, scanned a few parts at a time; and very wide rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from base.tables import ColumnType
from storage.snapshots.pages import RowFilter, RowOp, RowQuery
from storage.snapshots.rows import Rows
from tests.storage import tables

ROWS = 400
TABLE = tables.schema([("n", ColumnType.INTEGER), ("t", ColumnType.TEXT)])
WHERE = [RowFilter("t", RowOp.STARTS_WITH, "x")]
MATCHES = {
    "everywhere": set(range(ROWS)),
    "here and there": {*range(0, ROWS, 37), 1, 2},
    "first and last": {0, ROWS - 1},
    "at the end": {ROWS - 3, ROWS - 2, ROWS - 1},
    "many after few": {3, *range(300, 350)},
    "nowhere": set[int](),
}
GONE = {
    "none": set[int](),
    "most": {n for n in range(ROWS) if n % 5},
    "half": set(range(0, ROWS, 2)),
}


@pytest.fixture
def rows() -> Iterator[Rows]:
    opened = Rows()
    yield opened
    opened.close()


@pytest.mark.parametrize("matching", MATCHES)
@pytest.mark.parametrize("deleted", GONE)
@pytest.mark.parametrize("first", [1, 4, 1000])
async def test_every_matching_row_is_on_one_page_in_its_order(
    rows: Rows, tmp_path: Path, matching: str, deleted: str, first: int
) -> None:
    met, gone = MATCHES[matching], GONE[deleted]
    data = pa.table({"n": range(ROWS), "t": ["xy" if n in met else "y" for n in range(ROWS)]})
    whole = tables.write(tmp_path, data, part_rows=10, batch_rows=10)
    parts = tables.without(whole, sorted(gone), tmp_path / "gone")
    wanted = sorted(met - gone)
    # All pages where they are few, else those at the beginning.
    pages_max, got, has_next = 12, list[int](), True
    asked = RowQuery(columns=["n"], where=WHERE, first=first)

    for _ in range(pages_max):
        page = await rows.page(parts, TABLE, asked)
        found = [row[0] for row in orjson.loads(page.rows_json)]
        assert found == wanted[len(got) : len(got) + first]
        got, has_next = got + found, page.has_next
        assert has_next == (len(got) < len(wanted))
        if not has_next:
            break
        asked = replace(asked, after=page.end_cursor)

    assert has_next == (len(wanted) > pages_max * first)


async def test_rows_of_600_columns_have_pages(rows: Rows, tmp_path: Path) -> None:
    names = [f"column {n}" for n in range(600)]
    parts = tables.write(tmp_path, pa.table({name: [1, None] for name in names}))
    table = tables.schema([(name, ColumnType.INTEGER) for name in names])

    page = await rows.page(parts, table, RowQuery())

    assert orjson.loads(page.rows_json) == [[1] * 600, [None] * 600]
