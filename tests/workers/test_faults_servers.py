"""API and workers that are killed or restarted while clients go on: no job is lost, and none is done twice."""

from __future__ import annotations

import asyncio
import itertools
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from base.ids import parse_id, public_id
from graph.protocol import GOING_AWAY
from models import DataSource, Job, JobStatus, Snapshot
from services.platform import Platform
from tests.clients import ServerProcess
from tests.factories import make_membership, make_project, make_script, make_token
from tests.sockets import signed_in
from tests.workers.deployments import Deployment, happened
from tests.workers.processes import WAIT_SECONDS, succeeded, until
from tests.workers.scripting import stored_source
from tests.workers.syncing import rows_of

pytestmark = pytest.mark.e2e
CREATE = "mutation ($input: CreateJobInput!) { createJob(input: $input) { job { id } } }"
WATCH = "subscription ($id: ID!) { job(id: $id) { status } }"
ORDER = ["QUEUED", "RUNNING", "SUCCEEDED"]
SECONDS_BETWEEN_JOBS = 0.7
PAUSE_SECONDS = 0.1
EXIT_SECONDS = 20  # promised; on a machine under load more would only say so
SCRIPT = "import time\ndef run(df):\n    time.sleep(0.3)\n    return df[df['id'] % 2 == 0]\n"
STEPS = 2
RETRIED = {429, 502, 503, 504}


@dataclass
class Clients:
    """Whoever uses the servers: asks again where one went away, and follows every job to its end."""

    servers: list[ServerProcess]
    secret: str
    source: DataSource
    keys: list[str] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)  # by idempotency key
    told: dict[str, list[str]] = field(default_factory=dict)
    codes: list[int] = field(default_factory=list)
    retries: int = 0

    async def create(self, http: httpx.AsyncClient, server: ServerProcess, key: str) -> str:
        """Ask one server for the job of a key; raises what httpx raises."""
        given = {
            "dataSourceId": public_id("datasource", self.source.id),
            "steps": [{"key": "half.py"}] * STEPS,
            "reuse": False,
            "idempotencyKey": key,
        }
        headers = {"authorization": f"Bearer {self.secret}"}
        body = {"query": CREATE, "variables": {"input": given}}
        answer = await http.post(f"{server.url}/graphql", json=body, headers=headers)
        if answer.status_code in RETRIED:
            answer.raise_for_status()
        assert "errors" not in answer.json(), answer.text
        job_id: str = answer.json()["data"]["createJob"]["job"]["id"]
        return job_id

    async def create_steadily(self, http: httpx.AsyncClient, key: str) -> None:
        """Ask until some server has answered."""
        until_ = time.monotonic() + WAIT_SECONDS
        for server in itertools.cycle(self.servers):
            try:
                self.jobs[key] = await self.create(http, server, key)
            except httpx.HTTPError:
                self.retries += 1
                assert time.monotonic() < until_
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Ask for jobs and follow them while the block runs, and then until all are over."""
        is_over = asyncio.Event()
        async with (
            httpx.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as http,
            asyncio.TaskGroup() as tasks,
        ):

            async def submit() -> None:
                while not is_over.is_set():
                    self.keys.append(str(uuid.uuid4()))
                    await self.create_steadily(http, self.keys[-1])
                    tasks.create_task(self.follow(self.jobs[self.keys[-1]]))
                    await asyncio.sleep(SECONDS_BETWEEN_JOBS)

            tasks.create_task(submit())
            try:
                yield
            finally:
                is_over.set()

    async def follow(self, job_id: str) -> None:
        """Watch a job, at another server whenever one closes."""
        told = self.told.setdefault(job_id, [])
        for server in itertools.cycle(self.servers):
            try:
                await self.watch(server, job_id, told)
            except ConnectionClosed as closed:
                if closed.rcvd is not None:
                    self.codes.append(closed.rcvd.code)
            except (OSError, InvalidHandshake):  # it has not started yet
                pass
            else:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def watch(self, server: ServerProcess, job_id: str, told: list[str]) -> None:
        url = f"{server.url.replace('http', 'ws')}/graphql"
        async with signed_in(url, self.secret) as socket:
            await socket.subscribe("job", WATCH, id=job_id)
            while (message := await socket.of("job"))["type"] != "complete":
                assert "errors" not in message["payload"], message
                told.append(message["payload"]["data"]["job"]["status"])


def start_servers(deployment: Deployment, workers: int) -> list[ServerProcess]:
    """One that has its own worker, or two beside so many workers."""
    if deployment.is_embedded:
        return [deployment.process("serve").wait_until_ready()]
    deployment.start_workers(workers)
    servers = [deployment.process("api", number) for number in range(2)]
    return [server.wait_until_ready() for server in servers]


async def clients_of(platform: Platform, servers: list[ServerProcess]) -> Clients:
    """Of a user who has a source with a script."""
    membership = await make_membership()
    project = await make_project(team=await membership.team)
    source = await stored_source(platform, project=project)
    await make_script(source, "half.py", SCRIPT)
    _, secret = await make_token(user=await membership.user)
    return Clients(servers, secret, source)


async def test_a_job_whose_api_was_killed_before_its_wake_up_runs_all_the_same(
    deployment: Deployment,
) -> None:
    async with deployment.opened() as platform:
        servers = start_servers(deployment, workers=1)
        clients = await clients_of(platform, servers)
        fault = deployment.faults_of(servers[0].verb) / "kill-waking"
        fault.touch()
        key = str(uuid.uuid4())

        async with httpx.AsyncClient(trust_env=False, timeout=WAIT_SECONDS) as http:
            with pytest.raises(httpx.TransportError):
                await clients.create(http, servers[0], key)
            await happened(fault)
            started = time.monotonic()
            (job,) = await Job.all()
            deployment.restart(servers[0])

            async def is_begun() -> bool:
                return (await Job.get(id=job.id)).status is not JobStatus.QUEUED

            await until(is_begun)
            print(f"{deployment.name}: begun {time.monotonic() - started:.1f} s after its API died")
            servers[0].wait_until_ready()
            again = [await clients.create(http, server, key) for server in servers]

        assert [parse_id(each) for each in again] == [("job", job.id)] * len(servers)
        assert (
            await succeeded(job)
        ).deaths == 0  # the worker of a dead server may have begun it, and given it back
        assert await Job.all().count() == 1
        await assert_each_once(platform, [job])


async def test_servers_that_are_restarted_one_by_one_lose_nothing_and_double_nothing(
    deployment: Deployment,
) -> None:
    async with deployment.opened() as platform:
        servers = start_servers(deployment, workers=2)
        clients = await clients_of(platform, servers)
        seconds = []
        async with clients.working():
            await until(lambda: has_jobs(clients, 2))
            for each in [*servers, *deployment.workers]:
                before = len(clients.jobs)
                started = time.monotonic()
                await asyncio.to_thread(each.stop)
                seconds.append(round(time.monotonic() - started, 1))
                each.__enter__()
                if each in servers:
                    await asyncio.to_thread(each.wait_until_ready)
                await until(lambda before=before: has_jobs(clients, before + 2))  # type: ignore[misc]

        ids = {parsed[1] for each in clients.jobs.values() if (parsed := parse_id(each))}
        jobs = await Job.all()
        given_back = sum(job.attempts > 1 for job in jobs)
        print(
            f"{deployment.name}: exits took {seconds} s; {len(jobs)} jobs, {given_back} given back"
        )
        print(f"{clients.retries} requests sent again, sockets closed with {sorted(clients.codes)}")
        assert len(clients.jobs) == len(clients.keys)
        assert {job.id for job in jobs} == ids
        assert [job.deaths for job in jobs] == [0] * len(clients.keys)
        assert max(seconds) < 3 * EXIT_SECONDS
        assert set(clients.codes) <= {GOING_AWAY}
        for told in clients.told.values():
            places = [ORDER.index(status) for status in told]
            assert told[-1] == "SUCCEEDED"
            assert places == sorted(places) or given_back, (
                "a job that is given back is queued again"
            )
        await assert_each_once(platform, jobs)


async def has_jobs(clients: Clients, count: int) -> bool:
    return len(clients.jobs) >= count


async def assert_each_once(platform: Platform, jobs: Sequence[Job]) -> None:
    """Every job went well and has one result, which is right."""
    for job in jobs:
        now = await succeeded(job)
        (snapshot,) = await Snapshot.filter(job_id=job.id)
        assert snapshot.id == now.snapshot_id
        rows: list[Any] = await rows_of(platform, snapshot, "t")
        assert [row["id"] for row in rows] == list(range(0, 1000, 2))
