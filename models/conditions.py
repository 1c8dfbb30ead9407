"""Conditions on rows as parametrised SQL, built from Tortoise's own metadata.

Names of tables and columns come from `Model._meta` and nowhere else; every value is a parameter. Nothing that a client
sends becomes SQL text. `models.rows` reads with them.
"""

# ruff: noqa: S608, SLF001 - the text is made of placeholders, fixed words and Tortoise's metadata, which is only in `_meta`

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, Literal

import orjson
from tortoise.fields.base import Field
from tortoise.models import Model

from models.letters import small_letters

Dialect = Literal["sqlite", "postgresql"]
_OPERATORS = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">=", "!=": "<>"}


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
        return f"{column_of(model, self.column)} = {statement.bind(self.value)}"


@dataclass(frozen=True, slots=True)
class In(Condition):
    """The column has one of these values; none at all matches nothing."""

    column: str
    values: Sequence[Any]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column IN (values)`."""
        column, values = column_of(model, self.column), statement.bind_list(self.values)
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
        return f"{column_of(model, self.column)} {operator} {statement.bind(self.value)}"


@dataclass(frozen=True, slots=True)
class CompareText(Condition):
    """The text is on one side of another by their code points, whatever the collation: `=`, `<`, `<=`, `>` or `>=`."""

    column: str
    operator: str
    text: str
    ignore_case: bool = False

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column < text COLLATE "C"`."""
        is_range, fold = self.operator != "=", self.ignore_case
        column, text = _texts(
            model, self.column, self.text, statement, fold=fold, is_range=is_range
        )
        collate = "BINARY" if statement.dialect == "sqlite" else '"C"'
        return f"{column} {_OPERATORS[self.operator]} {text} COLLATE {collate}"


@dataclass(frozen=True, slots=True)
class InAnyCase(Condition):
    """The text is one of these in any case; none at all matches nothing."""

    column: str
    texts: Sequence[str]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`lower(column) IN (lower(text), …)`."""
        column = column_of(model, self.column)
        if statement.dialect == "postgresql":
            values = f"unnest({statement.bind_list(self.texts)}::text[]) AS each(value)"
            return f"LOWER({column}) IN (SELECT LOWER(value) FROM {values})"
        texts = statement.bind_list(map(small_letters, self.texts))
        return f"{_sqlite_lower(column, self.texts)} IN (SELECT value FROM json_each({texts}))"


@dataclass(frozen=True, slots=True)
class Contains(Condition):
    """The text of the column contains this text."""

    column: str
    text: str
    ignore_case: bool = True

    def render(self, model: type[Model], statement: Statement) -> str:
        """`instr(column, text) > 0`."""
        column, text = _texts(model, self.column, self.text, statement, fold=self.ignore_case)
        function = "instr" if statement.dialect == "sqlite" else "strpos"
        return f"{function}({column}, {text}) > 0"


@dataclass(frozen=True, slots=True)
class StartsWith(Condition):
    """The text of the column starts with this text."""

    column: str
    text: str
    ignore_case: bool = False

    def render(self, model: type[Model], statement: Statement) -> str:
        """`starts_with(column, text)`."""
        column, text = _texts(model, self.column, self.text, statement, fold=self.ignore_case)
        if statement.dialect == "postgresql":
            return f"starts_with({column}, {text})"
        return f"substr({column}, 1, length({text})) = {text}"


def _texts(
    model: type[Model],
    name: str,
    text: str,
    statement: Statement,
    *,
    fold: bool,
    is_range: bool = False,
) -> tuple[str, str]:
    """The SQL of a text column and of the text that it is held against, in a range or else for being the same."""
    column = column_of(model, name)
    if statement.dialect == "sqlite":
        if not fold:
            return column, statement.bind(text)
        return _sqlite_lower(column, [] if is_range else [text]), statement.bind(
            small_letters(text)
        )
    bound = f"{statement.bind(text)}::text"
    return (f"LOWER({column})", f"LOWER({bound})") if fold else (column, bound)


def _sqlite_lower(column: str, texts: Sequence[str]) -> str:
    """The column in small letters, as far as that matters for whether one of these texts (none: any) is in it."""
    # SQLite's own function knows only the letters of ASCII, at a hundredth of the cost.
    is_plain = bool(texts) and all(map(str.isascii, texts))
    return f"{'lower' if is_plain else 'small_letters'}({column})"


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
        return f"{column_of(model, self.column)} ->> {key} = {text}"


@dataclass(frozen=True, slots=True)
class IsNull(Condition):
    """The column is null, or with `null=False` is not."""

    column: str
    null: bool = True

    def render(self, model: type[Model], statement: Statement) -> str:  # noqa: ARG002 - the contract
        """`column IS NULL`."""
        return f"{column_of(model, self.column)} IS {'' if self.null else 'NOT '}NULL"


@dataclass(frozen=True, slots=True)
class Within(Condition):
    """The column is among a column of other rows: `Within("project_id", Project, conditions)`."""

    column: str
    model: type[Model]
    conditions: tuple[Condition, ...]
    select: str = "id"

    def render(self, model: type[Model], statement: Statement) -> str:
        """`column IN (SELECT …)`."""
        where = where_of(self.model, self.conditions, statement)
        select = f"SELECT {column_of(self.model, self.select)} FROM {table_of(self.model)}{where}"
        # SQLite would find all rows of a scope and sort them for each page; the sign makes it walk the order's index.
        walk = "+" if statement.in_order and statement.dialect == "sqlite" else ""
        return f"{walk}{column_of(model, self.column)} IN ({select})"


@dataclass(frozen=True, slots=True)
class Has(Condition):
    """Some row of another model has this row's key in its `column`, or with `has=False` none has."""

    model: type[Model]
    column: str
    conditions: tuple[Condition, ...] = ()
    has: bool = True

    def render(self, model: type[Model], statement: Statement) -> str:
        """`EXISTS (SELECT …)`, answered by one look into an index on `column`."""
        own = f'{column_of(self.model, self.column)} = {table_of(model)}."id"'
        rest = "".join(f" AND {c.render(self.model, statement)}" for c in self.conditions)
        select = f"SELECT 1 FROM {table_of(self.model)} AS other WHERE {own}{rest}"
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


@dataclass(frozen=True, slots=True)
class AllOf(Condition):
    """All of the conditions hold; none at all matches everything."""

    conditions: tuple[Condition, ...]

    def render(self, model: type[Model], statement: Statement) -> str:
        """`(a AND b)`."""
        if not self.conditions:
            return "1 = 1"
        return f"({' AND '.join(c.render(model, statement) for c in self.conditions)})"


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """The condition does not hold; also where it is about a null and so neither holds nor not."""

    condition: Condition

    def render(self, model: type[Model], statement: Statement) -> str:
        """`NOT COALESCE(a, FALSE)`."""
        return f"NOT COALESCE({self.condition.render(model, statement)}, FALSE)"


def where_of(model: type[Model], conditions: Iterable[Condition], statement: Statement) -> str:
    """` WHERE a AND b`, or nothing without conditions."""
    parts = [condition.render(model, statement) for condition in conditions]
    return f" WHERE {' AND '.join(parts)}" if parts else ""


def table_of(model: type[Model]) -> str:
    """The quoted table."""
    return f'"{model._meta.db_table}"'


@lru_cache(maxsize=4096)
def column_of(model: type[Model], name: str, prefix: str = "") -> str:
    """The quoted column, after `prefix`; a name that the model does not have is a KeyError, not SQL.

    `team.name` is the column of the row that a foreign key refers to, read by its key.
    """
    relation, is_path, target = name.partition(".")
    if not is_path:
        return f'{prefix}"{model._meta.fields_map[name].source_field or name}"'
    link: Any = model._meta.fields_map[relation]
    there = link.related_model
    own = f'{prefix or f"{table_of(model)}."}"{link.source_field}"'
    return f'(SELECT r.{column_of(there, target)} FROM {table_of(there)} AS r WHERE r."id" = {own})'


@lru_cache(maxsize=4096)
def is_nullable(model: type[Model], name: str) -> bool:
    """Whether a column, or what is found through a foreign key, may be null."""
    relation, is_path, target = name.partition(".")
    link: Any = model._meta.fields_map[relation]
    return bool(link.null) or bool(is_path and is_nullable(link.related_model, target))


def field_of(model: type[Model], name: str) -> Field[Any]:
    """Tortoise's field of a column, which may be one through a foreign key."""
    relation, is_path, target = name.partition(".")
    link: Any = model._meta.fields_map[relation]
    return field_of(link.related_model, target) if is_path else link


def _to_database(dialect: Dialect, value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if dialect == "sqlite" and isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(
            " "
        )  # as Tortoise writes it: text order is time order
    return value
