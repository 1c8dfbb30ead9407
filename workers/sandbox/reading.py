"""Tables of descriptors as Arrow data: Parquet parts without their deleted rows, or Arrow IPC files, mapped.

A map counts as address space, which is limited. So what is read whole is mapped, and what is read in batches is not,
but for one Parquet part at a time.
"""

from __future__ import annotations

import io
import itertools
import mmap
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.errors import InvalidInput
from storage.snapshots import empty
from storage.snapshots.vectors import Vector
from workers.sandbox.joining import Joined
from workers.sandbox.messages import FileIn, TableIn

BATCH_ROWS = 128 * 1024
BATCH_BYTES = 64 * 1024**2  # of Arrow data, roughly; a batch of wide rows has fewer of them

Descriptors = Sequence[int]


def read(descriptors: Descriptors, table: TableIn) -> pa.Table:
    """All live rows, in their order. Raises InvalidInput for what an earlier step left that is no table."""
    with _reading(table):
        return _read(descriptors, table)


def _read(descriptors: Descriptors, table: TableIn) -> pa.Table:
    if not table.columns:  # Arrow counts no rows of several tables that have no columns
        return pa.table({"none": pa.nulls(table.rows)}).select([])
    if table.is_ipc:
        joined = Joined([_mapped(descriptors[file.opens_index]) for file in table.files])
        fitted = itertools.starmap(joined.fitted, joined.batches())
        return _chosen(pa.Table.from_batches(fitted, joined.schema), table)
    pieces = [_part(descriptors, file) for file in table.files]
    if not pieces:
        return empty.schema(table.columns).empty_table()
    return _chosen(pa.concat_tables(pieces), table)


def batches(descriptors: Descriptors, table: TableIn) -> Iterator[pa.Table]:
    """The live rows in their order, at most `BATCH_ROWS` at once; one empty table where there are none."""
    is_any = False
    pieces = _ipc_batches(descriptors, table) if table.is_ipc else _parts(descriptors, table)
    while True:
        with _reading(table):
            piece = next(pieces, None)
            if piece is None:
                break
            rows = _chosen(piece, table)
        for each in _sliced(rows):
            is_any = True
            yield each
    if not is_any:
        yield read(descriptors, table).slice(0, 0)


@contextmanager
def _reading(table: TableIn) -> Iterator[None]:
    """Only a script can have made an IPC file what it should not be."""
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, LookupError) as error:
        if not table.is_ipc:
            raise
        raise InvalidInput(
            "What the step before left is damaged, or not the table that it told of."
        ) from error


def nullable(descriptors: Descriptors, table: TableIn) -> frozenset[str]:
    """Columns that may have nulls, so that all batches of a table get the same dtypes; all where nobody knows."""
    names = {each.name for each in table.columns if each.has_nulls is not False}
    if table.is_ipc:
        return frozenset(names)
    unknown = {each.name for each in table.columns if each.has_nulls is None}
    found = names - unknown
    for file in table.files:
        with pq.ParquetFile(_Window(descriptors[file.opens_index]), pre_buffer=False) as part:
            found |= _with_nulls(part, unknown - found)
    return frozenset(found)


def _with_nulls(part: pq.ParquetFile, names: set[str]) -> set[str]:
    """Those columns of a part that have nulls by its statistics, or no statistics."""
    places = {
        at: path
        for at in range(len(part.schema))
        if (path := part.schema.column(at).path)
        in names  # only flat columns have the path of a name
    }
    found = set()
    for group in range(part.num_row_groups):
        for at, name in places.items():
            said = part.metadata.row_group(group).column(at).statistics
            if said is None or not said.has_null_count or said.null_count:
                found.add(name)
    return found


def _part(descriptors: Descriptors, file: FileIn) -> pa.Table:
    with pq.ParquetFile(_mapped(descriptors[file.opens_index]), pre_buffer=False) as part:
        rows = part.read()
    gone = _gone(descriptors, file)
    return rows if gone is None else rows.filter(_live(gone, 0, rows.num_rows))


def _parts(descriptors: Descriptors, table: TableIn) -> Iterator[pa.Table]:
    for file in table.files:
        yield from _part_batches(descriptors, file)


def _part_batches(descriptors: Descriptors, file: FileIn) -> Iterator[pa.Table]:
    gone = _gone(descriptors, file)
    with pq.ParquetFile(_mapped(descriptors[file.opens_index]), pre_buffer=False) as part:
        start = 0
        for batch in part.iter_batches(_rows_at_once(part)):
            rows = pa.Table.from_batches([batch])
            if gone is not None:
                rows = rows.filter(_live(gone, start, batch.num_rows))
            start += batch.num_rows
            yield rows


def _rows_at_once(part: pq.ParquetFile) -> int:
    """How many rows of a part make a batch."""
    groups = map(part.metadata.row_group, range(part.num_row_groups))
    size_bytes = sum(group.total_byte_size for group in groups)
    row_bytes: int = size_bytes // max(part.metadata.num_rows, 1)
    return max(min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)), 1)


def _gone(descriptors: Descriptors, file: FileIn) -> Vector | None:
    """The deleted rows of a part, None where there are none; see `storage.snapshots.vectors`."""
    if file.deletes_index is None or not file.deleted_rows:
        return None
    with pq.ParquetFile(_mapped(descriptors[file.deletes_index]), pre_buffer=False) as deletes:
        column = deletes.read(columns=["row"]).column("row")
    return np.asarray(column.to_numpy(), np.uint32)


def _live(gone: Vector, start: int, rows: int) -> pa.Array:
    """Which of the rows at `start` are not deleted."""
    first, last = np.searchsorted(gone, [start, start + rows])
    live = np.ones(rows, np.bool_)
    live[gone[first:last].astype(np.int64) - start] = False
    return pa.array(live)


def _ipc_batches(descriptors: Descriptors, table: TableIn) -> Iterator[pa.Table]:
    windows = [_Window(descriptors[file.opens_index]) for file in table.files]
    joined = Joined([pa.PythonFile(window, mode="r") for window in windows])
    for partition, batch in joined.batches():
        yield pa.Table.from_batches([joined.fitted(partition, batch)])


def _chosen(rows: pa.Table, table: TableIn) -> pa.Table:
    """The columns that are wanted. A name with a point is one to Arrow, but not to Parquet's reader."""
    names = [each.name for each in table.columns]
    return rows if rows.column_names == names else rows.select(names)


def _sliced(rows: pa.Table) -> Iterator[pa.Table]:
    if rows.num_rows == 0:
        return
    row_bytes = rows.nbytes // rows.num_rows
    step = max(min(BATCH_ROWS, BATCH_BYTES // max(row_bytes, 1)), 1)
    for first in range(0, rows.num_rows, step):
        yield rows.slice(first, step)


def _mapped(descriptor: int) -> pa.BufferReader:
    return pa.BufferReader(pa.py_buffer(mmap.mmap(descriptor, 0, prot=mmap.PROT_READ)))


class _Window(io.RawIOBase):
    """A file by its descriptor with a position of its own: copies of a descriptor share one."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}
        start = starts[whence] if whence in starts else os.fstat(self._descriptor).st_size
        self._position = start + offset
        return self._position

    def read(self, size: int = -1, /) -> bytes:
        wanted = os.fstat(self._descriptor).st_size - self._position if size < 0 else size
        pieces = []
        while wanted > 0 and (piece := os.pread(self._descriptor, wanted, self._position)):
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)
