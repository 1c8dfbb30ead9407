"""What reading PostgreSQL and MySQL have in common: tables as one generated SELECT each, checked batch by batch.

A column is selected so that its values survive the driver. Where only rare values do not (infinity in a date), each
batch is looked through; when it holds one, the source is asked which columns do, and the table is read again with those
as text ("widened"). So every value is stored as it is, and a type is given up only for the columns that break it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Generic, Protocol, TypeVar

import pyarrow as pa

from base.tables import TableSchema
from connectors import sql
from connectors.connector import Batch, Connection, Health, Reading, Selection
from connectors.errors import ReadAgain
from connectors.queries import Bound, Dialect, Key, Order, Position, Query, Relation, Source

ORDERED_BYTES_MAX = 64 * 1024**2  # a table up to this size is read in order whatever it costs


class Session(Protocol):
    """An open read-only transaction. Raises `connectors.errors`."""

    def rows(self, statement: str, what: str = ...) -> list[dict[str, Any]]:
        """All rows of a small result; `what` is for messages."""

    def stream(self, statement: str, what: str, columns: int) -> Iterator[list[pa.Array]]:
        """The columns of a large result, batch by batch."""

    def close(self) -> None:
        """End it."""


S = TypeVar("S", bound=Session)


class RelationalConnector(ABC, Generic[S]):
    """An open source; connects when it is first used."""

    dialect: Dialect

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._opened: S | None = None
        self._relations: list[Relation] | None = None
        self._widened: dict[tuple[str | None, str], frozenset[str]] = {}

    @abstractmethod
    def _open(self) -> S:
        """Connect."""

    @abstractmethod
    def _version(self) -> str:
        """The server's product and version."""

    @abstractmethod
    def _load(self) -> list[Relation]:
        """All readable relations, in a stable order."""

    def _lies_in_order(self, relation: Relation) -> bool:
        """Whether reading a large relation in its key's order costs about as much as reading it in any."""
        return relation.is_clustered

    def _prepare(self, query: Query) -> None:
        """What has to be set before a query."""

    def check(self) -> Health:
        """Connect, and ask for the version."""
        settings = self._connection.settings
        version = self._version()
        return Health(
            f"Connected to the database {settings['database']} as {settings['username']}.", version
        )

    def tables(self) -> list[TableSchema]:
        """All tables and views this user may read; a partitioned table is one."""
        return [relation.table for relation in self._catalog()]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """See `Connector.read`. May ask once to be read again: a column had values that its type cannot hold."""
        relation = self._find(selection)
        table = relation.table
        position = None if after is None else Position.from_json(after)
        if widened := (position.widened if position else frozenset()) | set(selection.widened):
            before = self._widened.get((table.schema, table.name), frozenset())
            self._widened[table.schema, table.name] = before | widened
        known = self._sources(relation)
        for name in selection.columns:
            if name not in known:
                raise sql.column_missing(selection, name)
        for name in selection.key:
            if name not in known:
                raise sql.key_unknown(selection, name)
        chosen = tuple(
            source for name, source in known.items() if name in (selection.columns or known)
        )
        bound = self._bound(selection, known)
        order = self._order(relation, known, selection, is_resumed=after is not None)
        others = (known[key.name] for key in order.keys)
        query = Query(
            self.dialect,
            relation,
            chosen,
            tuple(source for source in others if source not in chosen),
            order,
            bound,
        )
        return Reading(
            table.with_columns(tuple(source.stored() for source in chosen)),
            self._batches(query, position),
            is_since=selection.increment is not None,
        )

    def close(self) -> None:
        """End the transaction."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _session(self) -> S:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _catalog(self) -> list[Relation]:
        if self._relations is None:
            self._relations = self._load()
        return self._relations

    def _find(self, selection: Selection) -> Relation:
        """The selected relation; without a schema, the one in the default schema, or the only one of that name."""
        named = [
            relation
            for relation in self._catalog()
            if relation.table.name == selection.name
            and selection.schema in self._schemas(relation.table)
        ]
        found = [each for each in named if each.is_in_default_schema] if len(named) > 1 else named
        if len(found) != 1:
            raise sql.table_missing(selection, self.dialect.product)
        return found[0]

    def _schemas(self, table: TableSchema) -> set[str | None]:
        """What a selection may call the schema of a table."""
        return {None, table.schema}

    def _sources(self, relation: Relation) -> dict[str, Source]:
        table = relation.table
        widened = self._widened.get((table.schema, table.name), frozenset())
        return {
            column.name: Source(
                column,
                plan.widened if column.name in widened and plan.widened else plan,
                self.dialect.quote(column.name),
            )
            for column, plan in zip(table.columns, relation.plans, strict=True)
        }

    def _bound(self, selection: Selection, known: Mapping[str, Source]) -> Bound | None:
        """What an increment leaves out; None for nothing."""
        increment = selection.increment
        if increment is None:
            return None
        source = known.get(increment.column)
        if source is None:
            raise sql.cursor_unknown(selection, increment.column)
        if source.plan.order is None:
            raise sql.cursor_without_order(
                selection, source.column.name, source.plan.reason or str(source.column.native_type)
            )
        return None if increment.since is None else Bound(source, increment.since)

    def _order(
        self,
        relation: Relation,
        known: Mapping[str, Source],
        selection: Selection,
        *,
        is_resumed: bool,
    ) -> Order:
        """What to order by; nothing where there is no key that orders exactly, or where order is dear.

        An increment is ordered by its cursor before the key: what changes while a read is interrupted then lies behind
        the position, and is not passed over.
        """
        order = self._key(relation, known, selection)
        increment = selection.increment
        is_increment = False
        if order.keys and increment is not None:
            if not known[increment.column].plan.sorts:
                return Order()
            cursor = Key.exact(known[increment.column])
            rest = tuple(key for key in order.keys if key.name != cursor.name)
            is_own = not rest and cursor == order.keys[0]
            order = Order((cursor, *rest), order.is_unique, is_own)
            is_increment = increment.since is not None
        if not order.keys or is_resumed or is_increment:
            return order
        # The size of a view is not known; the source need not sort it for us.
        is_small = relation.size_bytes <= ORDERED_BYTES_MAX and (
            order.is_unique or relation.size_bytes > 0
        )
        is_cheap = is_small or (order.is_own and self._lies_in_order(relation))
        return order if is_cheap else Order()

    def _key(self, relation: Relation, known: Mapping[str, Source], selection: Selection) -> Order:
        """The table's own key, or else the one that was given."""
        own = [known[name] for name in relation.key]
        if own and all(source.plan.is_key for source in own):
            return Order(tuple(map(Key.own, own)), is_own=True)
        given = [known[name] for name in selection.key]
        for keys in (own, given):  # a key of padded text, say, is not the order of its index
            if keys and all(source.plan.order and source.plan.sorts for source in keys):
                return Order(tuple(map(Key.exact, keys)), is_unique=keys is own)
        return Order()

    def _batches(self, query: Query, after: Position | None) -> Iterator[Batch]:
        if after is not None and after.names != [key.name for key in query.order.keys]:
            raise ReadAgain  # the key is another one by now
        pieces = self._pieces(query, after)
        yield from (
            (batch for _, batch in pieces) if query.order.is_unique else _between_keys(pieces)
        )

    def _pieces(self, query: Query, after: Position | None) -> Iterator[tuple[Any, Batch]]:
        """The batches, each with the position of its first row."""
        table = query.relation.table
        widened = self._widened.get((table.schema, table.name), frozenset())
        self._prepare(query)
        names = [source.column.name for source in query.selected]
        is_odd = False
        statement = query.statement(after)
        for raw in self._session().stream(statement, query.relation.title, query.width):
            # After an odd value the rest is only received: the connection is needed again.
            arrays = None if is_odd else query.store(raw)
            if arrays is None:
                is_odd = True
                continue
            batch = pa.RecordBatch.from_arrays(arrays, names)
            for piece in sql.bounded(batch, self._connection.limits, query.relation.title):
                first = None if query.order.is_unique else query.position(piece, widened, 0)
                position = query.position(piece, widened)
                yield first, Batch(piece.select(range(len(query.chosen))), position)
        if is_odd:
            self._widen(query)
            raise ReadAgain

    def _widen(self, query: Query) -> None:
        """Ask the source which columns have values that their types cannot hold: one more pass, and the last."""
        candidates = [source for source in query.selected if source.plan.widened]
        tests = ", ".join(
            f"{self.dialect.any_of.format(source.select(source.plan.odd_sql))} AS c{place}"
            for place, source in enumerate(candidates)
        )
        where = f" WHERE {query.condition}" if query.condition else ""
        rows = self._session().rows(
            f"SELECT {tests} FROM {query.table}{where}",  # noqa: S608 - quoted names of the catalog
            query.relation.title,
        )
        found = {
            source.column.name for place, source in enumerate(candidates) if rows[0][f"c{place}"]
        }
        every = {source.column.name for source in candidates}
        table = query.relation.table
        before = self._widened.get((table.schema, table.name), frozenset())
        self._widened[table.schema, table.name] = before | frozenset(found or every)


def _between_keys(pieces: Iterable[tuple[Any, Batch]]) -> Iterator[Batch]:
    """The batches without the positions that lie between two rows of the same key: a user's key may repeat."""
    held: Batch | None = None
    for first, batch in pieces:
        if held is not None:
            yield replace(held, position=None) if held.position == first else held
        held = batch
    if held is not None:
        yield held
