"""MERGE of few rows without a database, which takes longer to open than this takes.

New keys are looked up in the stored key columns, and of other columns only what is needed to tell apart rows of one key
is read. It gives what `matching` gives, or nothing where only a database can tell.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from base.tables import ColumnType
from storage.snapshots import vectors
from storage.snapshots.manifest import LocalPart
from storage.snapshots.relations import ROW_BITS, Outcome, Places
from storage.snapshots.writer import PART_BYTES

_COPIES = 4  # of a column of the new rows, in memory at once
_CODES_MAX = 2**62
TEXT_KEY_ROWS_MAX = 1_000_000  # a database reads more texts faster, its opening included
_DIRECTORY_KEYS_MAX = 8 * 1024**2  # 32 MiB
_NOTHING: Places = np.empty(0, np.int64)
_THREADS = min(os.cpu_count() or 1, 4)

Numbers = npt.NDArray[np.int64]


def run(
    base: Sequence[LocalPart],
    staged: Sequence[LocalPart],
    key: Sequence[str],
    cursor: str | None,
    cursor_type: ColumnType | None,
    memory_bytes: int,
) -> Outcome | None:
    """Blocking: which rows go, as `matching.Merge` says where not all rows were read.

    None for many new rows, a key without a value, or columns that Arrow does not compare as a database does.
    """
    if not staged or len(staged) * _COPIES * PART_BYTES > memory_bytes:
        return None
    schema = pq.read_schema(staged[0].path)
    named = list(dict.fromkeys([*key, *([cursor] if cursor else [])]))  # a key may be the cursor
    if not all(name in schema.names for name in named):
        return None
    if not _can_probe([schema.field(name).type for name in key], base):
        return None
    rows = _read(staged, named)
    if any(rows.columns[name].null_count for name in key):
        return None
    keys = _Keys.of([rows.columns[name] for name in key])
    newest = _newest(rows, keys, cursor, cursor_type) if keys is not None else None
    if keys is None or newest is None:
        return None
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="merge") as threads:
        matched = list(threads.map(partial(_matches, key=key, keys=keys), base))
        pairs = [
            _Pairs(part, each.rows, newest[each.keys])
            for part, each in zip(base, matched, strict=True)
        ]
        others = _by_cost(schema, staged[0], {*key, cursor})
        same = _same(pairs, rows, staged, [*([cursor] if cursor else []), *others], schema, threads)
    return None if same is None else _settled(rows, newest, pairs, same)


def _can_probe(key: Sequence[pa.DataType], base: Sequence[LocalPart]) -> bool:
    """Whether keys of these types can be looked up, and that faster than a database does."""
    is_small = sum(part.rows for part in base) <= TEXT_KEY_ROWS_MAX
    return all(map(_is_exact, key)) and (is_small or not any(map(_is_text, key)))


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Rows:
    """Live rows: their places, and some columns."""

    places: Places
    columns: dict[str, pa.Array]


@dataclass(frozen=True, slots=True)
class _Directory:
    """The numbers of integer keys that lie close together: `numbers[key - low]`, or -1 where there is no such key."""

    low: int
    numbers: npt.NDArray[np.int32]

    @classmethod
    def of(cls, keys: pa.Array) -> _Directory | None:
        """None for other keys."""
        bounds = _bounds(keys)
        if bounds is None or bounds[1] - bounds[0] >= _DIRECTORY_KEYS_MAX:
            return None
        numbers = np.full(bounds[1] - bounds[0] + 1, -1, np.int32)
        numbers[_numbers(keys) - bounds[0]] = np.arange(len(keys), dtype=np.int32)
        return cls(bounds[0], numbers)

    def find(self, keys: Numbers) -> tuple[Numbers, Numbers]:
        """Which of the keys are here, and their numbers."""
        # Unsigned, what lies below is large too: one comparison, and no overflow of what is far away.
        offsets = (keys - np.int64(self.low)).view(np.uint64)
        near = np.flatnonzero(offsets < len(self.numbers))
        found = self.numbers[offsets[near]]
        is_found = found >= 0
        return near[is_found], found[is_found].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Keys:
    """The different keys of some rows, numbered from 0. `numbers` are the rows' keys.

    A key of several columns is first a code of the numbers of its cells; `codes` are those there are, sorted. A key of
    one integer is found in a `directory`, which is several times as fast as a hash table.
    """

    cells: list[pa.Array]
    codes: Numbers | None
    numbers: Numbers
    count: int
    directory: _Directory | None = None

    @classmethod
    def of(cls, columns: Sequence[pa.Array]) -> _Keys | None:
        """None where there are more codes than numbers."""
        encoded = [column.dictionary_encode() for column in columns]
        cells = [each.dictionary for each in encoded]
        numbers = [each.indices.to_numpy().astype(np.int64) for each in encoded]
        if len(cells) == 1:
            return cls(cells, None, numbers[0], len(cells[0]), _Directory.of(cells[0]))
        codes, largest = numbers[0], len(cells[0])
        for other, values in zip(numbers[1:], cells[1:], strict=True):
            codes, largest = codes * len(values) + other, largest * len(values)
        if largest > _CODES_MAX:
            return None
        found, inverse = np.unique(codes, return_inverse=True)
        return cls(cells, found, inverse.astype(np.int64), len(found))

    def find(self, columns: Sequence[pa.ChunkedArray]) -> tuple[Numbers, Numbers]:
        """Which of the rows have one of the keys, and the numbers of their keys."""
        if self.directory is not None and not columns[0].null_count:
            return self.directory.find(columns[0].to_numpy().astype(np.int64, copy=False))
        found = pc.index_in(columns[0], value_set=self.cells[0])
        rows = _true(pc.is_valid(found))
        codes = _numbers(found.drop_null())
        for column, values in zip(columns[1:], self.cells[1:], strict=True):
            other = pc.index_in(column.take(pa.array(rows)), value_set=values)
            both = _true(pc.is_valid(other))
            rows, codes = rows[both], codes[both] * len(values) + _numbers(other.drop_null())
        if self.codes is None or not len(codes):
            return rows, codes
        at = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        both = self.codes[at] == codes
        return rows[both], at[both].astype(np.int64)


@dataclass(frozen=True, slots=True)
class _Matches:
    """Live rows of a stored part, ascending, and the numbers of their keys."""

    rows: Numbers
    keys: Numbers


def _matches(part: LocalPart, key: Sequence[str], keys: _Keys) -> _Matches:
    """The rows that have one of the keys."""
    rows, numbers = [_NOTHING], [_NOTHING]
    bounds = _bounds(keys.cells[0])
    with part.path.open("rb") as opened:
        file = pq.ParquetFile(opened)
        start = 0
        for group in range(file.num_row_groups):
            stored = file.metadata.row_group(group)
            if not _is_apart(stored, file.schema_arrow.names, key[0], bounds):
                table = file.read_row_group(group, columns=list(key), use_threads=False)
                found, of = keys.find([table.column(name) for name in key])
                rows.append(found + start)
                numbers.append(of)
            start += stored.num_rows
    met, of = np.concatenate(rows), np.concatenate(numbers)
    gone = vectors.read(part.deletes)
    if len(gone):
        live = ~np.isin(met, gone.astype(np.int64), assume_unique=True)
        met, of = met[live], of[live]
    return _Matches(met, of)


def _bounds(cells: pa.Array) -> tuple[int, int] | None:
    """The smallest and the largest integer; None for other types, and where there is none."""
    if not pa.types.is_signed_integer(cells.type) or not len(cells):
        return None
    ends = pc.min_max(cells)
    return ends["min"].as_py(), ends["max"].as_py()


def _is_apart(
    group: pq.RowGroupMetaData, names: list[str], name: str, bounds: tuple[int, int] | None
) -> bool:
    """Whether no row of the group can have a key within the bounds, by the statistics of the key's column."""
    if bounds is None or group.num_columns != len(names):
        return False
    statistics = group.column(names.index(name)).statistics
    if statistics is None or not statistics.has_min_max:
        return False
    return bool(statistics.max < bounds[0] or statistics.min > bounds[1])


def _newest(
    rows: _Rows, keys: _Keys, cursor: str | None, cursor_type: ColumnType | None
) -> Numbers | None:
    """For each key the new row that is the last of it; None where the cursors' order is not Arrow's."""
    ranks = np.zeros(len(keys.numbers), np.int64)
    if cursor is not None and keys.count < len(keys.numbers):
        column = rows.columns[cursor]
        if not _is_ordered(column.type, cursor_type):
            return None
        ranks = _numbers(pc.rank(column, "ascending", tiebreaker="dense"))
        ranks[_flags(pc.is_null(column))] = 0  # no value is the oldest
    order = np.lexsort((ranks, keys.numbers))  # stable: equal ones stay in the order read
    newest = np.empty(keys.count, np.int64)
    newest[keys.numbers[order]] = order  # of several the last one is kept
    return newest


# ── cells ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Pairs:
    """Rows of a stored part, ascending, and the numbers of the new rows with their keys."""

    part: LocalPart
    stored: Numbers
    new: Numbers


def _same(
    pairs: Sequence[_Pairs],
    rows: _Rows,
    staged: Sequence[LocalPart],
    names: Sequence[str],
    schema: pa.Schema,
    threads: Executor,
) -> list[npt.NDArray[np.bool_]] | None:
    """Which pairs have equal cells in these columns; None where a column is needed that Arrow cannot compare.

    Column after column, and only of pairs that are still equal: most rows of one key differ in the first.
    """
    same = [np.ones(len(each.stored), np.bool_) for each in pairs]
    for name in names:
        if not any(each.any() for each in same):
            break
        of = schema.field(name).type
        if not (_is_exact(of) or _is_float(of)):
            return None
        cells = rows.columns.get(name)
        if cells is None:
            cells = _read(staged, [name]).columns[name]
        compared = threads.map(partial(_compared, name=name, cells=cells), pairs, same)
        same = list(compared)
    return same


def _compared(
    pairs: _Pairs, same: npt.NDArray[np.bool_], name: str, cells: pa.Array
) -> npt.NDArray[np.bool_]:
    """Those of the same pairs that are equal in one more column."""
    alike = np.flatnonzero(same)
    left = same.copy()
    if not len(alike):
        return left
    rows, new = pairs.stored[alike], pairs.new[alike]
    with pairs.part.path.open("rb") as opened:
        file = pq.ParquetFile(opened)
        start = 0
        for group in range(file.num_row_groups):
            end = start + file.metadata.row_group(group).num_rows
            first, last = np.searchsorted(rows, [start, end])
            if first < last:
                column = file.read_row_group(group, columns=[name], use_threads=False).column(name)
                stored = column.take(pa.array(rows[first:last] - start)).combine_chunks()
                equal = _equal(stored, cells.take(pa.array(new[first:last])))
                left[alike[first:last]] = equal
            start = end
    return left


def _equal(one: pa.Array, other: pa.Array) -> npt.NDArray[np.bool_]:
    """Which cells are equal: null to null, NaN to NaN, but the zeros of floats not to each other."""
    if _is_float(one.type):
        equal = _equal_floats(one, other)
    else:
        equal = _flags(pc.fill_null(pc.equal(one, other), fill_value=False))
    nulls, other_nulls = _flags(pc.is_null(one)), _flags(pc.is_null(other))
    result: npt.NDArray[np.bool_] = np.where(nulls | other_nulls, nulls & other_nulls, equal)
    return result


def _equal_floats(one: pa.Array, other: pa.Array) -> npt.NDArray[np.bool_]:
    left, right = (each.fill_null(0).to_numpy(zero_copy_only=False) for each in (one, other))
    both_nan = np.isnan(left) & np.isnan(right)
    result: npt.NDArray[np.bool_] = both_nan | (
        (left == right) & (np.signbit(left) == np.signbit(right))
    )
    return result


def _settled(
    rows: _Rows,
    newest: Numbers,
    pairs: Sequence[_Pairs],
    same: Sequence[npt.NDArray[np.bool_]],
) -> Outcome:
    """What goes: of a key the first stored row that equals the new one stays, and the new one goes."""
    stored = np.concatenate(
        [_NOTHING, *((at << ROW_BITS) + each.stored for at, each in enumerate(pairs))]
    )
    new = np.concatenate([_NOTHING, *(each.new for each in pairs)])
    alike = np.flatnonzero(np.concatenate([np.empty(0, np.bool_), *same]))
    dropped, first = np.unique(new[alike], return_index=True)  # `stored` is ascending
    replaced = np.ones(len(stored), np.bool_)
    replaced[alike[first]] = False
    is_superseded = np.ones(len(rows.places), np.bool_)
    is_superseded[newest] = False
    superseded = np.flatnonzero(is_superseded)
    updated = len(np.unique(new)) - len(dropped)
    base_gone = stored[replaced]
    unchanged = len(superseded) + len(dropped)
    return Outcome(
        base_gone,
        rows.places[np.concatenate([superseded, dropped])],
        len(rows.places) - unchanged - updated,
        updated,
        unchanged,
        len(base_gone) - updated,  # stored rows of a key that was there twice
    )


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────


def _read(parts: Sequence[LocalPart], names: Sequence[str]) -> _Rows:
    """These columns of the live rows of all parts."""
    tables, places = [], []
    for at, part in enumerate(parts):
        with part.path.open("rb") as opened:
            table = pq.ParquetFile(opened).read(columns=list(names), use_threads=False)
        live = np.ones(part.rows, np.bool_)
        live[vectors.read(part.deletes)] = False
        rows = np.flatnonzero(live)
        tables.append(
            table.select(names) if len(rows) == part.rows else table.select(names).take(rows)
        )
        places.append((at << ROW_BITS) + rows)
    whole = pa.concat_tables(tables).combine_chunks()
    return _Rows(np.concatenate(places), {name: _one(whole.column(name)) for name in names})


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _by_cost(schema: pa.Schema, part: LocalPart, without: set[str | None]) -> list[str]:
    """The other columns: small ones first, and last those that Arrow cannot compare."""
    group = pq.read_metadata(part.path).row_group(0)
    sizes: dict[str, int] = {}
    for at in range(group.num_columns):
        column = group.column(at)
        sizes[column.path_in_schema] = column.total_uncompressed_size
    others = [name for name in schema.names if name not in without]
    return sorted(others, key=lambda name: sizes.get(name, PART_BYTES))


def _is_float(of: pa.DataType) -> bool:
    return bool(pa.types.is_float32(of) or pa.types.is_float64(of))


def _is_text(of: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_string(of)
        or types.is_large_string(of)
        or types.is_binary(of)
        or types.is_large_binary(of)
    )


def _is_exact(of: pa.DataType) -> bool:
    """Whether two values of the type are equal when Arrow says so."""
    types = pa.types
    return bool(
        types.is_integer(of)
        or _is_text(of)
        or types.is_boolean(of)
        or types.is_decimal128(of)
        or types.is_date(of)
        or types.is_time(of)
        or types.is_timestamp(of)
    )


def _is_ordered(of: pa.DataType, cursor_type: ColumnType | None) -> bool:
    """Whether Arrow orders the values as a database does. NaN is none of the two."""
    is_text = pa.types.is_string(of) or pa.types.is_large_string(of)
    if is_text and cursor_type is ColumnType.DECIMAL:
        return False
    return _is_exact(of) and not pa.types.is_boolean(of)


def _numbers(values: Any) -> Numbers:
    numbers: Numbers = np.asarray(values.to_numpy()).astype(np.int64)
    return numbers


def _flags(values: pa.BooleanArray) -> npt.NDArray[np.bool_]:
    flags: npt.NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return flags


def _true(mask: Any) -> Numbers:
    """The positions at which a mask is true."""
    positions: Numbers = np.flatnonzero(
        mask.to_numpy() if isinstance(mask, pa.ChunkedArray) else _flags(mask)
    )
    return positions
