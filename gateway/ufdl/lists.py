"""Whole lists, which GraphQL gives in pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call
from gateway.dialect import Data
from gateway.failures import Failure

PAGES_MAX = 500  # of one list; a page has 200


async def gather(
    call: Call, operation: str, root: str, variables: Mapping[str, Any] | None = None
) -> list[Data]:
    """All nodes of the connection `root` of an operation that takes `after`; raises Failure for too many."""
    rows: list[Data] = []
    after = None
    for _ in range(PAGES_MAX):
        page = (await call.run(operation, {**(variables or {}), "after": after}))[root]
        rows += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            return rows
        after = page["pageInfo"]["endCursor"]
    raise Failure("INVALID_INPUT", "More match than one list gives.", hint="Filter by more.")
