"""Objects, level by level: plain fields as columns, resolvers as batches, and the plan of both for a selection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.execution.values import get_argument_values
from graphql.pyutils import AwaitableOrValue, Path
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.field import StrawberryField

from graph.columns import (
    Column,
    Completer,
    LeafCompleter,
    ListCompleter,
    Odd,
    Paths,
    Raised,
    Run,
    is_awaitable,
    is_odd_kind,
)

if TYPE_CHECKING:
    from graph.executor import FastExecutor


@dataclass(frozen=True, slots=True)
class Attribute:
    """A plain field: an attribute of the row."""

    name: str
    read: Callable[[Any], Any]
    completer: Completer


@dataclass(frozen=True, slots=True)
class Call:
    """A field with a resolver."""

    name: str
    definition: GraphQLField
    details: FieldDetailsList
    completer: Completer

    def run(
        self, run: Run, parent: GraphQLObjectType, sources: Column, paths: Sequence[Path]
    ) -> AwaitableOrValue[Column]:
        """The completed column; every resolver's outcome goes into `run`."""
        executor = run.executor
        definition = self.definition
        nodes: list[FieldNode] = [detail.node for detail in self.details]
        resolve = definition.resolve or executor.field_resolver
        arguments = (
            get_argument_values(definition, nodes[0], executor.variable_values)
            if definition.args or nodes[0].arguments
            else {}
        )
        own_paths = [Path(path, self.name, parent.name) for path in paths]
        outcomes: Column = []
        waiting: list[int] = []
        run.outcomes.append((own_paths, outcomes, waiting))
        for index, (source, path) in enumerate(zip(sources, own_paths, strict=True)):
            info = executor.build_resolve_info(definition, nodes, parent, path)
            try:
                outcome = resolve(source, info, **arguments)
            except Exception as error:  # noqa: BLE001 - kept for graphql-core to report
                outcomes.append(Raised(error))
                break
            if is_awaitable(outcome):
                waiting.append(index)
            outcomes.append(outcome)
        if waiting:
            return self._later(run, outcomes, waiting, own_paths)
        return self._completed(run, outcomes, own_paths)

    def _completed(
        self, run: Run, outcomes: Column, paths: Sequence[Path]
    ) -> AwaitableOrValue[Column]:
        if len(outcomes) < len(paths) or any(type(outcome) is Raised for outcome in outcomes):
            raise Odd
        return self.completer.complete(run, outcomes, paths)

    async def _later(
        self, run: Run, outcomes: Column, waiting: list[int], paths: Sequence[Path]
    ) -> Column:
        if len(waiting) == 1:  # no task for one
            index = waiting[0]
            try:
                outcomes[index] = await outcomes[index]
            except Exception as error:  # noqa: BLE001 - kept for graphql-core to report
                outcomes[index] = Raised(error)
        else:
            # All of them end, also where one fails: loaders share what they wait for.
            settled = await asyncio.gather(
                *(outcomes[index] for index in waiting), return_exceptions=True
            )
            for index, value in zip(waiting, settled, strict=True):
                outcomes[index] = _outcome(value)
        completed = self._completed(run, outcomes, paths)
        if is_awaitable(completed):
            return await completed  # type: ignore[misc, no-any-return]
        return completed  # type: ignore[return-value]


def _outcome(settled: Any) -> Any:
    if isinstance(settled, asyncio.CancelledError):
        raise settled
    return Raised(settled) if isinstance(settled, Exception) else settled


class ObjectCompleter(Completer):
    """Objects of one type: a column for each selected field, zipped into one answer object each."""

    def __init__(
        self, type_: GraphQLObjectType, fields: Sequence[Attribute | Call | str], *, required: bool
    ) -> None:
        super().__init__(required=required)
        self._type = type_
        self._names = [field if isinstance(field, str) else field.name for field in fields]
        self._fields = fields
        self._leaves = [
            (index, field.read, field.completer)
            for index, field in enumerate(fields)
            if isinstance(field, Attribute) and isinstance(field.completer, LeafCompleter)
        ]
        self._constants = [index for index, field in enumerate(fields) if isinstance(field, str)]
        self._rest = [
            (index, field)
            for index, field in enumerate(fields)
            if isinstance(field, Call)
            or (isinstance(field, Attribute) and not isinstance(field.completer, LeafCompleter))
        ]
        self.has_calls = any(
            isinstance(field, Call) or field.completer.has_calls for _, field in self._rest
        )

    def complete(self, run: Run, values: Column, paths: Paths) -> AwaitableOrValue[Column]:
        """The objects, with null for None."""
        kinds = self.check(values)
        if any(map(is_odd_kind, kinds)):
            raise Odd
        if len(kinds) and any(value is None for value in values):
            present = [value for value in values if value is not None]
            if paths is not None:
                paths = [p for p, value in zip(paths, values, strict=True) if value is not None]
            done = self._objects(run, present, paths)
            if is_awaitable(done):
                return _spread_later(values, done)  # type: ignore[arg-type]
            return _spread(values, done)  # type: ignore[arg-type]
        return self._objects(run, values, paths) if kinds else values

    def _objects(self, run: Run, sources: Column, paths: Paths) -> AwaitableOrValue[Column]:
        if not sources:
            return []
        is_type_of = self._type.is_type_of
        if is_type_of and not all(is_type_of(source, run.info) is True for source in sources):
            raise Odd
        columns: list[Column] = [[]] * len(self._fields)
        for index in self._constants:
            columns[index] = [self._type.name] * len(sources)
        for index, read, completer in self._leaves:
            columns[index] = completer.complete(run, list(map(read, sources)), None)
        waiting: dict[int, Awaitable[Column]] = {}
        try:
            for index, field in self._rest:
                done = self._column(run, field, sources, paths)
                if is_awaitable(done):
                    waiting[index] = done  # type: ignore[assignment]
                else:
                    columns[index] = done  # type: ignore[assignment]
        except Exception:
            if not waiting:
                raise
            return _fail_after(waiting)
        if waiting:
            return self._objects_later(columns, waiting)
        return self._zip(columns)

    def _column(
        self, run: Run, field: Attribute | Call, sources: Column, paths: Paths
    ) -> AwaitableOrValue[Column]:
        if isinstance(field, Call):
            assert paths is not None, "has_calls is set where there are calls"
            return field.run(run, self._type, sources, paths)
        own = None
        if paths is not None and field.completer.has_calls:
            own = [Path(path, field.name, self._type.name) for path in paths]
        return field.completer.complete(run, list(map(field.read, sources)), own)

    async def _objects_later(
        self, columns: list[Column], waiting: dict[int, Awaitable[Column]]
    ) -> Column:
        if len(waiting) == 1:
            ((index, column),) = waiting.items()
            columns[index] = await column
        else:
            settled = await asyncio.gather(*waiting.values(), return_exceptions=True)
            for index, done in zip(waiting, settled, strict=True):
                if isinstance(done, BaseException):
                    raise done
                columns[index] = done
        return self._zip(columns)

    def _zip(self, columns: list[Column]) -> Column:
        names = self._names
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


async def _fail_after(waiting: dict[int, Awaitable[Column]]) -> Column:
    """Let what has begun come to its end, so that its outcomes can be replayed."""
    await asyncio.gather(*waiting.values(), return_exceptions=True)
    raise Odd


def _spread(values: Column, present: Column) -> Column:
    rest = iter(present)
    return [None if value is None else next(rest) for value in values]


async def _spread_later(values: Column, present: Awaitable[Column]) -> Column:
    return _spread(values, await present)


def compile_type(
    executor: FastExecutor,
    type_: GraphQLOutputType,
    details: FieldDetailsList,
    *,
    required: bool = False,
) -> Completer:
    """The completer of a field's type and selection; raises `Odd` for what only graphql-core can do."""
    if is_non_null_type(type_):
        return compile_type(executor, type_.of_type, details, required=True)
    if is_list_type(type_):
        return ListCompleter(compile_type(executor, type_.of_type, details), required=required)
    if is_leaf_type(type_):
        return LeafCompleter(type_, required=required)
    if not is_object_type(type_):
        raise Odd  # an interface or union: each object may be of another type
    grouped = executor.collect_subfields(type_, details).grouped_field_set
    fields = [_field(executor, type_, name, own) for name, own in grouped.items()]
    return ObjectCompleter(type_, fields, required=required)


def _field(
    executor: FastExecutor, parent: GraphQLObjectType, name: str, details: FieldDetailsList
) -> Attribute | Call | str:
    field_name = details[0].node.name.value
    definition = executor.schema.get_field(parent, field_name)
    if definition is None or details[0].fragment_variable_values is not None:
        raise Odd
    if field_name == "__typename":
        return name  # the type's own name, for every object
    completer = compile_type(executor, definition.type, details)
    field: StrawberryField | None = definition.extensions.get(
        GraphQLCoreConverter.DEFINITION_BACKREF
    )
    if (
        field is not None
        and field.is_basic_field
        and field.default_resolver is getattr
        and getattr(definition.resolve, "_is_default", False)
    ):
        return Attribute(name, attrgetter(field.python_name), completer)
    return Call(name, definition, details, completer)
