"""The worker process that `serve` runs beside itself: started, watched, started again, and stopped with it."""

from __future__ import annotations

import asyncio
import logging
import pickle
import struct
import sys
import time
from contextlib import suppress
from typing import Self

from base.settings import Settings

SETTINGS_LENGTH = struct.Struct(
    "!Q"
)  # goes before the pickled settings on the worker's standard input
RESTART_SECONDS_MIN = 0.2
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 5.0  # a worker that lived this long starts again without delay
STOP_SECONDS_MAX = 20.0
BOOT = """import sys
sys.path[:] = {path!r}
from base import process
from workers.messages import PRELOAD
process.start(PRELOAD)  # the fork server imports while this process does
from server.worker import serve_parent
serve_parent()
"""

_log = logging.getLogger(__name__)


class EmbeddedWorker:
    """Keeps one worker process alive while entered.

    The child is in a session of its own, so a Ctrl-C reaches it only through us. Its standard input is its lifeline:
    when this process ends, however it ends, the child gives back its jobs and ends too. The leases of one that was
    killed end when the next one starts, since both have the same name.
    """

    def __init__(self, settings: Settings) -> None:
        body = pickle.dumps(settings)
        self._settings = SETTINGS_LENGTH.pack(len(body)) + body
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The worker's process id, while there is one."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if self._process and running else None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._supervise(), name="embedded-worker")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _supervise(self) -> None:
        delay = RESTART_SECONDS_MIN
        while True:
            started = time.monotonic()
            status = await self._run()
            if time.monotonic() - started > STEADY_SECONDS:
                delay = RESTART_SECONDS_MIN
            _log.warning("the worker ended with status %s; another starts in %.1f s", status, delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, RESTART_SECONDS_MAX)

    async def _run(self) -> int:
        """One life of the worker: its exit status. Cancelled, it is stopped first."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            BOOT.format(path=sys.path),
            stdin=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        self._process = process
        assert process.stdin is not None
        try:
            with suppress(ConnectionError):
                process.stdin.write(self._settings)
                await process.stdin.drain()
            return await process.wait()
        finally:
            await asyncio.shield(asyncio.ensure_future(_stop(process)))


async def _stop(process: asyncio.subprocess.Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP_SECONDS_MAX):
            await process.wait()
    except TimeoutError:
        _log.error("the worker did not stop in %d s and was killed", STOP_SECONDS_MAX)
        process.kill()
        await process.wait()
