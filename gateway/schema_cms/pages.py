"""Lists in pages, by the numbers that clients count them with."""

from __future__ import annotations

from typing import Any

from gateway import lists
from gateway.call import Call
from gateway.dialect import Data, Reply, Variables
from gateway.failures import Failure
from gateway.fields import Field
from gateway.schema_cms.replies import item

SIZE, SIZE_MAX = 10, 1000
_DIGITS_MAX = 15
NO_PAGE = Reply(404, {"detail": "Invalid page."})
FIELDS = (
    Field("page", "string", "Its number, from 1 on, or `last`.", "query", example="1"),
    Field("page_size", "string", "Items of a page, 1 to 1000; 10 by default.", "query"),
)


async def page(call: Call, operation: str, variables: Variables) -> Reply:
    """A page of the data sources that an operation lists, newest first."""

    async def ask(place: Variables) -> Data:
        data = await call.run(operation, variables | place)
        if "project" in data:
            data = data["project"]
        if data is None:
            raise Failure("NOT_FOUND", "There is no such project.")
        listed: Data = data["dataSources"]
        return listed

    size = min(_number(call.values.get("page_size", "")) or SIZE, SIZE_MAX)
    number = await _page_number(call.values.get("page", "1"), size, ask)
    if number == 0:
        return NO_PAGE
    sources, total = await lists.part(ask, (number - 1) * size, size)
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


async def _page_number(wanted: str, size: int, ask: lists.Ask) -> int:
    """The number of the page that is wanted, which may be `last`; 0 for one that there is not.

    Raises Failure for one that is there, and further than GraphQL counts.
    """
    number, is_last = _number(wanted), wanted == "last"
    if not is_last and (number - 1) * size <= lists.OFFSET_MAX:
        return number
    _, total = await lists.part(ask, 0, 0)
    if is_last:
        number = max(1, -(-total // size))
    if (number - 1) * size >= max(total, 1):
        return 0
    if (number - 1) * size > lists.OFFSET_MAX:
        raise Failure(
            "UNSUPPORTED",
            f"Pages are counted up to {lists.OFFSET_MAX:,} data sources.",
            hint="List the data sources of one project, or page with `after` in GraphQL.",
        )
    return number


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
