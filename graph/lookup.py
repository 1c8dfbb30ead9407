"""By-id queries: one row, if the viewer may see it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any

import strawberry

from base.ids import key_of, parse_id
from graph.context import Info
from graph.fields import NODES
from graph.selection import Selection, Shape, by_keys, read, shape_of
from models import rows
from models.rows import Condition, Pick, Row
from services.access import Viewer, visible

# Of one type. `node` finds any type, so it takes public ids only: `PublicId`.
Id = Annotated[
    strawberry.ID, strawberry.argument(description="The public id, or the integer key `pk`.")
]

PublicId = Annotated[strawberry.ID, strawberry.argument(description="The public id.")]


async def find_one(info: Info, graph_type: type, public_id: str) -> Row | None:
    """The row of this type with this id; None for a malformed, missing, foreign or soft-deleted one."""
    shape = shape_of(graph_type)
    assert shape.kind is not None, "only what has an id is looked up by it"
    key = key_of(shape.kind, public_id)
    if key is None:
        return None
    viewer = info.context.actor(info)
    found = await _visible(viewer, shape, [key], Selection.of(info))
    return found.get(key)


async def find_where(info: Info, graph_type: type, *conditions: Condition) -> Row | None:
    """The row of this type that meets the conditions, which are of something unique; None for a hidden one."""
    viewer, shape = info.context.actor(info), shape_of(graph_type)
    scope = visible(viewer, shape.model)

    async def query(picks: Sequence[Pick]) -> list[list[Any]]:
        return await rows.select_columns(shape.model, picks, *conditions, *scope)

    found = await read(viewer, shape, Selection.of(info), query)
    return found[0] if found else None


async def find_nodes(info: Info, ids: Sequence[str]) -> list[Row | None]:
    """The rows of any types with these ids, in order; one statement a type."""
    viewer = info.context.actor(info)
    shapes = {shape.kind: shape for shape in NODES.values()}
    parsed = [parse_id(each) for each in ids]
    wanted: dict[str, list[int]] = defaultdict(list)
    for each in parsed:
        if each is not None and each[0] in shapes:
            wanted[each[0]].append(each[1])
    found: dict[Any, Row] = {}
    for kind, keys in wanted.items():
        shape = shapes[kind]
        selection = Selection.of(info, shape.definition.name)
        there = await _visible(viewer, shape, keys, selection)
        found.update({(kind, key): row for key, row in there.items()})
    return [found.get(each) for each in parsed]


async def _visible(
    viewer: Viewer, shape: Shape, keys: Sequence[int], selection: Selection
) -> dict[int, Row]:
    return await by_keys(viewer, shape, keys, selection, *visible(viewer, shape.model))
