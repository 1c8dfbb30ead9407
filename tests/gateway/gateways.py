"""Gateways in the test's own process, over the GraphQL API at a URL: as one in a process of its own sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx

from base.credentials import Keyring, generate_key
from gateway import Gateway
from gateway.dialect import Dialect
from gateway.remote import Remote
from gateway.requests import Limits
from graph.schema import export

PUBLIC = "https://headwater.example"
NOWHERE = "http://127.0.0.1:9"  # for requests that need no answer of GraphQL


@asynccontextmanager
async def asking(
    dialect: Dialect, url: str = NOWHERE, headers: Mapping[str, str] | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that serves a dialect over the server at a URL. Its public URL is `PUBLIC`."""
    remote = Remote(f"{url}/graphql", client=httpx.AsyncClient(trust_env=False))
    gateway = Gateway(
        [dialect],
        remote,
        keyring=Keyring([generate_key()]),
        public_url=PUBLIC,
        limits=Limits(1_000_000, 1_000_000),
        wait_seconds=60,
        sdl=export,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway), base_url="http://gateway", headers=headers
    ) as client:
        yield client
    await remote.aclose()
