"""A stored table as one CSV, JSONL or Parquet file, made while it is sent, in bounded memory.

CSV is RFC 4180 with a header: exact values (no rounding, no guard against spreadsheet formulas), no value as an empty
field and an empty text as `""`; in a table of one column no value is `""` too, since readers skip empty lines. JSONL
has an object a line, with the cells that rows have.
"""

from __future__ import annotations

import asyncio
import csv
import io
import threading
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from base.errors import QueryTooComplex, RateLimited
from base.tables import TableSchema
from storage.snapshots import empty, vectors
from storage.snapshots.buffers import joined
from storage.snapshots.cells import csv_cell, csv_row, json_cell, json_record
from storage.snapshots.engine import WIDE, Engine, EnginePool, locked
from storage.snapshots.filters import Stored, stored_columns
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import LocalPart
from storage.snapshots.vectors import Gone
from storage.snapshots.writer import parquet_writer

EXPORTS_MAX = 16  # at once a process, slow readers included
EXPORT_THREADS = 2
CHUNK_BYTES = 512 * 1024
_STREAM_ROWS = 2048
_FEW_ROWS = 16  # wide ones, at once
_FEW_BYTES = 16 * 1024**2  # with more, one at a time


class Exports:
    """Makes exports. One a process."""

    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool
        self._threads = ThreadPoolExecutor(EXPORT_THREADS, thread_name_prefix="export")
        self._running = 0

    async def stream(
        self, parts: Sequence[LocalPart], table: TableSchema, kind: ExportFormat
    ) -> AsyncGenerator[bytes]:
        """The file in chunks of about `CHUNK_BYTES`, each made when it is asked for; raises RateLimited.

        Close it (`aclose`) when it is not read to its end: that frees what it holds.
        """
        if self._running >= EXPORTS_MAX:
            raise RateLimited("Too many downloads are running.", hint="Try again in a minute.")
        filled = [part for part in parts if part.live_rows]
        make = _merged if kind is ExportFormat.PARQUET else self._text
        pulled = _Pulled(_gathered(make(filled, table, kind)))
        loop = asyncio.get_running_loop()
        self._running += 1
        try:
            while chunk := await loop.run_in_executor(self._threads, pulled.next):
                yield chunk
        finally:
            self._running -= 1
            with suppress(RuntimeError):  # the pool is shut down, and its threads with it
                self._threads.submit(pulled.close)

    def close(self) -> None:
        """Let go of the threads; what they are at ends on its own."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _text(
        self, parts: Sequence[LocalPart], table: TableSchema, kind: ExportFormat
    ) -> Iterator[bytes]:
        """Lines of CSV or JSONL, written by DuckDB a vector at a time."""
        if kind is ExportFormat.CSV:
            yield _header(table)
        if not parts:
            return
        engine = self._pool.engine(parts)
        line = _csv_line if kind is ExportFormat.CSV else _json_line
        sql = f"select {line(stored_columns(table, engine.types))} from {engine.scan}"  # noqa: S608 - names of ours, quoted literals
        position = 0
        # DuckDB reads rows by thousands: of wide ones that may be too much.
        with suppress(QueryTooComplex):
            with closing(engine.cursor().stream(sql, [engine.files], _STREAM_ROWS)) as batches:
                for batch in batches:
                    # Deleted rows go here and not in the statement, since DuckDB's joins keep no order.
                    live = engine.gone.live_mask(position, batch.num_rows)
                    position += batch.num_rows
                    yield joined(batch.column(0) if live is None else batch.column(0).filter(live))
            return
        with closing(locked([], settings=WIDE)) as connection:
            for rows in _few_rows(engine, position):
                relation = connection.from_arrow(rows)
                made = relation.project(line(stored_columns(table, relation.types)))
                yield b"".join(map(joined, made.to_arrow_table().column(0).chunks))


class _Pulled:
    """A generator that one thread at a time takes from, and that may be closed while another is at it."""

    def __init__(self, chunks: Generator[bytes]) -> None:
        self._chunks = chunks
        self._lock = threading.Lock()

    def next(self) -> bytes:
        """The next chunk, empty at the end."""
        with self._lock:
            return next(self._chunks, b"")

    def close(self) -> None:
        """Free what the generator holds, once it is not running."""
        with self._lock:
            self._chunks.close()


class _Chunks:
    """A binary file that hands over what was written to it."""

    closed = False

    def __init__(self) -> None:
        self._written: list[bytes] = []
        self._position = 0

    def write(self, data: bytes) -> int:
        self._written.append(bytes(data))
        self._position += len(data)
        return len(data)

    def tell(self) -> int:
        return self._position

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """What was written stays to be taken."""

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self._written = self._written, []
        return b"".join(written)


def _merged(parts: Sequence[LocalPart], table: TableSchema, _kind: ExportFormat) -> Iterator[bytes]:
    """One Parquet file of all parts, a row group at a time."""
    schema = pq.read_schema(parts[0].path) if parts else _empty_schema(table)
    sink, groups = _Chunks(), _live_groups(parts)
    first = next(groups, None)
    with closing(parquet_writer(sink, schema, first)) as writer:
        for rows in chain([] if first is None else [first], groups):
            writer.write_table(rows)
            yield sink.take()
    yield sink.take()


def _live_groups(parts: Sequence[LocalPart]) -> Iterator[pa.Table]:
    """The live rows of each row group."""
    for part in parts:
        gone, start = Gone([0, part.rows], [vectors.read(part.deletes)]), 0
        with pq.ParquetFile(part.path) as file:
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group)
                live = gone.live_mask(start, rows.num_rows)
                start += rows.num_rows
                yield rows if live is None else rows.filter(live)


def _few_rows(engine: Engine, position: int) -> Iterator[pa.Table]:
    """The live rows from this position on, a few at a time, with columns called as the engine calls them."""
    for part, start in zip(engine.parts, engine.starts, strict=False):
        if start + part.rows <= position:
            continue
        end = start
        with pq.ParquetFile(part.path) as file:
            for batch in file.iter_batches(_FEW_ROWS, use_threads=False):
                first, end = max(end, position), end + batch.num_rows
                if first >= end:
                    continue
                rows = batch.slice(batch.num_rows - (end - first))
                live = engine.gone.live_mask(first, rows.num_rows)
                names = [f"c{at}" for at in range(batch.num_columns)]
                chosen = rows if live is None else rows.filter(live)
                table = pa.Table.from_batches([chosen]).rename_columns(names)
                step = 1 if chosen.nbytes > _FEW_BYTES else _FEW_ROWS
                yield from (table.slice(at, step) for at in range(0, table.num_rows, step))


def _gathered(pieces: Iterator[bytes]) -> Generator[bytes]:
    """The same bytes in chunks that are worth sending."""
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        if len(buffer) >= CHUNK_BYTES:
            yield bytes(buffer)
            buffer.clear()
    if buffer:
        yield bytes(buffer)


def _empty_schema(table: TableSchema) -> pa.Schema:
    """The types of a table that has no part which would tell."""
    found = empty.schema(table.columns)  # but Parquet has no struct without a field
    return pa.schema([f.with_type(pa.string()) if f.type == pa.struct([]) else f for f in found])


def _header(table: TableSchema) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow([column.name for column in table.columns])
    return text.getvalue().encode()


def _csv_line(stored: Sequence[Stored]) -> str:
    null = '""' if len(stored) == 1 else ""
    return csv_row([csv_cell(c.sql, c.type, c.column.type, null) for c in stored])


def _json_line(stored: Sequence[Stored]) -> str:
    cells = [json_cell(c.sql, c.type, c.column.type) for c in stored]
    return json_record([c.column.name for c in stored], cells, "\n")
