"""What a snapshot is made of: tables, their columns, and the immutable objects that hold them.

A table's rows are those of its Parquet parts, in order, without the rows that a part's delete vector names. All parts
of one table have the same Arrow schema: when a table's columns change, its older parts are written anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from base.tables import TableSchema


@dataclass(frozen=True, slots=True)
class StoredFile:
    """An object beside the parts. `rows` counts what it holds."""

    key: str
    rows: int
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """One Parquet object. Rows keep the order in which they were read.

    `deletes`, a Parquet object with one sorted column `row` (uint32), names the rows of the part, counted from 0, that
    were replaced or removed since; a later snapshot may hold the same part with another one.
    """

    key: str
    rows: int
    size_bytes: int
    sha256: str
    deletes: StoredFile | None = None

    @property
    def live_rows(self) -> int:
        """Rows that readers see."""
        return self.rows - (self.deletes.rows if self.deletes else 0)


@dataclass(frozen=True, slots=True)
class LocalPart:
    """A part as a local file, with its number of rows; `deletes` is the file of its delete vector, if it has one.

    `name` is of its objects, the same in every process; what is no object yet has none.
    """

    path: Path
    rows: int
    deletes: Path | None = None
    deleted_rows: int = 0
    name: str = ""

    @property
    def live_rows(self) -> int:
        """Rows that readers see."""
        return self.rows - self.deleted_rows


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far an incremental table is: the largest `value` of `column` in its rows, as `Increment.since` writes it."""

    column: str
    value: str


@dataclass(frozen=True, slots=True)
class StoredTable:
    """One table of a snapshot.

    `profile` is the object with its statistics, `quarantine` the one with the rows of its sync that could not be
    stored, JSON objects `{line, column, reason, text}`, one a line.
    """

    table: TableSchema
    parts: tuple[Part, ...]
    key: tuple[str, ...] = ()
    cursor: Cursor | None = None
    profile: StoredFile | None = None
    quarantine: StoredFile | None = None

    @property
    def row_count(self) -> int:
        """Exact number of rows."""
        return sum(part.live_rows for part in self.parts)

    @property
    def size_bytes(self) -> int:
        """Bytes of the parts."""
        return sum(part.size_bytes for part in self.parts)

    def files(self) -> Iterator[StoredFile | Part]:
        """Every object of the table."""
        for part in self.parts:
            yield part
            if part.deletes:
                yield part.deletes
        if self.profile:
            yield self.profile
        if self.quarantine:
            yield self.quarantine

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` reads back."""
        return asdict(self) | {"table": self.table.to_json()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`; what an older release left out is as if it were empty."""
        cursor = value.get("cursor")
        return cls(
            TableSchema.from_json(value["table"]),
            tuple(
                Part(**{**part, "deletes": _file(part.get("deletes"))}) for part in value["parts"]
            ),
            tuple(value.get("key", ())),
            Cursor(**cursor) if cursor else None,
            _file(value.get("profile")),
            _file(value.get("quarantine")),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """All tables of one snapshot, in the source's order."""

    tables: tuple[StoredTable, ...]

    @property
    def row_count(self) -> int:
        """Rows of all tables."""
        return sum(table.row_count for table in self.tables)

    @property
    def size_bytes(self) -> int:
        """Bytes of all tables."""
        return sum(table.size_bytes for table in self.tables)

    def keys(self) -> frozenset[str]:
        """The keys of all objects that the snapshot needs."""
        return frozenset(file.key for table in self.tables for file in table.files())

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` reads back; what `Snapshot.manifest` holds."""
        return {"tables": [stored.to_json() for stored in self.tables]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(tuple(StoredTable.from_json(stored) for stored in value["tables"]))


def _file(value: dict[str, Any] | None) -> StoredFile | None:
    return StoredFile(**value) if value else None
