"""Reading rows without model instances: parametrised SQL in (`models.conditions`, `models.orders`), plain rows out.

Writing, and whatever needs a model's methods, stays with Tortoise.
"""

# ruff: noqa: S608, SLF001 - the text is made of placeholders, fixed words and Tortoise's metadata, which is only in `_meta`

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
from tortoise.fields import BooleanField, DatetimeField, JSONField
from tortoise.models import Model

from models.conditions import (
    AllOf,
    AnyOf,
    Compare,
    CompareText,
    Condition,
    Contains,
    Dialect,
    Eq,
    Has,
    In,
    InAnyCase,
    IsNull,
    KeyIs,
    Not,
    StartsWith,
    Statement,
    Within,
    column_of,
    field_of,
    is_nullable,
    table_of,
    where_of,
)
from models.orders import Beyond, Key, Order, order_of

__all__ = [
    "AllOf",
    "AnyOf",
    "Beyond",
    "Compare",
    "CompareText",
    "Condition",
    "Contains",
    "Eq",
    "Has",
    "In",
    "InAnyCase",
    "IsNull",
    "Key",
    "KeyIs",
    "Not",
    "Order",
    "Pick",
    "Row",
    "StartsWith",
    "Statement",
    "Within",
    "assemble",
    "count",
    "exists",
    "field_of",
    "first",
    "is_nullable",
    "parse_stamp",
    "select",
    "select_columns",
    "tally",
    "top_columns",
]

Convert = Callable[[Any], Any]


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
    where = where_of(model, conditions, statement)
    records = await _run(model, f"SELECT COUNT(*) FROM {table_of(model)}{where}", statement)
    return int(records[0][0])


async def tally(
    model: type[Model], columns: Sequence[str], *conditions: Condition
) -> dict[tuple[Any, ...], int]:
    """How many matching rows there are for each combination of values of these columns."""
    statement = Statement(_dialect(model))
    names = ", ".join(column_of(model, name) for name in columns)
    where = where_of(model, conditions, statement)
    text = f"SELECT {names}, COUNT(*) FROM {table_of(model)}{where} GROUP BY {names}"
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
    where = where_of(model, conditions, statement)
    text = f"SELECT {_list(model, picks)} FROM {table_of(model)}{where}"
    if order is not None:
        text += f" ORDER BY {order_of(model, order, statement.dialect)}"
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
    table, key = table_of(model), column_of(model, parent)
    rest = "".join(f" AND {c.render(model, statement)}" for c in conditions)
    few = (
        f"WHERE {key} = p.value{rest} ORDER BY {order_of(model, order, statement.dialect)}"
        f"{_limit(statement, limit, offset)}"
    )
    last = f"ORDER BY t.{key}, {order_of(model, order, statement.dialect, 't.')}"
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


@lru_cache(maxsize=4096)
def _list(model: type[Model], picks: tuple[Pick, ...], prefix: str = "") -> str:
    return ", ".join(_output(model, pick.column, prefix) for pick in picks)


def _output(model: type[Model], name: str, prefix: str) -> str:
    # A subquery would go by its own column's name, which ORDER BY would take for the table's.
    column = column_of(model, name, prefix)
    return f'{column} AS "{name}"' if "." in name else column


def _limit(statement: Statement, limit: int, offset: int) -> str:
    text = f" LIMIT {statement.bind(limit)}"
    return f"{text} OFFSET {statement.bind(offset)}" if offset else text


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
    field = field_of(model, column)
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
