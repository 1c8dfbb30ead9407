"""What changed between two snapshots of one data source: tables, columns and rows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from base.errors import InvalidInput
from base.tables import Column, TableSchema
from models import Snapshot
from services.access import Viewer, find
from services.platform import Platform
from storage.snapshots.changes import (
    FIRST_MAX,
    Difference,
    SchemaChange,
    Side,
    is_same,
    schema_changes,
    unshared,
)
from storage.snapshots.manifest import Manifest, StoredTable

SECONDS_SHARE = 0.9  # of an operation's time, so that its own end does not come first


class TableChange(StrEnum):
    """How a table of the two snapshots differs, as far as its stored files tell."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


@dataclass(frozen=True, slots=True)
class TableDifference:
    """A table of one or both snapshots."""

    name: str
    schema: str | None
    change: TableChange
    old_row_count: int | None
    new_row_count: int | None


@dataclass(frozen=True, slots=True)
class SnapshotDifference:
    """All tables, and of the compared one, if there is one, the columns and rows; `rows` is None unless asked for."""

    tables: tuple[TableDifference, ...]
    table: str | None = None
    schema_changes: tuple[SchemaChange, ...] = ()
    columns: tuple[Column, ...] = ()
    rows: Difference | None = None


@dataclass(frozen=True, slots=True)
class _Both:
    """A table in the old and in the new snapshot."""

    old: StoredTable | None
    new: StoredTable | None

    @property
    def table(self) -> TableSchema:
        stored = self.new or self.old
        assert stored is not None
        return stored.table


async def diff(
    platform: Platform,
    viewer: Viewer | None,
    from_id: str,
    to_id: str,
    *,
    table: str | None = None,
    first: int = 50,
    after: str | None = None,
    with_rows: bool = True,
) -> SnapshotDifference:
    """Compare two snapshots, which may be the same. `table` may be left out where there is one; `first` may be 0.

    Raises NotFound, InvalidInput with `field` an argument of the API's, TimedOut, QueryTooComplex.
    """
    old = await find(viewer, Snapshot, from_id, field="from")
    new = await find(viewer, Snapshot, to_id, field="to")
    if old.data_source_id != new.data_source_id:  # type: ignore[attr-defined]
        raise InvalidInput("Both snapshots have to be of the same data source.", field="to")
    if not 0 <= first <= FIRST_MAX:
        raise InvalidInput(f"A page has 0 to {FIRST_MAX} rows.", field="first")
    pairs = _pairs(Manifest.from_json(old.manifest), Manifest.from_json(new.manifest))
    changes = tuple(map(_change, pairs))
    chosen = _chosen(pairs, table)
    if chosen is None:
        return SnapshotDifference(changes)
    before, after_schema = _schemas(chosen)
    return SnapshotDifference(
        changes,
        chosen.table.qualified_name,
        tuple(schema_changes(before, after_schema)) if chosen.old and chosen.new else (),
        _columns(before, after_schema),
        await _rows(platform, chosen, first=first, after=after) if with_rows else None,
    )


async def _rows(platform: Platform, chosen: _Both, *, first: int, after: str | None) -> Difference:
    schemas = _schemas(chosen)
    parts = unshared(chosen.old.parts if chosen.old else (), chosen.new.parts if chosen.new else ())
    old, new = [
        Side(schema, side, await platform.rows.local_parts(platform.store, side))
        for schema, side in zip(schemas, parts, strict=True)
    ]
    stored = chosen.new or chosen.old
    assert stored is not None
    return await platform.rows.diffs.find(
        old,
        new,
        stored.key or stored.table.primary_key,
        first=first,
        after=after,
        seconds=platform.settings.query_seconds_max * SECONDS_SHARE,
    )


def _pairs(old: Manifest, new: Manifest) -> list[_Both]:
    """The tables of both, those of the new one in its order, then those that are gone."""
    before = {(stored.table.schema, stored.table.name): stored for stored in old.tables}
    found = [
        _Both(before.pop((stored.table.schema, stored.table.name), None), stored)
        for stored in new.tables
    ]
    return found + [_Both(stored, None) for stored in before.values()]


def _change(both: _Both) -> TableDifference:
    old, new = both.old, both.new
    change = TableChange.CHANGED
    if old is None or new is None:
        change = TableChange.ADDED if old is None else TableChange.REMOVED
    elif is_same(old.parts, new.parts) and not schema_changes(old.table, new.table):
        change = TableChange.UNCHANGED
    return TableDifference(
        both.table.name,
        both.table.schema,
        change,
        old.row_count if old else None,
        new.row_count if new else None,
    )


def _chosen(pairs: list[_Both], name: str | None) -> _Both | None:
    """The table to compare; None where none is named and there is not just one."""
    if name is None:
        return pairs[0] if len(pairs) == 1 else None
    fitting = [each for each in pairs if each.table.is_called(name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(each.table.qualified_name for each in fitting or pairs)
    raise InvalidInput(
        f"There are several tables {name!r}: put the schema before the name."
        if fitting
        else f"Neither snapshot has a table {name!r}.",
        hint=f"There is {names}." if names else None,
        field="table",
    )


def _schemas(chosen: _Both) -> tuple[TableSchema, TableSchema]:
    """Both sides' columns; a side that does not have the table has the other's, and no rows."""
    old = (chosen.old or chosen.new), (chosen.new or chosen.old)
    assert old[0] is not None
    assert old[1] is not None
    return old[0].table, old[1].table


def _columns(old: TableSchema, new: TableSchema) -> tuple[Column, ...]:
    """The columns of rows: the new table's, then those that are gone."""
    names = {column.name for column in new.columns}
    return (*new.columns, *(column for column in old.columns if column.name not in names))
