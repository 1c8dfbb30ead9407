"""How one level of objects becomes one level of the answer: a completer for each type, working on whole columns.

A completer is given the values of one field for all objects of a level, and gives what stands in the answer. It is
exact or raises `Odd`: nothing that graphql-core would answer with an error or a null passes here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from math import isfinite
from types import NoneType
from typing import TYPE_CHECKING, Any

from graphql import (
    GRAPHQL_MAX_INT,
    GRAPHQL_MIN_INT,
    GraphQLLeafType,
    GraphQLResolveInfo,
    is_enum_type,
)
from graphql.pyutils import AwaitableOrValue, Path, Undefined

from graph.serialized import Serialized

if TYPE_CHECKING:
    from graph.executor import FastExecutor

Column = list[Any]
Paths = Sequence[Path] | None  # only where resolvers run below, which are told their path

_AS_THEY_ARE: dict[str, frozenset[type]] = {
    "String": frozenset({str}),
    "ID": frozenset({str}),
    "Boolean": frozenset({bool}),
    "Int": frozenset({int}),
    "Float": frozenset({float}),
}
_ODD_KINDS: dict[type, bool] = {}


class Odd(Exception):
    """This is for graphql-core to complete."""


class Raised:
    """A resolver's exception, standing where its value would."""

    __slots__ = ("error",)

    def __init__(self, error: Exception) -> None:
        self.error = error


def is_awaitable(value: Any) -> bool:
    """Whether a value can be awaited, by its type: no attribute of a row is ever looked up for this."""
    return hasattr(type(value), "__await__")


def is_odd_kind(kind: type) -> bool:
    """Whether values of this type are never plain data."""
    known = _ODD_KINDS.get(kind)
    if known is None:
        known = (
            hasattr(kind, "__await__")
            or issubclass(kind, BaseException | Raised)
            or kind is type(Undefined)
        )
        _ODD_KINDS[kind] = known
    return known


class Run:
    """One attempt to complete one value.

    `outcomes` are those of the resolvers that it has called: where, what, and which of them had to be awaited.
    """

    __slots__ = ("executor", "info", "outcomes")

    def __init__(self, executor: FastExecutor, info: GraphQLResolveInfo[Any]) -> None:
        self.executor = executor
        self.info = info
        self.outcomes: list[tuple[Sequence[Path], Column, list[int]]] = []


class Completer(ABC):
    """Completes the values of one output type. `has_calls`: whether resolvers run below it."""

    has_calls = False

    def __init__(self, *, required: bool) -> None:
        self.required = required

    @abstractmethod
    def complete(self, run: Run, values: Column, paths: Paths) -> AwaitableOrValue[Column]:
        """What stands in the answer for these values, in their order; raises `Odd`."""

    def check(self, values: Column) -> set[type]:
        """The types of the values, with the empty ones looked after."""
        kinds = set(map(type, values))
        if NoneType in kinds:
            if self.required:
                raise Odd
            kinds.discard(NoneType)
        return kinds


class LeafCompleter(Completer):
    """Scalars and enums."""

    def __init__(self, type_: GraphQLLeafType, *, required: bool) -> None:
        super().__init__(required=required)
        self._type = type_
        self._as_they_are = _AS_THEY_ARE.get(type_.name, frozenset())

    def complete(self, run: Run, values: Column, paths: Paths) -> Column:  # noqa: ARG002 - of all kinds
        """The coerced values."""
        kinds = self.check(values)
        if kinds <= self._as_they_are:
            self._check_range(values, kinds)
            return values
        if any(map(is_odd_kind, kinds)):
            raise Odd
        if is_enum_type(self._type) and all(kind.__hash__ is not None for kind in kinds):
            names = {value: self._coerce(value) for value in set(values)}
            return [names[value] for value in values]
        return list(map(self._coerce, values))

    def _check_range(self, values: Column, kinds: set[type]) -> None:
        if int in kinds:
            numbers = [value for value in values if value is not None]
            if min(numbers) < GRAPHQL_MIN_INT or max(numbers) > GRAPHQL_MAX_INT:
                raise Odd
        elif float in kinds and not all(isfinite(value) for value in values if value is not None):
            raise Odd

    def _coerce(self, value: Any) -> Any:
        if value is None or type(value) is Serialized:
            return value
        coerced = self._type.coerce_output_value(value)
        if coerced is None or coerced is Undefined:
            raise Odd
        return coerced


class ListCompleter(Completer):
    """Lists: their items are one longer column."""

    def __init__(self, item: Completer, *, required: bool) -> None:
        super().__init__(required=required)
        self._item = item
        self.has_calls = item.has_calls

    def complete(self, run: Run, values: Column, paths: Paths) -> AwaitableOrValue[Column]:
        """The completed lists."""
        kinds = self.check(values)
        if kinds == {Serialized}:
            return values
        if not kinds <= {list, tuple, Serialized}:
            raise Odd
        items: Column = []
        for value in values:
            if value is not None and type(value) is not Serialized:
                items.extend(value)
        item_paths = self._item_paths(values, paths) if self.has_calls and paths else None
        done = self._item.complete(run, items, item_paths)
        if is_awaitable(done):
            return _regroup_later(values, done)  # type: ignore[arg-type]
        return _regroup(values, done)  # type: ignore[arg-type]

    def _item_paths(self, values: Column, paths: Sequence[Path]) -> list[Path]:
        return [
            Path(path, index, None)
            for value, path in zip(values, paths, strict=True)
            if value is not None and type(value) is not Serialized
            for index in range(len(value))
        ]


def _regroup(values: Column, items: Column) -> Column:
    lists: Column = []
    start = 0
    for value in values:
        if value is None or type(value) is Serialized:
            lists.append(value)
        else:
            lists.append(items[start : start + len(value)])
            start += len(value)
    return lists


async def _regroup_later(values: Column, items: Awaitable[Column]) -> Column:
    return _regroup(values, await items)
