"""Orders of rows: by their columns and those of what they refer to, either way, with nulls at either end."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from tortoise.models import Model

from models.conditions import Condition, Dialect, Statement, column_of, is_nullable


@dataclass(frozen=True, slots=True)
class Key:
    """A column to sort by: its own, or through a foreign key, `team.name`.

    Without `nulls_first`, nulls are last when ascending and first when descending.
    """

    column: str
    descending: bool = False
    nulls_first: bool | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """Columns to sort by; the last one has to be unique. `descending` turns the whole order round."""

    columns: tuple[str | Key, ...]
    descending: bool = False

    @property
    def keys(self) -> tuple[Key, ...]:
        """The columns with the directions and the places of nulls that come of it all."""
        return _keys(self)

    def reversed(self) -> Order:
        """The same order from its other end."""
        return Order(self.columns, not self.descending)


@lru_cache(maxsize=1024)
def _keys(order: Order) -> tuple[Key, ...]:
    return tuple(
        _turned(each if isinstance(each, Key) else Key(each), around=order.descending)
        for each in order.columns
    )


def _turned(key: Key, *, around: bool) -> Key:
    nulls_first = key.descending if key.nulls_first is None else key.nulls_first
    return Key(key.column, key.descending is not around, nulls_first is not around)


@dataclass(frozen=True, slots=True)
class Beyond(Condition):
    """Keyset: the row comes after the one with these values in this order."""

    order: Order
    values: tuple[Any, ...]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`(a, b) > (x, y)`, which an index on (a, b) answers; with nulls or several directions, column by column."""
        keys = self.order.keys
        columns = [column_of(model, key.column) for key in keys]
        bound = ["NULL" if value is None else statement.bind(value) for value in self.values]
        is_plain = not any(is_nullable(model, key.column) for key in keys)
        if is_plain and len({key.descending for key in keys}) == 1:
            operator = "<" if keys[0].descending else ">"
            return f"({', '.join(columns)}) {operator} ({', '.join(bound)})"
        after = "1 = 0"
        for key, column, value in reversed(list(zip(keys, columns, bound, strict=True))):
            same = f"{column} IS NULL" if value == "NULL" else f"{column} = {value}"
            after = f"({_past(model, key, column, value)} OR ({same} AND {after}))"
        if is_nullable(model, keys[0].column):
            return after
        # This says nothing new, but an index can be entered by it.
        near = f"{columns[0]} {'<=' if keys[0].descending else '>='} {bound[0]}"
        return f"({near} AND {after})"


def _past(model: type[Model], key: Key, column: str, value: str) -> str:
    """The column alone is past the value, which may be NULL."""
    if value == "NULL":
        return f"{column} IS NOT NULL" if key.nulls_first else "1 = 0"
    past = f"{column} {'<' if key.descending else '>'} {value}"
    if key.nulls_first or not is_nullable(model, key.column):
        return past
    return f"({past} OR {column} IS NULL)"


def order_of(model: type[Model], order: Order, dialect: Dialect, prefix: str = "") -> str:
    """What follows ORDER BY. `prefix` is the table's alias with its point."""
    return ", ".join(_sorted_by(model, key, dialect, prefix) for key in order.keys)


def _sorted_by(model: type[Model], key: Key, dialect: Dialect, prefix: str) -> str:
    text = f"{column_of(model, key.column, prefix)} {'DESC' if key.descending else 'ASC'}"
    # To PostgreSQL a null is larger than any value, to SQLite smaller.
    usual = key.descending is (dialect == "postgresql")
    if key.nulls_first is usual or not is_nullable(model, key.column):
        return text
    return f"{text} NULLS {'FIRST' if key.nulls_first else 'LAST'}"
