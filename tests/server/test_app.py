"""The whole app: what browsers on other origins may do."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from base.credentials import generate_key
from base.settings import Settings
from server.app import create_app

ORIGIN = "https://app.example.com"
PART = "/parts/" + "0" * 32 + "/1"


def browser(folder: Path, *origins: str) -> httpx.AsyncClient:
    settings = Settings(data_dir=folder, secret_keys=(generate_key(),), cors_origins=origins)
    transport = httpx.ASGITransport(create_app(settings, embedded=False))
    return httpx.AsyncClient(
        transport=transport, base_url="http://test", headers={"origin": ORIGIN}
    )


async def asked(client: httpx.AsyncClient, method: str) -> httpx.Response:
    """What a browser asks before it sends a part."""
    wanted = {
        "access-control-request-method": method,
        "access-control-request-headers": "content-type",
    }
    return await client.options(PART, headers=wanted)


async def test_a_page_of_a_named_origin_may_send_parts_and_see_their_etags(tmp_path: Path) -> None:
    async with browser(tmp_path, ORIGIN) as client:
        before, answer = await asked(client, "PUT"), await client.put(PART, content=b"x")

    assert (before.status_code, before.headers["access-control-allow-origin"]) == (200, ORIGIN)
    assert "PUT" in before.headers["access-control-allow-methods"]
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (403, ORIGIN)
    assert "etag" in answer.headers["access-control-expose-headers"].split(", ")
    assert "access-control-allow-credentials" not in answer.headers


async def test_a_page_may_use_the_methods_of_the_dialects_and_no_other(tmp_path: Path) -> None:
    async with browser(tmp_path, ORIGIN) as client:
        served = [await asked(client, method) for method in ("PATCH", "DELETE")]
        other = await asked(client, "PURGE")

    assert [answer.status_code for answer in served] == [200, 200]
    assert other.status_code == 400


@pytest.mark.parametrize("origins", [(), ("https://other.example.com",)])
async def test_a_page_of_another_origin_may_not(tmp_path: Path, origins: tuple[str, ...]) -> None:
    async with browser(tmp_path, *origins) as client:
        before, answer = await asked(client, "PUT"), await client.put(PART, content=b"x")

    assert before.status_code >= 400
    assert "access-control-allow-origin" not in before.headers
    assert "access-control-allow-origin" not in answer.headers
