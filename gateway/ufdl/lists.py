"""Whole lists: this API has no pages."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Data, Variables
from gateway.failures import Failure
from gateway.lists import whole

ROWS_MAX = 100_000  # of one list


async def gather(
    call: Call, operation: str, root: str, variables: Variables | None = None
) -> list[Data]:
    """All nodes of the connection `root` of an operation that takes `after`; raises Failure for too many."""

    async def ask(place: Variables) -> Data:
        connection: Data = (await call.run(operation, {**(variables or {}), **place}))[root]
        return connection

    rows: list[Data] = []
    async for row in whole(ask):
        if len(rows) == ROWS_MAX:
            message = "More match than one list gives."
            raise Failure("INVALID_INPUT", message, hint="Filter by more.")
        rows.append(row)
    return rows
