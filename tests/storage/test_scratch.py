"""Sweeping temporary files while others write theirs."""

from __future__ import annotations

import os
import time
from pathlib import Path

from storage.scratch import sweep

DAY = 24 * 3600


def grow_old(path: Path, seconds: int = 2 * DAY) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_what_is_old_goes_with_its_folders(tmp_path: Path) -> None:
    folder = tmp_path / "sync-1-1" / "spill"
    folder.mkdir(parents=True)
    (tmp_path / "alone.part").write_bytes(b"x")
    (folder / "0.parquet").write_bytes(b"x")
    for path in (tmp_path / "alone.part", folder / "0.parquet", folder, folder.parent):
        grow_old(path)

    assert sweep(tmp_path, DAY) == 2
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_that_somebody_writes_into_stays(tmp_path: Path) -> None:
    """Between two parts, and while the first is waited for, the folder of a sync is empty."""
    new = tmp_path / "finish-1-1"
    new.mkdir()
    between = tmp_path / "sync-1-1"
    between.mkdir()
    (between / "0.parquet").write_bytes(b"x")
    grow_old(between)
    (between / "0.parquet").unlink()

    assert sweep(tmp_path, DAY) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["finish-1-1", "sync-1-1"]


def test_an_old_folder_with_a_new_file_stays(tmp_path: Path) -> None:
    folder = tmp_path / "sync-1-1"
    folder.mkdir()
    (folder / "0.parquet").write_bytes(b"x")
    (folder / "1.parquet").write_bytes(b"x")
    grow_old(folder / "0.parquet")
    grow_old(folder)

    assert sweep(tmp_path, DAY) == 1
    assert [path.name for path in folder.iterdir()] == ["1.parquet"]
