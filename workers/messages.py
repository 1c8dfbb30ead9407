"""What jobs and the child processes that work for them say to each other. Light: no data library is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from base.tables import ColumnType, TableSchema
from connectors.connector import Connection, Reject, Selection
from storage.snapshots.manifest import Cursor, LocalPart, Part
from storage.snapshots.modes import SyncMode

READ = "workers.reading:read"
FINISH = "workers.finishing:finish"
DERIVE = "workers.deriving:derive"
PRELOAD = (
    "workers.lean",
    "workers.reading",
    "workers.finishing",
    "pyarrow.parquet",
    "duckdb",
    "connectors.rest.connector",
)  # what the children's fork server imports once


@dataclass(frozen=True, slots=True)
class Plan:
    """How one table is synced, as the user chose it. `lookback_seconds` None is the usual one of the cursor's type."""

    mode: SyncMode = SyncMode.FULL
    cursor_column: str | None = None
    finds_deletes: bool = False
    lookback_seconds: int | None = None

    @property
    def is_incremental(self) -> bool:
        """Whether rows that are stored stay."""
        return self.mode is not SyncMode.FULL


@dataclass(frozen=True, slots=True)
class Before:
    """What is stored of a table that new rows are put together with; `part` is one of its files, if it has any."""

    table: TableSchema
    part: Path | None = None
    key: tuple[str, ...] = ()
    cursor: Cursor | None = None


@dataclass(frozen=True, slots=True)
class TableOrder:
    """One table to read. With `after` the read goes on behind that position, if the table still is as `expected`.

    `cursor` is the largest one of the rows before that position.
    """

    selection: Selection
    after: list[Any] | None = None
    expected: TableSchema | None = None
    is_done: bool = False
    plan: Plan = Plan()
    before: Before | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class ReadOrder:
    """What a child is to read. No tables given: all there are. Finished parts go to `folder` as `<number>.parquet`.

    The read fails once more than `rejects_max` rows cannot be stored; `rejects` is how many earlier attempts had, by
    table. `known` are the tables of the current snapshot, where it was read with the same choices.
    """

    connection: Connection
    tables: tuple[TableOrder, ...]
    folder: Path
    part_rows: int | None = None
    rejects_max: int = 0
    rejects: tuple[Rejected, ...] = ()
    known: tuple[TableSchema, ...] = ()

    @property
    def stored(self) -> tuple[Path, ...]:
        """The files of snapshots that are looked into."""
        known = [table.before for table in self.tables if table.before is not None]
        return tuple(before.part for before in known if before.part is not None)


@dataclass(frozen=True, slots=True)
class Rejected:
    """How many rows of a table could not be stored, of how many read, and the first of them."""

    index: int
    rows: int
    rows_read: int
    first: Reject


@dataclass(frozen=True, slots=True)
class TablesFound:
    """The tables that will be read, in this order; later messages name them by index."""

    selections: tuple[Selection, ...]


@dataclass(frozen=True, slots=True)
class TableOpened:
    """A table's rows begin. Unless `resumed`, whatever was read of it before is void.

    `key` and `cursor_column` are those that it is put together by. Rows before `since` are left out; None where every
    row is read. `is_fresh` says that what is stored of it goes: there is nothing, or it has another key.
    """

    index: int
    table: TableSchema
    resumed: bool
    bytes_total: int | None = None
    key: tuple[str, ...] = ()
    cursor_column: str | None = None
    since: str | None = None
    is_fresh: bool = True


@dataclass(frozen=True, slots=True)
class TableEvolved:
    """What a table's columns are together with those stored before; its parts have them.

    `changes` are `{column, change, old, new}`; `rewrites` says that the older parts do not have these columns yet.
    """

    index: int
    table: TableSchema
    changes: tuple[dict[str, Any], ...]
    rewrites: bool


@dataclass(frozen=True, slots=True)
class RowsRejected:
    """Rows that could not be stored, as the JSON lines of `<number>.rejects` in the folder."""

    index: int
    number: int
    rows: int
    size_bytes: int
    sha256: str
    first: Reject


@dataclass(frozen=True, slots=True)
class PartWritten:
    """A part is complete in the folder. A read may go on behind `position`; None where it cannot.

    `cursor` is the largest one so far. A part of the key-set pass holds nothing but keys.
    """

    index: int
    number: int
    rows: int
    size_bytes: int
    sha256: str
    position: list[Any] | None
    cursor: str | None = None
    is_keys: bool = False


@dataclass(frozen=True, slots=True)
class RowsRead:
    """How many rows of a table have been read so far in this attempt, and bytes of its source."""

    index: int
    rows: int
    bytes_read: int


@dataclass(frozen=True, slots=True)
class Warned:
    """A line for the job's log about a table, once in a read."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class TableDone:
    """All of a table was read, and its parts are written; `rows` were read in this attempt, rejected ones included.

    `table` is there if the whole read told more of it than its start; `has_keys` if its keys were read, too.
    """

    index: int
    rows: int
    bytes_read: int
    table: TableSchema | None = None
    cursor: str | None = None
    has_keys: bool = False


ReadMessage = (
    TablesFound
    | TableOpened
    | TableEvolved
    | RowsRejected
    | PartWritten
    | RowsRead
    | Warned
    | TableDone
)


@dataclass(frozen=True, slots=True)
class NewFile:
    """A finished file in the folder; `rows` counts what it holds."""

    name: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class FinishTable:
    """One table to finish. `base` are the older parts that stay, `staged` the new ones, `parts` both as stored.

    `rewrites` says that the older ones do not have the columns of `table` yet; `keys` are those of the key-set pass.
    `is_described` says that there is a profile of the older parts.
    """

    index: int
    table: TableSchema
    mode: SyncMode
    parts: tuple[Part, ...]
    base: tuple[LocalPart, ...]
    staged: tuple[LocalPart, ...]
    key: tuple[str, ...] = ()
    cursor_column: str | None = None
    since: str | None = None
    keys: tuple[LocalPart, ...] | None = None
    rewrites: bool = False
    is_described: bool = False


@dataclass(frozen=True, slots=True)
class FinishOrder:
    """Tables to finish; new files go to `folder`."""

    tables: tuple[FinishTable, ...]
    folder: Path
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class FinishedPart:
    """A part of the new snapshot: a new file, or the part at `origin` of the older and the staged ones together.

    `vector` is its new delete vector; None where it keeps the one it has.
    """

    origin: int | None = None
    file: NewFile | None = None
    vector: NewFile | None = None


@dataclass(frozen=True, slots=True)
class TableFinished:
    """What a table consists of now, and what became of the rows that were read; no profile where nothing changed."""

    index: int
    parts: tuple[FinishedPart, ...]
    profile: NewFile | None
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0


@dataclass(frozen=True, slots=True)
class DeriveOrder:
    """What to make a table of. `columns` are the types that the script's process told; new files go to `folder`.

    The rows, unpacked, may have `bytes_max` bytes; `table` is the one that the job reads.
    """

    table: TableSchema
    columns: Mapping[str, ColumnType]
    folder: Path
    bytes_max: int
    cell_bytes_max: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Derived:
    """The table as it is stored, its parts and its profile; `notes` say what was changed on the way."""

    table: TableSchema
    parts: tuple[NewFile, ...]
    profile: NewFile
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)
