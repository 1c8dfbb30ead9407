"""Many small parts, and parts with many deleted rows, written anew as few: what reading costs grows with both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from storage.snapshots.evolve import NewPart, rewrite
from storage.snapshots.manifest import LocalPart, Part
from storage.snapshots.writer import PART_ROWS

SMALL_ROWS = PART_ROWS // 2
SMALL_BYTES = 4 * 1024**2  # compressed: a part of wide rows is full with few of them
SMALL_PARTS_MAX = 8  # neighbours; each new one would cost every query about a millisecond
DELETED_SHARE_MAX = 0.3
DELETED_ROWS_MIN = 4096  # fewer cost nothing
ROWS_MAX = 4 * PART_ROWS  # written anew in one sync, or a quarter of a larger table


def worth(parts: Sequence[Part]) -> list[range]:
    """Runs of neighbours that should be written anew as one each, in order and apart; mostly none.

    A run is of at least `SMALL_PARTS_MAX` small parts, or holds one of which many rows are deleted.
    """
    budget = max(ROWS_MAX, sum(part.live_rows for part in parts) // 4)
    found = []
    for run in _runs(parts):
        rows = sum(parts[at].live_rows for at in run)
        is_worn = any(_is_worn(parts[at]) for at in run)
        if (is_worn or len(run) >= SMALL_PARTS_MAX) and rows <= budget:
            budget -= rows
            found.append(run)
    return found


def compacted(parts: Sequence[LocalPart], folder: Path, first: int) -> list[NewPart]:
    """Blocking: the live rows of neighbouring parts as the files `<first>.parquet` …; bounded memory, StorageFull."""
    return rewrite(parts, pq.read_schema(parts[0].path), folder, first)


def _runs(parts: Sequence[Part]) -> Iterator[range]:
    """Neighbours that are small or worn and, put together, not larger than a part."""
    start, rows, size = 0, 0, 0
    for at, part in enumerate(parts):
        fits = _is_small(part) or _is_worn(part)
        size_bytes = part.size_bytes * part.live_rows // max(part.rows, 1)
        is_full = rows + part.live_rows > PART_ROWS or size + size_bytes > 4 * SMALL_BYTES
        if start < at and (not fits or is_full):
            yield range(start, at)
            start, rows, size = at, 0, 0
        if fits:
            rows, size = rows + part.live_rows, size + size_bytes
        else:
            start = at + 1
    if start < len(parts):
        yield range(start, len(parts))


def _is_small(part: Part) -> bool:
    return part.live_rows <= SMALL_ROWS and part.size_bytes <= SMALL_BYTES


def _is_worn(part: Part) -> bool:
    deleted = part.rows - part.live_rows
    return deleted >= DELETED_ROWS_MIN and deleted > DELETED_SHARE_MAX * part.rows
