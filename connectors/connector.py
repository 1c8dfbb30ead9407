"""The contract of a source kind: plain arguments in, Arrow batches out; no database, no settings.

ARROW STORAGE: what a column of each of our types is in a batch, and so in a Parquet part.
BOOLEAN bool · INTEGER int8…int64, uint8…uint64 · DECIMAL decimal128(p, s) or, past 38 digits and where a source
mixes NaN or infinity in, utf8 with the exact digits · FLOAT float32/float64 · TEXT utf8 · DATE date32 · TIME
time64[us], or utf8 where 24:00 or a zone occurs · TIMESTAMP timestamp[us] · TIMESTAMP_TZ timestamp[us, UTC] ·
DURATION utf8 (ISO 8601 or the source's own text) · BINARY binary · JSON utf8 (JSON text) · LIST list<…> · STRUCT
struct<…> · UUID utf8 · UNKNOWN utf8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from base.net import Guard
from base.tables import ColumnType, TableSchema, qualified

if TYPE_CHECKING:
    import pyarrow as pa


class Family(StrEnum):
    """What a connection needs: a stored file, or an address."""

    FILE = "file"
    DATABASE = "database"
    API = "api"


@dataclass(frozen=True, slots=True)
class ReadLimits:
    """Bounds of one read. A batch ends at whichever comes first."""

    batch_rows: int = 65_536
    batch_bytes: int = 32 * 1024**2
    cell_bytes_max: int = 16 * 1024**2
    memory_bytes: int = 512 * 1024**2  # what an engine that takes a limit (DuckDB) is given
    connect_seconds: int = 10
    answer_seconds: int = 300  # what one answer of a web API may take, with all further tries


@dataclass(frozen=True, slots=True)
class Connection:
    """Everything that opens a source; picklable, so that a child process can.

    `path` is the local copy of a stored file.
    """

    kind: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    path: Path | None = None
    guard: Guard = field(default_factory=Guard)
    limits: ReadLimits = field(default_factory=ReadLimits)


@dataclass(frozen=True, slots=True)
class Health:
    """A successful check. `server_version` in the source's own words, `details` for people."""

    message: str
    server_version: str | None = None


@dataclass(frozen=True, slots=True)
class Increment:
    """Rows changed since the last sync: those whose `column` is at or after `since`, and those where it is null.

    `since` is exact text as `connectors.since` writes it (integers in decimal digits, decimals with all their digits,
    dates and times in ISO 8601 with microseconds, `TIMESTAMP_TZ` in UTC with `Z`, text as it is); None for every row.
    The bound is closed, and already moved back by the look-back; whoever reads overlapping rows tells them apart.
    """

    column: str
    since: str | None = None


@dataclass(frozen=True, slots=True)
class StoredColumn:
    """How a column is stored: our type, and Arrow's."""

    type: ColumnType
    arrow: pa.DataType


@dataclass(frozen=True, slots=True)
class Selection:
    """Which part of a table to read; no columns means all of them.

    `key` names the columns that tell rows apart where the user says so (else the table's own primary key is used);
    with `increment` only rows changed since are wanted. `widened` are columns that an earlier read gave as text because
    of values that their type cannot hold: a database gives them so again, though no such value may come this time.
    `stored` is how columns are stored already: one without a value in a read says nothing of its own type, so where a
    type is found out from values it is the one that is stored.
    """

    name: str
    schema: str | None = None
    columns: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    increment: Increment | None = None
    widened: tuple[str, ...] = ()
    stored: Mapping[str, StoredColumn] = field(default_factory=dict, compare=False)

    @property
    def cursor(self) -> str | None:
        """The column that rows are told by."""
        return self.increment.column if self.increment is not None else None

    @property
    def named(self) -> tuple[str, ...]:
        """The columns that are spoken of: there are such, though no row may show them."""
        cursor = self.cursor
        return (*self.columns, *self.key, *([cursor] if cursor is not None else ()))

    @property
    def qualified_name(self) -> str:
        """See `base.tables.qualified`."""
        return qualified(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that cannot be stored as it is. `line` counts from 1 in a file, rows from 1 elsewhere; None where unknown.

    `text` is the row as the source has it, cut to `REJECT_CHARS_MAX`.
    """

    line: int | None
    column: str | None
    reason: str
    text: str


REJECT_CHARS_MAX = 4_096


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one table. `position` lets a later `read(after=position)` go on behind this batch; None where it cannot.

    `bytes_read` counts the source's bytes so far in this read (0 where unknown). `rejects` are rows that were met since
    the batch before and are not in `data`; whoever reads decides how many are too many. `warnings` are lines for the
    user's log, about settings that may leave rows out.
    """

    data: pa.RecordBatch
    position: list[Any] | None = None
    bytes_read: int = 0
    rejects: tuple[Reject, ...] = ()
    warnings: tuple[str, ...] = ()


class Unseen(StrEnum):
    """What a source finds out from values, and cannot tell of a table without a row."""

    TYPES = "types"
    COLUMNS = "columns"


@dataclass(frozen=True, slots=True)
class Reading:
    """An open read: the table as its batches will hold it, and the batches. `bytes_total` is None where unknown.

    `final`, called when all batches were taken, gives the table with what is known only then: counts in `inference`.
    `is_since` says that the source itself left out rows before the selection's `increment`; whoever reads does it
    otherwise. `unseen` says that there is no row, so that the table's columns, or their types, are those that it had.
    """

    table: TableSchema
    batches: Iterator[Batch]
    bytes_total: int | None = None
    final: Callable[[], TableSchema] | None = None
    is_since: bool = False
    unseen: Unseen | None = None


class Connector(Protocol):
    """One open source. Blocking, used by one thread, inside a limited child process. Raises `connectors.errors`."""

    def check(self) -> Health:
        """Reach the source with its credentials; cheap."""

    def tables(self) -> list[TableSchema]:
        """All readable tables, with columns, keys and row estimates; in a stable order."""

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """Read a table in batches of bounded memory, all tables of one connector from one consistent state if it can.

        Raises `TableMissing`; the iterator may raise `ReadAgain` or any of `connectors.errors`.
        """

    def close(self) -> None:
        """Free the source; safe to call twice."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One line of the registry.

    `parse` takes what a user wrote (already snake_case) and gives the public settings and the secrets, or raises
    InvalidInput with `field` relative to the connection (`port`, `options.sslmode`).
    """

    name: str
    family: Family
    open: Callable[[Connection], Connector]
    parse: Callable[[Mapping[str, Any]], tuple[dict[str, Any], dict[str, str]]]
    extensions: tuple[str, ...] = ()
