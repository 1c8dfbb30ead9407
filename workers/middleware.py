"""What a worker process has open while it consumes: the database, on the event loop of the jobs, and the sweeps."""

# ruff: noqa: ARG002 - Dramatiq's signatures

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any

import dramatiq
from dramatiq.asyncio import get_event_loop_thread
from dramatiq.middleware import Middleware
from dramatiq.middleware.middleware import MiddlewareError

from base.settings import Settings
from models import database
from services import leases
from workers import schedule
from workers.engine import Engine

STOP_SECONDS = 12  # for jobs to be given back; well within what supervisors wait before they kill
BOOT_FAILURE = "the worker could not start"

_log = logging.getLogger(__name__)


class BootFailed(MiddlewareError):
    """The worker cannot start; Dramatiq lets only this kind of error through."""


class WorkerLoop(Middleware):
    """Opens the database before the first message and closes it after the last job was given back.

    Belongs behind Dramatiq's `AsyncIO`, whose loop it uses. `takes_over` says that no other process has this worker's
    name: what leases there are in it are a dead one's, and end at once.
    """

    def __init__(self, engine: Engine, settings: Settings, *, takes_over: bool) -> None:
        self._engine = engine
        self._settings = settings
        self._takes_over = takes_over
        self._open = AsyncExitStack()
        self._sweeps: asyncio.Task[None] | None = None

    def before_worker_boot(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Open; raises `BootFailed`."""
        try:
            _on_loop(self._start())
        except Exception as error:
            _log.exception(BOOT_FAILURE)
            raise BootFailed(BOOT_FAILURE) from error

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Give back what is running, before Dramatiq waits for its threads."""
        _on_loop(self._stop())

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: dramatiq.Worker) -> None:
        """Close."""
        _on_loop(self._open.aclose())

    async def _start(self) -> None:
        pool = self._settings.database_pool
        await self._open.enter_async_context(
            database.open(self._settings.effective_database_url, pool=pool)
        )
        if self._takes_over:
            await leases.expire(self._engine.worker)
        await leases.sweep()
        self._sweeps = asyncio.create_task(schedule.run(self._engine.platform))

    async def _stop(self) -> None:
        await self._engine.stop(STOP_SECONDS)
        if self._sweeps is not None:
            self._sweeps.cancel()
            await asyncio.wait({self._sweeps})


def _on_loop(work: Coroutine[Any, Any, None]) -> None:
    thread = get_event_loop_thread()
    assert thread is not None
    thread.run_coroutine(work)
