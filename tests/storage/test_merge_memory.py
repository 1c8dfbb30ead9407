"""Merging more than memory holds."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from storage.snapshots.merge import combine
from storage.snapshots.modes import SyncMode
from tests.storage import tables


@pytest.mark.parametrize("mode", [SyncMode.APPEND, SyncMode.MERGE])
def test_more_rows_than_memory_holds_go_through_the_folder(tmp_path: Path, mode: SyncMode) -> None:
    rows = 300_000
    data = pa.table(
        {"k": list(range(rows)), "v": [f"a text of some length, no {n}" for n in range(rows)]}
    )
    base = tables.write(tmp_path / "old", data, part_rows=100_000, batch_rows=50_000)
    staged = tables.write(tmp_path / "new", data.slice(1), part_rows=100_000, batch_rows=50_000)

    done = combine(
        base,
        staged,
        mode=mode,
        key=["k"],
        cursor=None,
        keys=None,
        is_whole=mode is SyncMode.MERGE,
        folder=tmp_path / "out",
        memory_bytes=48 * 1024**2,
    )

    deleted = 1 if mode is SyncMode.MERGE else 0
    assert (done.inserted, done.updated) == (0, 0)
    assert (done.unchanged, done.deleted) == (rows - 1, deleted)
