"""Reading a file that is written in a test, to its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import connectors
from base.tables import Column, ColumnType, TableSchema
from connectors.connector import (
    Batch,
    Connection,
    Increment,
    ReadLimits,
    Reject,
    Selection,
    StoredColumn,
)
from connectors.errors import ReadAgain


@dataclass(frozen=True)
class Table:
    """What came of a read: `again` is how many times it began anew."""

    schema: TableSchema
    rows: list[tuple[Any, ...]]
    batches: list[Batch]
    again: int

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.schema.columns]

    @property
    def types(self) -> list[ColumnType]:
        return [column.type for column in self.schema.columns]

    @property
    def rejects(self) -> list[Reject]:
        return [reject for batch in self.batches for reject in batch.rejects]

    def column(self, name: str) -> Column:
        return next(column for column in self.schema.columns if column.name == name)


def connection(path: Path, limits: ReadLimits | None = None, **settings: Any) -> Connection:
    """The connection of a file as it is stored: by its extension, its settings parsed."""
    kind = connectors.kind_of_file(path.name).name
    raw = {"object_key": "uploads/1/00", "file_name": path.name, **settings}
    parsed, secrets = connectors.parse(kind, raw)
    return Connection(kind, parsed, secrets, path, limits=limits or ReadLimits())


def write(path: Path, content: str | bytes) -> Path:
    """Bytes as they are, text as UTF-8."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(
    path: Path,
    name: str | None = None,
    *columns: str,
    limits: ReadLimits | None = None,
    after: list[Any] | None = None,
    stored: Mapping[str, StoredColumn] | None = None,
    increment: Increment | None = None,
    **settings: Any,
) -> Table:
    """A table of the file, the first if none is named."""
    with closing(connectors.open(connection(path, limits, **settings))) as source:
        name = name or source.tables()[0].name
        selection = Selection(name, columns=columns, stored=stored or {}, increment=increment)
        for again in range(3):
            reading = source.read(selection, after)
            try:
                batches = list(reading.batches)
            except ReadAgain:
                continue
            schema = reading.final() if reading.final else reading.table
            return Table(schema, list(_rows(batches)), batches, again)
    raise AssertionError("a table is read again at most once")


def _rows(batches: list[Batch]) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        yield from zip(*(column.to_pylist() for column in batch.data.columns), strict=True)
