"""What GraphQL operations a REST request becomes, without running any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
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
from starlette.datastructures import Headers, UploadFile

from gateway import fields
from gateway.client import Answer
from gateway.dialect import Schema
from gateway.failures import Failure
from gateway.fields import Field

if TYPE_CHECKING:
    from gateway.app import Gateway

_CHOSEN = ("SUCCEEDED", "SYNCED", "SCRIPT")  # values of enums with which a request goes furthest
_SCALARS: Mapping[str, Any] = {
    "Int": 1,
    "BigInt": 1,
    "Float": 1.0,
    "Boolean": True,
    "DateTime": "2026-01-01T00:00:00.000Z",
    "JSON": {},
}
_MADE_UP = "made-up"


async def explain(
    gateway: Gateway, asked: Mapping[str, str], sdl: Callable[[], str]
) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON answer to `method`, `path` (with its query) and `body` (JSON) of a request."""
    method = asked.get("method", "GET").upper()
    path, _, query = asked.get("path", "").partition("?")
    match = gateway.match(method, path)
    if isinstance(match, Failure):
        return 404, {"message": match.message, "hint": "Give `method` and `path` of a request."}
    try:
        given = orjson.loads(asked.get("body") or "{}")
    except orjson.JSONDecodeError:
        return 400, {"message": "`body` has to be JSON."}
    route = match.served.route
    imagined = Imagined(sdl)
    call = gateway.call(match, method, path, query, Headers(), _MADE_UP, imagined)
    call.pause = _no_pause
    call.body = given if asked.get("body") else _body_example(route.body)
    body = _example(route.fields) | (given if isinstance(given, dict) else {})
    call.values, problems = fields.read(
        route.fields,
        call.params,
        _query_example(route.fields) | dict(call.query),
        body,
        is_text=False,
    )
    if problems:
        return 400, {"message": problems[0].message, "field": problems[0].field}
    try:
        await route.action.handle(call)
    except Failure as failure:
        if not imagined.seen:
            return 400, {"message": failure.message}
    return 200, {
        "dialect": match.served.dialect.name,
        "route": f"{route.method} {route.path}",
        "summary": route.summary,
        "operations": imagined.seen,
        "note": "Texts in <…> stand for what an earlier operation gives, or for what the request did not say.",
    }


async def _no_pause(_seconds: float) -> None:
    return


def _body_example(schema: Schema | None) -> Any:
    """What the schema of a body that the route reads itself gives as its example."""
    return next(iter((schema or {}).get("examples", ())), None)


def _example(declared: tuple[Field, ...]) -> dict[str, Any]:
    return {
        each.name: _value(each)
        for each in declared
        if each.place == "body" and (each.required or each.example is not None)
    }


def _query_example(declared: tuple[Field, ...]) -> dict[str, str]:
    return {
        each.name: str(_value(each)) for each in declared if each.place == "query" and each.required
    }


def _value(field: Field) -> Any:
    if field.kind == "file":
        name = field.example or f"<{field.name}>.csv"
        return UploadFile(file=None, filename=name)  # type: ignore[arg-type]
    if field.example is not None:
        return field.example
    if field.choices:
        return field.choices[0]
    if field.kind == "object":
        return {each.name: _value(each) for each in field.fields if each.required}
    if field.kind == "array":
        return [] if field.items is None else [_value(field.items)]
    plain: Mapping[str, Any] = {"integer": int(field.least or 1), "number": 1.0, "boolean": True}
    return plain.get(field.kind, f"<{field.name}>")


class Imagined:
    """An executor that runs nothing: it keeps what it is asked, and answers what the schema says an answer is like."""

    def __init__(self, sdl: Callable[[], str]) -> None:
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
        schema = _schema(self._sdl())
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
