"""The dialect in a process of its own: files, jobs and links go over a GraphQL API at a URL."""

from __future__ import annotations

import httpx
import pytest

from gateway.schema_cms import DIALECT
from tests.gateway.gateways import PUBLIC, asking
from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import PEOPLE, SOURCES


@pytest.mark.anyio
@one_server
async def test_a_gateway_of_its_own_serves_the_same(server: Place) -> None:
    headers = {"authorization": f"JWT {server.tokens['alice']}"}
    async with asking(DIALECT, server.url, headers) as rest:
        await _work(rest, server)


async def _work(rest: httpx.AsyncClient, server: Place) -> None:
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
