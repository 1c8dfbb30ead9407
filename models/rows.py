"""Reading rows without model instances: parametrised SQL built from Tortoise's own metadata, plain rows out.

Names of tables and columns come from `Model._meta` and nowhere else; every value is a parameter. Nothing that a client
sends becomes SQL text. Writing, and whatever needs a model's methods, stays with Tortoise.
"""

# ruff: noqa: S608, SLF001 - the text is made of placeholders, fixed words and Tortoise's metadata, which is only in `_meta`

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import orjson
from tortoise.fields import BooleanField, DatetimeField, JSONField
from tortoise.models import Model

Dialect = Literal["sqlite", "postgresql"]
Convert = Callable[[Any], Any]
_OPERATORS = {"<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "<>"}


class Row(tuple[Any, ...]):
    """One row: a read-only tuple whose attributes are the selected columns, and no others."""

    __slots__ = ()
    model: ClassVar[type[Model]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Pick:
    """A column to read, under another name or through another conversion.

    `convert` is given the driver's value, never None; without one a column becomes its natural Python value.
    """

    name: str
    column: str
    convert: Convert | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Columns to sort by, all in one direction; the last one has to be unique."""

    columns: tuple[str, ...]
    descending: bool = False

    def reversed(self) -> Order:
        """The same order from its other end."""
        return Order(self.columns, not self.descending)


class Statement:
    """The text and the parameters of one statement while it is being put together."""

    __slots__ = ("dialect", "in_order", "values")

    def __init__(self, dialect: Dialect, *, in_order: bool = False) -> None:
        self.dialect = dialect
        self.in_order = in_order
        self.values: list[Any] = []

    def bind(self, value: Any) -> str:
        """Add a parameter; its numbered placeholder."""
        self.values.append(_to_database(self.dialect, value))
        return f"${len(self.values)}" if self.dialect == "postgresql" else f"?{len(self.values)}"

    def bind_list(self, values: Iterable[Any]) -> str:
        """Add a list as one parameter, so that the text is the same for any length; its placeholder."""
        plain = [_to_database(self.dialect, value) for value in values]
        if self.dialect == "postgresql":
            self.values.append(plain)
            return f"${len(self.values)}"
        self.values.append(orjson.dumps(plain).decode())
        return f"?{len(self.values)}"


class Condition(ABC):
    """A restriction on the rows of one model."""

    __slots__ = ()

    @abstractmethod
    def render(self, model: type[Model], statement: Statement) -> str:
        """The SQL of the condition; its values go into `statement`."""


@dataclass(frozen=True, slots=True)
class Eq(Condition):
    """The column has this value, which is not None."""

    column: str
    value: Any

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column = value`."""
        return f"{_column(model, self.column)} = {statement.bind(self.value)}"


@dataclass(frozen=True, slots=True)
class In(Condition):
    """The column has one of these values; none at all matches nothing."""

    column: str
    values: Sequence[Any]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column IN (values)`."""
        column, values = _column(model, self.column), statement.bind_list(self.values)
        if statement.dialect == "postgresql":
            return f"{column} = ANY({values})"
        return f"{column} IN (SELECT value FROM json_each({values}))"


@dataclass(frozen=True, slots=True)
class Compare(Condition):
    """The column is on one side of a value: `<`, `<=`, `>`, `>=` or `!=`."""

    column: str
    operator: str
    value: Any

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column < value`."""
        operator = _OPERATORS[self.operator]
        return f"{_column(model, self.column)} {operator} {statement.bind(self.value)}"


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """The text of the column contains this text, in any case (on SQLite: any case of ASCII letters)."""

    column: str
    text: str

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column LIKE '%text%'`, with the pattern's own signs in the text taken literally."""
        like = "ILIKE" if statement.dialect == "postgresql" else "LIKE"
        escaped = self.text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
        pattern = statement.bind(f"%{escaped}%")
        return f"{_column(model, self.column)} {like} {pattern} ESCAPE '!'"


@dataclass(frozen=True, slots=True)
class KeyIs(Condition):
    """The object in a JSON column has this text under this key."""

    column: str
    key: str
    text: str

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column ->> 'key' = text`."""
        key, text = statement.bind(self.key), statement.bind(self.text)
        if statement.dialect == "postgresql":
            key = f"{key}::text"  # it may be a place in a list as well
        return f"{_column(model, self.column)} ->> {key} = {text}"


@dataclass(frozen=True, slots=True)
class IsNull(Condition):
    """The column is null, or with `null=False` is not."""

    column: str
    null: bool = True

    def render(self, model: type[Model], statement: Statement) -> str:  # noqa: ARG002 - the contract
        """`column IS NULL`."""
        return f"{_column(model, self.column)} IS {'' if self.null else 'NOT '}NULL"


@dataclass(frozen=True, slots=True)
class Beyond(Condition):
    """Keyset: the row comes after the one with these values in this order."""

    order: Order
    values: tuple[Any, ...]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`(a, b) > (x, y)`, which an index on (a, b) answers."""
        columns = ", ".join(_column(model, name) for name in self.order.columns)
        values = ", ".join(statement.bind(value) for value in self.values)
        return f"({columns}) {'<' if self.order.descending else '>'} ({values})"


@dataclass(frozen=True, slots=True)
class Within(Condition):
    """The column is among a column of other rows: `Within("project_id", Project, conditions)`."""

    column: str
    model: type[Model]
    conditions: tuple[Condition, ...]
    select: str = "id"

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column IN (SELECT …)`."""
        where = _where(self.model, self.conditions, statement)
        select = f"SELECT {_column(self.model, self.select)} FROM {_table(self.model)}{where}"
        # SQLite would find all rows of a scope and sort them for each page; the sign makes it walk the order's index.
        walk = "+" if statement.in_order and statement.dialect == "sqlite" else ""
        return f"{walk}{_column(model, self.column)} IN ({select})"


@dataclass(frozen=True, slots=True)
class Has(Condition):
    """Some row of another model has this row's key in its `column`, or with `has=False` none has."""

    model: type[Model]
    column: str
    conditions: tuple[Condition, ...] = ()
    has: bool = True

    def render(self, model: type[Model], statement: Statement) -> str:
        """`EXISTS (SELECT …)`, answered by one look into an index on `column`."""
        own = f'{_column(self.model, self.column)} = {_table(model)}."id"'
        rest = "".join(f" AND {c.render(self.model, statement)}" for c in self.conditions)
        select = f"SELECT 1 FROM {_table(self.model)} AS other WHERE {own}{rest}"
        return f"{'' if self.has else 'NOT '}EXISTS ({select})"


@dataclass(frozen=True, slots=True)
class AnyOf(Condition):
    """At least one of the conditions holds; none at all matches nothing."""

    conditions: tuple[Condition, ...]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`(a OR b)`."""
        if not self.conditions:
            return "1 = 0"
        return f"({' OR '.join(c.render(model, statement) for c in self.conditions)})"


async def select(
    model: type[Model],
    columns: Sequence[str | Pick],
    *conditions: Condition,
    order: Order | None = None,
    limit: int | None = None,
) -> list[Row]:
    """The matching rows, with only these columns, in `order` (none: in any)."""
    found = await select_columns(model, columns, *conditions, order=order, limit=limit)
    return assemble(model, [_pick(column).name for column in columns], found)


async def first(
    model: type[Model], columns: Sequence[str | Pick], *conditions: Condition
) -> Row | None:
    """The one matching row, or None."""
    return next(iter(await select(model, columns, *conditions, limit=1)), None)


async def exists(model: type[Model], *conditions: Condition) -> bool:
    """Whether any row matches."""
    return await first(model, ("id",), *conditions) is not None


async def count(model: type[Model], *conditions: Condition) -> int:
    """How many rows match."""
    statement = Statement(_dialect(model))
    where = _where(model, conditions, statement)
    records = await _run(model, f"SELECT COUNT(*) FROM {_table(model)}{where}", statement)
    return int(records[0][0])


async def tally(
    model: type[Model], columns: Sequence[str], *conditions: Condition
) -> dict[tuple[Any, ...], int]:
    """How many matching rows there are for each combination of values of these columns."""
    statement = Statement(_dialect(model))
    names = ", ".join(_column(model, name) for name in columns)
    where = _where(model, conditions, statement)
    text = f"SELECT {names}, COUNT(*) FROM {_table(model)}{where} GROUP BY {names}"
    return {tuple(record)[:-1]: record[-1] for record in await _run(model, text, statement)}


async def select_columns(
    model: type[Model],
    columns: Sequence[str | Pick],
    *conditions: Condition,
    order: Order | None = None,
    limit: int | None = None,
    offset: int = 0,
) -> list[list[Any]]:
    """As `select`, column by column: one list for each of `columns`, all of one length.

    `offset` rows are left out before the first; it goes with `limit`.
    """
    statement = Statement(_dialect(model), in_order=order is not None)
    picks = tuple(map(_pick, columns))
    where = _where(model, conditions, statement)
    text = f"SELECT {_list(model, picks)} FROM {_table(model)}{where}"
    if order is not None:
        text += f" ORDER BY {_order(model, order)}"
    if limit is not None:
        text += _limit(statement, limit, offset)
    return _transpose(statement.dialect, model, picks, await _run(model, text, statement))


async def top_columns(
    model: type[Model],
    columns: Sequence[str | Pick],
    *conditions: Condition,
    parent: str,
    parents: Iterable[int],
    order: Order,
    limit: int,
    offset: int = 0,
) -> list[list[Any]]:
    """The first `limit` rows below each parent, column by column, in one statement; sorted by parent, then `order`.

    One index range a parent is read, however many rows it has. `offset` rows of each parent are left out.
    """
    statement = Statement(_dialect(model))
    picks = tuple(map(_pick, columns))
    ids = statement.bind_list(parents)
    table, key = _table(model), _column(model, parent)
    rest = "".join(f" AND {c.render(model, statement)}" for c in conditions)
    few = (
        f"WHERE {key} = p.value{rest} ORDER BY {_order(model, order)}"
        f"{_limit(statement, limit, offset)}"
    )
    last = f"ORDER BY t.{key}, {_order(model, order, 't.')}"
    if statement.dialect == "postgresql":
        lateral = f"CROSS JOIN LATERAL (SELECT * FROM {table} {few}) AS t"
        source = f"unnest({ids}::bigint[]) AS p(value) {lateral}"
    else:
        join = f'CROSS JOIN {table} AS t ON t."id" IN (SELECT "id" FROM {table} {few})'
        source = f"json_each({ids}) AS p {join}"
    text = f"SELECT {_list(model, picks, 't.')} FROM {source} {last}"
    return _transpose(statement.dialect, model, picks, await _run(model, text, statement))


def assemble(
    model: type[Model], names: Iterable[str], columns: Sequence[Sequence[Any]]
) -> list[Row]:
    """Rows of these columns, which may hold more than what the database gave."""
    return list(map(_row_class(model, tuple(names))._make, zip(*columns, strict=True)))


@lru_cache(maxsize=4096)
def _row_class(model: type[Model], names: tuple[str, ...]) -> Any:
    # A named tuple is filled and read by C code alone, with no per-row Python call.
    plain = namedtuple(model.__name__, names)  # type: ignore[misc]  # noqa: PYI024 - names known at run time
    return type(model.__name__, (Row, plain), {"__slots__": (), "model": model})


def _pick(column: str | Pick) -> Pick:
    return column if isinstance(column, Pick) else Pick(column, column)


def _dialect(model: type[Model]) -> Dialect:
    return "sqlite" if model._meta.db.capabilities.dialect == "sqlite" else "postgresql"


async def _run(model: type[Model], text: str, statement: Statement) -> Sequence[Any]:
    _, records = await model._meta.db.execute_query(text, statement.values)
    return records


def _table(model: type[Model]) -> str:
    return f'"{model._meta.db_table}"'


@lru_cache(maxsize=4096)
def _column(model: type[Model], name: str) -> str:
    """The quoted column; a name that the model does not have is a KeyError, not SQL."""
    return f'"{model._meta.fields_map[name].source_field or name}"'


@lru_cache(maxsize=4096)
def _list(model: type[Model], picks: tuple[Pick, ...], prefix: str = "") -> str:
    return ", ".join(f"{prefix}{_column(model, pick.column)}" for pick in picks)


def _order(model: type[Model], order: Order, prefix: str = "") -> str:
    direction = "DESC" if order.descending else "ASC"
    return ", ".join(f"{prefix}{_column(model, name)} {direction}" for name in order.columns)


def _limit(statement: Statement, limit: int, offset: int) -> str:
    text = f" LIMIT {statement.bind(limit)}"
    return f"{text} OFFSET {statement.bind(offset)}" if offset else text


def _where(model: type[Model], conditions: Iterable[Condition], statement: Statement) -> str:
    parts = [condition.render(model, statement) for condition in conditions]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def _transpose(
    dialect: Dialect, model: type[Model], picks: tuple[Pick, ...], records: Sequence[Any]
) -> list[list[Any]]:
    if not records:
        return [[] for _ in picks]
    columns: list[Any] = list(zip(*records, strict=True))
    for index, convert in _converters(dialect, model, picks):
        columns[index] = [None if value is None else convert(value) for value in columns[index]]
    return columns


@lru_cache(maxsize=4096)
def _converters(
    dialect: Dialect, model: type[Model], picks: tuple[Pick, ...]
) -> tuple[tuple[int, Convert], ...]:
    chosen = (pick.convert or _natural(dialect, model, pick.column) for pick in picks)
    return tuple((index, convert) for index, convert in enumerate(chosen) if convert is not None)


def _natural(dialect: Dialect, model: type[Model], column: str) -> Convert | None:
    """What makes the driver's value a Python value, where it is not one already."""
    field = model._meta.fields_map[column]
    enum = getattr(field, "enum_type", None)
    if enum is not None:
        return {member.value: member for member in enum}.__getitem__
    if isinstance(field, JSONField):
        return orjson.loads
    if dialect == "sqlite" and isinstance(field, DatetimeField):
        return parse_stamp
    if dialect == "sqlite" and isinstance(field, BooleanField):
        return bool
    return None


def parse_stamp(text: str) -> datetime:
    """A point in time as SQLite keeps it (`2026-11-21 04:21:00.123456+00:00`), in UTC."""
    value = datetime.fromisoformat(text)
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _to_database(dialect: Dialect, value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dialect == "sqlite" and isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(
            " "
        )  # as Tortoise writes it: text order is time order
    return value
