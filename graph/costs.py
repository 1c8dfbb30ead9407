"""What an operation costs with the variables of one request: the objects it asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListTypeNode,
    ListValueNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_composite_type,
    is_list_type,
    is_non_null_type,
)

from graph.limits import BIG, Limits, Shape, refused

SLICING = ("first", "last")
_KNOWN_MAX = 64


class CostRule:
    """The objects that a valid operation asks for: every object is 1, `first` and `last` multiply what is below them.

    Variables count with the values they have in the request, so the rule is asked at each one; the answer is kept for
    the few combinations of values that clients use.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        shape: Shape,
        operation: OperationDefinitionNode,
        limits: Limits,
    ) -> None:
        self._schema = schema
        self._fragments = shape.fragments
        self._operation = operation
        self._limits = limits
        self._variables = _variables_of(operation)
        self._known: dict[tuple[int | None, ...], int] = {}

    def check(self, variables: Mapping[str, Any]) -> None:
        """Refuse the operation if it costs too much with these variables."""
        if self.cost(variables) > self._limits.cost_max:
            raise refused("objects", self._limits.cost_max)

    def cost(self, variables: Mapping[str, Any]) -> int:
        """The cost with these variables (coerced values)."""
        sizes = {name: _size(variables.get(name)) for name in self._variables}
        key = tuple(sizes.values())
        known = self._known.get(key)
        if known is None:
            root = self._schema.get_root_type(self._operation.operation)
            pass_ = _Costs(self._schema, self._fragments, self._limits, sizes)
            once, items = pass_.selection(self._operation.selection_set, root)
            known = once + items * self._limits.list_items_assumed
            if len(self._known) >= _KNOWN_MAX:
                self._known.clear()
            self._known[key] = known
        return known


def _variables_of(operation: OperationDefinitionNode) -> list[str]:
    """The variables that can be a page size or a list of ids."""
    found = []
    for definition in operation.variable_definitions or ():
        type_ = definition.type
        if isinstance(type_, NonNullTypeNode):
            type_ = type_.type
        is_int = isinstance(type_, NamedTypeNode) and type_.name.value == "Int"
        if is_int or isinstance(type_, ListTypeNode):
            found.append(definition.variable.name.value)
    return found


def _size(value: Any) -> int | None:
    """How many items a variable's value asks for: the number itself, or the length of a list of ids."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return max(0, min(value, BIG))
    if isinstance(value, list):
        return len(value)
    return None


class _Costs:
    """One pass with one set of sizes.

    A selection costs a pair: what it costs once, and what each item of a page adds.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: dict[str, FragmentDefinitionNode],
        limits: Limits,
        sizes: dict[str, int | None],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._limits = limits
        self._sizes = sizes
        self._known: dict[tuple[str, str], tuple[int, int]] = {}

    def selection(
        self, selection_set: SelectionSetNode, parent: GraphQLNamedType | None
    ) -> tuple[int, int]:
        once = items = 0
        for node in selection_set.selections:
            if isinstance(node, FieldNode):
                cost, is_list = self._field(node, parent)
                if is_list:
                    items += cost
                else:
                    once += cost
                continue
            if isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                more = self.selection(
                    node.selection_set,
                    self._schema.get_type(condition.name.value) if condition else parent,
                )
            else:
                assert isinstance(node, FragmentSpreadNode)
                more = self._fragment(node.name.value)
            once, items = once + more[0], items + more[1]
        return min(once, BIG), min(items, BIG)

    def _fragment(self, name: str) -> tuple[int, int]:
        definition = self._fragments[name]
        type_name = definition.type_condition.name.value
        key = (name, type_name)
        if key not in self._known:
            self._known[key] = self.selection(
                definition.selection_set, self._schema.get_type(type_name)
            )
        return self._known[key]

    def _field(self, node: FieldNode, parent: GraphQLNamedType | None) -> tuple[int, bool]:
        """What one of the field costs, and whether there are as many as the parent has items."""
        name = node.name.value
        if name.startswith("__"):
            return 0, False
        definition: GraphQLField | None = getattr(parent, "fields", {}).get(name)
        if definition is None:
            return 0, False
        named = get_named_type(definition.type)
        once = items = 0
        if node.selection_set:
            once, items = self.selection(node.selection_set, named)
        size = self._asked_for(node, definition)
        is_list = _is_list(definition)
        if not is_composite_type(named):
            return int(is_list), is_list
        if is_list:
            own = 1 + once + items * self._limits.list_items_assumed
            return own * (1 if size is None else size), size is None
        return 1 + once + items * (self._limits.list_items_assumed if size is None else size), False

    def _asked_for(self, node: FieldNode, definition: GraphQLField) -> int | None:
        """The page size or the number of ids that the arguments name; None for a field without such arguments."""
        given = {argument.name.value: argument.value for argument in node.arguments or ()}
        sizes = []
        for name, argument in definition.args.items():
            if name in SLICING:
                sizes.append(self._value(given.get(name), argument.default_value))
            elif name == "ids":
                sizes.append(self._value(given.get(name), None))
        if not sizes:
            return None
        known = [size for size in sizes if size is not None]
        return max(known) if known else self._limits.page_items_default

    def _value(self, node: Any, default: Any) -> int | None:
        if isinstance(node, VariableNode):
            value = self._sizes.get(node.name.value)
            return _size(default) if value is None else value
        if isinstance(node, IntValueNode):
            return _size(int(node.value))
        if isinstance(node, ListValueNode):
            return len(node.values)
        return _size(default)


def _is_list(definition: GraphQLField) -> bool:
    type_: Any = definition.type
    return bool(is_list_type(type_.of_type if is_non_null_type(type_) else type_))
