"""Ending a transaction whole, although its task is being cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end even if the caller is cancelled meanwhile.

    A first cancellation is raised only when the work is done, so that whoever sees it finds the transaction closed; a
    second one gives up the wait, not the work.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
