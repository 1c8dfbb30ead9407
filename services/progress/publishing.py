"""Saying that a job has changed, without ever holding up whoever changed it.

One thread sends, made when there is something to send and gone when there is nothing for a while; it has the only
connection. What changes while it sends waits in a dictionary: many changes of one job are one hint.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial

from base.settings import Settings
from models.database import after_commit
from services.progress.hints import pack
from services.progress.transport import Transport
from services.progress.transports import transport_of

WINDOW_SECONDS = 0.05  # the changes of a job within it are one hint
WAITING_MAX = 10_000  # jobs whose hints wait; the poll finds those beyond
SEND_SECONDS_MAX = 5.0
PAUSE_SECONDS = 1.0  # after a failure
IDLE_SECONDS = 10.0  # after which the thread and its connection end

_log = logging.getLogger(__name__)


def changed(job_id: int, project_id: int) -> None:
    """Hint that this job has changed, once the transaction around is committed. Returns at once and never raises."""
    after_commit(partial(_tell, job_id, project_id))


def publish_by(settings: Settings) -> None:
    """Let this process's hints go the way of its settings; until then there are none."""
    global _publisher  # noqa: PLW0603 - one for the process, as its broker
    stop_publishing()
    _publisher = Publisher(partial(transport_of, settings))


def stop_publishing() -> None:
    """Send what still waits, within seconds, and no more after it."""
    global _publisher
    before, _publisher = _publisher, None
    if before is not None:
        before.close()


class Publisher:
    """Hints on their way, by a transport that `make` gives the thread."""

    def __init__(self, make: Callable[[], Transport]) -> None:
        self._make = make
        self._waiting: dict[int, int] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = False

    def add(self, job_id: int, project_id: int) -> None:
        """Have a hint sent, soon."""
        with self._changed:
            if self._closing or len(self._waiting) >= WAITING_MAX:
                return
            self._waiting[job_id] = project_id
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def close(self) -> None:
        """Send what waits and end the thread, or leave it behind where its transport hangs."""
        with self._changed:
            self._closing = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(SEND_SECONDS_MAX)

    def _run(self) -> None:
        try:
            with asyncio.Runner() as runner:
                transport = self._make()
                try:
                    while waiting := self._take():
                        pause = WINDOW_SECONDS
                        if not runner.run(_send(transport, waiting)):
                            pause = PAUSE_SECONDS
                        with self._changed:
                            self._changed.wait_for(lambda: self._closing, pause)
                finally:
                    runner.run(transport.close())
        except Exception:  # noqa: BLE001 - as below
            _log.exception("hints could not be sent; the next change tries again")
        finally:
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None

    def _take(self) -> dict[int, int]:
        """What waits, as soon as something does; nothing when the thread is to end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing, IDLE_SECONDS)
            waiting, self._waiting = self._waiting, {}
            if not waiting:
                self._thread = None
            return waiting


async def _send(transport: Transport, waiting: dict[int, int]) -> bool:
    try:
        async with asyncio.timeout(SEND_SECONDS_MAX):
            for message in pack(waiting):
                await transport.send(message)
    except Exception as error:  # noqa: BLE001 - the drivers share no base; the thread must live on
        _log.warning("hints of %d jobs were not sent: %s", len(waiting), type(error).__name__)
        await transport.close()
        return False
    return True


def _tell(job_id: int, project_id: int) -> None:
    publisher = _publisher
    if publisher is not None:
        publisher.add(job_id, project_id)


_publisher: Publisher | None = None
