"""Runs operations: from a text and variables to an answer, within the limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import (
    GraphQLError,
    GraphQLField,
    OperationType,
    StringValueNode,
    Visitor,
    default_field_resolver,
    default_type_resolver,
    visit,
)
from graphql.execution.collect_fields import collect_fields
from graphql.execution.values import VariableValues, get_argument_values, get_variable_values

from base.errors import InvalidInput, PlatformError, TimedOut, Unauthenticated
from graph.caches import DocumentRefused, Documents, Operation
from graph.coercion import PROBLEMS_MAX, explain_variables
from graph.columns import is_awaitable
from graph.context import Context
from graph.errors import present, texts
from graph.executor import FastExecutor
from graph.limits import Limits

SECONDS_MAX = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The response of the specification. Without `data` in the body nothing was executed."""

    body: dict[str, Any]

    @property
    def is_executed(self) -> bool:
        """Whether the operation was well-formed and ran."""
        return "data" in self.body


class Engine:
    """Executes operations of one schema. `seconds_max` is the deadline of one operation."""

    def __init__(
        self,
        schema: strawberry.Schema,
        *,
        limits: Limits | None = None,
        seconds_max: float = SECONDS_MAX,
    ) -> None:
        self._schema = schema._schema  # noqa: SLF001 - graphql-core's schema; Strawberry has no other name for it
        self._documents = Documents(self._schema, limits or Limits())
        self._seconds_max = seconds_max

    async def execute(
        self, request: Request, context: Any, *, may_introspect: bool = True
    ) -> Answer:
        """The answer to a request; every failure is in it."""
        prepared = self.prepare(request, may_introspect=may_introspect)
        if isinstance(prepared, Answer):
            return prepared
        return await self.run(prepared, request, context, may_introspect=may_introspect)

    def prepare(self, request: Request, *, may_introspect: bool) -> Operation | Answer:
        """The valid operation that is asked for, or the refusal."""
        try:
            document = self._documents.prepare(request.query, suggest=may_introspect)
            operation = document.operation(request.operation_name)
            if operation.introspects and not may_introspect:
                raise Unauthenticated(
                    "Reading the schema needs an API token.",
                    hint="Send the header `Authorization: Bearer hw_…`.",
                )
        except DocumentRefused as refusal:
            return self.refuse(request, *refusal.errors)
        except PlatformError as error:
            return self.refuse(request, error)
        return operation

    def refuse(self, request: Request, *errors: GraphQLError | PlatformError) -> Answer:
        """The answer to a request that is not executed."""
        return Answer({"errors": present(errors, operation_name=request.operation_name)})

    async def run(
        self,
        operation: Operation,
        request: Request,
        context: Any,
        *,
        may_introspect: bool = True,
        seconds_max: float | None = None,
    ) -> Answer:
        """Execute a prepared operation. `seconds_max` overrides the deadline where files are stored on the way."""
        variables = self._variables(operation, request, may_introspect=may_introspect)
        if isinstance(variables, Answer):
            return variables
        try:
            operation.cost.check(variables.coerced)
        except PlatformError as error:
            return self.refuse(request, error)
        plans = operation.plans
        executor = FastExecutor(
            self._schema,
            plans.definitions,
            plans.fragments,
            None,
            context,
            operation.node,
            variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            plans=plans,
        )
        seconds = self._seconds_max if seconds_max is None else seconds_max
        try:
            async with asyncio.timeout(seconds) as deadline:
                if isinstance(context, Context):
                    context.deadline = deadline
                result: Any = executor.execute_operation()
                if is_awaitable(result):
                    result = await result
        except TimeoutError:
            late = TimedOut(
                f"The operation took longer than the limit of {seconds:g} s.",
                hint="Ask for less at once. A change that was under way may have been made.",
            )
            return Answer({"data": None, **self.refuse(request, late).body})
        return self._answer(operation, request, result.data, result.errors)

    def root_field(
        self, operation: Operation, request: Request
    ) -> tuple[GraphQLField, dict[str, Any]] | Answer:
        """The one root field of a subscription and its arguments, or the refusal."""
        variables = self._variables(operation, request, may_introspect=True)
        if isinstance(variables, Answer):
            return variables
        plans, root = operation.plans, self._schema.subscription_type
        assert root is not None, "the operation is valid, and a subscription"
        fields = collect_fields(
            self._schema, plans.fragments, variables, root, operation.node
        ).grouped_field_set
        if len(fields) != 1:
            return self.refuse(
                request, InvalidInput("The one root field of the subscription is left out.")
            )
        ((details, *_),) = fields.values()
        definition = root.fields[details.node.name.value]
        return definition, get_argument_values(definition, details.node, variables)

    def _variables(
        self, operation: Operation, request: Request, *, may_introspect: bool
    ) -> VariableValues | Answer:
        """The coerced variables, or the refusal that says which of them are wrong."""
        variables = get_variable_values(
            self._schema,
            operation.node.variable_definitions or (),
            request.variables,
            max_errors=PROBLEMS_MAX,
            hide_suggestions=True,
        )
        if not isinstance(variables, list):
            return variables
        problems = explain_variables(
            self._schema, operation.node, request.variables, suggest=may_introspect
        )
        return self.refuse(request, *problems)

    def _answer(
        self,
        operation: Operation,
        request: Request,
        data: dict[str, Any] | None,
        errors: list[GraphQLError] | None,
    ) -> Answer:
        if not errors:
            return Answer({"data": data})
        name = operation.node.name.value if operation.node.name else None
        secrets = [*texts(request.variables), *_literals(operation)]
        return Answer(
            {"errors": present(errors, operation_name=name, secrets=secrets), "data": data}
        )


def is_query(operation: Operation) -> bool:
    """Whether the operation only reads."""
    return operation.node.operation is OperationType.QUERY


def is_subscription(operation: Operation) -> bool:
    """Whether the operation goes on for as long as somebody listens."""
    return operation.node.operation is OperationType.SUBSCRIPTION


def _literals(operation: Operation) -> Iterator[str]:
    """The texts that stand in the operation and its fragments."""
    finder = _Texts()
    for node in (operation.node, *operation.plans.definitions.values()):
        visit(node, finder)
    yield from finder.found


class _Texts(Visitor):
    """Collects text literals."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def enter_string_value(self, node: StringValueNode, *_: Any) -> None:
        """Take one."""
        self.found.append(node.value)
