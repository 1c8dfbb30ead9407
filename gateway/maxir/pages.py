"""Lists by page numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Variables
from gateway.fields import Field
from gateway.maxir.callers import known
from gateway.maxir.failures import mistaken

PAGE_SIZE = 10
PAGE_SIZE_MAX = 1_000
_AT_ONCE_MAX = 200  # that GraphQL gives
_OFFSET_MAX = 100_000  # that it goes to
FIELDS = (
    Field(
        "page_number",
        "integer",
        "Which page, from 1 on.",
        place="query",
        default=1,
        has_default=True,
        least=1,
    ),
    Field(
        "page_size",
        "integer",
        "Records on a page.",
        place="query",
        default=PAGE_SIZE,
        has_default=True,
        least=1,
        most=PAGE_SIZE_MAX,
    ),
)


async def page(
    call: Call,
    operation: str,
    variables: Variables,
    listing: Callable[[Data], Data | None],
    record: Callable[[Data], Data],
) -> Data:
    """The page that a call asks for, read in as many pieces as it takes; `listing` finds the list in an answer."""
    number, size = call.values["page_number"], call.values["page_size"]
    start = (number - 1) * size
    if start > _OFFSET_MAX:
        message = f"`page_number` is too large: lists are read up to record {_OFFSET_MAX}."
        raise mistaken("page_number", message, "most")
    nodes: list[Any] = []
    total = 0
    while len(nodes) < size:
        first = min(size - len(nodes), _AT_ONCE_MAX)
        if start + len(nodes) > _OFFSET_MAX:
            break
        piece = {"first": first, "offset": start + len(nodes)}
        found = listing(await known(call, operation, variables | piece))
        if found is None:
            break
        nodes += found["nodes"]
        total = found["totalCount"]
        if len(found["nodes"]) < first:
            break
    return {
        "page_number": number,
        "page_size": size,
        "total_items": total,
        "records": [record(node) for node in nodes],
    }
