"""How far a sync is, table by table: what its checkpoints keep and its next attempt goes on from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from base.tables import TableSchema
from connectors.connector import Reject, Selection
from services.leases import Progress
from storage.snapshots.manifest import Part, StoredFile
from storage.snapshots.modes import SyncMode
from workers.messages import Before, Plan, Rejected, TableOrder


@dataclass(slots=True)
class Merging:
    """How a table's rows are put together with those stored before, as the child found it.

    `table` is None until there is a row: then the columns are those stored. `changes` are those that the source made.
    """

    key: tuple[str, ...] = ()
    cursor_column: str | None = None
    since: str | None = None
    is_fresh: bool = True
    table: TableSchema | None = None
    changes: list[dict[str, Any]] = field(default_factory=list)
    rewrites: bool = False

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        table = value["table"]
        return cls(
            **value
            | {"key": tuple(value["key"]), "table": TableSchema.from_json(table) if table else None}
        )


@dataclass(slots=True)
class TableState:
    """One table. `rows_read` counts what the connector gave, `parts` are what is durable of it.

    `position` is behind the last part; None where a read can only start over. `cursor` is the largest one up to there,
    `keys` hold the keys of all rows of the source where deleted ones are looked for, `rejects` the rows that could not
    be stored.
    """

    selection: Selection
    table: TableSchema | None = None
    parts: list[Part] = field(default_factory=list)
    position: list[Any] | None = None
    rows_read: int = 0
    bytes_read: int = 0
    is_done: bool = False
    plan: Plan = field(default_factory=Plan)
    merging: Merging = field(default_factory=Merging)
    cursor: str | None = None
    keys: list[Part] = field(default_factory=list)
    has_keys: bool = False
    rejects: list[StoredFile] = field(default_factory=list)
    first_reject: Reject | None = None

    @property
    def key(self) -> str:
        """What the table is called in steps, logs and receipts."""
        return self.selection.qualified_name

    @property
    def rows_stored(self) -> int:
        """Rows of the durable parts."""
        return sum(part.rows for part in self.parts)

    @property
    def rows_rejected(self) -> int:
        """Rows that could not be stored, as far as they are durable."""
        return sum(file.rows for file in self.rejects)

    @property
    def rows_expected(self) -> int | None:
        """How many rows there will be, as far as anybody knows."""
        if self.is_done or self.merging.since is not None:
            return self.rows_read
        return self.table.row_estimate if self.table else None

    def files(self) -> Iterator[Part | StoredFile]:
        """Every durable object."""
        yield from self.parts
        yield from self.keys
        yield from self.rejects

    def start_over(self) -> list[str]:
        """Forget what was read; the keys of the objects that are void now."""
        void = [file.key for file in self.files()]
        self.parts, self.keys, self.rejects = [], [], []
        self.position, self.is_done, self.rows_read, self.bytes_read = None, False, 0, 0
        self.cursor, self.has_keys, self.first_reject = None, False, None
        self.merging = Merging()
        return void

    def order(self, before: Before | None = None) -> TableOrder:
        """What a child is told of this table."""
        return TableOrder(
            self.selection, self.position, self.table, self.is_done, self.plan, before, self.cursor
        )

    def to_json(self) -> dict[str, Any]:
        """One table of `Job.checkpoint`."""
        value = asdict(self)
        del value["rows_read"]  # what is durable counts
        return value

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        selection, table, first = value["selection"], value["table"], value["first_reject"]
        names = {name: tuple(selection[name]) for name in ("columns", "key", "widened")}
        state = cls(
            **value
            | {
                "selection": Selection(**selection | names),
                "table": TableSchema.from_json(table) if table else None,
                "parts": [Part(**part) for part in value["parts"]],
                "plan": Plan(**value["plan"] | {"mode": SyncMode(value["plan"]["mode"])}),
                "merging": Merging.from_json(value["merging"]),
                "keys": [Part(**part) for part in value["keys"]],
                "rejects": [StoredFile(**file) for file in value["rejects"]],
                "first_reject": Reject(**first) if first else None,
            }
        )
        state.rows_read = state.rows_stored + state.rows_rejected
        return state


@dataclass(slots=True)
class SyncState:
    """All tables of a sync in order; none until the source was asked which there are.

    `base_id` is the snapshot that incremental tables are put together with, `generation` the one of the source.
    """

    tables: list[TableState]
    base_id: int | None = None
    generation: int = 0

    def to_json(self) -> dict[str, Any]:
        """What `Job.checkpoint` holds."""
        return {
            "base_id": self.base_id,
            "generation": self.generation,
            "tables": [table.to_json() for table in self.tables],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`, with only what is durable."""
        tables = [TableState.from_json(table) for table in value["tables"]]
        return cls(tables, value["base_id"], value["generation"])

    @property
    def rows_read(self) -> int:
        """Rows that the connector gave, over all tables and attempts."""
        return sum(state.rows_read for state in self.tables)

    def rejected(self) -> tuple[Rejected, ...]:
        """What could not be stored so far, by table."""
        return tuple(
            Rejected(index, state.rows_rejected, state.rows_read, state.first_reject)
            for index, state in enumerate(self.tables)
            if state.first_reject is not None
        )

    def progress(self, message: str | None) -> Progress:
        """For the job row; the total is known when every table's is."""
        estimates = [state.rows_expected for state in self.tables]
        known = [estimate for estimate in estimates if estimate is not None]
        done = self.rows_read
        total = max(sum(known), done) if known and len(known) == len(estimates) else None
        return Progress(done, sum(state.bytes_read for state in self.tables), total, message)
