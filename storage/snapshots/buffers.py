"""Columns of text taken out of Arrow as one run of bytes, without a Python object for each row."""

from __future__ import annotations

import pyarrow as pa


def joined(column: pa.StringArray) -> bytes:
    """All values of a text column without nulls, end to end: it is how Arrow keeps them."""
    if len(column) == 0:
        return b""
    _, offsets, data = column.buffers()
    positions = memoryview(offsets).cast("i")
    start, end = positions[column.offset], positions[column.offset + len(column)]
    return memoryview(data)[start:end].tobytes()
