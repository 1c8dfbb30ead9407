"""Lists in pages, by the numbers that clients count them with."""

from __future__ import annotations

from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply
from gateway.failures import Failure
from gateway.fields import Field
from gateway.schema_cms.replies import item

SIZE, SIZE_MAX = 10, 1000
OFFSET_MAX = 100_000  # that GraphQL takes
_FIRST_MAX = 200  # that GraphQL gives at once
_DIGITS_MAX = 15
NO_PAGE = Reply(404, {"detail": "Invalid page."})
FIELDS = (
    Field("page", "string", "Its number, from 1 on, or `last`.", "query", example="1"),
    Field("page_size", "string", "Items of a page, 1 to 1000; 10 by default.", "query"),
)


async def page(call: Call, operation: str, variables: Data) -> Reply:
    """A page of the data sources that an operation lists, newest first."""
    size = _number(call.query.get("page_size", "")) or SIZE
    size = min(size, SIZE_MAX)
    wanted = call.query.get("page", "1")
    total = None
    number = _number(wanted)
    if wanted == "last" or (number and (number - 1) * size > OFFSET_MAX):
        total = (await _listed(call, operation, variables, 0, {"isCounted": True}))["totalCount"]
        number = max(1, -(-total // size)) if wanted == "last" else number
    if not number or (total is not None and number > 1 and (number - 1) * size >= total):
        return NO_PAGE
    if (number - 1) * size > OFFSET_MAX:
        raise Failure(
            "UNSUPPORTED",
            f"Pages are counted up to {OFFSET_MAX:,} data sources.",
            hint="List the data sources of one project, or page with `after` in GraphQL.",
        )
    sources, total = await _sources(call, operation, variables, (number - 1) * size, size)
    if number > 1 and not sources:
        return NO_PAGE
    return Reply(
        body={
            "count": total,
            "next": _url(call, number + 1) if number * size < total else None,
            "previous": _url(call, number - 1) if number > 1 else None,
            "results": [item(call, source) for source in sources],
        }
    )


async def _sources(
    call: Call, operation: str, variables: Data, offset: int, size: int
) -> tuple[list[Data], int]:
    """Up to `size` data sources, in as few operations as GraphQL's pages allow, and how many there are in all."""
    place: Data = {"offset": offset, "isCounted": True}
    listed = await _listed(call, operation, variables, size, place)
    sources, total = list(listed["nodes"]), listed["totalCount"]
    while len(sources) < size and listed["pageInfo"]["hasNextPage"]:
        place = {"after": listed["pageInfo"]["endCursor"], "isCounted": False}
        listed = await _listed(call, operation, variables, size - len(sources), place)
        sources += listed["nodes"]
    return sources, total


async def _listed(call: Call, operation: str, variables: Data, size: int, place: Data) -> Data:
    data = await call.run(operation, {**variables, "first": min(size, _FIRST_MAX), **place})
    if "project" in data:
        if data["project"] is None:
            raise Failure("NOT_FOUND", "There is no such project.")
        data = data["project"]
    listed: Data = data["dataSources"]
    return listed


def _number(text: str) -> int:
    """The whole number above 0 that a text is; 0 for every other text."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= _DIGITS_MAX
    return int(text) if is_number else 0


def _url(call: Call, number: int) -> str:
    """The URL of another page; the first one has no number."""
    query: dict[str, Any] = {**call.query, "page": number}
    if number == 1:
        del query["page"]
    return call.url(call.path, dict(sorted(query.items())))
