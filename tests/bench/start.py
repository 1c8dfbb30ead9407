"""From `make serve` on a warm install to the first answer."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from tests.clients import ROOT, free_port

ROUNDS = 5
SECONDS_MAX = 30
QUERY = {"query": "{ serverInfo { version } }"}


def first_answer(data_dir: Path) -> float:
    """Seconds until a GraphQL query is answered, by a new server."""
    port = free_port()
    env = os.environ | {"HEADWATER_DATA_DIR": str(data_dir), "HEADWATER_PORT": str(port)}
    started = time.perf_counter()
    process = subprocess.Popen(
        ["make", "--silent", "serve"], cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        while time.perf_counter() - started < SECONDS_MAX:
            try:
                answer = httpx.post(
                    f"http://127.0.0.1:{port}/graphql", json=QUERY, trust_env=False
                ).json()
            except httpx.TransportError:
                time.sleep(0.01)
                continue
            if "errors" in answer:
                raise RuntimeError(str(answer))
            return time.perf_counter() - started
        raise RuntimeError("no answer")
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=SECONDS_MAX)


def main() -> None:
    """A new data folder (with migrations and the first user), then the same one again."""
    with tempfile.TemporaryDirectory() as folder:
        new = [first_answer(Path(folder) / f"data{number}") for number in range(ROUNDS)]
        old = [first_answer(Path(folder) / "data0") for _ in range(ROUNDS)]
    for name, seconds in (("first start", new), ("next starts", old)):
        print(
            f"make serve, {name:<12} {statistics.median(seconds):.2f} s ({min(seconds):.2f}-{max(seconds):.2f}) to the first answer"
        )


if __name__ == "__main__":
    main()
