"""Batches within the limits of a read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from connectors.connector import ReadLimits
from connectors.errors import CellTooLarge

if TYPE_CHECKING:
    import pyarrow as pa


def sliced(batch: pa.RecordBatch, limits: ReadLimits) -> Iterator[pa.RecordBatch]:
    """The batch in pieces of at most `batch_rows` rows and about `batch_bytes` bytes."""
    if not batch.num_rows:
        return
    row_bytes = max(1, batch.nbytes // batch.num_rows)
    rows = max(1, min(limits.batch_rows, limits.batch_bytes // row_bytes))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def too_large(where: str, limit_bytes: int) -> CellTooLarge:
    """The error for one value over the limit."""
    return CellTooLarge(
        f"The value {where} is larger than the limit of {limit_bytes / 1024**2:g} MiB.",
        hint="Make the value shorter, or raise HEADWATER_CELL_BYTES_MAX.",
    )
