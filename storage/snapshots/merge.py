"""What new rows mean for the rows that are stored: which of both stay, told by delete vectors, and the counts.

No part is written: a table is its older parts and the staged ones, each without the rows that its vector names. All
parts have the same columns. Everything runs in one locked database of bounded memory, which spills into a folder.

EQUAL CELLS are the same value, with null equal to null and NaN to NaN. A float's two zeros are different cells, since
they are shown differently, but the same key, as in every database.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from base.errors import QueryTooComplex
from base.tables import ColumnType
from storage.local import storage_full
from storage.snapshots import appending, probing, vectors
from storage.snapshots.cells import MACROS
from storage.snapshots.earlier import form
from storage.snapshots.engine import locked
from storage.snapshots.manifest import LocalPart
from storage.snapshots.matching import Merge
from storage.snapshots.modes import SyncMode
from storage.snapshots.relations import ROW_BITS, Places, Relation, column_names

_WRITING_THREADS = 4  # most of the time they wait for the disk
_SETTINGS = ("set preserve_insertion_order = false",)  # rows are named by place


@dataclass(frozen=True, slots=True)
class Vector:
    """A delete vector's file, on disk and synced. `part` counts over base and staged; `rows` is all it names."""

    part: int
    path: Path
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Combined:
    """The vectors that changed, and the books.

    Staged rows are inserted + updated + unchanged, and live base rows + inserted - deleted are live now.
    """

    vectors: tuple[Vector, ...]
    inserted: int
    updated: int
    unchanged: int
    deleted: int


def combine(
    base: Sequence[LocalPart],
    staged: Sequence[LocalPart],
    *,
    mode: SyncMode,
    key: Sequence[str],
    cursor: str | None,
    keys: Sequence[LocalPart] | None,
    is_whole: bool,
    folder: Path,
    memory_bytes: int,
    cursor_type: ColumnType | None = None,
    decimals: Collection[str] = (),
    earlier: Mapping[str, ColumnType] = MappingProxyType({}),
) -> Combined:
    """Blocking: tell what the staged rows do to the base; writes vectors into `folder`, and nothing else stays there.

    MERGE: of staged rows with one key the last wins, by `cursor` (no value is the oldest), then by the order read; a
    row that equals the stored one is dropped (unchanged), any other takes its place. With `is_whole`, stored rows whose
    key was not read are deleted; with `keys` (files of the key columns) those whose key is in none of the files.
    APPEND: of n equal stored and m equal staged rows min(n, m) staged ones are dropped. A
    staged row equals only stored ones with its own cursor. `cursor_type` orders decimals that are stored as text, and
    `decimals` are columns of them: 1.0 and 1.00 are one key. `earlier` are the types of columns before they became
    texts, by which APPEND takes cells for equal.

    Raises InvalidInput for a key without a value, QueryTooComplex where memory does not do, StorageFull.
    """
    folder.mkdir(parents=True, exist_ok=True)
    base_parts, staged_parts, key_parts = (
        [part for part in parts if part.live_rows] for parts in (base, staged, keys or ())
    )
    filled = [*base_parts, *staged_parts]
    if not filled:
        return Combined((), 0, 0, 0, 0)
    outcome = None
    numbers = _texts_among(filled[0], {*key} & {*decimals})
    if mode is SyncMode.MERGE and keys is None and not numbers and not (is_whole and base_parts):
        outcome = probing.run(base_parts, staged_parts, key, cursor, cursor_type, memory_bytes)
    if outcome is None:
        macros = MACROS if numbers or earlier or cursor_type is ColumnType.DECIMAL else ()
        with _database([*filled, *key_parts], folder, memory_bytes, macros) as connection:
            columns = column_names(filled)
            older = Relation(connection, "base", base_parts, columns)
            newer = Relation(connection, "new", staged_parts, columns)
            if mode is SyncMode.APPEND:
                forms = {name: form(older.column(name), kind) for name, kind in earlier.items()}
                outcome = appending.run(connection, older, newer, cursor, forms)
            else:
                known = None if keys is None else _keys(connection, key_parts, key)
                outcome = Merge(
                    connection, older, newer, key, numbers, cursor, cursor_type, known, is_whole
                ).run()
    going = [
        *_going(base, base_parts, outcome.base, 0),
        *_going(staged, staged_parts, outcome.staged, len(base)),
    ]
    with ThreadPoolExecutor(_WRITING_THREADS, thread_name_prefix="vectors") as threads:
        written = tuple(threads.map(partial(_written, folder), going))
    return Combined(
        written,
        outcome.inserted,
        outcome.updated,
        outcome.unchanged,
        outcome.deleted,
    )


def _texts_among(part: LocalPart, names: Collection[str]) -> frozenset[str]:
    """Those columns that are stored as texts."""
    schema = pq.read_schema(part.path) if names else pa.schema([])
    return frozenset(
        name
        for name in names
        if name in schema.names and pa.types.is_string(schema.field(name).type)
    )


def _keys(
    connection: duckdb.DuckDBPyConnection, parts: Sequence[LocalPart], key: Sequence[str]
) -> Relation:
    return Relation(connection, "keys", parts, column_names(parts) if parts else key)


@contextmanager
def _database(
    parts: Sequence[LocalPart], folder: Path, memory_bytes: int, macros: Sequence[str]
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database that may read these parts and spill into the folder."""
    files = [str(path) for part in parts for path in (part.path, part.deletes) if path]
    with (
        TemporaryDirectory(dir=folder) as spill,
        closing(
            locked(
                files,
                memory_bytes=memory_bytes,
                spill=Path(spill),
                settings=_SETTINGS,
                macros=macros,
            )
        ) as connection,
    ):
        try:
            yield connection
        except duckdb.OutOfMemoryException as error:
            raise QueryTooComplex(
                "Telling new rows from stored ones needs more memory than a sync may have.",
                hint="Raise the memory of a sync, or select fewer columns.",
            ) from error
        except duckdb.IOException as error:
            if "No space left" in str(error):
                raise storage_full() from error
            raise


@dataclass(frozen=True, slots=True)
class _Going:
    """Rows that go from a part; `number` is the part's over base and staged."""

    number: int
    part: LocalPart
    rows: vectors.Vector


def _going(
    parts: Sequence[LocalPart], filled: Sequence[LocalPart], places: Places, first: int
) -> Iterator[_Going]:
    """The parts from which rows go, and these rows; `places` count the files of `filled`."""
    ordered = np.sort(places)
    starts = np.searchsorted(ordered, np.arange(len(filled) + 1) << ROW_BITS)
    numbers = [first + at for at, part in enumerate(parts) if part.live_rows]
    for at, (part, number) in enumerate(zip(filled, numbers, strict=True)):
        rows = ordered[starts[at] : starts[at + 1]] & (2**ROW_BITS - 1)
        if len(rows):
            yield _Going(number, part, rows.astype(np.uint32))


def _written(folder: Path, going: _Going) -> Vector:
    """The vector of a part, durable in a file of its own."""
    gone = np.union1d(vectors.read(going.part.deletes), going.rows)
    path = folder / f"{secrets.token_hex(16)}.deletes"
    size_bytes, sha256 = vectors.write(gone, path)
    return Vector(going.number, path, len(gone), size_bytes, sha256)
