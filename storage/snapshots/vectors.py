"""Delete vectors: the rows of a part that readers no longer see, as a Parquet file of one sorted column.

A vector is an array of uint32, strictly ascending, of row numbers counted from 0. A file never changes: a part from
which more rows go gets another file, which holds the older rows as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from storage.snapshots.encodings import COMPRESSION
from storage.snapshots.writer import HashedFile

Vector = npt.NDArray[np.uint32]
SCHEMA = pa.schema([pa.field("row", pa.uint32(), nullable=False)])
NONE: Vector = np.empty(0, np.uint32)


def read(path: Path | None) -> Vector:
    """The rows that a file names; none where there is no file."""
    if path is None:
        return NONE
    # A file handle: a path would be opened as a data set, which takes longer than a small vector does.
    with path.open("rb") as file:
        column = pq.read_table(file, columns=["row"]).column("row")
    return np.ascontiguousarray(column.to_numpy(), np.uint32)


def write(rows: Vector, path: Path) -> tuple[int, str]:
    """Write a durable file of these rows; its bytes and its sha256."""
    with closing(HashedFile(path)) as sink:
        table = pa.table([pa.array(rows, pa.uint32())], schema=SCHEMA)
        # Differences of ascending numbers are small: a fifth of the bytes of a dictionary.
        pq.write_table(
            table,
            file := pa.PythonFile(sink, mode="w"),
            compression=COMPRESSION,
            use_dictionary=False,
            column_encoding={"row": "DELTA_BINARY_PACKED"},
        )
        file.flush()
        sink.sync()
        return sink.size_bytes, sink.digest.hexdigest()


class Gone:
    """The deleted rows of a whole table by their positions, counted from 0 over all parts, deleted rows counted."""

    def __init__(self, starts: Sequence[int], gone: Sequence[Vector]) -> None:
        """`starts` are the positions of the parts' first rows and, last, the number of all rows."""
        placed = [
            rows.astype(np.int64) + start for rows, start in zip(gone, starts[:-1], strict=True)
        ]
        self._positions = np.concatenate(placed) if placed else np.empty(0, np.int64)
        # How many live rows lie before each deleted one; it tells how many deleted ones lie before a live row.
        self._live_before = self._positions - np.arange(len(self._positions))
        self._live_rows = starts[-1] - len(self._positions)

    @property
    def rows(self) -> int:
        """Number of deleted rows."""
        return len(self._positions)

    def live_from(self, start: int, wanted: int) -> list[int]:
        """The first `wanted` positions of live rows at or after `start`."""
        first = start - int(np.searchsorted(self._positions, start))
        ranks = np.arange(first, min(first + wanted, self._live_rows))
        found: list[int] = (ranks + np.searchsorted(self._live_before, ranks, "right")).tolist()
        return found

    def live_of(self, positions: Sequence[int]) -> list[int]:
        """Those of the positions that are live, in the same order."""
        if not self.rows or not positions:
            return list(positions)
        asked = np.array(positions, np.int64)
        nearest = np.minimum(np.searchsorted(self._positions, asked), self.rows - 1)
        found: list[int] = asked[self._positions[nearest] != asked].tolist()
        return found

    def live_mask(self, start: int, rows: int) -> pa.BooleanArray | None:
        """Which of the rows at `start` to `start + rows` are live; None where all are."""
        first, last = np.searchsorted(self._positions, [start, start + rows])
        if first == last:
            return None
        live = np.ones(rows, np.bool_)
        live[self._positions[first:last] - start] = False
        return pa.array(live)
