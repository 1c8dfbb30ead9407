"""Servers that gateway tests talk to: real processes with a real worker, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway import DIALECTS
from gateway.failures import Failure
from gateway.routing import Router
from tests.clients import ROOT, WITHOUT_TLS, Client, ServerProcess
from tests.conftest import SQLITE

ROUTER = Router(list(DIALECTS.values()))
# For what has nothing to do with the database that a server keeps its own things in.
one_server = pytest.mark.parametrize("server", [SQLITE], indirect=True)
USERS = ("alice", "bob")  # each with a team of their own; neither sees anything of the other


@dataclass
class Place:
    """A server and tokens: of an admin, who is staff, and of each of `USERS`."""

    server: ServerProcess
    tokens: dict[str, str]
    env: dict[str, str]
    opened: list[httpx.Client] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Where the server is, without a slash."""
        return self.server.url

    def graphql(self, user: str = "alice") -> Client:
        """A GraphQL client of a user."""
        return self.server.client(self.tokens[user])

    def rest(self, user: str | None = "alice", scheme: str = "Bearer") -> httpx.Client:
        """A REST client that sends the user's token as `Authorization: scheme token`, or none."""
        headers = {} if user is None else {"authorization": f"{scheme} {self.tokens[user]}"}
        client = httpx.Client(
            base_url=self.url,
            headers=headers,
            timeout=60,
            trust_env=False,
            verify=WITHOUT_TLS,
            event_hooks={"response": [_check]},
        )
        self.opened.append(client)
        return client

    def enrol(self, user: str) -> None:
        """Make a user whose projects and data sources no other test touches; `tokens` has the token."""
        if user not in self.tokens:
            self.tokens[user] = _token(self.server.data_dir, self.env, user)

    def project(self, user: str = "alice", name: str = "Project") -> dict[str, Any]:
        """A new project of a user: `id` and `pk`."""
        made = self.graphql(user).data(
            "mutation ($name: String!) { createProject(input: {name: $name}) { project { id pk } } }",
            name=name,
        )
        project: dict[str, Any] = made["createProject"]["project"]
        return project

    def new_token(self, user: str) -> str:
        """A token of a user, who is made if not there yet; it takes a second."""
        return _token(self.server.data_dir, self.env, user)


def check_declared(method: str, path: str, operations: str) -> None:
    """AssertionError for a request that ran operations, a comma list, which its route does not declare."""
    match = ROUTER.match(method, path)
    if not isinstance(match, Failure):
        undeclared = set(filter(None, operations.split(", "))) - set(match.route.action.operations)
        assert not undeclared, f"{method} {match.route.path} ran {undeclared}"


def _check(response: httpx.Response) -> None:
    request = response.request
    check_declared(
        request.method, request.url.path, response.headers.get("x-headwater-operation", "")
    )


def _token(data_dir: Path, env: dict[str, str], user: str) -> str:
    headwater = Path(sys.executable).with_name("headwater")
    command = [str(headwater), "token", "create", "--user", user]
    made = subprocess.run(
        [*command, "--data-dir", str(data_dir)],
        env={**os.environ, **env},
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return made.stdout.strip()


@contextmanager
def place(folder: Path, database_url: str | None = None, **settings: str) -> Iterator[Place]:
    """A running server with its users; SQLite unless a database is named."""
    env = {f"HEADWATER_{name.upper()}": value for name, value in settings.items()}
    if database_url is not None:
        env["HEADWATER_DATABASE_URL"] = database_url
    data_dir = folder / "data"
    with ServerProcess(data_dir, env=env) as server:
        server.wait_until_ready()
        tokens = {user: _token(data_dir, env, user) for user in USERS}
        tokens["admin"] = server.link.partition("#token=")[2]
        made = Place(server, tokens, env)
        yield made
        for client in made.opened:
            client.close()
