"""Whole deployments in tests: one `serve`, or API and workers on PostgreSQL with a broker; and workers that are killed."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from base.credentials import generate_key
from tests import databases
from tests.bench.processes import tree
from tests.clients import Client, ServerProcess
from tests.e2e.test_scaled_out import headwater

LEASE_SECONDS = 6


@dataclass
class Deployment:
    """A server to ask. Its worker is a process of its own, which others may join, or one that the server supervises."""

    server: ServerProcess
    token: str
    settings: dict[str, str]
    worker: ServerProcess | None = None

    @property
    def sockets_url(self) -> str:
        """Where WebSockets go."""
        return f"{self.server.url.replace('http', 'ws')}/graphql"

    @property
    def database_url(self) -> str:
        """The metadata's."""
        found = self.settings.get("HEADWATER_DATABASE_URL")
        return found or f"sqlite:///{self.server.data_dir / 'headwater.db'}"

    def client(self) -> Client:
        """Closed with the server."""
        return self.server.client(self.token)

    def kill_worker(self) -> None:
        """`kill -9` of the one worker process where it stands; another one starts."""
        if self.worker is None:
            os.kill(embedded_worker(self.server), signal.SIGKILL)
            return
        assert self.worker.process is not None
        os.kill(self.worker.process.pid, signal.SIGKILL)
        self.worker.process.wait()
        self.worker.__enter__()


def embedded_worker(server: ServerProcess) -> int:
    """The process of the worker that a server supervises."""
    assert server.process is not None
    (worker,) = (
        pid
        for pid in tree(server.process.pid)
        if b"serve_parent" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
    return worker


def embedded(stack: ExitStack, folder: Path) -> Deployment:
    """`headwater serve`: SQLite, local files, a worker beside."""
    server = stack.enter_context(ServerProcess(folder / "data")).wait_until_ready()
    return Deployment(server, server.link.partition("#token=")[2], {})


def scaled_out(stack: ExitStack, folder: Path, broker_url: str) -> Deployment:
    """An API and a worker on a PostgreSQL database of their own."""
    settings = {
        "HEADWATER_DATABASE_URL": stack.enter_context(databases.postgres_database()),
        "HEADWATER_BROKER_URL": broker_url,
        "HEADWATER_STORAGE_URL": f"file://{folder / 'objects'}",
        "HEADWATER_SECRET_KEYS": generate_key(),
        "HEADWATER_LEASE_SECONDS": str(LEASE_SECONDS),
    }
    headwater(["migrate"], settings, folder / "command")
    token = headwater(["token", "create"], settings, folder / "command")
    worker, api = (
        stack.enter_context(ServerProcess(folder / verb, verb, settings))
        for verb in ("worker", "api")
    )
    return Deployment(api.wait_until_ready(), token, settings, worker)
