"""The worker process: consumes wake-ups and runs jobs until it is told to stop, then gives back what it holds.

Dramatiq's own command is not used: sent SIGTERM twice, as service managers do that signal a whole group, it never ends.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
import time
from contextlib import ExitStack
from typing import NoReturn

import dramatiq
from dramatiq.middleware import AsyncIO

from base import process
from base.forks import let_go
from base.settings import Settings, SettingsError
from base.tracing import configure_logging
from models import JobKind
from server.embedded import SETTINGS_LENGTH
from server.wiring import build_platform
from services import progress
from services.dispatch import LOOK
from workers import cleanup, scripts, sync
from workers.broker import QUEUE, EmbeddedBroker, set_broker
from workers.engine import Engine, Kind
from workers.messages import PRELOAD
from workers.middleware import BootFailed, WorkerLoop

KINDS = {
    JobKind.SYNC: Kind(sync.run, sync.discard),
    JobKind.SCRIPT: Kind(scripts.run, scripts.discard),
    JobKind.CLEANUP: Kind(cleanup.run, cleanup.discard),
}
LOCK_FILE = "worker.lock"
LOCK_SECONDS_MAX = 20  # wait for the worker before this one to give back its jobs
LOCK_PAUSE_SECONDS = 0.05
CONSUMER_MS = 200  # how long an idle thread of Dramatiq sleeps at most
STOP_MS = 3_000  # for Dramatiq's threads, after the jobs were given back

_log = logging.getLogger(__name__)


def run_worker(settings: Settings, *, stop: threading.Event | None = None) -> NoReturn:
    """Run until SIGTERM, SIGINT or `stop`, then end the process. Raises `SettingsError` where one runs already."""
    patience = LOCK_SECONDS_MAX if stop else 0  # the supervisor's next worker, or one too many
    stop = stop or threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.set())
    let_go()
    with ExitStack() as held:
        if settings.is_embedded:
            _lock(settings, held, stop, patience)
        try:
            worker = _start(settings)
        except BootFailed:  # the reason is in the log
            logging.shutdown()
            os._exit(1)  # the thread of Dramatiq's event loop would keep it, deaf to signals
        _log.info("worker is ready")
        stop.wait()
        _log.info("worker is stopping")
        worker.stop(timeout=STOP_MS)
        worker.broker.close()
        progress.stop_publishing()
        _log.info("worker has stopped")
        logging.shutdown()
        os._exit(
            0
        )  # a thread of a library that hangs must not keep a worker that gave back its jobs


def serve_parent() -> NoReturn:
    """The embedded worker's main: settings come first on standard input, whose end later says that the parent died."""
    (length,) = SETTINGS_LENGTH.unpack(sys.stdin.buffer.read(SETTINGS_LENGTH.size))
    settings: Settings = pickle.loads(sys.stdin.buffer.read(length))  # noqa: S301 - our parent's
    configure_logging(settings.log_level)
    stop = threading.Event()

    def watch() -> None:
        sys.stdin.buffer.read()
        stop.set()

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
    run_worker(settings, stop=stop)


def _start(settings: Settings) -> dramatiq.Worker:
    process.start(PRELOAD)
    progress.publish_by(settings)
    engine = Engine(build_platform(settings), _name(settings), KINDS)
    middleware = [AsyncIO(), WorkerLoop(engine, settings, takes_over=settings.is_embedded)]
    broker = set_broker(settings, middleware)
    actor = dramatiq.actor(actor_name=LOOK, queue_name=QUEUE, broker=broker)(engine.look)
    worker = dramatiq.Worker(
        broker, worker_threads=settings.worker_threads, worker_timeout=CONSUMER_MS
    )
    worker.queue_prefetch = settings.worker_threads  # what one worker is too busy for is another's
    worker.start()
    if isinstance(broker, EmbeddedBroker):
        broker.listen()
        for _ in range(settings.worker_threads):  # what was queued while nobody listened
            actor.send()
    return worker


def _name(settings: Settings) -> str:
    """The holder of leases. The embedded worker keeps its name, so that a new one can end what a dead one held."""
    host = socket.gethostname()[:60]
    if settings.is_embedded:
        place = f"{host}:{settings.data_dir.resolve()}"
        return f"embedded-{hashlib.sha256(place.encode()).hexdigest()[:16]}"
    return f"{host}-{os.getpid()}-{secrets.token_hex(4)}"


def _lock(settings: Settings, held: ExitStack, stop: threading.Event, patience: float) -> None:
    """One embedded worker a data folder; the system frees the lock of one that was killed."""
    file = held.enter_context((settings.data_dir / LOCK_FILE).open("a"))
    until = time.monotonic() + patience
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if stop.wait(LOCK_PAUSE_SECONDS) or time.monotonic() > until:
                msg = f"another worker runs in {settings.data_dir}; `headwater serve` has one of its own"
                raise SettingsError(msg) from error
