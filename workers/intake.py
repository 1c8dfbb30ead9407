"""What becomes of a table's batches before they are written: rows since a cursor, at the columns stored before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from base.errors import InvalidInput
from base.tables import Column, ColumnType, TableSchema
from connectors import bounds, since
from connectors.connector import Connector, Increment, Reading, StoredColumn, Unseen
from storage.snapshots import evolve
from storage.snapshots.drifts import source_type
from storage.snapshots.modes import SyncMode
from workers.messages import Before, TableEvolved, TableOrder

LOOKBACK_SECONDS = 60  # of a cursor of timestamps: transactions that commit late
_TIMES = {ColumnType.TIMESTAMP, ColumnType.TIMESTAMP_TZ}


class Intake:
    """One open read of a table, and how its rows go with those stored before.

    Raises InvalidInput where the table lacks the key or the cursor that the order names.
    """

    def __init__(
        self,
        connector: Connector,
        order: TableOrder,
        known: Sequence[TableSchema] = (),
        after: list[Any] | None = None,
    ) -> None:
        self._order = order
        self._known = known
        self.before: Before | None = order.before
        self.since = _since(order)
        self.reading = self._read(connector, after)
        self.cursor_column = self._cursor_column()
        self.key = self._key()
        if not self._is_same_table():
            self.before = None
        if self.since is not None and not (self.before and self._has_same_cursor(self.before)):
            self.since = None
            self.reading = self._read(connector, after)
        # A read that goes on sees a later state of the source than the rows before it: what changed among those since
        # comes after their cursor, but maybe before the largest one. So the first attempt's cursor stays.
        self._is_cursor_settled = after is not None
        self.cursor = order.cursor if after is not None else None
        self._target: pa.Schema | None = None

    def take(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The rows of a batch that are wanted, as they are stored; call `evolve` before the first one."""
        column = self.cursor_column
        if column is not None:
            kind = _type(self.reading.table, column)
            if self.since is not None and not self.reading.is_since:
                batch = batch.filter(bounds.mask(batch, column, self.since, kind))
            if not self._is_cursor_settled:
                self.cursor = bounds.largest(batch, column, kind, self.cursor)
        for name in self.key:
            if nulls := batch.column(name).null_count:
                raise InvalidInput(
                    f"In the table {self._name}, {nulls:,} or more rows have no value in the key column {name!r}.",
                    hint="Merge by columns that are never null, or sync the table in full.",
                )
        if self._target is None:
            return batch
        return evolve.cast(batch, self._target)

    def evolve(self, index: int, schema: pa.Schema) -> TableEvolved | None:
        """Before the first batch: settle the columns together with those stored; None where no row is.

        Raises Conflict for columns that do not go together.
        """
        before = self.before
        if before is None or before.part is None:
            return None
        stored = pq.read_schema(before.part)
        evolution = evolve.evolve(before.table, stored, self.reading.table, schema)
        self._target = evolution.schema
        changes = tuple(asdict(change) for change in evolution.changes)
        return TableEvolved(index, evolution.table, changes, evolution.rewrites)

    def take_keys(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """A batch of the key-set pass, as keys are stored."""
        keys = batch.select(list(self.key))
        if self._target is None:
            return keys
        return evolve.cast(keys, pa.schema([self._target.field(name) for name in self.key]))

    @property
    def _name(self) -> str:
        return self._order.selection.qualified_name

    def _read(self, connector: Connector, after: list[Any] | None) -> Reading:
        selection = self._order.selection
        column = _cursor_column(self._order)
        increment = Increment(column, self.since) if column is not None else None
        self.selection = replace(
            selection,
            increment=increment,
            widened=_texts(self.before, besides=column),
            stored=_stored(self.before),
        )
        return _as_known(connector.read(self.selection, after), self._known)

    def read_keys(self, connector: Connector) -> Reading:
        """The key-set pass: the keys of all rows of the table."""
        selection = replace(self.selection, columns=self.key, key=self.key, increment=None)
        return connector.read(selection)

    def _cursor_column(self) -> str | None:
        plan, table = self._order.plan, self.reading.table
        if not plan.is_incremental:
            return None
        column = plan.cursor_column or table.cursor_column
        if column is None:
            return None
        if column not in _names(table):
            raise InvalidInput(
                f"The table {self._name} has no column {column!r} to be its cursor.",
                hint=f"Its columns are {_listed(table)}.",
            )
        since.check(_type(table, column), column)
        return column

    def _key(self) -> tuple[str, ...]:
        if self._order.plan.mode is not SyncMode.MERGE:
            return ()
        table = self.reading.table
        key = self._order.selection.key or table.primary_key
        if not key:
            raise InvalidInput(
                f"The table {self._name} has no primary key, so that its rows cannot be merged.",
                hint="Name the columns that tell its rows apart as primaryKey, or sync it as APPEND or FULL.",
            )
        for name in key:
            if name not in _names(table):
                raise InvalidInput(
                    f"The table {self._name} has no column {name!r} to be part of its key.",
                    hint=f"Its columns are {_listed(table)}.",
                )
        return key

    def _is_same_table(self) -> bool:
        """Whether rows stored before may stay: by another key, one may be there twice."""
        before, table = self.before, self.reading.table
        if before is None or before.table.schema != table.schema:  # a selection need not name it
            return False
        return self._order.plan.mode is not SyncMode.MERGE or before.key == self.key

    def _has_same_cursor(self, before: Before) -> bool:
        """Whether the stored cursor still says which rows are new; the values of another type have another order."""
        table, column = self.reading.table, self.cursor_column
        return column is not None and source_type(before.table, column) is _type(table, column)


def _as_known(reading: Reading, known: Sequence[TableSchema]) -> Reading:
    """RULE. What a table without a row does not show of its columns is as it was when it was last read."""
    found = (each for each in known if each.qualified_name == reading.table.qualified_name)
    before = next(found, None)
    if reading.unseen is None or before is None:
        return reading
    had = {column.name: _as_before(before, column) for column in before.columns}
    columns: Iterable[Column] = had.values()
    if reading.unseen is Unseen.TYPES:
        columns = (had.get(column.name, column) for column in reading.table.columns)
    return replace(reading, table=reading.table.with_columns(tuple(columns)), final=None)


def _as_before(table: TableSchema, column: Column) -> Column:
    kind = source_type(table, column.name)
    words = f"{kind.value}: there is no row, and it was so before"
    return replace(column, type=kind, inference=words)


def _cursor_column(order: TableOrder) -> str | None:
    """The cursor as far as it is known before the table is open."""
    if not order.plan.is_incremental:
        return None
    stored = order.before.cursor.column if order.before and order.before.cursor else None
    return order.plan.cursor_column or stored


def _since(order: TableOrder) -> str | None:
    """The stored cursor, moved back; None where every row has to be read."""
    column, before = _cursor_column(order), order.before
    if column is None or before is None or before.cursor is None or before.cursor.column != column:
        return None
    kind = source_type(before.table, column)
    seconds = order.plan.lookback_seconds
    if seconds is None:
        seconds = LOOKBACK_SECONDS if kind in _TIMES else 0
    return since.moved_back(before.cursor.value, kind, seconds)


def _texts(before: Before | None, besides: str | None) -> tuple[str, ...]:
    """Columns that stay text, whatever a source would give them as this time.

    The cursor does not: a text has another order, or none.
    """
    columns = before.table.columns if before is not None else ()
    texts = (column.name for column in columns if column.type is ColumnType.TEXT)
    return tuple(name for name in texts if name != besides)


def _stored(before: Before | None) -> dict[str, StoredColumn]:
    """How the columns are stored, where any row is."""
    if before is None or before.part is None:
        return {}
    schema = pq.read_schema(before.part)
    return {
        column.name: StoredColumn(column.type, schema.field(column.name).type)
        for column in before.table.columns
    }


def _type(table: TableSchema, name: str) -> ColumnType:
    return next(column.type for column in table.columns if column.name == name)


def _names(table: TableSchema) -> list[str]:
    return [column.name for column in table.columns]


def _listed(table: TableSchema) -> str:
    names = _names(table)
    more = ", …" if len(names) > 20 else ""  # noqa: PLR2004 - enough to find a slip of the pen
    return ", ".join(repr(name) for name in names[:20]) + more
