"""Tables of a database as one generated SELECT each: what is selected, in which order, from which position on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from base.errors import ConnectionFailed, InvalidInput
from base.tables import Column, ColumnType, TableSchema
from connectors import since, sql
from connectors.errors import ReadAgain

_COMPARED = {
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.FLOAT,
    ColumnType.DATE,
    ColumnType.TIME,
    ColumnType.TIMESTAMP,
    ColumnType.TIMESTAMP_TZ,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a column is read.

    `sql` selects `{0}`. `store` makes the stored array of the driver's, or raises ArrowInvalid, for another type
    ArrowNotImplementedError; `is_odd` finds in it values that the driver got wrong; a `flag` is the source's own mark
    of such values, selected beside. `odd_sql` finds all of these in the source, and `widened` is then read instead, for
    the `reason` it gives. `order` is what of `{0}` to compare so that the source agrees with the order of the stored
    values (text by its UTF-8 bytes), None where they have none; `unordered` finds values that are stored but take no
    part in it, as NaN; `sorts` says a sort is exact.
    """

    type: ColumnType
    sql: str = "{0}"
    store: Callable[[pa.Array], pa.Array] | None = None
    is_odd: Callable[[pa.Array], bool] | None = None
    odd_sql: str | None = None
    flag: str | None = None
    widened: Plan | None = None
    reason: str | None = None
    is_key: bool = False  # its values order exactly, and come back from JSON as they were
    order: str | None = None
    unordered: str | None = None
    sorts: bool = True


@dataclass(frozen=True, slots=True)
class Position:
    """Where a read goes on: the key of the last row, its values as JSON has them and the source reads them back.

    `widened` are the columns that were, so that the rest has the same types.
    """

    names: list[str]
    values: list[Any]
    widened: frozenset[str]

    def to_json(self) -> list[Any]:
        """What `Batch.position` holds."""
        return [self.names, self.values, sorted(self.widened)]

    @classmethod
    def from_json(cls, value: list[Any]) -> Position:
        """The inverse of `to_json`."""
        names, values, widened = value
        return cls(names, values, frozenset(widened))


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view as the catalog has it: `plans` go with the columns.

    `key` are the columns of a primary key that tells every row from every other, in the key's order.
    """

    table: TableSchema
    plans: tuple[Plan, ...]
    key: tuple[str, ...]
    size_bytes: int
    is_in_default_schema: bool = True
    is_clustered: bool = False  # the rows are kept in the key's order
    can_be_sampled: bool = False  # page by page

    @property
    def title(self) -> str:
        """For messages."""
        return f"the table {self.table.qualified_name}"


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs in the generated statements.

    `literal` writes an int, Decimal, float, str, bytes, date, time or datetime exactly, as the type it is.
    """

    product: str
    quote: Callable[[str], str]
    literal: Callable[[Any], str]
    any_of: str  # of the boolean `{0}`
    has_nulls_last: bool  # in ascending order
    compares_rows: bool  # by an index: `(a, b) > (1, 2)`


@dataclass(frozen=True, slots=True)
class Source:
    """One column of a read."""

    column: Column
    plan: Plan
    quoted: str

    def select(self, template: str | None) -> str:
        """The column in an expression of its plan."""
        return (template or "{0}").format(self.quoted)

    def stored(self) -> Column:
        """The column as its batches hold it."""
        return replace(self.column, type=self.plan.type, inference=self.plan.reason)


@dataclass(frozen=True, slots=True)
class Key:
    """One column of an order: `sql` is what is compared."""

    name: str
    sql: str
    is_nullable: bool = False

    @classmethod
    def own(cls, source: Source) -> Key:
        """A column of the primary key, by the table's own order."""
        return cls(source.column.name, source.quoted)

    @classmethod
    def exact(cls, source: Source) -> Key:
        """Any column with an order, by that of its stored values."""
        return cls(source.column.name, source.select(source.plan.order), source.column.nullable)


def behind(
    keys: Sequence[Key],
    values: Sequence[str | None],
    *,
    has_nulls_last: bool,
    compares_rows: bool,
) -> str:
    """The condition for the rows after those values, which are SQL; None is for null.

    Spelled out where rows cannot be compared: for nulls, and for optimizers that use no index then.
    """
    if compares_rows and not any(key.is_nullable for key in keys):
        return f"({', '.join(key.sql for key in keys)}) > ({', '.join(map(str, values))})"
    alternatives: list[str] = []
    equal: list[str] = []
    for key, value in zip(keys, values, strict=True):
        if value is not None:
            later = f"{key.sql} > {value}"
            if key.is_nullable and has_nulls_last:
                later = f"({later} OR {key.sql} IS NULL)"
            alternatives.append(" AND ".join([*equal, later]))
        elif not has_nulls_last:
            alternatives.append(" AND ".join([*equal, f"{key.sql} IS NOT NULL"]))
        equal.append(f"{key.sql} IS NULL" if value is None else f"{key.sql} = {value}")
    return " OR ".join(f"({each})" for each in alternatives) or "1 = 0"


@dataclass(frozen=True, slots=True)
class Order:
    """What a read is ordered by; by nothing without keys.

    Rows are told apart by it where `is_unique`, and it is the primary key's where `is_own`.
    """

    keys: tuple[Key, ...] = ()
    is_unique: bool = True
    is_own: bool = False


@dataclass(frozen=True, slots=True)
class Bound:
    """Only rows whose `source` is at or after a value (text of `connectors.since`), or has none to compare."""

    source: Source
    since: str

    @property
    def value(self) -> Any:
        """The value; InvalidInput for a text that is none of the column's, whose type may have changed."""
        return sql.cursor_value(self.since, self.source.plan.type)


@dataclass(frozen=True, slots=True)
class Query:
    """One read: the chosen columns, then those of its order that were not chosen, then marks of odd values."""

    dialect: Dialect
    relation: Relation
    chosen: tuple[Source, ...]
    others: tuple[Source, ...] = ()
    order: Order = Order()
    bound: Bound | None = None

    @property
    def selected(self) -> tuple[Source, ...]:
        """The columns, without the marks."""
        return (*self.chosen, *self.others)

    @property
    def width(self) -> int:
        """How many columns the statement has."""
        return len(self.selected) + sum(1 for source in self.selected if source.plan.flag)

    @property
    def table(self) -> str:
        """The relation's name in a statement."""
        table = self.relation.table
        name = self.dialect.quote(table.name)
        return f"{self.dialect.quote(table.schema)}.{name}" if table.schema else name

    @property
    def condition(self) -> str | None:
        """What the bound lets through, in SQL; None for everything."""
        if self.bound is None:
            return None
        source, plan = self.bound.source, self.bound.source.plan
        wanted = [f"{source.select(plan.order)} >= {self.dialect.literal(self.bound.value)}"]
        if source.column.nullable:
            wanted.append(f"{source.quoted} IS NULL")
        if plan.unordered:
            wanted.append(source.select(plan.unordered))
        return " OR ".join(wanted)

    def statement(self, after: Position | None) -> str:
        """The SELECT. Names are quoted; the values of a bound and of a position are literals of the dialect."""
        columns = [source.select(source.plan.sql) for source in self.selected]
        columns += [s.select(s.plan.flag) for s in self.selected if s.plan.flag]
        listed = ", ".join(f"{column} AS c{place}" for place, column in enumerate(columns))
        statement = f"SELECT {listed} FROM {self.table}"  # noqa: S608 - as the docstring says
        conditions = [self.condition, None if after is None else self._behind(after)]
        if given := [f"({each})" for each in conditions if each]:
            statement += f" WHERE {' AND '.join(given)}"
        keys = ", ".join(key.sql for key in self.order.keys)
        return f"{statement} ORDER BY {keys}" if keys else statement

    def _behind(self, after: Position) -> str:
        types = {source.column.name: source.plan.type for source in self.selected}
        try:
            values = [
                None if value is None else self.dialect.literal(_from_json(value, types[key.name]))
                for key, value in zip(self.order.keys, after.values, strict=True)
            ]
        except InvalidInput as error:  # the key is of other types by now
            raise ReadAgain from error
        return behind(
            self.order.keys,
            values,
            has_nulls_last=self.dialect.has_nulls_last,
            compares_rows=self.dialect.compares_rows,
        )

    def store(self, raw: Sequence[pa.Array]) -> list[pa.Array] | None:
        """The arrays to store; None where a value did not survive. Raises ConnectionFailed where none ever will."""
        selected = self.selected
        arrays = []
        for source, values in zip(selected, raw, strict=False):
            plan = source.plan
            try:
                stored = values if plan.store is None else plan.store(values)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                if plan.widened is None:
                    raise self._refusal(source) from error
                return None
            if plan.is_odd is not None and plan.is_odd(stored):
                return None
            arrays.append(stored)
        if any(pc.any(mark).as_py() for mark in raw[len(selected) :]):
            return None
        return arrays

    def _refusal(self, source: Source) -> ConnectionFailed:
        return ConnectionFailed(
            f"A value in the column {source.column.name} of {self.relation.title} is none of its type,"
            f" {source.column.native_type}.",
            hint="A text may hold bytes that are not UTF-8, or the column is of another type by now."
            " Mend it in the source, or leave the column out.",
        )

    def position(
        self, batch: pa.RecordBatch, widened: frozenset[str], row: int = -1
    ) -> list[Any] | None:
        """Behind a row of a batch, the last one; None where there is no order."""
        if not self.order.keys:
            return None
        names = [key.name for key in self.order.keys]
        values = [_to_json(batch.column(name)[row].as_py()) for name in names]
        return Position(names, values, widened).to_json()


def _to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    return value if value is None or isinstance(value, int) else str(value)


def _from_json(value: Any, kind: ColumnType) -> Any:
    """The inverse of `_to_json`, for the literal of a value."""
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return since.value(str(value), kind) if kind in _COMPARED else value
