"""Lists of GraphQL, which come in pages: the whole of one, or as much of it as a page of a dialect's own has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from gateway.dialect import Data, Variables

NODES_MAX = 200  # that GraphQL gives at once
OFFSET_MAX = 100_000  # that it goes to without a cursor
# Gives the connection that an operation answers to `first`, `offset` and `after`, with `nodes` and `pageInfo`.
Ask = Callable[[Variables], Awaitable[Data]]


async def whole(ask: Ask) -> AsyncIterator[Data]:
    """Every node of a list. `ask` gets `after` alone."""
    page = await ask({})
    while True:
        for node in page["nodes"]:
            yield node
        if not page["pageInfo"]["hasNextPage"]:
            return
        page = await ask({"after": page["pageInfo"]["endCursor"]})


async def part(ask: Ask, offset: int, size: int) -> tuple[list[Data], int]:
    """Up to `size` nodes from `offset` (0 to `OFFSET_MAX`) on, and how many there are in all: `totalCount`."""
    nodes: list[Data] = []
    place: Variables = {"offset": offset}
    while True:
        page = await ask({"first": min(size - len(nodes), NODES_MAX), **place})
        nodes += page["nodes"]
        if len(nodes) >= size or not page["pageInfo"]["hasNextPage"]:
            return nodes, page["totalCount"]
        place = {"after": page["pageInfo"]["endCursor"]}
