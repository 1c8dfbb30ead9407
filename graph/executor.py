"""Executes operations a level at a time: a field's values for all objects of a list in one pass, not one by one.

graphql-core completes each value of each row by itself, at about 5 µs a value; that is most of what a list costs. Here
a plain field is read from all rows at once, checked by the set of its types, and zipped into the answer's objects.

Whatever is not plain and fine (a wrong type, a null where none may be, an exception, anything unknown) ends the
attempt, and graphql-core does that part again in its own way: results and errors are its own. No resolver runs twice
for it: outcomes are replayed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from graphql import (
    ExecutableDefinitionNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    OperationType,
    Visitor,
    visit,
)
from graphql.execution import MiddlewareManager
from graphql.execution.collect_fields import (
    CollectedFields,
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
)
from graphql.pyutils import Path
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.columns import Completer, Odd, Raised, Run, is_awaitable
from graph.levels import compile_type
from graph.serialized import Serialized

_CONDITIONAL = frozenset({"skip", "include", "defer", "stream"})


class Plans:
    """What is worked out about executing one operation, kept from one execution to the next.

    `is_fixed` is False for an operation whose selection depends on its variables: that is worked out each time.
    """

    __slots__ = ("collected", "completers", "definitions", "fragments", "is_fixed", "root")

    def __init__(
        self, definitions: dict[str, FragmentDefinitionNode], operation: OperationDefinitionNode
    ) -> None:
        self.definitions = definitions
        self.fragments = {
            name: FragmentDetails(definition) for name, definition in definitions.items()
        }
        self.is_fixed = not any(map(_is_conditional, (operation, *definitions.values())))
        # All else hangs on the lists in `root`, by their identity: so it stays as small as the document.
        self.root: GroupedFieldSet | None = None
        self.collected: dict[
            tuple[GraphQLObjectType, int], tuple[FieldDetailsList, CollectedFields]
        ] = {}
        self.completers: dict[tuple[int, int], tuple[FieldDetailsList, Completer | None]] = {}


class FastExecutor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor with the fast way tried first."""

    def __init__(self, *arguments: Any, plans: Plans | None = None, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_awaitable = is_awaitable  # type: ignore[assignment]
        # By the ids of a type and of a list of field details; the list is kept so that its id stays its own.
        self._completers: dict[tuple[int, int], tuple[FieldDetailsList, Completer | None]] = {}
        self._plans = plans if plans is not None and plans.is_fixed else None
        if self._plans is not None:
            plans = self._plans
            self._relevant_sub_fields = plans.collected
            self._completers = plans.completers
        self._is_fast = not (self.middleware_manager and self.middleware_manager.middlewares)
        self._replay = _Replay()

    def execute_operation(self, serially: bool | None = None) -> Any:  # noqa: FBT001 - graphql-core's signature
        """As graphql-core, with the root's fields collected once for all executions."""
        root_type = self.schema.get_root_type(self.operation.operation)
        if self._plans is None or root_type is None:
            return super().execute_operation(serially)
        if self._plans.root is None:
            self._plans.root = collect_fields(
                self.schema, self.fragments, self.variable_values, root_type, self.operation
            ).grouped_field_set
        if serially is None:
            serially = self.operation.operation is OperationType.MUTATION
        try:
            result = self.execute_root_grouped_field_set(
                root_type, self.root_value, self._plans.root, serially, None
            )
        except GraphQLError as error:
            return self._respond(error)
        return self._respond_later(result) if is_awaitable(result) else self.build_response(result)  # type: ignore[arg-type]

    async def _respond_later(self, result: Awaitable[dict[str, Any]]) -> Any:
        try:
            data = await result
        except GraphQLError as error:
            return self._respond(error)
        return self.build_response(data)

    def _respond(self, error: GraphQLError) -> Any:
        self.collected_errors.add(error, None)
        return self.build_response(None)

    def complete_value(
        self,
        return_type: GraphQLOutputType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """As graphql-core; a value that is JSON already is complete."""
        if type(result) is Serialized:
            return result
        return super().complete_value(
            return_type, field_details_list, info, path, result, position_context
        )

    def complete_list_value(
        self,
        return_type: GraphQLList[GraphQLOutputType],
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """A list, the fast way if possible."""
        return self._attempt(
            super().complete_list_value,
            return_type,
            field_details_list,
            info,
            path,
            result,
            position_context,
        )

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: FieldDetailsList,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        """An object, the fast way if possible."""
        return self._attempt(
            super().complete_object_value,
            return_type,
            field_details_list,
            info,
            path,
            result,
            position_context,
        )

    def _attempt(self, stock: Callable[..., Any], *arguments: Any) -> Any:
        type_, details, info, path, value, _ = arguments
        completer = self._completer(type_, details) if self._is_fast else None
        if completer is None:
            return stock(*arguments)
        run = Run(self, info)
        try:
            done = completer.complete(run, [value], (path,))
        except Exception:  # noqa: BLE001 - graphql-core does it again and reports what is wrong
            return self._again(run, stock, arguments)
        if is_awaitable(done):
            return self._later(run, done, stock, arguments)  # type: ignore[arg-type]
        return done[0]  # type: ignore[index]

    async def _later(
        self,
        run: Run,
        done: Awaitable[list[Any]],
        stock: Callable[..., Any],
        arguments: tuple[Any, ...],
    ) -> Any:
        try:
            return (await done)[0]
        except Exception:  # noqa: BLE001 - as above
            again = self._again(run, stock, arguments)
        return await again if is_awaitable(again) else again

    def _again(self, run: Run, stock: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Leave the rest of this execution to graphql-core, with the outcomes that there are."""
        self._is_fast = False
        self.middleware_manager = self._replay
        self._replay.add(run)
        return stock(*arguments)

    def _completer(self, type_: GraphQLOutputType, details: FieldDetailsList) -> Completer | None:
        key = (id(type_), id(details))
        known = self._completers.get(key)
        if known is None:
            try:
                completer: Completer | None = compile_type(self, type_, details)
            except Odd:
                completer = None
            known = self._completers[key] = (details, completer)
        return known[1]


class _Replay(MiddlewareManager):
    """Gives the outcomes of resolvers that have run already, by their path."""

    def __init__(self) -> None:
        super().__init__()
        self._outcomes: dict[tuple[str | int, ...], tuple[Any, bool]] = {}

    def add(self, run: Run) -> None:
        """Take over the outcomes of an attempt that has ended."""
        for paths, outcomes, awaited in run.outcomes:
            for index, outcome in enumerate(outcomes):  # fewer than the paths, where one has failed
                key = tuple(paths[index].as_list())
                self._outcomes[key] = outcome, index in awaited

    def get_field_resolver(self, field_resolver: Callable[..., Any]) -> Callable[..., Any]:
        """A resolver that looks first whether its outcome is known."""

        def resolve(source: Any, info: GraphQLResolveInfo[Any], **arguments: Any) -> Any:
            key = tuple(info.path.as_list())
            if key not in self._outcomes:
                return field_resolver(source, info, **arguments)
            outcome, was_awaited = self._outcomes.pop(key)
            return _awaited(outcome) if was_awaited else _again(outcome)

        return resolve


def _again(outcome: Any) -> Any:
    if type(outcome) is Raised:
        raise outcome.error
    return outcome


async def _awaited(outcome: Any) -> Any:
    return _again(outcome)


def _is_conditional(node: ExecutableDefinitionNode) -> bool:
    finder = _Conditions()
    visit(node, finder)
    return finder.found


class _Conditions(Visitor):
    """Looks for directives that decide what is selected."""

    def __init__(self) -> None:
        super().__init__()
        self.found = False

    def enter_directive(self, node: Any, *_: Any) -> None:
        """Note a directive."""
        self.found = self.found or node.name.value in _CONDITIONAL
