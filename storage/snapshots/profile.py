"""Statistics of every column of a stored table, over every live row, computed once, while the table is synced.

Numbers, dates and times are taken out of DuckDB as 64-bit values and sorted, a column at a time: that gives distinct
values, median, histogram and top values exactly, and at 2,000,000 rows it takes a fifth of the time of sketches. All
other values are counted by their 64-bit hashes, and by themselves where there are few; in a large column a look at some
rows tells, which spares the hashes. What a column holds never makes this fail: what would not fit in memory is left
out, and `method` says so.

DEFINITIONS. `count` is the number of values that are not null. NaN and infinities are no part of mean, deviation,
median and histogram, and NaN is neither min nor max; the deviation is that of a sample. A bin holds the values from
`lower` up to, but without, `upper`; the last one includes it. `top` leaves out values that occur once, unless the
column has no more than `TOP_MAX` different ones.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.errors import QueryTooComplex
from base.tables import TableSchema
from storage.snapshots import vectors
from storage.snapshots.codes import Code, code_of, doubles, edges
from storage.snapshots.counting import Middle, Moments, Runs, Values, sort
from storage.snapshots.described import EXACT, TOP_MAX, Described
from storage.snapshots.engine import Cursor, Engine, locked
from storage.snapshots.extremes import Extremes
from storage.snapshots.filters import Stored, stored_columns
from storage.snapshots.manifest import LocalPart
from storage.snapshots.profile_sql import (
    cell_of,
    double_of,
    ends_of,
    hash_of,
    order_of,
    sample_of,
    shown,
)

GROUPS_MAX = 10_000  # different values that are counted by themselves, not by their hashes
BYTES_A_ROW = 32  # that sorting and counting a column in one block takes
BYTES_A_ROW_OF_MANY = 128  # where its blocks have to be put together
MANY_BYTES_MAX = 256 * 1024**2  # with more, several blocks are not faster
THREADS = min(os.cpu_count() or 1, 2)  # columns at once
GROUP_COLUMNS_MAX = 64  # read in one statement
GROUP_VALUES_MAX = 1024**2
SAMPLE_ROWS = 16 * 1024  # at the start of the part in the middle
REPEATS_MIN = 2  # of a value in them, on average, where there seem to be few
GROUPS_TRIED_MAX = (
    1024**2
)  # different values that there may be by the sample: what counting them in vain may take
HELD_COLUMNS_MIN = 8
HELD_ROWS_MAX = 50_000
HELD_BYTES_MAX = 64 * 1024**2
_STREAM_ROWS = 64 * 1024
_COUNTED_ROWS = 64

_Decode = Callable[[pa.ChunkedArray], Values]


def profile(
    parts: Sequence[LocalPart], table: TableSchema, folder: Path, *, memory_bytes: int
) -> dict[str, Any]:
    """Blocking: `{"columns": [{column, count, nulls, distinct, …}]}`, cells in the form in which rows show them.

    `folder` takes what does not fit in `memory_bytes` of arrays; DuckDB's own share comes on top. Nothing stays there.
    """
    filled = [part for part in parts if part.live_rows]
    if not filled:
        columns = [Described(column.name) for column in table.columns]
    else:
        columns = _Table(filled, table, folder, memory_bytes).columns()
    return {"columns": [column.to_json() for column in columns]}


class _Table:
    """One table at work."""

    def __init__(
        self, parts: Sequence[LocalPart], table: TableSchema, folder: Path, memory_bytes: int
    ) -> None:
        self._engine = Engine(parts, lean=True)
        self._own = threading.local()  # what each thread has: a cursor, and where its blocks are
        self._is_alone = True
        self._stored = stored_columns(table, self._engine.types)
        self._held: duckdb.DuckDBPyConnection | None = None
        self._is_held = False
        self._rows = sum(part.live_rows for part in parts)
        self._columns_at_once = max(1, min(GROUP_COLUMNS_MAX, GROUP_VALUES_MAX // self._rows))
        self._folder = folder
        self._extremes_known = Extremes(parts)
        self._block_rows = memory_bytes // THREADS // BYTES_A_ROW
        if self._rows > self._block_rows:
            many = min(memory_bytes, MANY_BYTES_MAX) // THREADS // BYTES_A_ROW_OF_MANY
            self._block_rows = max(many, _STREAM_ROWS)

    def columns(self) -> list[Described]:
        """All columns, several of a small table in one statement, and of a large one side by side."""
        at_once = self._columns_at_once
        starts = range(0, len(self._stored), at_once)
        groups = [self._stored[start : start + at_once] for start in starts]
        if self._rows <= HELD_ROWS_MAX:
            return [column for group in groups for column in self._together(group)]
        self._is_alone = False
        with ThreadPoolExecutor(THREADS, "profile") as pool:
            tried = list(pool.map(self._tried, groups))
        self._is_alone = True
        return [
            column
            for group, found in zip(groups, tried, strict=True)
            for column in found or self._together(group)
        ]

    @property
    def _cursor(self) -> Cursor:
        """Of the thread that asks."""
        if not hasattr(self._own, "cursor"):
            self._own.cursor = self._engine.cursor()
        cursor: Cursor = self._own.cursor
        return cursor

    def _tried(self, group: Sequence[Stored]) -> list[Described] | None:
        """These columns; None where there is not enough memory for them beside others."""
        try:
            return self._read_once(group)
        except QueryTooComplex:
            return None

    def _together(self, group: Sequence[Stored]) -> list[Described]:
        """These columns; where they do not fit in memory each by itself, or if need be just counted."""
        try:
            return self._read_once(group)
        except QueryTooComplex:
            if len(group) == 1:
                return [self._counted(group[0])]
        return [column for stored in group for column in self._together([stored])]

    def _read_once(self, group: Sequence[Stored]) -> list[Described]:
        codes = [code_of(stored) for stored in group]
        wanted = [
            (code.sql, code.read) if code else (hash_of(stored), _hashes)
            for stored, code in zip(group, codes, strict=True)
        ]
        reads = self._read(wanted)
        hashed = [stored for stored, code in zip(group, codes, strict=True) if code is None]
        self._hold(hashed)
        extremes = self._extremes(hashed)
        return [
            self._hashed(stored, blocks, extremes)
            if code is None
            else self._ordered(stored.column.name, code, blocks)
            for stored, code, blocks in zip(group, codes, reads, strict=True)
        ]

    def _counted(self, stored: Stored) -> Described:
        """A column with values of many MB each, a few rows at a time."""
        found = Described(stored.column.name, distinct=None, distinct_is_exact=False)
        at = self._stored.index(stored)
        for part in self._engine.parts:
            gone = vectors.read(part.deletes)
            with pq.ParquetFile(part.path) as file:
                start = 0
                name = file.schema_arrow.names[at]
                for batch in file.iter_batches(_COUNTED_ROWS, columns=[name]):
                    is_value = batch.column(0).is_valid().to_numpy(zero_copy_only=False).copy()
                    here = gone[(gone >= start) & (gone < start + len(is_value))]
                    is_value[here.astype(np.int64) - start] = False
                    found.count += int(np.count_nonzero(is_value))
                    start += len(is_value)
        found.nulls = self._rows - found.count
        found.method.append("Its values are too large for more than counts, which are exact.")
        return found

    # --- reading

    def _read(self, wanted: Sequence[tuple[str, _Decode]]) -> list[Iterator[Values]]:
        """The values of these SQL expressions without nulls, in blocks."""
        if len(wanted) == 1:
            return [self._blocks(*wanted[0])]
        columns = ", ".join(f"{sql} v{at}" for at, (sql, _) in enumerate(wanted))
        with closing(self._stream(columns)) as batches:
            data = pa.Table.from_batches(list(batches))
        return [
            iter([decode(column.drop_null())])
            for column, (_, decode) in zip(data.columns, wanted, strict=True)
        ]

    def _hold(self, columns: Sequence[Stored]) -> None:
        """Keep many columns of few rows at hand: a statement over files takes time for each of their columns."""
        self._is_held = False
        if len(columns) < HELD_COLUMNS_MIN or self._rows > HELD_ROWS_MAX:
            return
        with closing(self._stream(", ".join(stored.sql for stored in columns))) as batches:
            data = pa.Table.from_batches(list(batches))
        if data.nbytes <= HELD_BYTES_MAX:
            self._held = self._held or locked([])
            self._held.register("held", data)
            self._is_held = True

    def _select(self, before: str, after: str) -> list[tuple[Any, ...]]:
        """The rows of a statement, between whose halves the name of the table belongs."""
        if self._is_held and self._held is not None:
            return self._held.execute(f"{before}held{after}").fetchall()
        sql = f"{before}{self._engine.live}{after}"
        return self._cursor.rows(sql, [self._engine.files])

    def _blocks(self, wanted: str, decode: _Decode) -> Iterator[Values]:
        block: Values | None = None
        rows, left = 0, self._rows
        with closing(self._stream(f"{wanted} v")) as batches:
            for batch in batches:
                values = decode(pa.chunked_array([batch.column(0).drop_null()]))
                if block is not None and rows + len(values) > len(block):
                    full, block = block[:rows], None
                    yield full
                    del full
                if block is None:
                    size = max(min(left, self._block_rows), len(values))
                    block, rows = self._space(size, values.dtype), 0
                block[rows : rows + len(values)] = values
                rows += len(values)
                left -= batch.num_rows
        if block is not None and rows:
            yield block[:rows]

    def _space(self, size: int, dtype: np.dtype[Any]) -> Values:
        """An array for a block; one for all columns of a thread where each is a single block."""
        if self._rows > self._block_rows:
            return np.empty(size, dtype)
        if not hasattr(self._own, "space"):
            self._own.space = np.empty(self._rows, np.int64)
        space: Values = self._own.space[:size].view(dtype)
        return space

    def _stream(self, columns: str) -> Generator[pa.RecordBatch]:
        sql = f"select {columns} from {self._engine.live}"  # noqa: S608 - names and numbers of ours
        return self._cursor.stream(sql, [self._engine.files], _STREAM_ROWS)

    # --- numbers, dates and times

    def _ordered(self, name: str, code: Code, blocks: Iterator[Values]) -> Described:
        found, special, ends = Described(name), dict[str, int](), list[Any]()
        moments, middle = Moments(), Middle()
        with closing(Runs(self._folder, self._block_rows)) as runs:
            for values in blocks:
                found.count += len(values)
                block = code.finite(values, special)
                del values
                sort(block)
                runs.add(block)
                middle.add(block)
                if code.is_number:
                    moments.add(block)
                ends += [block[0].item(), block[-1].item()] if len(block) else []
            distinct, top = runs.top(TOP_MAX)
        found.nulls = self._rows - found.count
        found.distinct = distinct + len(special)
        cells = code.cells(self._cursor, [value for value, _ in top])
        counted = [(cell, count) for cell, (_, count) in zip(cells, top, strict=True)]
        found.set_top([*counted, *special.items()])
        if ends:
            found.min, found.max = code.cells(self._cursor, [min(ends), max(ends)])
            if code.is_number:
                _set_numbers(found, code, moments, middle)
            if code.has_bins:
                self._set_bins(found, code, (min(ends), max(ends)), middle)
        _set_special(found, special, code)
        return found

    def _set_bins(
        self, found: Described, code: Code, ends: tuple[Any, Any], middle: Middle
    ) -> None:
        lowers = edges(*ends)
        counts = np.zeros(len(lowers), np.int64)
        for block in self._sorted_again(code, middle):
            starts = np.searchsorted(block, np.array(lowers, block.dtype), "left")
            counts += np.diff(np.append(starts, len(block)))
        cells = code.cells(self._cursor, [*lowers, ends[1]])
        found.histogram = [
            {"lower": lower, "upper": upper, "count": count}
            for lower, upper, count in zip(cells[:-1], cells[1:], counts.tolist(), strict=True)
        ]

    def _sorted_again(self, code: Code, middle: Middle) -> Iterator[Values]:
        """The column in sorted blocks once more; a single block is still there."""
        if middle.samples is None and middle.first is not None:
            yield middle.first
            return
        for values in self._blocks(code.sql, code.read):
            block = code.finite(values, {})
            sort(block)
            yield block

    # --- all other values

    def _extremes(self, columns: Sequence[Stored]) -> dict[str, tuple[Any, Any]]:
        """Smallest and largest value of the columns that have an order, by their SQL names."""
        ends = {stored.sql: self._stored_ends(stored) for stored in columns}
        known = {name: each for name, each in ends.items() if each is not None}
        wanted = [
            (stored.sql, stored, order)
            for stored in columns
            if stored.sql not in known and (order := order_of(stored))
        ]
        if not wanted:
            return known
        found = ", ".join(
            f"{low} low{at}, {high} high{at}" for at, (_, _, (low, high)) in enumerate(wanted)
        )
        cells = ", ".join(
            cell_of(f"{end}{at}", stored)
            for at, (_, stored, _) in enumerate(wanted)
            for end in ("low", "high")
        )
        try:
            before = f"select {cells} from (select {found} from "  # noqa: S608 - names of ours
            values = self._select(before, ")")[0]
        except QueryTooComplex:  # texts of many MB
            if not self._is_alone:
                raise
            return known
        return known | {
            name: (shown(values[2 * at]), shown(values[2 * at + 1]))
            for at, (name, _, _) in enumerate(wanted)
        }

    def _stored_ends(self, stored: Stored) -> tuple[Any, Any] | None:
        """What the parts themselves say of the ends of texts, which are in the order of their bytes."""
        if stored.type.id != "varchar" or order_of(stored) != ends_of(stored.sql):
            return None
        ends = self._extremes_known.texts(self._stored.index(stored))
        if ends is None:
            return None
        low, high = (cell_of(name, stored) for name in ("low", "high"))
        sql = f"select {low}, {high} from (select ?::varchar low, ?::varchar high)"  # noqa: S608 - names of ours
        ((least, most),) = self._cursor.rows(sql, list(ends))
        return shown(least), shown(most)

    def _hashed(
        self,
        stored: Stored,
        blocks: Iterator[Values],
        extremes: dict[str, tuple[Any, Any]],
    ) -> Described:
        found = Described(stored.column.name)
        if not self._set_groups(found, stored):
            self._set_hashes(found, stored, blocks)
        found.nulls = self._rows - found.count
        found.min, found.max = extremes.get(stored.sql, (None, None))
        number = double_of(stored)
        if number:
            finite = f"case when isfinite({number}) then {number} end"
            code = doubles(finite)
            numbers = self._ordered(found.column, code, self._blocks(finite, code.read))
            found.mean, found.stddev, found.median = numbers.mean, numbers.stddev, numbers.median
            found.histogram = numbers.histogram
            found.method.append("Mean, stddev, median and histogram are of the nearest doubles.")
        return found

    def _set_groups(self, found: Described, stored: Stored) -> bool:
        """Count a column of few different values by these alone; False where there may be many, and nothing is set."""
        if self._columns_at_once > 1:
            return False
        try:
            rows = self._groups(stored) if self._seems_few(stored) else []
        except QueryTooComplex:
            return False
        if not rows or rows[0][2] > GROUPS_MAX:
            return False
        _, _, found.distinct, found.count = rows[0]
        found.set_top([(shown(cell), count) for cell, count, _, _ in rows])
        return True

    def _seems_few(self, stored: Stored) -> bool:
        """Whether some rows of the column hold so few different values that all may, deleted ones included."""
        files = self._engine.files
        sql = sample_of(stored, self._engine.scan, SAMPLE_ROWS)
        ((count, distinct),) = self._cursor.rows(sql, [[files[len(files) // 2]]])
        return bool(
            0 < distinct * REPEATS_MIN <= count
            and distinct <= GROUPS_MAX
            and distinct * self._rows <= GROUPS_TRIED_MAX * count
        )

    def _groups(self, stored: Stored) -> list[tuple[Any, ...]]:
        """The most frequent values as cells, and their counts; with each the number of different ones, and of all."""
        name = stored.sql
        return self._select(
            f"select {cell_of(name, stored)} cell, n, count(*) over (), sum(n) over ()::bigint from"  # noqa: S608 - names and numbers of ours
            f" (select {name}, count(*) n from ",
            f" where {name} is not null group by {name}) order by n desc, cell limit {TOP_MAX}",
        )

    def _set_hashes(self, found: Described, stored: Stored, blocks: Iterator[Values]) -> None:
        """Count a column by the hashes of its values."""
        with closing(Runs(self._folder, self._block_rows)) as runs:
            for block in blocks:
                found.count += len(block)
                sort(block)
                runs.add(block)
            found.distinct, top = runs.top(TOP_MAX)
        try:
            self._set_frequent(found, stored, top)
        except QueryTooComplex:
            if not self._is_alone:
                raise
            found.distinct_is_exact = False
            found.method.append("Its values are too large for top values.")

    def _set_frequent(
        self, found: Described, stored: Stored, top: Sequence[tuple[int, int]]
    ) -> None:
        """Top values by the values themselves, and what the count of different hashes is worth."""
        distinct = found.distinct or 0
        if distinct == found.count > TOP_MAX:  # different hashes are of different values
            found.set_top([])
            return
        if distinct > GROUPS_MAX:
            found.distinct_is_exact = False
            found.method.append(
                "Distinct and top values count 64-bit hashes: they are wrong only where two values share one;"
                " the rest is exact."
            )
            counted = {value: count for value, count in top if count > 1}
            cells = self._cells_of(stored, list(counted))
            pairs = sorted((-counted[value], cell) for value, cell in cells.items())
            found.set_top([(shown(cell), -count) for count, cell in pairs])
            return
        rows = self._groups(stored)
        if found.distinct_is_exact and rows:
            found.distinct = rows[0][2]
        found.set_top([(shown(cell), count) for cell, count, _, _ in rows])

    def _cells_of(self, stored: Stored, wanted: Sequence[int]) -> dict[int, str]:
        """A value, as its cell, for each of these hashes: what is frequent is mostly in the first part."""
        found: dict[int, str] = {}
        names = f"select {hash_of(stored)} h, {cell_of('any_value(' + stored.sql + ')', stored)}"
        for file in self._engine.files:
            left = [str(value) for value in wanted if value not in found]
            if not left:
                break
            where = f"where {hash_of(stored)} in ({', '.join(left)}) group by h"
            rows = self._cursor.rows(f"{names} from {self._engine.scan} {where}", [[file]])
            found.update(rows)
        return found


def _set_numbers(found: Described, code: Code, moments: Moments, middle: Middle) -> None:
    """Mean, deviation and median, from values that are not rounded before the end."""
    around, pivot = middle.around(), moments.pivot
    assert around is not None
    low, high = (code.exact(value.item()) for value in around)
    found.median = _float((low + high) / 2)
    if math.isfinite(moments.sum):
        away = Fraction(moments.sum) / moments.count / 10**code.scale
        found.mean = _float(code.exact(pivot.item()) + away)
    deviation = moments.deviation
    found.stddev = None if deviation is None else _float(Fraction(deviation) / 10**code.scale)
    if middle.error:
        found.method.append(
            f"The median is within {middle.error:.2%} of the middle by rank; the rest is exact."
        )


def _set_special(found: Described, special: dict[str, int], code: Code) -> None:
    """NaN and infinities: counted, in the order, and left out of the arithmetic."""
    if not special:
        return
    endless = sorted(name for name in special if name != "NaN")  # the negative one first
    if endless and (found.min is None or endless[0].startswith("-")):
        found.min = endless[0]
    if endless and (found.max is None or not endless[-1].startswith("-")):
        found.max = endless[-1]
    names = ", ".join(f"{name} ({count})" for name, count in sorted(special.items()))
    what = "mean, stddev, median and histogram" if code.is_number else "the histogram"
    found.method = [*(found.method or [EXACT]), f"Left out of {what}: {names}."]


def _float(value: Fraction) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _hashes(read: pa.ChunkedArray) -> Values:
    chunks = [chunk.to_numpy() for chunk in read.chunks]
    return np.concatenate(chunks) if chunks else np.empty(0, np.uint64)
