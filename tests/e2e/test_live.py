"""Live progress between real processes: each database and broker, a killed worker, and a server that stops."""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from base.credentials import generate_key
from base.ids import parse_id
from base.settings import Settings
from models import JobLog, Project, database
from services import leases, progress
from services.leases import Progress
from tests.bench.processes import memory_bytes
from tests.clients import Client, ServerProcess
from tests.e2e.calls import CONNECT
from tests.e2e.deployments import embedded_worker
from tests.e2e.test_scaled_out import headwater
from tests.graph.live import nothing, running
from tests.sockets import SocketClient, signed_in

pytestmark = pytest.mark.e2e
ROWS_TOTAL = 300_000
JOB = """subscription ($id: ID!) { job(id: $id) {
    id status attempts error { code message } progress { rowsDone } steps { key status } } }"""
PROJECT = "subscription ($id: ID!) { projectJobs(projectId: $id) { id status } }"
LOGS = "subscription ($id: ID!) { job(id: $id) { status progress { rowsDone } logs(first: 200) { lines { message } } } }"
ORDER = ["QUEUED", "RUNNING", "SUCCEEDED"]
DEAF = 30
GROWTH_BYTES_MAX = (
    150 * 1024**2
)  # some 2.5 MB of each: a message of 0.8 MB that is stuck, and one behind it


@dataclass
class Deployment:
    """Whose sockets a test watches, by whose HTTP it asks, and who works."""

    watched: ServerProcess
    asked: ServerProcess
    worker: ServerProcess | None
    token: str

    @property
    def url(self) -> str:
        return f"{self.watched.url.replace('http', 'ws')}/graphql"

    def client(self) -> Client:
        return self.asked.client(self.token)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(params=["embedded", "redis", "rabbitmq"])
def deployment(request: pytest.FixtureRequest, stack: ExitStack, tmp_path: Path) -> Deployment:
    if request.param == "embedded":
        server = stack.enter_context(ServerProcess(tmp_path / "data")).wait_until_ready()
        return Deployment(server, server, None, server.link.partition("#token=")[2])
    settings = {
        "HEADWATER_DATABASE_URL": request.getfixturevalue("postgres_database"),
        "HEADWATER_BROKER_URL": request.getfixturevalue(f"{request.param}_url"),
        "HEADWATER_STORAGE_URL": f"file://{tmp_path / 'objects'}",
        "HEADWATER_SECRET_KEYS": generate_key(),
        "HEADWATER_LEASE_SECONDS": "6",
    }
    headwater(["migrate"], settings, tmp_path / "command")
    token = headwater(["token", "create"], settings, tmp_path / "command")
    worker, _, one, two = (
        stack.enter_context(ServerProcess(tmp_path / f"{verb}{n}", verb, settings))
        for n, verb in enumerate(("worker", "worker", "api", "api"))
    )
    return Deployment(one.wait_until_ready(), two.wait_until_ready(), worker, token)


def new_project(client: Client) -> str:
    made = client.data('mutation { createProject(input: {name: "Live"}) { project { id } } }')
    project_id: str = made["createProject"]["project"]["id"]
    return project_id


def connect(client: Client, project_id: str, folder: Path) -> str:
    """A sync of many rows; its job."""
    path = folder / "numbers.csv"
    path.write_text("n,code\n" + "".join(f"{n},{n:07d}\n" for n in range(ROWS_TOTAL)))
    key = client.upload(project_id, path)["objectKey"]
    sources = [{"name": "numbers", "connection": {"file": {"objectKey": key}}}]
    made = client.data(
        CONNECT,
        input={
            "projectId": project_id,
            "sources": sources,
            "idempotencyKey": str(uuid.uuid4()),
        },
    )
    job_id: str = made["connectDataSources"]["jobs"][0]["id"]
    return job_id


async def events(client: SocketClient, name: str) -> list[dict[str, Any]]:
    """Every event of a job, to its end."""
    told: list[dict[str, Any]] = []
    while True:
        message = await client.of(name)
        if message["type"] == "complete":
            return told
        told.append(message["payload"]["data"]["job"])


async def test_a_job_is_followed_to_its_end_by_whoever_watches_also_when_its_worker_is_killed(
    deployment: Deployment, tmp_path: Path
) -> None:
    client = deployment.client()
    project_id = new_project(client)
    await follow_to_its_end(deployment, client, project_id, tmp_path)
    await follow_over_a_killed_worker(deployment, client, project_id, tmp_path)


async def follow_to_its_end(
    deployment: Deployment, client: Client, project_id: str, folder: Path
) -> None:
    async with signed_in(deployment.url, deployment.token) as socket:
        await socket.subscribe("project", PROJECT, id=project_id)
        await socket.subscribe("query", "{ viewer { username } }")
        await socket.of("query")
        job_id = await asyncio.to_thread(connect, client, project_id, folder)
        first = (await socket.next("project"))["projectJobs"]
        assert first["id"] == job_id
        await socket.subscribe("job", JOB, id=job_id)

        told = await events(socket, "job")

        statuses = [ORDER.index(job["status"]) for job in told]
        assert statuses == sorted(statuses)
        rows = [job["progress"]["rowsDone"] for job in told]
        assert rows == sorted(rows)
        assert told[-1] == {
            "id": job_id,
            "status": "SUCCEEDED",
            "attempts": 1,
            "error": None,
            "progress": {"rowsDone": ROWS_TOTAL},
            "steps": [{"key": "numbers", "status": "SUCCEEDED"}],
        }
        while (await socket.next("project"))["projectJobs"]["status"] != "SUCCEEDED":
            pass


async def follow_over_a_killed_worker(
    deployment: Deployment, client: Client, project_id: str, folder: Path
) -> None:
    job_id = await asyncio.to_thread(connect, client, project_id, folder)
    async with signed_in(deployment.url, deployment.token) as socket:
        await socket.subscribe("job", JOB, id=job_id)
        while (await socket.next("job"))["job"]["status"] == "QUEUED":
            pass
        kill_worker(deployment)

        told = await events(socket, "job")

    assert told[-1]["error"] is None
    assert (told[-1]["status"], told[-1]["progress"]["rowsDone"]) == ("SUCCEEDED", ROWS_TOTAL)


def kill_worker(deployment: Deployment) -> None:
    """Kill a worker where it stands; another one is there, or starts."""
    if deployment.worker is not None:
        assert deployment.worker.process is not None
        os.killpg(deployment.worker.process.pid, signal.SIGKILL)
        return
    os.kill(embedded_worker(deployment.watched), signal.SIGKILL)


async def test_a_server_that_stops_says_so_and_the_next_one_goes_on(
    stack: ExitStack, tmp_path: Path
) -> None:
    server = stack.enter_context(ServerProcess(tmp_path / "data")).wait_until_ready()
    token = server.link.partition("#token=")[2]
    client = server.client()
    project_id = new_project(client)
    url = f"{server.url.replace('http', 'ws')}/graphql"
    async with AsyncExitStack() as sockets:
        opened = [await sockets.enter_async_context(signed_in(url, token)) for _ in range(5)]
        for socket in opened:
            await socket.subscribe("project", PROJECT, id=project_id)
        status, *codes = await asyncio.gather(
            asyncio.to_thread(server.stop), *(socket.closed() for socket in opened)
        )

    assert (status, codes) == (-signal.SIGTERM, [1001] * 5)
    with server:
        server.wait_until_ready()
        job_id = await asyncio.to_thread(connect, server.client(token), project_id, tmp_path)
        async with signed_in(url, token) as socket:
            await socket.subscribe("job", JOB, id=job_id)
            assert (await events(socket, "job"))[-1]["status"] == "SUCCEEDED"


@asynccontextmanager
async def as_worker(server: ServerProcess) -> AsyncIterator[None]:
    """This process beside the server, on its database and its way of hints."""
    settings = Settings(data_dir=server.data_dir)
    async with database.open(settings.effective_database_url):
        progress.publish_by(settings)
        try:
            yield
        finally:
            progress.stop_publishing()


async def test_clients_that_do_not_read_cost_little_and_are_cut_off(
    stack: ExitStack, tmp_path: Path
) -> None:
    server = stack.enter_context(ServerProcess(tmp_path / "data")).wait_until_ready()
    assert server.process is not None
    pid, token = server.process.pid, server.link.partition("#token=")[2]
    parsed = parse_id(new_project(server.client()))
    assert parsed is not None
    url = f"{server.url.replace('http', 'ws')}/graphql"
    async with AsyncExitStack() as opened:
        await opened.enter_async_context(as_worker(server))
        job_id, lease = await running(await Project.get(id=parsed[1]))
        lines = [JobLog(job_id=lease.job_id, level="info", message="x" * 4_000) for _ in range(200)]
        await JobLog.bulk_create(lines)
        healthy = await opened.enter_async_context(signed_in(url, token))
        await healthy.subscribe("1", LOGS, id=job_id)
        await healthy.next("1")
        before = memory_bytes([pid])
        deaf = [
            await opened.enter_async_context(signed_in(url, token, max_queue=1, close_timeout=0.1))
            for _ in range(DEAF)
        ]
        for socket in deaf:
            for name in ("a", "b", "c"):
                await socket.subscribe(name, LOGS, id=job_id)
        most, rows = 0, 0
        while sockets_ended(server) < DEAF:
            rows += 1
            await leases.report(lease, Progress(rows, rows))
            assert (await healthy.next("1"))["job"]["progress"]["rowsDone"] == rows
            most = max(most, memory_bytes([pid]))
            await asyncio.sleep(0.1)
        await leases.finish(lease, nothing)
        assert (await healthy.next("1"))["job"]["status"] == "SUCCEEDED"

    assert most - before < GROWTH_BYTES_MAX


def sockets_ended(server: ServerProcess) -> int:
    """How many sockets the log says are over."""
    return server.output.count('"message": "socket"')
