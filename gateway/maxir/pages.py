"""Lists by page numbers."""

from __future__ import annotations

from collections.abc import Callable

from gateway import lists
from gateway.call import Call
from gateway.dialect import Data, Variables
from gateway.fields import Field
from gateway.maxir.callers import known
from gateway.maxir.failures import mistaken

PAGE_SIZE = 10
PAGE_SIZE_MAX = 1_000
_EMPTY: Data = {"nodes": [], "totalCount": 0, "pageInfo": {"hasNextPage": False}}
FIELDS = (
    Field(
        "page_number",
        "integer",
        "Which page, from 1 on.",
        place="query",
        default=1,
        least=1,
    ),
    Field(
        "page_size",
        "integer",
        "Records on a page.",
        place="query",
        default=PAGE_SIZE,
        least=1,
        most=PAGE_SIZE_MAX,
    ),
)


async def page(
    call: Call,
    operation: str,
    variables: Variables,
    connection: Callable[[Data], Data | None],
    record: Callable[[Data], Data],
) -> Data:
    """The page that a call asks for; `connection` finds the list in an answer, `record` shows a node of it."""
    number, size = call.values["page_number"], call.values["page_size"]
    offset = (number - 1) * size
    if offset > lists.OFFSET_MAX:
        message = f"`page_number` is too large: lists are read up to record {lists.OFFSET_MAX}."
        raise mistaken("page_number", message, "most")

    async def ask(place: Variables) -> Data:
        return connection(await known(call, operation, variables | place)) or _EMPTY

    nodes, total = await lists.part(ask, offset, size)
    return {
        "page_number": number,
        "page_size": size,
        "total_items": total,
        "records": [record(node) for node in nodes],
    }
