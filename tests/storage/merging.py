"""Merging in plain Python, and the outcome of the real thing with its books and files checked."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from base.tables import ColumnType
from storage.snapshots import vectors
from storage.snapshots.manifest import LocalPart
from storage.snapshots.merge import Combined, combine
from storage.snapshots.modes import SyncMode
from tests.storage import tables

MEMORY_BYTES = 256 * 1024**2
Row = tuple[Any, ...]


def combined(
    base: Sequence[LocalPart],
    staged: Sequence[LocalPart],
    folder: Path,
    *,
    mode: SyncMode = SyncMode.MERGE,
    key: Sequence[str] = ("k",),
    cursor: str | None = None,
    keys: Sequence[LocalPart] | None = None,
    is_whole: bool = False,
    cursor_type: ColumnType | None = None,
    memory_bytes: int = MEMORY_BYTES,
    decimals: Sequence[str] = (),
) -> tuple[Combined, list[LocalPart]]:
    """The outcome, and the parts of the table after it; the books and the files of the vectors are checked."""
    done = combine(
        base,
        staged,
        mode=mode,
        key=key,
        cursor=cursor,
        keys=keys,
        is_whole=is_whole,
        folder=folder,
        memory_bytes=memory_bytes,
        cursor_type=cursor_type,
        decimals=decimals,
    )
    parts = [*base, *staged]
    for vector in done.vectors:
        gone = vectors.read(vector.path)
        assert gone.tolist() == sorted(set(gone.tolist()))
        assert (len(gone), vector.path.stat().st_size) == (vector.rows, vector.size_bytes)
        assert vector.rows > parts[vector.part].deleted_rows
        part = parts[vector.part]
        parts[vector.part] = LocalPart(part.path, part.rows, vector.path, vector.rows)
    before, after = (sum(part.live_rows for part in some) for some in (base, parts))
    assert before + done.inserted - done.deleted == after
    read = sum(part.live_rows for part in staged)
    assert read == done.inserted + done.updated + done.unchanged
    assert sorted(folder.iterdir()) == sorted(vector.path for vector in done.vectors)
    return done, parts


def counts(done: Combined) -> tuple[int, int, int, int]:
    return done.inserted, done.updated, done.unchanged, done.deleted


def live(parts: Sequence[LocalPart]) -> list[Row]:
    rows = []
    for part in parts:
        gone = set(vectors.read(part.deletes).tolist())
        stored = tables.rows_of(pq.read_table(part.path))
        rows += [row for at, row in enumerate(stored) if at not in gone]
    return rows


def write(folder: Path, data: pa.Table, part_rows: int = 5) -> list[LocalPart]:
    return tables.write(folder, data, part_rows=part_rows, batch_rows=part_rows)


def cell(value: Any) -> Any:
    """What two cells have in common when they are equal."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack(">d", value)
    if isinstance(value, dict):
        return tuple((name, cell(each)) for name, each in value.items())
    return tuple(map(cell, value)) if isinstance(value, list) else value


def exact(row: Row) -> Row:
    return tuple(map(cell, row))


def merged(
    base: list[Row], staged: list[Row], key: list[int], cursor: int | None, *, is_whole: bool
) -> tuple[list[Row], tuple[int, int, int, int]]:
    def key_of(row: Row) -> Row:
        return tuple(row[at] for at in key)

    newest: dict[Row, int] = {}
    oldest = datetime.min.replace(tzinfo=UTC)

    def stamp(row: Row) -> datetime:
        return oldest if cursor is None else row[cursor] or oldest

    for at, row in enumerate(staged):
        before = newest.get(key_of(row))
        if before is None or stamp(row) >= stamp(staged[before]):
            newest[key_of(row)] = at
    left, new = list(base), [staged[at] for at in sorted(newest.values())]
    kept, inserted, updated, unchanged = [], 0, 0, len(staged) - len(new)
    for row in new:
        mine = [old for old in left if key_of(old) == key_of(row)]
        equal = [old for old in mine if exact(old) == exact(row)]
        left = [old for old in left if key_of(old) != key_of(row)]
        inserted += not mine
        updated += bool(mine) and not equal
        unchanged += bool(equal)
        kept.append(row)
    known = {key_of(row) for row in new}
    after = kept + [row for row in left if not is_whole or key_of(row) in known]
    return after, (inserted, updated, unchanged, len(base) + inserted - len(after))
