"""Why an input value does not fit its type, in words that never repeat the value.

graphql-core's own texts quote the whole input object, with the passwords in it. The path and the reason are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from graphql import (
    ArgumentNode,
    GraphQLError,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLLeafType,
    GraphQLSchema,
    ObjectValueNode,
    OperationDefinitionNode,
    ValidationContext,
    ValueNode,
    VariableDefinitionNode,
    VariableNode,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
    specified_rules,
    type_from_ast,
)
from graphql.language import SKIP, ListValueNode, NullValueNode, VisitorAction
from graphql.pyutils import did_you_mean, suggestion_list
from graphql.utilities import validate_input_literal, value_from_ast_untyped
from graphql.validation import ASTValidationRule, ValuesOfCorrectTypeRule
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.schema.validation_rules.maybe_null import MaybeNullValidationRule
from strawberry.schema.validation_rules.one_of import OneOfInputValidationRule

from base.errors import InvalidInput, PlatformError

PROBLEMS_MAX = 5
SECRET_CHARS_MIN = 4  # shorter texts are in any sentence
NAME_CHARS_MAX = 64  # of a name that the client made up, when it is repeated
_UNKNOWN = object()  # the value of a variable inside a literal: it is checked where the variable is


class Problem(InvalidInput):
    """One value that does not fit; `field` is its path."""


def explain(
    value: Any, type_: GraphQLInputType, path: str, *, suggest: bool = True
) -> list[Problem]:
    """Why `value` (as JSON has it) is no `type_`: at most `PROBLEMS_MAX` problems, at least one.

    Call it only for a value that was refused: what it cannot explain it still reports.
    """
    found: list[Problem] = []
    for problem in _problems(value, type_, path, suggest=suggest):
        found.append(problem)
        if len(found) == PROBLEMS_MAX:
            break
    return found or [_problem(path, f"expected a value of type {type_}")]


def explain_variables(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: dict[str, Any],
    *,
    suggest: bool = True,
) -> list[Problem]:
    """Why the variables of an operation were refused; at most `PROBLEMS_MAX` problems, at least one."""
    found: list[Problem] = []
    for definition in operation.variable_definitions or ():
        name = definition.variable.name.value
        type_ = type_from_ast(schema, definition.type)
        assert type_ is not None, "the document is valid"
        if name in variables:
            found += _problems(variables[name], type_, name, suggest=suggest)  # type: ignore[arg-type]
        elif is_non_null_type(type_) and definition.default_value is None:
            found.append(_problem(name, "the variable is required"))
    return found[:PROBLEMS_MAX] or [Problem("A variable has a value that its type does not take.")]


def _problem(path: str, reason: str, hint: str | None = None) -> Problem:
    return Problem(f"{path}: {reason}.", field=path, hint=hint)


def _problems(
    value: Any, type_: GraphQLInputType, path: str, *, suggest: bool
) -> Iterator[Problem]:
    if value is _UNKNOWN:
        return
    if is_non_null_type(type_):
        if value is None:
            yield _problem(path, "null is not allowed")
        else:
            yield from _problems(value, type_.of_type, path, suggest=suggest)
    elif value is None:
        return
    elif is_list_type(type_):
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _problems(item, type_.of_type, f"{path}[{index}]", suggest=suggest)
        else:
            yield from _problems(value, type_.of_type, path, suggest=suggest)
    elif is_input_object_type(type_):
        yield from _object_problems(value, type_, path, suggest=suggest)
    else:
        yield from _leaf_problems(value, type_, path, suggest=suggest)  # type: ignore[arg-type]


def _object_problems(
    value: Any, type_: GraphQLInputObjectType, path: str, *, suggest: bool
) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield _problem(path, f"expected an object of type {type_.name}")
        return
    for name, field in type_.fields.items():
        if name in value:
            yield from _problems(value[name], field.type, f"{path}.{name}", suggest=suggest)
        elif is_required_input_field(field):
            yield _problem(f"{path}.{name}", "a value is required")
    for name in value:
        if name not in type_.fields:
            near = suggestion_list(name[:NAME_CHARS_MAX], list(type_.fields)) if suggest else []
            reason = f"{type_.name} has no field {name[:NAME_CHARS_MAX]!r}"
            yield _problem(path, reason, did_you_mean(near).strip() or None)
    given = [name for name in value if name in type_.fields]
    if _is_one_of(type_) and (len(given) != 1 or value[given[0]] is None):
        yield _problem(path, f"give exactly one of {', '.join(type_.fields)}")


def _is_one_of(type_: GraphQLInputObjectType) -> bool:
    # Strawberry checks this in its own way and leaves graphql-core's mark unset.
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    return type_.is_one_of or bool(definition and definition.is_one_of)


def _leaf_problems(
    value: Any, type_: GraphQLLeafType, path: str, *, suggest: bool
) -> Iterator[Problem]:
    try:
        type_.coerce_input_value(value)
    except (PlatformError, StrawberryInputCoercionError) as error:
        # Scalars of ours say what they want without the value; a library's may quote it.
        own = len(str(value)) < SECRET_CHARS_MIN or str(value) not in error.message
        reason = error.message.rstrip(".") if own else f"expected a value of type {type_.name}"
        yield _problem(path, reason)
    except Exception:  # noqa: BLE001 - a scalar may raise anything, and its text may quote the value
        names = ", ".join(type_.values) if suggest and is_enum_type(type_) else None
        reason = f"expected a value of type {type_.name}"
        yield _problem(path, reason, names and f"One of {names}.")


class ValuesOfCorrectType(ValuesOfCorrectTypeRule):
    """graphql-core's rule for literals, with texts that do not repeat them."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._path = ""

    def enter_argument(self, node: ArgumentNode, *_args: Any) -> None:
        """Remember which argument the next value is of."""
        self._path = node.name.value

    def enter_variable_definition(self, node: VariableDefinitionNode, *_args: Any) -> None:
        """Remember which variable the next value is the default of."""
        self._path = node.variable.name.value

    def is_valid_value_node(
        self, node: ValueNode, input_type: GraphQLInputType | None
    ) -> VisitorAction:
        """Report what is wrong with a literal."""
        refused: list[GraphQLError] = []
        if input_type:
            validate_input_literal(node, input_type, lambda error, _path: refused.append(error))
        if refused and input_type:
            suggest = not self.context.hide_suggestions
            value = _plain(node)
            for problem in explain(value, input_type, self._path, suggest=suggest):
                self.report_error(GraphQLError(problem.message, node, original_error=problem))
        return SKIP


def _plain(node: ValueNode) -> Any:
    """A literal as JSON would have it; a variable in it is `_UNKNOWN`."""
    if isinstance(node, VariableNode):
        return _UNKNOWN
    if isinstance(node, NullValueNode):
        return None
    if isinstance(node, ListValueNode):
        return [_plain(item) for item in node.values]
    if isinstance(node, ObjectValueNode):
        return {field.name.value: _plain(field.value) for field in node.fields}
    return value_from_ast_untyped(node)


RULES: tuple[type[ASTValidationRule], ...] = (
    *(ValuesOfCorrectType if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules),
    MaybeNullValidationRule,
    OneOfInputValidationRule,
)
