"""Which parts are worth writing anew as one, and that they hold the same rows then."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storage.snapshots.compact import DELETED_ROWS_MIN, SMALL_BYTES, SMALL_ROWS, compacted, worth
from storage.snapshots.manifest import Part, StoredFile
from storage.snapshots.writer import PART_ROWS
from tests.storage import tables


def part(rows: int, deleted: int = 0, size_bytes: int = 1000) -> Part:
    deletes = StoredFile("d", deleted, 100, "") if deleted else None
    return Part("p", rows, size_bytes, "", deletes)


FULL = part(PART_ROWS, size_bytes=2 * SMALL_BYTES)
SMALL = part(100)
WORN = part(PART_ROWS, PART_ROWS // 2)


@pytest.mark.parametrize(
    ("parts", "runs"),
    [
        ([], []),
        ([FULL] * 100, []),
        ([SMALL] * 7, []),
        ([FULL, *[SMALL] * 7, FULL, *[SMALL] * 7], []),
        ([FULL, *[SMALL] * 8, FULL], [range(1, 9)]),
        ([*[SMALL] * 9, FULL, *[SMALL] * 8], [range(9), range(10, 18)]),
        ([FULL, WORN, FULL], [range(1, 2)]),
        ([FULL, SMALL, WORN, SMALL], [range(1, 4)]),
        ([WORN, WORN, WORN], [range(2), range(2, 3)]),
        ([part(PART_ROWS, PART_ROWS // 10)] * 10, []),
        ([part(DELETED_ROWS_MIN, DELETED_ROWS_MIN - 1)], []),
        ([part(100, size_bytes=SMALL_BYTES + 1)] * 20, []),
        ([part(SMALL_ROWS)] * 20, []),
    ],
    ids=str,
)
def test_runs_of_small_or_worn_neighbours_are_worth_it(
    parts: list[Part], runs: list[range]
) -> None:
    assert worth(parts) == runs


def test_one_sync_writes_only_so_much_anew() -> None:
    runs = worth([part(PART_ROWS, PART_ROWS // 3)] * 100)

    assert len(runs) == 25


def test_compacted_parts_hold_the_live_rows_in_order(tmp_path: Path) -> None:
    data = pa.table({"n": list(range(1000)), "t": [None if n % 7 else "x" for n in range(1000)]})
    parts = tables.write(tmp_path / "old", data, part_rows=100, batch_rows=100)
    gone = [1, 2, *range(100, 200), 998]
    left = tables.without(parts, gone, tmp_path / "gone")

    made = compacted(left, tmp_path / "new", 3)

    wanted = [row for at, row in enumerate(tables.rows_of(data)) if at not in gone]
    assert [each.path.name for each in made] == ["3.parquet"]
    assert tables.rows_of(pq.read_table(made[0].path)) == wanted
    assert pq.read_schema(made[0].path).equals(data.schema)


def test_a_run_without_live_rows_leaves_nothing(tmp_path: Path) -> None:
    parts = tables.write(tmp_path / "old", pa.table({"n": [1, 2]}))

    assert compacted(tables.without(parts, [0, 1], tmp_path), tmp_path / "new", 0) == []
