"""REST calls against the GraphQL operations that they become: what the gateway adds to each.

`python -m tests.bench.gateway`. One server, asked in turn in both ways over the same connections; the operation is the one that
`/gateway/explain` names. The figure to trust is CPU a request, from /proc; the median of `ROUNDS` rounds.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx

from tests.bench.graphql import first_answer, load, seed, serving
from tests.bench.processes import cpu_seconds, tree
from tests.clients import free_port

ROUNDS = 5
WARM_SECONDS = 0.5
SECONDS = 1.5


@dataclass(frozen=True)
class Case:
    """A call by GET; `{pk}` and `{project}` stand for a data source and its project."""

    name: str
    path: str
    key: str  # what the reply has to hold


CASES = [
    Case("Schema CMS, by id", "/api/v1/datasources/{pk}", '"meta_data"'),
    Case(
        "Schema CMS, list of 50", "/api/v1/projects/{project}/datasources?page_size=50", '"count"'
    ),
    Case("UFDL, by id", "/v1/projects/{project}", '"creation_time"'),
    Case("Prometheux, list of 50", "/api/v1/data/{project}/list", '"bind_annotation"'),
]


@dataclass(frozen=True)
class Figures:
    """What one way of asking takes."""

    requests_per_second: float
    cpu_milliseconds: float


def _measure(pid: int, port: int, request: bytes) -> Figures:
    asyncio.run(load(port, request, WARM_SECONDS))
    cpu = sum(map(cpu_seconds, tree(pid)))
    started = time.perf_counter()
    count = asyncio.run(load(port, request, SECONDS))
    elapsed = time.perf_counter() - started
    cpu = sum(map(cpu_seconds, tree(pid))) - cpu
    return Figures(count / elapsed, cpu / count * 1000)


def _median(figures: list[Figures]) -> Figures:
    return Figures(
        statistics.median(each.requests_per_second for each in figures),
        statistics.median(each.cpu_milliseconds for each in figures),
    )


def _head(method: str, path: str, port: int, token: str, extra: str = "") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        f"Authorization: Bearer {token}",
    ]
    return ("\r\n".join(lines) + f"\r\n{extra}\r\n").encode()


def _as_graphql(port: int, path: str, token: str) -> bytes:
    """The request to /graphql of the one operation that a REST call becomes."""
    url = f"http://127.0.0.1:{port}/gateway/explain?method=GET&path={quote(path)}"
    (operation,) = httpx.get(url, trust_env=False).json()["operations"]
    body = json.dumps(
        {
            "query": operation["document"],
            "operationName": operation["name"],
            "variables": operation["variables"],
        }
    )
    extra = f"Content-Type: application/json\r\nContent-Length: {len(body.encode())}\r\n"
    return _head("POST", "/graphql", port, token, extra) + body.encode()


def main() -> None:
    """Print the table, on SQLite."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/bench.db"
        secret, key = asyncio.run(seed(url))
        port = free_port()
        env = {
            "HEADWATER_DATA_DIR": str(folder / "data"),
            "HEADWATER_DATABASE_URL": url,
            "HEADWATER_PORT": str(port),
            "HEADWATER_LOG_LEVEL": "WARNING",
        }
        command = [str(Path(sys.executable).with_name("headwater")), "api"]
        print(f"\n{'Gateway':<26} {'GraphQL':>20} {'REST':>20} {'added CPU':>12}")
        with serving(command, env) as pid:
            for case in CASES:
                path = case.path.format(pk=key, project=1)
                rest = _head("GET", path, port, secret)
                answer = asyncio.run(first_answer(port, rest)).decode()
                if case.key not in answer:
                    raise RuntimeError(f"a wrong answer: {answer[:500]!r}")
                graphql = _as_graphql(port, path, secret)
                rounds = [
                    (_measure(pid, port, graphql), _measure(pid, port, rest)) for _ in range(ROUNDS)
                ]
                theirs, ours = (_median(list(each)) for each in zip(*rounds, strict=True))
                added = ours.cpu_milliseconds - theirs.cpu_milliseconds
                print(f"{case.name:<26} {_shown(theirs):>20} {_shown(ours):>20} {added:>9.2f} ms")


def _shown(figures: Figures) -> str:
    return f"{figures.requests_per_second:,.0f}/s {figures.cpu_milliseconds:.2f} ms"


if __name__ == "__main__":
    main()
