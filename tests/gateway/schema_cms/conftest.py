"""Clients of this dialect, and a data source that tests share without changing it."""

from __future__ import annotations

import httpx
import pytest

from tests.gateway.places import Place
from tests.gateway.schema_cms.clients import connected

SCORES = (
    "id,name,score,price,day,team\n1,Ann,1.5,1.50,2026-01-31,7\n2,Bob,2.5,2.25,2026-02-28,\n"
    "2,Bob,2.5,2.25,2026-02-28,\n3,Cid,,0.10,,7\n4,Dan,0.5,12.00,2025-12-31,8\n5,Eve,9.0,,2026-01-01,9\n"
)


@pytest.fixture(scope="session")
def alice(server: Place) -> httpx.Client:
    """Alice's client, in the spelling of the document's example."""
    return server.rest("alice", scheme="JWT")


@pytest.fixture(scope="session")
def nobody(server: Place) -> httpx.Client:
    """A client without a token."""
    return server.rest(None)


@pytest.fixture(scope="session")
def scores(server: Place, alice: httpx.Client) -> int:
    """The key of a data source with `SCORES`, for scripts of names of their own."""
    key: int = connected(alice, server.project(), SCORES, "Scores")["id"]
    return key
