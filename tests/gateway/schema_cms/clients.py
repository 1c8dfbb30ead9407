"""Requests as clients of this dialect make them."""

from __future__ import annotations

import time
from typing import Any

import httpx

from tests.gateway.places import Place

SOURCES = "/api/v1/datasources"
PEOPLE = "id,name\n1,Ann\n2,Bob\n"
SECONDS_MAX = 60
# For what no database has a part in.


def connected(
    client: httpx.Client, project: dict[str, Any], csv: str = PEOPLE, name: str = "People"
) -> dict[str, Any]:
    """A new data source of a CSV file, synced."""
    response = client.post(
        SOURCES,
        data={"project": str(project["pk"]), "name": name, "type": "file"},
        files={"file": ("people.csv", csv.encode())},
    )
    assert response.status_code == httpx.codes.CREATED, response.text
    made: dict[str, Any] = response.json()
    return made


def draft(client: httpx.Client, project: dict[str, Any]) -> int:
    """The key of a new draft."""
    response = client.post(SOURCES, json={"project": project["pk"]})
    assert response.status_code == httpx.codes.CREATED, response.text
    key: int = response.json()["id"]
    return key


def brought(client: httpx.Client, pk: int, name: str, body: str) -> httpx.Response:
    """The reply to the upload of a script."""
    script = {"script": (name, body.encode())}
    return client.post(f"{SOURCES}/{pk}/script-upload", files=script)


def finished(client: httpx.Client, pk: int, steps: list[dict[str, Any]]) -> dict[str, Any]:
    """A new job, once it is over."""
    started = client.post(f"{SOURCES}/{pk}/job", json={"steps": steps})
    assert started.status_code == httpx.codes.CREATED, started.text
    path = f"/api/v1/job/{started.json()['pk']}"
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        job: dict[str, Any] = client.get(path).json()
        if job["job_state"] in {"success", "failed"}:
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


def token_of_role(server: Place, role: str, user: str = "alice") -> str:
    """A new API token that may do no more than a role."""
    made = server.graphql(user).data(
        'mutation ($role: Role!) { createApiToken(input: {name: "t", role: $role}) { secret } }',
        role=role,
    )
    secret: str = made["createApiToken"]["secret"]
    return secret
