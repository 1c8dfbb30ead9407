"""Resolvers below the root run once for each parent; what is the same for all of them is worked out once.

Strawberry converts the arguments of a field anew for each of its objects, which costs more than the field. Here the
first object's conversion is kept for the operation, by the field nodes: the same nodes have the same arguments.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import strawberry
from graphql import GraphQLObjectType, GraphQLResolveInfo
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from graph.context import Context, Info


def share_arguments(schema: strawberry.Schema) -> None:
    """Let the resolvers of all fields below the roots share what they can."""
    converter = schema.schema_converter
    core = schema._schema  # noqa: SLF001 - Strawberry has no other name for it
    roots = (core.query_type, core.mutation_type, core.subscription_type)
    for kind in core.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind in roots:
            continue
        for definition in kind.fields.values():
            field = definition.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
            if isinstance(field, StrawberryField) and field.base_resolver and not field.extensions:
                definition.resolve = _sharing(field, converter)


def _sharing(field: StrawberryField, converter: GraphQLCoreConverter) -> Callable[..., Any]:
    resolver = field.base_resolver
    assert resolver is not None, "only fields with a resolver share"
    function, parent, info_parameter = resolver, resolver.parent_parameter, resolver.info_parameter

    def convert(raw: GraphQLResolveInfo[Any], given: dict[str, Any]) -> dict[str, Any]:
        info: Info = converter.config.info_class(_raw_info=raw, _field=field)
        arguments = convert_arguments(
            given,
            field.arguments,
            scalar_registry=converter.scalar_registry,
            config=converter.config,
            info=info,
        )
        return arguments | ({info_parameter.name: info} if info_parameter else {})

    def resolve(source: Any, raw: GraphQLResolveInfo[Any], **given: Any) -> Any:
        context: Context = raw.context
        nodes = (id(field), *map(id, raw.field_nodes))
        arguments = context.shared.get(nodes)
        if arguments is None:
            arguments = context.shared[nodes] = convert(raw, given)
        return function(**arguments, **({parent.name: source} if parent else {}))

    return resolve
