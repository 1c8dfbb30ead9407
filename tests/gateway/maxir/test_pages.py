"""Pages that are larger than those that GraphQL gives."""

from __future__ import annotations

import pytest

from gateway import lists
from gateway.maxir import DIALECT
from tests.gateway.gateways import asking
from tests.gateway.maxir.clients import new_client
from tests.gateway.places import Place, one_server


@pytest.mark.anyio
@one_server
async def test_a_large_page_is_read_in_pieces(
    server: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = new_client(server)
    for name in "abcdef":
        client.dataset(name)
    monkeypatch.setattr(lists, "NODES_MAX", 2)

    async with asking(DIALECT, server.url, client.http.headers) as asker:

        async def names(**page: int) -> list[str]:
            params: dict[str, str | int] = {"user_id": "alice", **page}
            data = (await asker.get("/v2/team/datasets", params=params)).json()["data"]
            assert data["total_items"] == 7
            return [each["name"] for each in data["records"]]

        assert await names(page_size=5) == ["Default", "a", "b", "c", "d"]
        assert await names(page_size=5, page_number=2) == ["e", "f"]
        assert await names(page_size=7) == ["Default", *"abcdef"]
        assert await names(page_size=3, page_number=9) == []
