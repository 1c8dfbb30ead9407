"""What a sync sets out from: the tables that the user chose, and the snapshot that they are put together with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from base.tables import TableSchema
from connectors.connector import Selection
from models import DataSource, Snapshot
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.modes import SyncMode
from workers.messages import Plan
from workers.state import SyncState, TableState


@dataclass(frozen=True, slots=True)
class Base:
    """The snapshot that was the current one when an attempt began; an empty one before the first.

    `is_alike` says that it was read with the choices that the source has now: then rows of both go together, and
    columns that differ were changed by the source.
    """

    id: int | None
    manifest: Manifest
    is_alike: bool

    @property
    def known(self) -> tuple[TableSchema, ...]:
        """The tables whose columns only the source can have changed."""
        return tuple(stored.table for stored in self.manifest.tables) if self.is_alike else ()

    def table(self, state: TableState) -> StoredTable | None:
        """What is stored of a table; a selection need not name its schema."""
        found = state.table
        if found is not None:
            same = (
                stored
                for stored in self.manifest.tables
                if (stored.table.name, stored.table.schema) == (found.name, found.schema)
            )
            return next(same, None)
        name, schema = state.selection.name, state.selection.schema
        named = [stored for stored in self.manifest.tables if stored.table.name == name]
        exact = [stored for stored in named if stored.table.schema == schema]
        return next(iter(exact or (named if schema is None else ())), None)


async def base_of(source: DataSource) -> Base:
    """What readers see of a source now."""
    current = await Snapshot.get_or_none(id=source.current_snapshot_id)
    if current is None:
        return Base(source.current_snapshot_id, Manifest(()), is_alike=False)
    manifest = Manifest.from_json(current.manifest)
    return Base(current.id, manifest, current.generation == source.generation)


def state_of(
    checkpoint: Mapping[str, Any] | None,
    source: DataSource,
    base: Base,
    *,
    is_incremental: bool,
) -> SyncState:
    """Where the last attempt got to, or the start.

    An incremental sync's rows that were to go with another snapshot than the current one are read anew, and so is
    everything where what is read changed.
    """
    state = SyncState.from_json(dict(checkpoint)) if checkpoint else None
    if state is None or state.generation != source.generation:
        tables = [_table(each) for each in source.selections]
        return SyncState(tables, base.id, source.generation)
    if state.base_id != base.id:
        for table in state.tables:
            if is_incremental and table.plan.is_incremental:
                table.start_over()  # the objects go with the job's other leavings
        state.base_id = base.id
    return state


def _table(value: Mapping[str, Any]) -> TableState:
    """A selection as `services.sources.selections` keeps it; older ones have less."""
    selection = Selection(
        str(value["name"]),
        value.get("schema") or None,
        tuple(value.get("columns") or ()),
        tuple(value.get("primary_key") or ()),
    )
    plan = Plan(
        SyncMode(value.get("mode") or SyncMode.FULL),
        value.get("cursor_column"),
        bool(value.get("detect_deletes")),
        value.get("lookback_seconds"),
    )
    return TableState(selection, plan=plan)
