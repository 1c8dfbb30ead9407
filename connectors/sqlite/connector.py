"""Reads tables and views of a SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from base.errors import InvalidInput
from base.tables import Column, ColumnType, TableSchema
from connectors import since, sql
from connectors.connector import Batch, Connection, Health, Reading, Selection
from connectors.errors import FileInvalid, ReadAgain
from connectors.files.source import stored_file
from connectors.sqlite import PRODUCT, columns
from connectors.sqlite.session import check_header, decoded, open_file, translated

if TYPE_CHECKING:
    import pyarrow as pa

COUNT_FILE_BYTES_MAX = 64 * 1024**2  # the rows of a larger file are estimated
SAMPLE_ROWS = 1_000  # of a table that is only listed
PROFILE_COLUMNS = 100  # in one query; SQLite allows 2,000 results
GROWTH = 2  # of a text that is stored in UTF-16 and comes in UTF-8, at most
CELL_BYTES = 64  # about what a number or null takes in Python
_ROW_IDS = ("rowid", "_rowid_", "oid")


@dataclass(frozen=True, slots=True)
class _Column:
    """A column as it was declared. `key_place` counts from 1 in the primary key, 0 outside of it."""

    name: str
    declared: str
    is_required: bool
    key_place: int


@dataclass(frozen=True, slots=True)
class _Table:
    """A table, virtual table or view. `row_id` is what its row ids can be called, None where it has none."""

    name: str
    kind: str
    columns: tuple[_Column, ...]
    row_id: str | None

    @property
    def key(self) -> list[str]:
        """The primary key, in the key's order."""
        keyed = [column for column in self.columns if column.key_place]
        return [column.name for column in sorted(keyed, key=lambda column: column.key_place)]


@dataclass(frozen=True, slots=True)
class _Bound:
    """The condition for an increment, and its one parameter as text of `connectors.since`."""

    condition: str
    since: str
    type: ColumnType

    @property
    def parameter(self) -> Any:
        """The parameter; InvalidInput for a text that is no value of the column."""
        return columns.parameter(sql.cursor_value(self.since, self.type))


class SqliteConnector:
    """An open SQLite file. Raises FileInvalid for what is none, is encrypted or broken."""

    def __init__(self, connection: Connection) -> None:
        path = stored_file(connection)
        self._limits = connection.limits
        self._size_bytes = path.stat().st_size
        self._is_wal, self._is_utf8 = check_header(path)
        self._widened: dict[tuple[str, str], columns.Plan] = {}
        self._unreadable: dict[str, FileInvalid] = {}
        self._session = open_file(path, self._limits.cell_bytes_max)
        try:
            self._tables = {table.name: table for table in self._list()}
        except BaseException:
            self._session.close()
            raise

    def check(self) -> Health:
        """Say what the file holds."""
        message = f"The file is a SQLite database with {len(self._tables):,} tables and views."
        for name, error in self._unreadable.items():
            message += f" {name} cannot be read: {error.message}"
        if self._is_wal:
            message += " It is in WAL mode: changes in a -wal file beside it are not part of it."
        return Health(message, server_version=f"SQLite {sqlite3.sqlite_version}")

    def tables(self) -> list[TableSchema]:
        """Tables and views by name; types by a sample of rows. Views that cannot be read are left out."""
        found = []
        for table in self._tables.values():
            try:
                found.append(self._schema(table, self._plans(table, sample=True)))
            except FileInvalid:
                if table.kind == "table":
                    raise
        return found

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """Read a table in the order of its row ids or integer key, so that a later read can go on.

        That order does for an increment too: an uploaded file does not change while a read is interrupted.
        """
        table = self._tables.get(selection.name)
        if table is None or selection.schema not in {None, "main"}:
            raise sql.table_missing(selection, PRODUCT)
        names = [column.name for column in table.columns]
        for name in selection.columns:
            if name not in names:
                raise sql.column_missing(selection, name)
        for name in selection.key:
            if name not in names:
                raise sql.key_unknown(selection, name)
        plans = self._plans(table)
        bound, is_since = self._bound(selection, plans)
        chosen = {name: plans[name] for name in selection.columns or names}
        order = _order(table, plans)
        assert after is None or len(after) == len(order)
        batches = self._batches(table, chosen, order, after or [], bound)
        return Reading(self._schema(table, chosen), batches, is_since=is_since)

    def close(self) -> None:
        """Close the file."""
        self._session.close()

    def _bound(
        self, selection: Selection, plans: Mapping[str, columns.Plan]
    ) -> tuple[_Bound | None, bool]:
        """What an increment leaves out, and whether it is left out here.

        Numbers among texts, and texts of UTF-16, are compared by whoever reads: SQLite has another order for them.
        """
        increment = selection.increment
        if increment is None:
            return None, False
        plan = plans.get(increment.column)
        if plan is None:
            raise sql.cursor_unknown(selection, increment.column)
        try:
            since.check(plan.type, increment.column)
        except InvalidInput as error:
            raise sql.cursor_without_order(
                selection, increment.column, plan.reason or plan.type
            ) from error
        if plan.order is None or (plan.type is ColumnType.TEXT and not self._is_utf8):
            return None, False
        if increment.since is None:
            return None, True
        name = _quoted(increment.column)
        condition = f"({plan.order.format(name)} >= ? or {name} is null"
        condition += f" or {name} = -9e999)" if plan.type is ColumnType.FLOAT else ")"
        return _Bound(condition, increment.since, plan.type), True

    def _rows(self, query: str, parameters: Sequence[Any] = ()) -> sqlite3.Cursor:
        with translated():
            return self._session.execute(query, parameters)

    def _list(self) -> Iterator[_Table]:
        listed = self._rows(
            "select name, type, wr from pragma_table_list where schema = 'main'"
            " and type in ('table', 'view', 'virtual') and name not like 'sqlite!_%' escape '!'"
            " order by name"
        )
        with translated():
            found = listed.fetchall()
        for name, kind, without_row_id in found:
            try:
                yield self._table(decoded(name), decoded(kind), has_row_id=not without_row_id)
            except FileInvalid as error:
                if kind == b"table":
                    raise
                self._unreadable[decoded(name)] = error

    def _table(self, name: str, kind: str, *, has_row_id: bool) -> _Table:
        with translated():
            rows = self._session.execute(
                'select name, type, "notnull", pk from pragma_table_xinfo(?) where hidden <> 1'
                " order by cid",
                (name,),
            ).fetchall()
        found = tuple(
            _Column(decoded(each[0]), decoded(each[1]), bool(each[2]), each[3]) for each in rows
        )
        taken = {column.name.lower() for column in found}
        free = (each for each in _ROW_IDS if each not in taken)
        row_id = next(free, None) if kind == "table" and has_row_id else None
        return _Table(name, kind, found, row_id)

    def _plans(self, table: _Table, *, sample: bool = False) -> dict[str, columns.Plan]:
        """How to read each column, by all values or by a sample of them."""
        source = _quoted(table.name)
        if sample:
            source = f"(select * from {source} limit {SAMPLE_ROWS})"  # noqa: S608 - quoted
        plans = {}
        for start in range(0, len(table.columns), PROFILE_COLUMNS):
            some = table.columns[start : start + PROFILE_COLUMNS]
            fields = ", ".join(columns.counted(_quoted(each.name), each.declared) for each in some)
            with translated():
                query = f"select {fields} from {source}"  # noqa: S608 - quoted
                row = self._session.execute(query).fetchone()
            for column in some:
                size = columns.width(column.declared)
                counts, row = columns.counts(row[:size]), row[size:]
                plans[column.name] = columns.plan(column.declared, counts)
        widened = {each: plan for (name, each), plan in self._widened.items() if name == table.name}
        return plans | widened

    def _schema(self, table: _Table, plans: Mapping[str, columns.Plan]) -> TableSchema:
        found = {column.name: column for column in table.columns}
        described = tuple(
            Column(
                name,
                plan.type,
                native_type=found[name].declared or None,
                nullable=not found[name].is_required,
                primary_key=bool(found[name].key_place),
                inference=plan.reason,
            )
            for name, plan in plans.items()
        )
        return TableSchema(table.name, described, row_estimate=self._row_estimate(table))

    def _row_estimate(self, table: _Table) -> int | None:
        """The number of rows where counting is cheap, else the largest row id."""
        if table.kind != "table":
            return None
        name = _quoted(table.name)
        if self._size_bytes <= COUNT_FILE_BYTES_MAX:
            query = f"select count(*) from {name}"  # noqa: S608 - quoted
        elif table.row_id:
            query = f"select max({table.row_id}) from {name}"  # noqa: S608 - quoted
        else:
            return None
        with translated():
            return int(self._session.execute(query).fetchone()[0] or 0)

    def _batches(
        self,
        table: _Table,
        plans: Mapping[str, columns.Plan],
        order: Sequence[str],
        after: list[Any],
        bound: _Bound | None,
    ) -> Iterator[Batch]:
        fields = [plan.sql.format(_quoted(name)) for name, plan in plans.items()]
        query = f"select {', '.join([*fields, *order])} from {_quoted(table.name)}"  # noqa: S608 - quoted
        keys = ", ".join(order)
        conditions = [bound.condition] if bound else []
        if after:
            conditions.append(f"({keys}) > ({', '.join('?' * len(after))})")
        if conditions:
            query += f" where {' and '.join(conditions)}"
        if order:
            query += f" order by {keys}"
        parameters = [*([bound.parameter] if bound else []), *after]
        for rows in self._pieces(self._rows(query, parameters), plans):
            cells = list(zip(*rows, strict=True))
            data = self._record_batch(table, plans, cells[: len(plans)])
            position = list(rows[-1][len(plans) :]) or None
            for piece in sql.bounded(data, self._limits, f"the table {table.name}"):
                yield Batch(piece, position)

    def _pieces(
        self, cursor: sqlite3.Cursor, plans: Mapping[str, columns.Plan]
    ) -> Iterator[list[tuple[Any, ...]]]:
        """Rows in pieces within the limits; large cells are fetched few at a time and counted."""
        rows_max, bytes_max = self._limits.batch_rows, self._limits.batch_bytes
        row_bytes = sum(CELL_BYTES + GROWTH * plan.longest for plan in plans.values())
        step = max(min(bytes_max // row_bytes, rows_max), 1)
        rows: list[tuple[Any, ...]] = []
        size = 0
        while True:
            with translated():
                more = cursor.fetchmany(min(step, rows_max - len(rows)))
            rows += more
            if step < rows_max:
                size += sum(_size(cell) for row in more for cell in row)
            if rows and (not more or len(rows) >= rows_max or size >= bytes_max):
                yield rows
                rows, size = [], 0
            if not more:
                return

    def _record_batch(
        self, table: _Table, plans: Mapping[str, columns.Plan], cells: Sequence[columns.Cells]
    ) -> pa.RecordBatch:
        """The rows as Arrow. Raises ReadAgain after a value was not what the plan said: bad UTF-8, a fickle view."""
        import pyarrow as pa

        arrays = []
        for (name, plan), column in zip(plans.items(), cells, strict=True):
            try:
                arrays.append(plan.store(column))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                declared = next(each.declared for each in table.columns if each.name == name)
                self._widened[table.name, name] = columns.widened(declared, plan)
                raise ReadAgain from error
        return pa.RecordBatch.from_arrays(arrays, names=list(plans))


def _order(table: _Table, plans: Mapping[str, columns.Plan]) -> list[str]:
    """SQL of what rows are ordered and found again by; empty where nothing is cheap and exact."""
    if table.row_id:
        return [table.row_id]
    if all(plans[name].type is ColumnType.INTEGER for name in table.key):
        return [_quoted(name) for name in table.key]
    return []


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _size(cell: Any) -> int:
    return CELL_BYTES + (len(cell) if isinstance(cell, bytes) else 0)
