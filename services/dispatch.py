"""Wake-ups: after a commit, tell some worker to look. Best effort; a lost one costs seconds, never a job.

The only module outside `workers/` and `server/` that knows the broker, and of it only an actor's name.
"""

from __future__ import annotations

import logging
import threading
from queue import Empty, Full, Queue

import dramatiq

LOOK = "look"
WAITING_MAX = 100  # wake-ups that wait for a broker that does not answer
IDLE_SECONDS = 10  # after which the sending thread ends

_log = logging.getLogger(__name__)


async def wake(count: int = 1) -> None:
    """Have `count` workers look for due jobs. Returns at once and never raises: a thread of its own sends."""
    _sender.add(count)


class _Sender:
    """One thread, made when needed: a broker that hangs holds up neither a request nor a thread pool."""

    def __init__(self) -> None:
        self._waiting: Queue[dramatiq.Broker] = Queue(WAITING_MAX)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, count: int) -> None:
        with self._lock:
            for _ in range(count):
                try:
                    self._waiting.put_nowait(dramatiq.get_broker())
                except Full:
                    break  # the workers' own sweeps find the jobs
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="wake-ups", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                broker = self._waiting.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._lock:
                    if self._waiting.empty():
                        self._thread = None
                        return
                continue
            if not _send(broker):
                self._forget(broker)

    def _forget(self, broker: dramatiq.Broker) -> None:
        """What else waits for a broker that does not answer would each wait for its time-out; sweeps find the jobs."""
        with self._lock:
            waiting = [self._waiting.get_nowait() for _ in range(self._waiting.qsize())]
            for each in waiting:
                if each is not broker:
                    self._waiting.put_nowait(each)


def _send(broker: dramatiq.Broker) -> bool:
    """Send one wake-up to each queue; whether all were taken."""
    taken = True
    for queue in broker.get_declared_queues():
        message: dramatiq.Message[None] = dramatiq.Message(
            queue_name=queue, actor_name=LOOK, args=(), kwargs={}, options={}
        )
        try:
            broker.enqueue(message)
        except Exception as error:  # noqa: BLE001 - the drivers share no base; the thread must live on
            _log.warning("a wake-up was not sent: %s", type(error).__name__)
            taken = False
    return taken


_sender = _Sender()
