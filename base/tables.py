"""How any room describes a table: columns with our types, and where they came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Self


class ColumnType(StrEnum):
    """Our type of a column. The stored Arrow type follows from it (see `ARROW STORAGE` in `connectors.connector`)."""

    BOOLEAN = "boolean"
    INTEGER = "integer"
    DECIMAL = "decimal"
    FLOAT = "float"
    TEXT = "text"
    DATE = "date"
    TIME = "time"
    TIMESTAMP = "timestamp"
    TIMESTAMP_TZ = "timestamp_tz"
    DURATION = "duration"
    BINARY = "binary"
    JSON = "json"
    LIST = "list"
    STRUCT = "struct"
    UUID = "uuid"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    `native_type` is the source's own name for its type; `inference` says why a file's column has its type.
    """

    name: str
    type: ColumnType
    native_type: str | None = None
    nullable: bool = True
    primary_key: bool = False
    inference: str | None = None


def qualified(schema: str | None, name: str) -> str:
    """A table's name as people are told it and may write it: behind its schema and a point, where it has one."""
    return f"{schema}.{name}" if schema else name


@dataclass(frozen=True, slots=True)
class TableSchema:
    """One table of a source, as found or as stored. `row_estimate` is the source's own guess, in rows."""

    name: str
    columns: tuple[Column, ...]
    schema: str | None = None
    row_estimate: int | None = None
    cursor_column: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def primary_key(self) -> tuple[str, ...]:
        """Names of the key columns, in column order."""
        return tuple(column.name for column in self.columns if column.primary_key)

    @property
    def qualified_name(self) -> str:
        """See `qualified`."""
        return qualified(self.schema, self.name)

    def is_called(self, name: str) -> bool:
        """Whether a user may mean this table by a name, with its schema or without."""
        return name in {self.name, self.qualified_name}

    def with_columns(self, columns: tuple[Column, ...]) -> Self:
        """The same table with other columns."""
        return replace(self, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """A plain dict that `from_json` reads back; stored in manifests and on data sources."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        columns = tuple(
            Column(**{**column, "type": ColumnType(column["type"])}) for column in value["columns"]
        )
        return cls(**{**value, "columns": columns})
