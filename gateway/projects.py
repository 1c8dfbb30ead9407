"""The project that is meant where a request names none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from gateway.call import Call
from gateway.failures import Failure

DEFAULT_NAME = "Default"


async def found_or_made(call: Call, find: Callable[[], Awaitable[str | None]]) -> str:
    """The id of the caller's default project: the one that `find` gives, else a new one.

    Runs `CreateProject` of the dialect, with the variable `input`.
    """
    found = await find()
    if found is not None:
        return found
    given = {"name": DEFAULT_NAME, "uniqueName": True}
    try:
        made = await call.run("CreateProject", {"input": given})
    except Failure as failure:
        found = await find() if failure.code == "CONFLICT" else None  # another request was first
        if found is None:
            raise
        return found
    project: str = made["createProject"]["project"]["id"]
    return project
