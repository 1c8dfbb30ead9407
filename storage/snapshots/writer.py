"""Arrow batches into durable Parquet parts, in bounded memory, written while the next batch is read."""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from queue import Queue
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from storage.local import is_full, storage_full
from storage.snapshots import encodings
from storage.snapshots.manifest import Part

PART_ROWS = 256 * 1024
PART_BYTES = 64 * 1024**2  # of Arrow data, before compression
ROW_GROUP_ROWS = 128 * 1024
PAGE_ROWS = 4096  # a reader of single rows skips pages without unpacking them
WRITE_BYTES = 1024**2  # at once
QUEUE_BATCHES = 8
QUEUE_BYTES = 12 * 1024**2  # what a row group takes to be written is read meanwhile


@dataclass(frozen=True, slots=True)
class Finished:
    """A part that is durable, and how far: the first `batches` batches that `write` took are in this and earlier parts.

    `position` is what came with the last of those batches; a later attempt goes on after it.
    """

    part: Part
    batches: int
    position: Any = None


@dataclass(slots=True)
class _Open:
    """The part being written."""

    path: Path
    sink: HashedFile
    writer: pq.ParquetWriter | None = None  # opened with the first row group
    rows: int = 0
    data_bytes: int = 0
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    waiting_rows: int = 0


class PartWriter:
    """Writes one table as the parts `<prefix>/<first>.parquet`, `<prefix>/<first + 1>.parquet` and so on.

    Blocking; used by one thread. A thread of its own encodes, hashes and syncs while the caller reads on, at most
    `QUEUE_BATCHES` batches or `QUEUE_BYTES` behind. A batch is never split over two parts, so a part ends with a batch.
    All batches have the same schema. Failures of that thread (StorageFull among them) come out of the next `write` or
    of `finish`.

    Use it as a context manager: left without `finish`, it drops the part it was at. Parts reported before stay.
    """

    def __init__(
        self,
        scratch: Path,
        adopt: Callable[[Path, str], None],
        prefix: str,
        *,
        first: int = 0,
        part_rows: int = PART_ROWS,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._scratch = scratch
        self._adopt = adopt
        self._prefix = prefix
        self._number = first
        self._part_rows = part_rows
        self._part_bytes = part_bytes
        self._room = _Room(QUEUE_BYTES)
        self._queue: Queue[tuple[pa.RecordBatch, Any] | None] = Queue(QUEUE_BATCHES)
        self._done: Queue[Finished] = Queue()
        self._failure: BaseException | None = None
        self._dropped = False
        self._open: _Open | None = None
        self._batches = 0
        self._position: Any = None
        self._thread = threading.Thread(target=self._run, name="part-writer", daemon=True)
        self._thread.start()

    def write(self, batch: pa.RecordBatch, position: Any = None) -> list[Finished]:
        """Take a batch; the parts that became durable since the last call. Blocks while the writing is behind."""
        self._raise_failure()
        self._room.take(batch.nbytes)
        self._queue.put((batch, position))
        return self._take_done()

    def finish(self) -> list[Finished]:
        """Write what is left and wait; the last parts. Nothing may be written after it."""
        self._stop()
        self._raise_failure()
        return self._take_done()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._dropped = True
        self._stop()

    def _stop(self) -> None:
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _take_done(self) -> list[Finished]:
        return [self._done.get_nowait() for _ in range(self._done.qsize())]

    def _run(self) -> None:
        """The writing thread. It takes every batch, also after a failure, so that the caller never waits for ever."""
        while (item := self._queue.get()) is not None:
            if self._failure is None and not self._dropped:
                self._guarded(self._append, *item)
            self._room.give_back(item[0].nbytes)
        if self._failure is None and not self._dropped:
            self._guarded(self._close_part)
        self._discard()

    def _guarded(self, step: Callable[..., None], *arguments: Any) -> None:
        try:
            step(*arguments)
        except OSError as error:
            self._failure = storage_full() if is_full(error) else error
            self._failure.__cause__ = error if is_full(error) else None
        except BaseException as error:  # noqa: BLE001 - carried over to the caller's thread
            self._failure = error

    def _append(self, batch: pa.RecordBatch, position: Any) -> None:
        self._batches += 1
        self._position = position
        if batch.num_rows == 0:
            return
        part = self._open or self._open_part()
        part.waiting.append(batch)
        part.waiting_rows += batch.num_rows
        part.rows += batch.num_rows
        part.data_bytes += batch.nbytes
        if part.rows >= self._part_rows or part.data_bytes >= self._part_bytes:
            self._close_part()
        elif part.waiting_rows >= ROW_GROUP_ROWS:
            _flush(part)

    def _open_part(self) -> _Open:
        path = self._scratch / f"{secrets.token_hex(16)}.part"
        self._open = _Open(path, HashedFile(path))
        return self._open

    def _close_part(self) -> None:
        part = self._open
        if part is None:
            return
        _flush(part).close()
        part.sink.close()
        key = f"{self._prefix}/{self._number}.parquet"
        self._adopt(part.path, key)
        self._open = None
        self._number += 1
        stored = Part(key, part.rows, part.sink.size_bytes, part.sink.digest.hexdigest())
        self._done.put(Finished(stored, self._batches, self._position))

    def _discard(self) -> None:
        """Remove a part that did not become an object."""
        if self._open is not None:
            self._open.sink.discard()
            if self._open.writer is not None:
                self._open.writer.close()
            self._open.path.unlink(missing_ok=True)
            self._open = None


class _Room:
    """So many bytes for what waits; one batch that is larger waits alone."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def take(self, size_bytes: int) -> None:
        """Block until it fits."""
        with self._changed:
            self._changed.wait_for(
                lambda: not self._taken or self._taken + size_bytes <= self._size_bytes
            )
            self._taken += size_bytes

    def give_back(self, size_bytes: int) -> None:
        """Let the next one in."""
        with self._changed:
            self._taken -= size_bytes
            self._changed.notify()


class HashedFile:
    """A new file that knows the hash and size of what was written to it. Parquet writes front to back."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb", buffering=0)
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def write(self, data: bytes) -> int:
        """Write all of it, or raise."""
        if self._file.closed:
            return len(data)
        view = memoryview(data)
        self.digest.update(view)
        while view:
            written = self._file.write(view)
            self.size_bytes += written
            view = view[written:]
        return len(data)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fsync(self._file.fileno())

    def tell(self) -> int:
        """Where the next byte goes."""
        return self.size_bytes

    def flush(self) -> None:
        """Nothing is buffered here."""

    def discard(self) -> None:
        """Forget what is written from now on, so that a Parquet writer can be closed on a full disk."""
        self._file.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        self._file.close()

    @property
    def closed(self) -> bool:
        """Never for Arrow, which must not end the file before it is synced."""
        return False


class _Writer(pq.ParquetWriter):  # type: ignore[misc]  # Arrow has no types
    """Writes its many small pieces together: each of them would wait for the thread that reads."""

    def close(self) -> None:
        """Write the end of the file, and what is still held back."""
        is_open = self.is_open
        super().close()
        if is_open:
            self.where.detach()


def parquet_writer(
    sink: Any,
    schema: pa.Schema,
    sample: pa.RecordBatch | pa.Table | None = None,
    group_rows: int = 0,
) -> pq.ParquetWriter:
    """A writer with the settings of our parts; `sink` is a binary file, written front to back.

    `sample` are the first rows, by which the encodings are chosen; see there, also for `group_rows`.
    """
    return _Writer(
        pa.BufferedOutputStream(pa.PythonFile(sink, mode="w"), WRITE_BYTES),
        schema,
        max_rows_per_page=PAGE_ROWS,
        write_statistics=True,
        **encodings.options(schema, sample, group_rows),
    )


def _flush(part: _Open) -> pq.ParquetWriter:
    """Write the waiting batches, if any, as one row group, or as several where a batch is large."""
    rows = part.waiting_rows
    # A whole number of groups: a few rows over the size do not make a group of their own.
    group_rows = -(-rows // max(rows // ROW_GROUP_ROWS, 1))
    if part.writer is None:
        first = part.waiting[0]
        part.writer = parquet_writer(part.sink, first.schema, first, group_rows)
    if part.waiting:
        part.writer.write_table(pa.Table.from_batches(part.waiting), row_group_size=group_rows)
        part.waiting.clear()
        part.waiting_rows = 0
    return part.writer
