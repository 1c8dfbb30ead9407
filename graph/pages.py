"""Relay connections by keyset: a page costs the same at any depth, and no row is skipped or seen twice."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import strawberry

from base.errors import InvalidInput
from graph.context import Info, load
from graph.orders import Sort
from graph.selection import Selection, Shape, read, shape_of
from models import rows
from models.rows import Condition, Pick, Row

T = TypeVar("T")

PAGE_ROWS = 20
PAGE_ROWS_MAX = 200
OFFSET_MAX = 100_000

First = Annotated[
    int | None,
    strawberry.argument(
        description="How many to give, counted from the start or from `after`: 0 to 200; 20 where neither `first` nor "
        "`last` is given."
    ),
]
After = Annotated[
    str | None,
    strawberry.argument(
        description="Only what comes after this cursor, which has to be of the same order."
    ),
]
Last = Annotated[
    int | None,
    strawberry.argument(
        description="How many to give, counted back from the end or from `before`: 0 to 200."
    ),
]
Before = Annotated[
    str | None,
    strawberry.argument(
        description="Only what comes before this cursor, which has to be of the same order."
    ),
]
Offset = Annotated[
    int | None,
    strawberry.argument(
        description="How many to leave out before the first, for page numbers: 0 to 100,000. With `first` alone; going "
        "on with `after` costs the same at any depth, this does not."
    ),
]
_T = TypeVar("_T")
Which = Annotated[_T | None, strawberry.argument(description="Which of them; all when left out.")]
OldestFirst = Annotated[
    _T | None, strawberry.argument(description="Their order; by default the oldest first.")
]


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    """Relay's PageInfo."""

    has_next_page: bool = strawberry.field(
        description="Whether there is more after this page: exact when paging forward, else whether `before` was given."
    )
    has_previous_page: bool = strawberry.field(
        description="Whether there is more before this page: exact when paging backward, else whether `after`, or an "
        "`offset` above 0, was given."
    )
    start_cursor: str | None = strawberry.field(
        description="The cursor of the first item, to go back from; null on an empty page."
    )
    end_cursor: str | None = strawberry.field(
        description="The cursor of the last item, to go on from; null on an empty page."
    )


@strawberry.type(description="An item of a page and its cursor.")
class Edge(Generic[T]):
    """Relay's edge."""

    cursor: str = strawberry.field(
        description="Where the item is in the list, opaque; for `after` and `before`."
    )
    node: T = strawberry.field(description="The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """Relay's connection, with the items themselves beside the edges."""

    edges: list[Edge[T]] = strawberry.field(description="The items with their cursors.")
    nodes: list[T] = strawberry.field(description="The items.")
    page_info: PageInfo = strawberry.field(description="Where this page lies in the list.")
    total_count: int = strawberry.field(
        description="How many items the whole list has, with the filter applied. Counted only when selected."
    )


class EdgeRow(NamedTuple):
    """What an `Edge` is made of."""

    cursor: str
    node: Row


class PageInfoRow(NamedTuple):
    """What a `PageInfo` is made of."""

    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


class PageRow(NamedTuple):
    """What a `Connection` is made of."""

    edges: list[EdgeRow]
    nodes: list[Row]
    page_info: PageInfoRow
    total_count: int

    @property
    def lines(self) -> list[Row]:
        """The items of a log's page."""
        return self.nodes


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for: `size` items from one end, between two cursors or after `offset` items."""

    size: int
    backward: bool = False
    after: str | None = None
    before: str | None = None
    offset: int = 0


def window(
    first: int | None = None,
    after: str | None = None,
    last: int | None = None,
    before: str | None = None,
    offset: int | None = None,
    *,
    default: int = PAGE_ROWS,
) -> Window:
    """The part of a list that these arguments ask for; raises InvalidInput where they make no sense."""
    if first is not None and last is not None:
        raise InvalidInput("Give `first` or `last`, not both.", field="last")
    name, size = (
        ("last", last) if last is not None else ("first", default if first is None else first)
    )
    if not 0 <= size <= PAGE_ROWS_MAX:
        raise InvalidInput(
            f"`{name}` is from 0 to {PAGE_ROWS_MAX}.",
            hint="Take smaller pages and go on with `after: pageInfo.endCursor`.",
            field=name,
        )
    if offset is not None:
        _check_offset(offset, last, after, before)
    return Window(size, last is not None, after, before, offset or 0)


def _check_offset(offset: int, last: int | None, after: str | None, before: str | None) -> None:
    if not 0 <= offset <= OFFSET_MAX:
        raise InvalidInput(
            f"`offset` is from 0 to {OFFSET_MAX:,}.",
            hint="Go on with `after: pageInfo.endCursor`, which has no end.",
            field="offset",
        )
    for name, given in (("after", after), ("before", before), ("last", last)):
        if given is not None:
            raise InvalidInput(
                f"Give `offset` or `{name}`, not both.",
                hint="With `offset` goes `first` alone.",
                field="offset",
            )


@dataclass(frozen=True, slots=True)
class Listing:
    """A list of a type's rows; below a parent, `parent` is the column that holds the parent's key."""

    graph_type: type
    sort: Sort
    window: Window
    conditions: tuple[Condition, ...]
    parent: str | None = None


async def page(info: Info, listing: Listing) -> PageRow:
    """A page of a list at the root."""
    return (await _pages(info, listing, ()))[None]


def page_below(info: Info, listing: Listing, parent: int) -> Awaitable[PageRow]:
    """A page of the list below one parent, read in one statement with those of its siblings."""
    return load(info, parent, partial(_pages, info, listing))


async def _pages(info: Info, listing: Listing, parents: Sequence[int]) -> Mapping[Any, PageRow]:
    shape, window = shape_of(listing.graph_type), listing.window
    selection = Selection.of(info)
    sort = listing.sort.reversed() if window.backward else listing.sort
    ends = (
        (window.before, "before", window.after, "after")
        if window.backward
        else (
            window.after,
            "after",
            window.before,
            "before",
        )
    )
    between = [
        *sort.beyond(shape, ends[0], ends[1]),
        *sort.reversed().beyond(shape, ends[2], ends[3]),
    ]
    groups: dict[int | None, list[Row]] = {key: [] for key in parents or (None,)}
    if selection.names - {"totalCount", "__typename"}:
        found = await _rows(info, listing, shape, selection, sort, between, parents)
        for row in found:
            groups[row.parent_key if listing.parent else None].append(row)
    totals = await _totals(listing, shape, parents) if "totalCount" in selection else {}
    return {
        key: _page(listing, selection, group, totals.get(key, 0)) for key, group in groups.items()
    }


async def _rows(
    info: Info,
    listing: Listing,
    shape: Shape,
    selection: Selection,
    sort: Sort,
    between: Iterable[Condition],
    parents: Sequence[int],
) -> list[Row]:
    conditions = (*listing.conditions, *between)
    limit = listing.window.size + 1  # one more tells whether there is a next page
    extra = sort.picks() if _wants_cursors(selection) else ()
    if listing.parent is not None:
        extra = (*extra, Pick("parent_key", listing.parent))

    async def fetch(picks: Sequence[Pick]) -> list[list[Any]]:
        if listing.parent is None:
            return await rows.select_columns(
                shape.model,
                picks,
                *conditions,
                order=sort.order,
                limit=limit,
                offset=listing.window.offset,
            )
        return await rows.top_columns(
            shape.model,
            picks,
            *conditions,
            parent=listing.parent,
            parents=parents,
            order=sort.order,
            limit=limit,
            offset=listing.window.offset,
        )

    chosen = selection.items()
    return await read(info.context.viewer, shape, chosen, fetch, extra)


async def _totals(
    listing: Listing, shape: Shape, parents: Sequence[int]
) -> Mapping[int | None, int]:
    if listing.parent is None:
        return {None: await rows.count(shape.model, *listing.conditions)}
    counted = await rows.tally(
        shape.model, (listing.parent,), rows.In(listing.parent, parents), *listing.conditions
    )
    return {key: total for (key,), total in counted.items()}


def _page(listing: Listing, selection: Selection, found: list[Row], total: int) -> PageRow:
    window, sort = listing.window, listing.sort
    more = len(found) > window.size
    nodes = found[: window.size]
    if window.backward:
        nodes.reverse()
    edges, start, end = [], None, None
    if "edges" in selection:
        edges = [EdgeRow(sort.cursor(row), row) for row in nodes]
    if nodes and "pageInfo" in selection:
        start, end = sort.cursor(nodes[0]), sort.cursor(nodes[-1])
    info = PageInfoRow(
        has_next_page=window.before is not None if window.backward else more,
        has_previous_page=(
            more if window.backward else window.after is not None or window.offset > 0
        ),
        start_cursor=start,
        end_cursor=end,
    )
    return PageRow(edges, nodes, info, total)


def _wants_cursors(selection: Selection) -> bool:
    return "edges" in selection or "pageInfo" in selection
