"""Columns that the source changed since the current snapshot, and what the user wants done about that.

RULE. Compared are the names and types of a table's columns, never their order, and only with a snapshot that was read
with the same choices (`DataSource.generation`): what the user changed is no drift. A table that is new or gone is none
either. Of an incremental table a change counts once a row with it arrives. What a table without a row cannot show of
its columns is as before (`workers.intake`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from base.errors import Conflict
from base.tables import ColumnType, TableSchema
from models.sources import DriftPolicy
from storage.snapshots.drifts import DRIFTED, change_of


class Drifted(Conflict):
    """The source changed the columns of a table, and its policy is to fail then."""


def changes(stored: TableSchema, found: TableSchema) -> list[dict[str, Any]]:
    """What is different, as `{column, change, old, new}`, stored columns first."""
    new = {column.name: column.type for column in found.columns}
    old: dict[str, ColumnType | None] = {column.name: column.type for column in stored.columns}
    # Columns that an incremental sync keeps otherwise than the source has them: those changes were told.
    for name, had in stored.details.get(DRIFTED, {}).items():
        old[name] = ColumnType(had) if had is not None else None
    names = dict.fromkeys([*old, *new])
    return [
        _change(name, old.get(name), new.get(name))
        for name in names
        if old.get(name) is not new.get(name)
    ]


def judge(policy: DriftPolicy, table: str, found: Sequence[dict[str, Any]]) -> None:
    """Raise `Drifted` where there are changes and the policy says so."""
    if policy is not DriftPolicy.FAIL or not found:
        return
    first = found[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    raise Drifted(
        f"The source changed the columns of {table}: {first['column']!r} {_told(first)}{more}.",
        hint="Set the drift policy of the data source to EVOLVE or HOLD, and sync again.",
    )


def _told(change: dict[str, Any]) -> str:
    if change["change"] == "added":
        return f"is new ({_name(change['new'])})"
    if change["change"] == "removed":
        return f"is gone (it was {_name(change['old'])})"
    return f"was {_name(change['old'])} and is {_name(change['new'])}"


def _name(type_name: str) -> str:
    return str(type_name).upper()


def _change(name: str, old: ColumnType | None, new: ColumnType | None) -> dict[str, Any]:
    return {
        "column": name,
        "change": change_of(old, new),
        "old": old.value if old else None,
        "new": new.value if new else None,
    }
