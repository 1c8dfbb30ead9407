"""The dialect in a process of its own: files, jobs and links go over a GraphQL API at a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from base.credentials import Keyring, generate_key
from gateway import Gateway
from gateway.remote import Remote
from gateway.requests import Limits
from gateway.schema_cms import DIALECT
from graph.schema import export
from tests.gateway.places import Place
from tests.gateway.schema_cms.clients import PEOPLE, SOURCES

pytestmark = pytest.mark.anyio
PUBLIC = "https://cms.example"


@pytest.fixture
async def rest(server: Place) -> AsyncIterator[httpx.AsyncClient]:
    """Alice's client of a gateway before the server's GraphQL API."""
    remote = Remote(f"{server.url}/graphql", client=httpx.AsyncClient(trust_env=False))
    gateway = Gateway(
        [DIALECT],
        remote,
        keyring=Keyring([generate_key()]),
        public_url=PUBLIC,
        limits=Limits(1_000_000, 1_000_000),
        wait_seconds=60,
        sdl=export,
    )
    headers = {"authorization": f"JWT {server.tokens['alice']}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway), base_url="http://gateway", headers=headers
    ) as client:
        yield client
    await remote.aclose()


async def test_a_gateway_of_its_own_serves_the_same(rest: httpx.AsyncClient, server: Place) -> None:
    data = {"project": str(server.project()["pk"])}
    made = await rest.post(SOURCES, data=data, files={"file": ("a.csv", PEOPLE.encode())})
    item = made.json()
    preview = await rest.get(item["meta_data"]["preview"].removeprefix(PUBLIC))
    file = await rest.get(item["file"].removeprefix(PUBLIC))
    script = {"script": ("a.py", b"df = df")}
    uploaded = await rest.post(f"{SOURCES}/{item['id']}/script-upload", files=script)
    steps = [{"key": "s3:scripts/a.py"}]
    started = await rest.post(f"{SOURCES}/{item['id']}/job", json={"steps": steps})

    assert (made.status_code, item["status"]) == (201, "done")
    assert item["file"].startswith(f"{PUBLIC}/gateway/links/")
    assert preview.json()["data"] == [{"id": 1, "name": "Ann"}, {"id": 2, "name": "Bob"}]
    assert server.rest(None).get(file.headers["location"]).text == PEOPLE
    assert (uploaded.status_code, started.status_code) == (201, 201)
