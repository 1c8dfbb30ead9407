"""Live progress: what 500 idle subscribers cost, and how long a change takes to reach one or all of them.

`python -m tests.bench.subscriptions`. This process is the clients and the worker: a delay is from the commit of a change
here, by way of a hint and the server's own read, to the event's arrival here.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from base.credentials import generate_key
from base.ids import parse_id
from base.settings import Settings
from models import Project, database
from services import leases, progress
from services.leases import Progress
from tests import databases
from tests.bench.processes import cpu_seconds, memory_bytes
from tests.clients import ServerProcess
from tests.e2e.test_scaled_out import headwater
from tests.graph.live import JOB, running
from tests.sockets import SocketClient, signed_in

SUBSCRIBERS = 500
FIRST = 100
EVENTS = 200
ROUNDS = 20
IDLE_SECONDS = 10.0
PAUSE_SECONDS = 0.1  # between events: longer than hints are held together
LIMIT = {"HEADWATER_SUBSCRIPTIONS_PER_USER_MAX": str(2 * SUBSCRIBERS)}


@dataclass(frozen=True)
class Place:
    """A server that answers, its token, and the settings that this process shares with it."""

    server: ServerProcess
    token: str
    settings: Settings

    @property
    def pid(self) -> int:
        assert self.server.process is not None
        return self.server.process.pid


@contextmanager
def place(name: str) -> Iterator[Place]:
    """A new deployment: everything embedded, or PostgreSQL with this broker."""
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        if name == "embedded":
            server = opened.enter_context(ServerProcess(folder / "data", env=LIMIT))
            server.wait_until_ready()
            token = server.link.partition("#token=")[2]
            yield Place(server, token, Settings(data_dir=server.data_dir))
            return
        url = opened.enter_context(databases.postgres_database())
        brokers = {
            "redis": f"redis://127.0.0.1:{databases.REDIS_PORT}/0",
            "rabbitmq": f"amqp://guest:guest@127.0.0.1:{databases.RABBITMQ_PORT}/",
        }
        env = LIMIT | {
            "HEADWATER_DATABASE_URL": url,
            "HEADWATER_BROKER_URL": brokers[name],
            "HEADWATER_SECRET_KEYS": generate_key(),
        }
        headwater(["migrate"], env, folder / "command")
        token = headwater(["token", "create"], env, folder / "command")
        server = opened.enter_context(ServerProcess(folder / "api", "api", env))
        server.wait_until_ready()
        yield Place(server, token, Settings(database_url=url, broker_url=brokers[name]))


@asynccontextmanager
async def as_worker(settings: Settings) -> AsyncIterator[None]:
    """This process on the server's database and its way of hints."""
    async with database.open(settings.effective_database_url):
        progress.publish_by(settings)
        try:
            yield
        finally:
            progress.stop_publishing()


async def one(socket: SocketClient) -> float:
    """When the next event arrives."""
    await socket.connection.recv()
    return time.perf_counter()


async def measure(here: Place) -> str:
    """One line of figures."""
    client = here.server.client(here.token)
    made = client.data('mutation { createProject(input: {name: "Live"}) { project { id } } }')
    parsed = parse_id(made["createProject"]["project"]["id"])
    assert parsed is not None
    url = f"{here.server.url.replace('http', 'ws')}/graphql"
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(as_worker(here.settings))
        project = await Project.get(id=parsed[1])
        (idle_id, idle), (busy_id, busy) = await running(project), await running(project)
        watcher = await opened.enter_async_context(signed_in(url, here.token))
        await watcher.subscribe("1", JOB, id=busy_id)
        await watcher.next("1")
        before, sockets = 0, []
        for number in range(SUBSCRIBERS):
            if number == FIRST:  # which also pay for what all have in common
                before = memory_bytes([here.pid])
            socket = await opened.enter_async_context(signed_in(url, here.token))
            await socket.subscribe("1", JOB, id=idle_id)
            await socket.next("1")
            sockets.append(socket)
        each = (memory_bytes([here.pid]) - before) / (SUBSCRIBERS - FIRST)
        cpu = cpu_seconds(here.pid)
        await asyncio.sleep(IDLE_SECONDS)
        cpu = (cpu_seconds(here.pid) - cpu) / IDLE_SECONDS
        delays = []
        for number in range(EVENTS):
            await leases.report(busy, Progress(number + 1, 0))
            since = time.perf_counter()
            delays.append(await one(watcher) - since)
            await asyncio.sleep(PAUSE_SECONDS)
        fans, spent = [], cpu_seconds(here.pid)
        for number in range(ROUNDS):
            await leases.report(idle, Progress(number + 1, 0))
            since = time.perf_counter()
            arrived = await asyncio.gather(*map(one, sockets))
            fans.append(max(arrived) - since)
            await asyncio.sleep(PAUSE_SECONDS)
        spent = (cpu_seconds(here.pid) - spent) / (ROUNDS * SUBSCRIBERS)
    client.close()
    cuts = statistics.quantiles(delays, n=100)
    return (
        f"{each / 1024:.0f} KiB each, idle {cpu:.1%} of a core; a change reaches one in "
        f"{statistics.median(delays) * 1000:.1f} ms (p99 {cuts[98] * 1000:.1f}), "
        f"all {SUBSCRIBERS} in {statistics.median(fans) * 1000:.0f} ms, {spent * 1000:.2f} ms of CPU each"
    )


def main() -> None:
    """A line for each way that hints take."""
    for name in ("embedded", "redis", "rabbitmq"):
        with place(name) as here:
            print(f"{SUBSCRIBERS} subscribers, {name:<9} {asyncio.run(measure(here))}", flush=True)


if __name__ == "__main__":
    main()
