"""DuckDB over the parts of one table: locked down, pooled, with a deadline, never on the event loop."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import duckdb
from duckdb.sqltypes import DuckDBPyType

from base.errors import QueryTooComplex, TimedOut
from storage.snapshots.cells import MACROS
from storage.snapshots.manifest import LocalPart

if TYPE_CHECKING:
    import pyarrow as pa

    from storage.snapshots.vectors import Gone


class Stoppable(Protocol):
    """What works in a thread and is stopped from another one."""

    def stop(self) -> None:
        """End what is running and refuse more."""


T = TypeVar("T")
S = TypeVar("S", bound=Stoppable)
ENGINES_MAX = 16  # tables that stay open; opening one takes about 20 ms
ENGINE_MEMORY_BYTES = 512 * 1024**2
ENGINE_THREADS = min(os.cpu_count() or 1, 4)
QUERIES_MAX = 4  # at once; the others wait within their deadline
_INTERRUPT_AGAIN_SECONDS = 0.05

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "threads": ENGINE_THREADS,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "allow_persistent_secrets": False,
    "python_enable_replacements": False,
}
_NO_SPILL: dict[str, str | bool | int | float | list[str]] = {
    "temp_directory": "",
    "max_temp_directory_size": "0B",
}
_SETTINGS = (
    "set TimeZone = 'UTC'",
    "set preserve_insertion_order = true",  # paging relies on the order of rows in files
    "set late_materialization_max_rows = 0",  # we fetch rows by position ourselves, in a tenth of the time
    "set parquet_metadata_cache = true",  # parts never change
    "set disable_parquet_prefetching = true",  # parts are at hand, and much of what is read ahead is not needed
)
# A look for equal expressions takes time by the square of the columns: 8 s of CPU for 2,000, 0.7 s without.
WIDE = ("set disabled_optimizers = 'common_subexpressions'",)
# For whoever reads one column after the other, several side by side: what DuckDB keeps in between is given back.
_LEAN = (
    "set threads = 1",
    "set streaming_buffer_size = '1MB'",
    "set allocator_flush_threshold = '1MB'",
    "set allocator_bulk_deallocation_flush_threshold = '1MB'",
)
_LOCKED = ("set enable_external_access = false", "set lock_configuration = true")


def locked(
    files: Sequence[str],
    *,
    memory_bytes: int = ENGINE_MEMORY_BYTES,
    spill: Path | None = None,
    settings: Sequence[str] = (),
    macros: Sequence[str] = MACROS,
) -> duckdb.DuckDBPyConnection:
    """A database of its own that reaches these files and nothing else.

    What does not fit into `memory_bytes` goes to the folder `spill`, or fails where there is none. `settings` are
    statements that are run before the lock; to leave out `macros` spares a third of the time.
    """
    spilling = {"temp_directory": str(spill)} if spill else _NO_SPILL
    connection = duckdb.connect(
        config={**_CONFIG, **spilling, "memory_limit": f"{memory_bytes}B"},
    )
    for macro in macros:
        connection.execute(macro)
    connection.execute("set allowed_paths = ?", [list(files)])
    for setting in (*_SETTINGS, *settings, *_LOCKED):
        connection.execute(setting)
    return connection


def load_gone(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[LocalPart], table: str
) -> None:
    """Make a table of the deleted rows of the parts: `gone_file`, `gone_row`."""
    connection.execute(f"create table {table}(gone_file ubigint, gone_row bigint)")
    for at, part in enumerate(parts):
        if part.deletes:
            connection.execute(
                f"insert into {table} select ?, row from read_parquet(?)",  # noqa: S608 - a name of ours
                [at, str(part.deletes)],
            )


class NoneGone:
    """What `vectors.Gone` is for a table without deleted rows: no row moves, and NumPy is not needed for that."""

    rows = 0

    def __init__(self, all_rows: int) -> None:
        self._all_rows = all_rows

    def live_from(self, start: int, wanted: int) -> list[int]:
        """The first `wanted` positions at or after `start`."""
        return list(range(start, min(start + wanted, self._all_rows)))

    def live_of(self, positions: Sequence[int]) -> list[int]:
        """All of them."""
        return list(positions)

    def live_mask(self, start: int, rows: int) -> None:
        """None: all are live."""


def _gone(starts: Sequence[int], parts: Sequence[LocalPart]) -> Gone | NoneGone:
    if not any(part.deletes for part in parts):
        return NoneGone(starts[-1])
    from storage.snapshots import vectors  # noqa: PLC0415 - Arrow and NumPy

    return vectors.Gone(starts, [vectors.read(part.deletes) for part in parts])


class Engine:
    """One table's files in a database of their own, which can reach nothing else.

    Columns are called `c0`, `c1` … in the order of the files, so that no name of a user's is ever part of SQL. `scan`
    is all rows, in the order of files and rows, `live` those that are not deleted, in no order (a join keeps none);
    both have `file_index` and `file_row_number`, and one parameter: `files`. A lean one gives up speed for memory.
    """

    def __init__(self, parts: Sequence[LocalPart], *, lean: bool = False) -> None:
        self.parts = tuple(parts)
        self.files = [str(part.path) for part in parts]
        self.starts = list(accumulate((part.rows for part in parts), initial=0))
        self.gone = _gone(self.starts, parts)
        self._connection = locked(
            [*self.files, *(str(part.deletes) for part in parts if part.deletes)],
            settings=(*WIDE, *_LEAN) if lean else WIDE,
        )
        if self.gone.rows:
            load_gone(self._connection, parts, "gone")
        first = self._connection.sql("select * from read_parquet(?)", params=[self.files[0]])
        self.types: tuple[DuckDBPyType, ...] = tuple(first.types)
        names = ", ".join(f"c{at}" for at in range(len(self.types)))
        self.scan = f"read_parquet(?) t({names})"
        self.live = self.scan
        if self.gone.rows:
            self.live = (
                f"(select {names}, file_index, file_row_number from {self.scan} anti join gone"  # noqa: S608 - names of ours
                " on gone_file = file_index and gone_row = file_row_number)"
            )

    def cursor(self) -> Cursor:
        """A cursor of its own for one piece of work."""
        return Cursor(self, self._connection.cursor())


class Cursor:
    """Runs single SELECT statements of ours, until it is stopped from another thread."""

    def __init__(self, engine: Engine, connection: duckdb.DuckDBPyConnection) -> None:
        self.engine = engine
        self._connection = connection
        self._stopped = threading.Event()

    def rows(self, sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of a small result."""
        statement = self._checked(sql)
        try:
            return self._connection.execute(statement, list(parameters)).fetchall()
        except duckdb.Error as error:
            raise self._translated(error) from error

    def some(
        self, sql: str, parameters: Sequence[Any], rows: int
    ) -> Generator[list[tuple[Any, ...]]]:
        """A result as lists of `rows` rows, made while they are read: for few rows, as `stream` plans a query twice."""
        statement = self._checked(sql)
        try:
            result = self._connection.execute(statement, list(parameters))
            while found := result.fetchmany(rows):
                yield found
        except duckdb.Error as error:
            raise self._translated(error) from error

    def stream(
        self, sql: str, parameters: Sequence[Any], batch_rows: int
    ) -> Generator[pa.RecordBatch]:
        """A result as Arrow batches of about `batch_rows`, made while they are read."""
        statement = self._checked(sql)
        try:
            relation = self._connection.sql(statement, params=list(parameters))
            yield from relation.to_arrow_reader(batch_rows)
        except (duckdb.Error, OSError) as error:  # errors in mid-stream come as Arrow's
            raise self._translated(error) from error

    def stop(self) -> None:
        """End the running statement and refuse the next; callable from any thread."""
        self._stopped.set()
        self._connection.interrupt()

    def _checked(self, sql: str) -> duckdb.Statement:
        """The statement, parsed once: of a page of rows that takes a quarter of its planning."""
        if self._stopped.is_set():
            raise TimedOut("The query was stopped.")
        statements = self._connection.extract_statements(sql)
        if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
            msg = "only a single SELECT may run over parts"
            raise RuntimeError(msg)
        return statements[0]

    def _translated(self, error: Exception) -> Exception:
        if self._stopped.is_set():
            return TimedOut("The query was stopped.")
        if isinstance(error, duckdb.OutOfMemoryException) or "Out of Memory" in str(error):
            return QueryTooComplex(
                "The query needs more memory than one query may have.",
                hint="Ask for fewer rows or columns, or order by fewer columns.",
            )
        return error


class EnginePool:
    """The engines of the tables used last, and the threads that their queries run in."""

    def __init__(self, queries_max: int = QUERIES_MAX) -> None:
        self._engines: OrderedDict[tuple[LocalPart, ...], Engine] = OrderedDict()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(queries_max, thread_name_prefix="rows")

    def engine(self, parts: Sequence[LocalPart]) -> Engine:
        """Blocking: the engine of these parts, made where there is none yet."""
        key = tuple(parts)  # the delete vectors included: with another one a part is another table
        with self._lock:
            found = self._engines.get(key)
            if found is None:
                found = self._engines[key] = Engine(key)
            self._engines.move_to_end(key)
            if len(self._engines) > ENGINES_MAX:
                self._engines.popitem(last=False)  # its cursors keep it alive until they are done
        return found

    async def run(
        self, parts: Sequence[LocalPart], work: Callable[[Cursor], T], seconds: float
    ) -> T:
        """Run blocking work with a cursor in a thread; TimedOut after `seconds`, waiting for a thread included.

        Time-out and cancellation stop the statement that is running.
        """
        return await self.run_on(lambda: self.engine(parts).cursor(), work, seconds)

    async def run_on(self, make: Callable[[], S], work: Callable[[S], T], seconds: float) -> T:
        """The same with what `make` opens, in the thread, in place of a cursor."""
        loop = asyncio.get_running_loop()
        task = _Task(make, work)
        future = loop.run_in_executor(self._threads, task.run)
        future.add_done_callback(_consume)
        try:
            done, _ = await asyncio.wait({future}, timeout=seconds)
            if not done:
                raise TimedOut(
                    f"Reading rows took longer than {seconds:g} seconds.",
                    hint="Filter or order by fewer columns.",
                )
            return future.result()
        finally:
            _stop(loop, future, task)

    def close(self) -> None:
        """Let go of all engines and threads; running queries end on their own."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._engines.clear()


class _Task(Generic[S, T]):
    """Work that can be stopped before, while and after it has what it works with."""

    def __init__(self, make: Callable[[], S], work: Callable[[S], T]) -> None:
        self._make = make
        self._work = work
        self._opened: S | None = None
        self._stopped = False

    def run(self) -> T:
        self._opened = self._make()
        if self._stopped:
            self._opened.stop()
        return self._work(self._opened)

    def stop(self) -> None:
        self._stopped = True
        if self._opened is not None:
            self._opened.stop()


def _stop(loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any], task: _Task[S, T]) -> None:
    """Stop work that is not done; again until it is, as an interrupt between two statements is lost."""
    if future.done():
        return
    task.stop()
    loop.call_later(_INTERRUPT_AGAIN_SECONDS, _stop, loop, future, task)


def _consume(future: asyncio.Future[Any]) -> None:
    """Nobody waits for the result of stopped work; its exception is not an unheard one."""
    if not future.cancelled():
        future.exception()
