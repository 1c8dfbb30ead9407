"""Each request can be explained: which operations of GraphQL it becomes. Nothing is executed for it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.dialect import Route
from gateway.schema_cms import DIALECT
from tests.gateway.gateways import asking

pytestmark = pytest.mark.anyio
EXPLAINED = [route for route in DIALECT.routes if route.action.operations]


async def _explained(method: str, path: str) -> list[dict[str, Any]]:
    async with asking(DIALECT) as client:
        asked = {"method": method, "path": path.replace("{id:int}", "7")}
        reply = await client.get("/gateway/explain", params=asked)
    assert reply.status_code == httpx.codes.OK, reply.text
    operations: list[dict[str, Any]] = reply.json()["operations"]
    return operations


@pytest.mark.parametrize("route", EXPLAINED, ids=lambda route: f"{route.method} {route.path}")
async def test_a_request_tells_what_it_becomes(route: Route) -> None:
    names = [each["name"] for each in await _explained(route.method, route.path)]

    assert names
    assert set(names) <= set(route.action.operations)


async def test_an_update_shows_its_file_and_its_name() -> None:
    operations = await _explained("PUT", "/api/v1/datasources/7")

    variables = {each["name"]: each["variables"] for each in operations}
    assert variables["UploadFile"]["file"] == "<the file file.csv>"
    assert variables["UpdateDataSource"]["name"] == "Decade appear world."
