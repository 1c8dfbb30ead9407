"""How fields are declared: columns, links and resolvers of types; queries and mutations with what they need.

Descriptions are the manual: a resolver's docstring is its field's description.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import strawberry
from tortoise.models import Model

from graph.context import Context, Info
from graph.permissions import ANYONE, NEEDS, SIGNED_IN, STAFF, Guard, Needs, Permission
from graph.selection import (
    SOURCE,
    Columns,
    Derived,
    Link,
    Selection,
    Shape,
    by_keys,
    inner_type,
    shape_of,
)
from graph.topics import TOPIC, FindTopic
from models.rows import Pick

__all__ = [
    "ANYONE",
    "SIGNED_IN",
    "STAFF",
    "Context",
    "Info",
    "Needs",
    "Node",
    "Permission",
    "column",
    "derived",
    "link",
    "many",
    "mutation",
    "one",
    "query",
    "returns",
    "subscription",
]

Resolver = TypeVar("Resolver", bound=Callable[..., Any])


def column(description: str, *, reads: str | Pick | None = None, name: str | None = None) -> Any:
    """A field that is a column: of its own name, or `reads`. `name` is the GraphQL name, where camel case is not it."""
    metadata = {} if reads is None else {SOURCE: Columns((_pick(reads),))}
    return strawberry.field(description=description, name=name, metadata=metadata)


def derived(
    description: str, function: Callable[..., Any], *reads: str | Pick, name: str | None = None
) -> Any:
    """A field that `function` makes from the values of these columns, None included."""
    source = Derived(tuple(map(_pick, reads)), function)
    return strawberry.field(description=description, name=name, metadata={SOURCE: source})


def link(description: str, key: str, *, scoped: bool = False) -> Any:
    """A field that is the row whose primary key is in the column `key`; `scoped`: null where that is hidden."""
    return strawberry.field(description=description, metadata={SOURCE: Link(key, scoped)})


def returns(graph_type: Any, *reads: str | Pick) -> Callable[[Resolver], Any]:
    """A field with a resolver that returns rows of the declared type and needs these columns of its parent.

    `parent.pk`, the integer key, is always there.
    """

    def declare(resolver: Resolver) -> Any:
        return strawberry.field(
            resolver,
            graphql_type=graph_type,
            description=_description(resolver),
            metadata={SOURCE: Columns(tuple(map(_pick, reads)))},
        )

    return declare


def query(*, needs: Needs, returns: Any = None) -> Callable[[Resolver], Any]:
    """A root field of Query. `returns` is its type where the resolver's annotation is not."""
    return _root(needs, returns)


def mutation(*, needs: Needs, returns: Any = None) -> Callable[[Resolver], Any]:
    """A root field of Mutation. `returns` is its type where the resolver's annotation is not."""
    return _root(needs, returns)


def subscription(*, needs: Needs, returns: Any, topic: FindTopic) -> Callable[[Resolver], Any]:
    """A root field of Subscription: its resolver gives the row of one event, `info.context.event`, of the topic."""
    return _root(needs, returns, {TOPIC: topic})


def one(graph_type: Any, key: str, description: str) -> Any:
    """A payload's object, read after the commit: `key` names the payload's attribute with its primary key."""

    async def resolve(parent: strawberry.Parent[Any], info: Info) -> Any:
        shape, pk = _shape(info), getattr(parent, key)
        found = await by_keys(info.context.viewer, shape, [pk], Selection.of(info))
        return found.get(pk)

    return strawberry.field(resolve, graphql_type=graph_type, description=description)


def many(graph_type: Any, keys: str, description: str) -> Any:
    """A payload's list of objects, in the order of the primary keys in the payload's attribute `keys`."""

    async def resolve(parent: strawberry.Parent[Any], info: Info) -> Any:
        shape, pks = _shape(info), getattr(parent, keys)
        found = await by_keys(info.context.viewer, shape, pks, Selection.of(info))
        return [found[pk] for pk in pks if pk in found]

    return strawberry.field(resolve, graphql_type=list[graph_type], description=description)


@strawberry.interface(description="Anything with an id of its own, which `node` finds again.")
class Node:
    """What `node` can find. A type that implements it has a `model`, whose rows its objects are."""

    id: strawberry.ID = column(
        "The public id, `<type>-<code>`: stable, unique, and never a permission. Where the id of one kind of "
        "thing is asked for, its integer key `pk` does as well; `node` and `nodes` take public ids only."
    )

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        """Whether this row is of this type's model."""
        return getattr(value, "model", None) is cls.model  # type: ignore[attr-defined]

    @classmethod
    def resolve_type(cls, value: Any, _info: Any, _abstract: Any) -> str:
        """The name of the type whose model this row is of."""
        return NODES[value.model].definition.name


# Shapes of the types that `node` finds, by model; filled by `node`.
NODES: dict[type[Model], Shape] = {}


def node(graph_type: type) -> type:
    """Let `node(id:)` find this type."""
    NODES[graph_type.model] = shape_of(graph_type)  # type: ignore[attr-defined]
    return graph_type


def _pick(reads: str | Pick) -> Pick:
    return reads if isinstance(reads, Pick) else Pick(reads, reads)


def _description(resolver: Callable[..., Any]) -> str | None:
    return inspect.getdoc(resolver)


def _root(
    needs: Needs, graph_type: Any, more: dict[str, Any] | None = None
) -> Callable[[Resolver], Any]:
    def declare(resolver: Resolver) -> Any:
        return strawberry.field(
            resolver,
            graphql_type=graph_type,
            description=_description(resolver),
            metadata={NEEDS: needs, **(more or {})},
            extensions=[Guard(needs)],
        )

    return declare


def _shape(info: Info) -> Shape:
    return shape_of(inner_type(info._field))  # noqa: SLF001 - the only way to the declared type
