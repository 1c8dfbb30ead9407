"""Batches: what the objects of one level ask for, fetched together; one statement for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any

Fetch = Callable[[Sequence[Any]], Awaitable[Mapping[Any, Any]]]


class Loaders:
    """The open batches of one operation.

    Nothing is kept after a batch is answered: a later load, behind a mutation for instance, reads again. Not to be used
    inside a transaction, whose connection the batch would outlive.
    """

    __slots__ = ("_open", "_tasks")

    def __init__(self) -> None:
        self._open: dict[Hashable, dict[Any, asyncio.Future[Any]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def load(self, batch: Hashable, key: Hashable, fetch: Fetch) -> asyncio.Future[Any]:
        """The value of `key`, fetched with every other key of `batch` that is asked for before the loop turns.

        The first call's `fetch` answers for all: `batch` has to name everything that it depends on.
        """
        loop = asyncio.get_running_loop()
        waiting = self._open.get(batch)
        if waiting is None:
            waiting = self._open[batch] = {}
            loop.call_soon(self._dispatch, batch, fetch)
        future = waiting.get(key)
        if future is None:
            future = waiting[key] = loop.create_future()
        return future

    def _dispatch(self, batch: Hashable, fetch: Fetch) -> None:
        task = asyncio.ensure_future(_answer(self._open.pop(batch), fetch))
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)


async def _answer(waiting: dict[Any, asyncio.Future[Any]], fetch: Fetch) -> None:
    try:
        found = await fetch(list(waiting))
    except BaseException as error:
        for future in waiting.values():
            if not future.done():
                future.set_exception(error)
        if not isinstance(error, Exception):
            raise
        return
    for key, future in waiting.items():
        if not future.done():
            future.set_result(found.get(key))
