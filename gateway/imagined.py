"""An executor that runs nothing: what an operation would answer, as far as the schema tells."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLAbstractType,
    GraphQLEnumType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
    build_schema,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_list_type,
    parse,
)
from starlette.datastructures import UploadFile

from gateway.client import Answer

_CHOSEN = ("SUCCEEDED", "SYNCED", "SCRIPT")  # values of enums with which a request goes furthest
_SCALARS: Mapping[str, Any] = {
    "Int": 1,
    "BigInt": 1,
    "Float": 1.0,
    "Boolean": True,
    "DateTime": "2026-01-01T00:00:00.000Z",
    "JSON": {},
}


class Imagined:
    """Keeps what it is asked, each operation with its variables once, and makes an answer up."""

    def __init__(self, sdl: str) -> None:
        self._sdl = sdl
        self.seen: list[Mapping[str, Any]] = []

    async def execute(
        self, document: str, operation: str, variables: Mapping[str, Any], credential: str | None
    ) -> Answer:
        """An answer whose texts say where they would come from."""
        del credential
        entry = {"name": operation, "document": document, "variables": _shown(dict(variables))}
        if entry not in self.seen:
            self.seen.append(entry)
        schema = _schema(self._sdl)
        definitions = parse(document).definitions
        fragments = {
            each.name.value: each
            for each in definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        (node,) = (each for each in definitions if isinstance(each, OperationDefinitionNode))
        root = schema.get_root_type(node.operation)
        assert root is not None, "the documents are valid"
        return {"data": _Imagining(schema, fragments).object(root, node.selection_set, "")}

    async def admit(self, credential: str) -> Answer | None:
        """Everybody may ask what would be asked."""
        del credential
        return None


@lru_cache(maxsize=1)
def _schema(sdl: str) -> GraphQLSchema:
    return build_schema(sdl)


def _shown(value: Any) -> Any:
    if isinstance(value, UploadFile):
        return f"<the file {value.filename}>"
    if isinstance(value, dict):
        return {name: _shown(item) for name, item in value.items()}
    return [_shown(item) for item in value] if isinstance(value, list) else value


class _Imagining:
    """Makes up objects of a document's selections: texts are where they would stand in the answer, in <…>."""

    def __init__(
        self, schema: GraphQLSchema, fragments: Mapping[str, FragmentDefinitionNode]
    ) -> None:
        self._schema = schema
        self._fragments = fragments

    def object(
        self, type_: GraphQLNamedType, selections: SelectionSetNode, path: str
    ) -> dict[str, Any]:
        """An object of a type, with what is selected of it."""
        if is_abstract_type(type_):
            type_ = self._concrete(type_, selections)
        assert isinstance(type_, GraphQLObjectType)
        made: dict[str, Any] = {}
        for selection in selections.selections:
            if isinstance(selection, FragmentSpreadNode | InlineFragmentNode):
                fragment: Any = selection
                if isinstance(selection, FragmentSpreadNode):
                    fragment = self._fragments[selection.name.value]
                on = fragment.type_condition
                if on is None or self._is(type_, on.name.value):
                    made |= self.object(type_, fragment.selection_set, path)
            elif isinstance(selection, FieldNode):
                name = (selection.alias or selection.name).value
                place = f"{path}.{name}" if path else name
                made[name] = self._field(type_, selection, place)
        return made

    def _field(self, parent: GraphQLObjectType, node: FieldNode, place: str) -> Any:
        if node.name.value == "__typename":
            return parent.name
        declared = get_nullable_type(parent.fields[node.name.value].type)
        named = get_named_type(declared)
        if node.selection_set is not None:
            value: Any = self.object(named, node.selection_set, place)
        elif isinstance(named, GraphQLEnumType):
            value = next(
                (name for name in _CHOSEN if name in named.values), next(iter(named.values))
            )
        elif node.name.value == "hasNextPage":
            value = False
        else:
            value = _SCALARS.get(named.name, f"<{place}>")
        while is_list_type(declared):
            value, declared = [value], get_nullable_type(declared.of_type)
        return value

    def _concrete(
        self, type_: GraphQLAbstractType, selections: SelectionSetNode
    ) -> GraphQLObjectType:
        """The type that the selection asks after, else any."""
        for selection in selections.selections:
            condition = getattr(selection, "type_condition", None)
            if isinstance(selection, FragmentSpreadNode):
                condition = self._fragments[selection.name.value].type_condition
            if condition is not None:
                found = self._schema.get_type(condition.name.value)
                if isinstance(found, GraphQLObjectType):
                    return found
        return self._schema.get_possible_types(type_)[0]

    def _is(self, type_: GraphQLObjectType, name: str) -> bool:
        return type_.name == name or any(each.name == name for each in type_.interfaces)
