"""One server for the tests of a file, as the first user meets it: a client of it and a project in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.clients import Client, ServerProcess


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with a data folder of its own; where it has to be another one, a file has a fixture of this name."""
    with ServerProcess(tmp_path_factory.mktemp("e2e") / "data") as process:
        yield process.wait_until_ready()


@pytest.fixture(scope="module")
def client(server: ServerProcess) -> Client:
    """The first user's client."""
    return server.client()


@pytest.fixture(scope="module")
def project_id(client: Client) -> str:
    """A project of the first user."""
    payload = client.data(
        "mutation ($input: CreateProjectInput!) { createProject(input: $input) { project { id } } }",
        input={"name": "End to end"},
    )
    return str(payload["createProject"]["project"]["id"])
