"""Queries over HTTP against bare Strawberry on the same database: requests a second, and CPU a request.

`python -m tests.bench.graphql`. The figure to trust is CPU a request, from /proc of each server: what else the machine
does hardly changes it. Both servers are one uvicorn process (uvloop, httptools); ours checks a token, and logs warnings
only, since the other one logs nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from base.ids import public_id
from models import Role, database, migrate
from tests import databases, factories
from tests.bench.processes import cpu_seconds, tree
from tests.clients import ROOT, free_port

PROJECTS, DATASETS, SOURCES = 10, 5, 10
CLIENTS = 16
WARM_SECONDS = 1.5
SECONDS = 4.0
START_SECONDS_MAX = 30
FIELDS = "id pk name type status scope metadata createdAt updatedAt lastSyncedAt connection { kind hasSecret }"


@dataclass(frozen=True)
class Case:
    """A query in the words of both servers; `%s` is where the id of a source stands."""

    name: str
    ours: str
    bare: str


CASES = [
    Case(
        "by id",
        '{ dataSource(id: "%s") { id name status createdAt } }',
        '{ dataSource(id: "%s") { id name status createdAt } }',
    ),
    Case(
        "list of 50 x 12",
        f"{{ dataSources(first: 50) {{ nodes {{ {FIELDS} }} }} }}",
        f"{{ dataSources(first: 50) {{ {FIELDS} }} }}",
    ),
    Case(
        "nested 10 x 5 x 10",
        """{ projects(first: 10) { nodes { id name datasets(first: 5) { nodes { id name
            dataSources(first: 10) { nodes { id name status } } } } } } }""",
        """{ projects(first: 10) { id name datasets(first: 5) { id name
            dataSources(first: 10) { id name status } } } }""",
    ),
]


@dataclass(frozen=True)
class Figures:
    """What one server did with one query."""

    requests_per_second: float
    cpu_milliseconds: float


async def seed(url: str) -> tuple[str, int]:
    """Fill a new database; the secret of a token, and the key of a source."""
    await migrate.upgrade(url)
    async with database.open(url):
        user, team = await factories.make_user(), await factories.make_team()
        await factories.make_membership(user, team, Role.ADMIN)
        _, secret = await factories.make_token(user)
        for _ in range(PROJECTS):
            project = await factories.make_project(team)
            for _ in range(DATASETS):
                dataset = await factories.make_dataset(project)
                for number in range(SOURCES):
                    source = await factories.make_source(
                        project, dataset, metadata={"owner": "sales", "rank": number}
                    )
        return secret, source.id


@contextmanager
def serving(command: list[str], env: dict[str, str]) -> Iterator[int]:
    """A server process; gives its process id."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | env, stdout=output, stderr=output, start_new_session=True
        )  # fmt: skip
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=START_SECONDS_MAX)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _request(port: int, query: str, token: str | None) -> bytes:
    body = json.dumps({"query": query}).encode()
    head = [
        "POST /graphql HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if token:
        head.append(f"Authorization: Bearer {token}")
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)


async def _client(port: int, request: bytes, until: float) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    try:
        while time.perf_counter() < until:
            await _exchange(reader, writer, request)
            count += 1
    finally:
        writer.close()
    return count


async def load(port: int, request: bytes, seconds: float) -> int:
    until = time.perf_counter() + seconds
    return sum(await asyncio.gather(*(_client(port, request, until) for _ in range(CLIENTS))))


async def first_answer(port: int, request: bytes) -> bytes:
    """The answer to check, as soon as the server is there."""
    deadline = time.perf_counter() + START_SECONDS_MAX
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            break
        except OSError:
            if time.perf_counter() > deadline:
                raise
            await asyncio.sleep(0.05)
    answer = await _exchange(reader, writer, request)
    writer.close()
    return answer


def measure(pid: int, port: int, query: str, token: str | None, rows: int) -> Figures:
    """Load one server with one query."""
    request = _request(port, query, token)
    answer = asyncio.run(first_answer(port, request))
    if b'"errors"' in answer or answer.count(b'"id"') != rows:
        raise RuntimeError(f"a wrong answer: {answer[:500]!r}")
    asyncio.run(load(port, request, WARM_SECONDS))
    cpu = sum(map(cpu_seconds, tree(pid)))
    started = time.perf_counter()
    count = asyncio.run(load(port, request, SECONDS))
    elapsed = time.perf_counter() - started
    cpu = sum(map(cpu_seconds, tree(pid))) - cpu
    return Figures(count / elapsed, cpu / count * 1000)


def compare(name: str, url: str, folder: Path) -> None:
    """Print the table of one database."""
    secret, key = asyncio.run(seed(url))
    rows = [1, 50, PROJECTS * (1 + DATASETS * (1 + SOURCES))]
    port, bare_port = free_port(), free_port()
    ours = [str(Path(sys.executable).with_name("headwater")), "api"]
    env = {
        "HEADWATER_DATA_DIR": str(folder / f"data-{name}"),
        "HEADWATER_DATABASE_URL": url,
        "HEADWATER_PORT": str(port),
        "HEADWATER_LOG_LEVEL": "WARNING",
    }
    bare = [sys.executable, "-m", "tests.bench.bare_strawberry", str(bare_port)]
    print(
        f"\n{name:<20} {'bare Strawberry':>24} {'Headwater':>24} {'CPU ratio':>10} {'rate ratio':>10}"
    )
    with serving(ours, env) as pid, serving(bare, {"DATABASE_URL": url}) as bare_pid:
        for case, expected in zip(CASES, rows, strict=True):
            theirs = measure(bare_pid, bare_port, case.bare.replace("%s", str(key)), None, expected)
            query = case.ours.replace("%s", public_id("datasource", key))
            mine = measure(pid, port, query, secret, expected)
            print(
                f"{case.name:<20} {_figures(theirs):>24} {_figures(mine):>24} "
                f"{theirs.cpu_milliseconds / mine.cpu_milliseconds:>9.1f}x "
                f"{mine.requests_per_second / theirs.requests_per_second:>9.1f}x"
            )


def _figures(figures: Figures) -> str:
    return f"{figures.requests_per_second:,.0f}/s {figures.cpu_milliseconds:.2f} ms"


def main() -> None:
    """SQLite, and PostgreSQL where there is one."""
    with tempfile.TemporaryDirectory() as folder:
        compare("SQLite", f"sqlite:///{folder}/bench.db", Path(folder))
        try:
            databases.need("PostgreSQL", databases.POSTGRES_PORT)
        except pytest.skip.Exception as reason:
            print(f"\nPostgreSQL: {reason}")
            return
        with databases.postgres_database() as url:
            compare("PostgreSQL", url, Path(folder))


if __name__ == "__main__":
    main()
