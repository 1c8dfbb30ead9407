"""What a running script says, as the job's log and progress: in its order, a few times a second, and so much of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from services import leases
from services.leases import Lease, LogEntry, Progress
from workers.engine import DatabaseFailure, steadily
from workers.sandbox.messages import LOG_LINES_MAX
from workers.sandbox.reporting import OWN_LINES_MAX, clean

WRITE_SECONDS = 0.25
END_SECONDS_MAX = 2.0  # that a write under way may take once the step is over
LINES_AT_ONCE = 500
OWN_BYTES_MAX = 2 * 1024**2  # of what the child adds of its own to a script's lines: a traceback
LINES_MAX = LOG_LINES_MAX + 2 * OWN_LINES_MAX  # likewise
_LEVELS = frozenset({"debug", "info", "warning", "error"})
_LEFT_OUT = "The rest of the log is left out."

_SEEN_BY_THE_WATCH = (*DatabaseFailure, leases.LeaseLost)

Told = Callable[[dict[str, Any]], Progress]


class Transcript:
    """Listens to the process of one step, which may be lying; a context manager, at whose end all is written.

    `told` makes the job's progress of what the process says of its own. The child counts the bytes and lines of its log
    itself: what is over `log_bytes_max` or `LOG_LINES_MAX` and a traceback is only seen of one that was tampered with.
    """

    def __init__(self, lease: Lease, step: str, told: Told, log_bytes_max: int) -> None:
        self._lease = lease
        self._step = step
        self._told = told
        self._room_bytes = log_bytes_max + OWN_BYTES_MAX
        self._room_lines = LINES_MAX
        self._lines: list[LogEntry] = []
        self._progress: dict[str, Any] | None = None
        self._writing = asyncio.Lock()
        self._is_over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def hear(self, message: object) -> None:
        """Take a message; never raises, and never waits for the database."""
        if not isinstance(message, dict):
            return
        lines, progress = message.get("log"), message.get("progress")
        for line in lines if isinstance(lines, list) else []:
            self._add(line)
        if isinstance(progress, dict):
            self._progress = progress

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write_on(), name="transcript")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._is_over.set()
            # Not cancelled at once: a write between its commit and what follows would be made twice.
            await asyncio.wait({self._task}, timeout=END_SECONDS_MAX)
            self._task.cancel()
            await asyncio.wait({self._task})
        self._progress = None  # what comes next says more
        if error is None:
            await steadily(self._lease, self._write)
            return
        with contextlib.suppress(*DatabaseFailure):
            await self._write()

    def _add(self, line: object) -> None:
        is_full = self._room_bytes <= 0 or self._room_lines <= 0
        if is_full or not isinstance(line, list) or len(line) != 2:  # noqa: PLR2004 - level, text
            return
        level, text = line
        if not isinstance(text, str):
            return
        shown = clean(text)
        self._room_bytes -= len(shown.encode()) + 1
        self._room_lines -= 1
        if self._room_bytes > 0 and self._room_lines > 0:
            level = level if isinstance(level, str) and level in _LEVELS else "info"
            self._lines.append(LogEntry(level, shown, self._step))
        else:
            self._lines.append(LogEntry("warning", _LEFT_OUT, self._step))

    async def _write_on(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_over.wait(), WRITE_SECONDS)
                return
            with contextlib.suppress(*_SEEN_BY_THE_WATCH):
                await self._write()

    async def _write(self) -> None:
        """Write what there is; lines that the database did not take stay for the next time."""
        async with self._writing:
            progress, self._progress = self._progress, None
            if progress is not None:
                await leases.report(self._lease, self._told(progress))
            while some := self._lines[:LINES_AT_ONCE]:
                await leases.log_all(self._lease, some)
                del self._lines[: len(some)]
