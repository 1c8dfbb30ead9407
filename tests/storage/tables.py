"""Tables for tests of snapshots: stored for real, and the same values as plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from base.tables import Column, ColumnType, TableSchema
from storage.snapshots import vectors
from storage.snapshots.manifest import LocalPart
from storage.snapshots.writer import PartWriter


def write(
    folder: Path, data: pa.Table, *, part_rows: int = 256, batch_rows: int = 64
) -> list[LocalPart]:
    """Write the table as parts of at least `part_rows` rows."""
    keys = folder / "parts"
    keys.mkdir(parents=True)

    def adopt(path: Path, key: str) -> None:
        path.rename(folder / key)

    with PartWriter(folder, adopt, "parts", part_rows=part_rows) as writer:
        finished = []
        for batch in data.to_batches(max_chunksize=batch_rows):
            finished += writer.write(batch)
        finished += writer.finish()
    return [LocalPart(folder / each.part.key, each.part.rows) for each in finished]


def without(parts: Sequence[LocalPart], gone: Sequence[int], folder: Path) -> list[LocalPart]:
    """The parts without the rows at these positions of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    left, start = [], 0
    for at, part in enumerate(parts):
        rows = sorted({row - start for row in gone if start <= row < start + part.rows})
        start += part.rows
        if not rows:
            left.append(part)
            continue
        path = folder / f"{at}.deletes"
        vectors.write(np.array(rows, np.uint32), path)
        left.append(LocalPart(part.path, part.rows, path, len(rows)))
    return left


def schema(columns: Sequence[tuple[str, ColumnType]], name: str = "things") -> TableSchema:
    """A table of these columns."""
    return TableSchema(name, tuple(Column(column, kind) for column, kind in columns))


def rows_of(data: pa.Table) -> list[tuple[Any, ...]]:
    """The rows as Python values."""
    return list(zip(*(column.to_pylist() for column in data.columns), strict=True))
