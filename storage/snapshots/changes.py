"""What differs between two snapshots of a table, and what their parts tell of it alone. Light: no engine is loaded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from base.tables import Column, ColumnType, TableSchema
from storage.snapshots.manifest import LocalPart, Part

FIRST_MAX = 500

Identity = tuple[str, int, str | None]  # hash and rows of a part, hash of its delete vector


@dataclass(frozen=True, slots=True)
class SchemaChange:
    """A column that came, went or changed its type: `old` or `new` is None where it was not there."""

    column: str
    old: ColumnType | None
    new: ColumnType | None


def schema_changes(old: TableSchema, new: TableSchema) -> list[SchemaChange]:
    """How the columns differ, in the order of `pairs`."""
    before = {column.name: column.type for column in old.columns}
    found = []
    for column in new.columns:
        kind = before.pop(column.name, None)
        if kind is not column.type:
            found.append(SchemaChange(column.name, kind, column.type))
    return found + [SchemaChange(name, kind, None) for name, kind in before.items()]


class RowChange(StrEnum):
    """What happened to a row."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Side:
    """A table in one snapshot; `files` are its parts as local files."""

    table: TableSchema
    parts: Sequence[Part] = ()
    files: Sequence[LocalPart] = ()


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """A row that differs. `key`, `old` and `new` are JSON arrays of cells, None where there is no such row."""

    change: RowChange
    key: bytes | None
    old: bytes | None
    new: bytes | None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Counts of all rows that differ, and a page of them, with cells in the order of `columns`.

    `key` are the columns that rows were matched by; without one nothing is ever `changed`.
    """

    key: tuple[str, ...]
    columns: tuple[Column, ...]
    added: int = 0
    removed: int = 0
    changed: int = 0
    rows: tuple[ChangedRow, ...] = ()
    has_next: bool = False
    has_previous: bool = False
    start_cursor: str | None = None
    end_cursor: str | None = None


def is_same(old: Sequence[Part], new: Sequence[Part]) -> bool:
    """Whether two tables are the same without a look at their rows; they may be even where this says no."""
    return list(map(identity_of, old)) == list(map(identity_of, new))


def unshared(old: Sequence[Part], new: Sequence[Part]) -> tuple[list[Part], list[Part]]:
    """The parts that only one of the two has: all that a difference needs."""
    shared = Counter(map(identity_of, old)) & Counter(map(identity_of, new))
    return _without(old, shared.copy()), _without(new, shared)


def _without(parts: Sequence[Part], shared: Counter[Identity]) -> list[Part]:
    left = []
    for part in parts:
        identity = identity_of(part)
        if shared[identity]:
            shared[identity] -= 1
        else:
            left.append(part)
    return left


def identity_of(part: Part) -> Identity:
    """What tells parts apart by content."""
    return part.sha256, part.rows, part.deletes.sha256 if part.deletes else None
