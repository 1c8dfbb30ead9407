"""Workers as real processes, on SQLite alone or on PostgreSQL with Redis or RabbitMQ, that a test kills and stops."""

from __future__ import annotations

import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.redis import RedisBroker

from base.credentials import generate_key
from base.settings import Settings
from services.platform import Platform
from tests import databases
from tests.clients import ServerProcess
from tests.workers.processes import headquarters, until
from workers import broker

EMBEDDED, REDIS, RABBITMQ = DEPLOYMENTS = "embedded", "redis", "rabbitmq"
LEASE_SECONDS = int(os.environ.get("FAULT_LEASE_SECONDS") or 3)
WAIT_SECONDS = 120


@dataclass
class Deployment:
    """Where processes run: what they share, and which of them there are. `faults` is the folder of `tests.workers.faulty`."""

    name: str
    folder: Path
    settings: dict[str, Any]
    queue: str
    stack: ExitStack
    lease_seconds: int = LEASE_SECONDS
    workers: list[ServerProcess] = field(default_factory=list)

    @property
    def is_embedded(self) -> bool:
        """Whether there can be one worker process only."""
        return self.name == EMBEDDED

    @property
    def faults(self) -> Path:
        """Where a test says what goes wrong in a worker."""
        return self.faults_of("worker")

    def faults_of(self, verb: str) -> Path:
        """Where a test says what goes wrong in the processes of a command."""
        path = self.folder / f"faults-{verb}"
        path.mkdir(exist_ok=True)
        return path

    def process(self, verb: str, number: int = 0) -> ServerProcess:
        """A `headwater` command, running; killed when the test ends."""
        env = {f"HEADWATER_{name.upper()}": str(value) for name, value in self.settings.items()}
        env |= {"HEADWATER_LEASE_SECONDS": str(self.lease_seconds)}
        within = [
            sys.executable,
            "-m",
            "tests.workers.faulty",
            self.queue,
            str(self.faults_of(verb)),
        ]
        data_dir = self.folder / ("data" if self.is_embedded else f"{verb}{number}")
        made = self.stack.enter_context(ServerProcess(data_dir, verb, env, within))
        self.stack.callback(
            made.stop, signal.SIGKILL
        )  # nobody waits for what the test is through with
        return made

    def start_workers(self, count: int = 2) -> None:
        """Start as many as this deployment can have, at most `count`."""
        for number in range(1 if self.is_embedded else count):
            self.workers.append(self.process("worker", number))

    def restart(self, worker: ServerProcess) -> None:
        """Start another worker in place of one that is dead."""
        assert worker.process is not None
        worker.process.wait(WAIT_SECONDS)
        worker.__enter__()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Platform]:
        """The test's own process among them: the database is open, and it wakes workers."""
        values = dict(self.settings)
        url, key = values.pop("database_url"), values.pop("secret_keys")
        async with headquarters(
            url, self.folder / "data", queue=self.queue, secret_keys=(key,), **values
        ) as platform:
            yield platform


def _remove_queue(settings: Settings, queue: str) -> None:
    made = broker._make(settings, [])
    if isinstance(made, RabbitmqBroker):
        for name in (queue, f"{queue}.DQ", f"{queue}.XQ"):
            made.channel.queue_delete(name)
    elif isinstance(made, RedisBroker):
        made.flush(queue)
    made.close()


@contextmanager
def deployed(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Deployment]:
    """A deployment with an empty database and without a process yet."""
    settings = {
        "secret_keys": generate_key(),
        "storage_url": f"file://{folder / 'objects'}",
    }
    if name == EMBEDDED:
        settings |= {"database_url": request.getfixturevalue("sqlite_url")}
    else:
        settings |= {
            "database_url": f"{request.getfixturevalue('postgres_template')}?sslmode=disable",
            "broker_url": request.getfixturevalue(f"{name}_url"),
        }
    queue = f"headwater-test-{secrets.token_hex(8)}"
    with ExitStack() as stack:
        yield Deployment(name, folder, settings, queue, stack)
    if name != EMBEDDED:
        _remove_queue(Settings(broker_url=settings["broker_url"]), queue)
        databases.empty_postgres(settings["database_url"])


def pid_of(worker: ServerProcess) -> int:
    """The process of a worker itself, not those of its children."""
    assert worker.process is not None
    return worker.process.pid


def is_running(worker: ServerProcess) -> bool:
    """Whether the worker was not ended yet."""
    assert worker.process is not None
    return worker.process.poll() is None


def state_of(pid: int) -> str:
    """One letter: R, S, T for stopped, Z for dead and not waited for."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def kill(worker: ServerProcess) -> float:
    """`kill -9`; when that was, by the monotonic clock."""
    os.kill(pid_of(worker), signal.SIGKILL)
    return time.monotonic()


async def happened(fault: Path, seconds: float = WAIT_SECONDS) -> None:
    """Wait until a process came to the point of a fault."""

    async def is_done() -> bool:
        return fault.with_suffix(".done").exists()

    await until(is_done, seconds)
    fault.with_suffix(".done").unlink()
