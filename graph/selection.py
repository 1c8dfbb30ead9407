"""From what a query selects to the columns that are read: each type's fields, and what they are made of.

A field's declaration (`graph.fields`) says which columns, link or function it comes from. `Shape` collects that for a
type, `Plan` for one selection of it, and `read` carries a plan out: one statement for the rows and one for each link.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import strawberry
from graphql import (
    BooleanValueNode,
    FieldNode,
    FragmentSpreadNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
)
from strawberry.schema.name_converter import NameConverter
from strawberry.types import get_object_definition
from strawberry.types.base import StrawberryContainer
from strawberry.types.field import StrawberryField
from strawberry.types.lazy_type import LazyType
from tortoise.models import Model

from base.ids import public_id
from graph.scalars import JSON, json_text, rfc3339
from models import rows
from models.rows import Condition, In, Pick, Row
from services.access import KINDS, Viewer, visible

if TYPE_CHECKING:
    from graph.context import Info

SOURCE = "headwater.source"
PK = Pick("pk", "id")  # every row that `read` gives has it: the integer key
_NAMES = NameConverter()

Query = Callable[[Sequence[Pick]], Awaitable[list[list[Any]]]]


@dataclass(frozen=True, slots=True)
class Columns:
    """The field is a column, or its resolver needs these columns of the parent."""

    picks: tuple[Pick, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """The field is made from columns: `function` is given their values, in order."""

    picks: tuple[Pick, ...]
    function: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Link:
    """The field is the one row whose key stands in `column`.

    A scoped link is null where the viewer may not see that row, or it is soft-deleted.
    """

    column: str
    scoped: bool


Source = Columns | Derived | Link


class Selection:
    """The fields that are selected below some field nodes, by name, with fragments and directives worked out."""

    __slots__ = ("_fragments", "_names", "_variables")

    def __init__(
        self, nodes: Iterable[FieldNode], fragments: Any, variables: Any, type_name: str | None
    ) -> None:
        self._fragments = fragments
        self._variables = variables
        self._names: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for node in nodes:
            if node.selection_set is not None:
                self._collect(node.selection_set, type_name, seen)

    @classmethod
    def of(cls, info: Info, type_name: str | None = None) -> Selection:
        """What is selected of the field that is being resolved; of an interface, what concerns this type."""
        raw = info._raw_info  # noqa: SLF001 - Strawberry's own selections cost a copy of the tree
        return cls(raw.field_nodes, raw.fragments, info.variable_values, type_name)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    @property
    def names(self) -> frozenset[str]:
        """The names of the selected fields, aliases aside."""
        return frozenset(self._names)

    def below(self, *names: str) -> Selection:
        """What is selected of these fields, taken together."""
        nodes = [node for name in names for node in self.nodes(name)]
        return Selection(nodes, self._fragments, self._variables, None)

    def items(self) -> Selection:
        """Of a page: what is selected of its items, in `nodes`, in `edges`, or in the `lines` of a log."""
        inside = [*self.nodes("nodes"), *self.nodes("lines"), *self.below("edges").nodes("node")]
        return Selection(inside, self._fragments, self._variables, None)

    def nodes(self, name: str) -> Sequence[FieldNode]:
        """The field nodes that select this field."""
        return self._names.get(name, ())

    def _collect(self, chosen: SelectionSetNode, type_name: str | None, seen: set[str]) -> None:
        for node in chosen.selections:
            if node.directives and self._skipped(node):
                continue
            if isinstance(node, FieldNode):
                self._names.setdefault(node.name.value, []).append(node)
                continue
            inner: Any = node
            if isinstance(node, FragmentSpreadNode):
                if node.name.value in seen:
                    continue
                seen.add(node.name.value)
                inner = self._fragments[node.name.value]
            condition = inner.type_condition
            if type_name and condition and condition.name.value not in {type_name, "Node"}:
                continue
            self._collect(inner.selection_set, type_name, seen)

    def _skipped(self, node: SelectionNode) -> bool:
        for directive in node.directives or ():
            name = directive.name.value
            if name in {"skip", "include"} and directive.arguments:
                value = directive.arguments[0].value
                told = value.value if isinstance(value, BooleanValueNode) else None
                if isinstance(value, VariableNode):
                    told = self._variables[value.name.value]
                if told is (name == "skip"):
                    return True
        return False


@dataclass(frozen=True, slots=True)
class Plan:
    """What one selection of a type takes: columns, then links, then what is derived."""

    picks: tuple[Pick, ...]
    links: tuple[tuple[str, str, Link, Shape], ...]  # attribute, field name, link, its type
    derived: tuple[tuple[str, Derived], ...]


class Shape:
    """How the fields of a GraphQL type come from a model. One for each type, by `shape_of`."""

    def __init__(self, graph_type: type) -> None:
        self.definition = get_object_definition(graph_type, strict=True)
        self.model: type[Model] = graph_type.model  # type: ignore[attr-defined]
        self.kind = KINDS.get(self.model)
        self._fields = {_NAMES.get_graphql_name(field): field for field in self.definition.fields}
        self._known = frozenset(self._fields)
        self._plans: dict[tuple[frozenset[str], tuple[Pick, ...]], Plan] = {}

    def plan(self, names: frozenset[str], extra: tuple[Pick, ...] = ()) -> Plan:
        """The plan for these field names, with `extra` columns read besides."""
        names = names & self._known
        key = (
            names,
            extra,
        )  # the picks, not their names: two lists call their parents' columns the same
        plan = self._plans.get(key)
        if plan is None:
            plan = self._make(names, extra)
            if len(self._plans) < PLANS_MAX:
                self._plans[key] = plan
        return plan

    def _make(self, names: frozenset[str], extra: tuple[Pick, ...]) -> Plan:
        picks: dict[str, Pick] = {pick.name: pick for pick in (PK, *extra)}
        links: list[tuple[str, str, Link, Shape]] = []
        derived: list[tuple[str, Derived]] = []
        for name in sorted(names):
            field = self._fields[name]
            source = self.source(field)
            if isinstance(source, Link):
                links.append((field.python_name, name, source, shape_of(inner_type(field))))
                needed: tuple[Pick, ...] = (Pick(source.column, source.column),)
            else:
                needed = source.picks
                if isinstance(source, Derived):
                    derived.append((field.python_name, source))
            for pick in needed:
                if picks.setdefault(pick.name, pick) != pick:
                    message = f"{self.definition.name} reads {pick.name} in two ways"
                    raise TypeError(message)
        return Plan(tuple(picks.values()), tuple(links), tuple(derived))

    def source(self, field: StrawberryField) -> Source:
        """What a field is made of; a plain field is the column of its name, written as its type asks."""
        declared: Source | None = field.metadata.get(SOURCE)
        if declared is not None:
            return declared
        if field.base_resolver is not None:
            return Columns(())
        kind = inner_type(field)
        name = field.python_name
        if kind is strawberry.ID:
            return Columns((Pick(name, name, partial(public_id, self.kind)),))
        return Columns((Pick(name, name, _WRITTEN.get(kind)),))


PLANS_MAX = 4096  # distinct selections of one type that are remembered
_WRITTEN: Mapping[Any, Callable[[Any], Any]] = {datetime: rfc3339, JSON: json_text}


@cache
def shape_of(graph_type: type) -> Shape:
    """The shape of a type that has a `model`."""
    return Shape(graph_type)


async def read(
    viewer: Viewer | None,
    shape: Shape,
    selection: Selection,
    query: Query,
    extra: tuple[Pick, ...] = (),
) -> list[Row]:
    """The rows that `query` gives for the columns of the selection, complete with links and derived fields."""
    plan = shape.plan(selection.names, extra)
    columns = await query(plan.picks)
    names = [pick.name for pick in plan.picks]
    for attribute, field_name, link, target in plan.links:
        keys = columns[names.index(link.column)]
        found: dict[int, Row] = {}
        if viewer is not None or not link.scoped:  # without a viewer nothing is visible
            conditions = visible(viewer, target.model) if viewer and link.scoped else []
            found = await by_keys(viewer, target, keys, selection.below(field_name), *conditions)
        columns.append([found.get(key) for key in keys])
        names.append(attribute)
    for attribute, source in plan.derived:
        inputs = [columns[names.index(pick.name)] for pick in source.picks]
        columns.append(list(map(source.function, *inputs)))
        names.append(attribute)
    return rows.assemble(shape.model, names, columns)


async def by_keys(
    viewer: Viewer | None,
    shape: Shape,
    keys: Iterable[int | None],
    selection: Selection,
    *conditions: Condition,
) -> dict[int, Row]:
    """The rows with these primary keys, by key; one statement, or none for no keys."""
    wanted = sorted({key for key in keys if key is not None})
    if not wanted:
        return {}

    async def query(picks: Sequence[Pick]) -> list[list[Any]]:
        return await rows.select_columns(shape.model, picks, In("id", wanted), *conditions)

    return {row.pk: row for row in await read(viewer, shape, selection, query)}


def inner_type(field: StrawberryField) -> Any:
    """The type of a field without its null and list wrappings."""
    kind: Any = field.type
    while isinstance(kind, StrawberryContainer | LazyType):
        kind = kind.resolve_type() if isinstance(kind, LazyType) else kind.of_type
    return kind
