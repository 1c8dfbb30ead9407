"""The REST dialects in a process of their own. Only that process loads this, for an HTTP client is heavy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import click
from starlette.applications import Starlette

from base.settings import Settings, SettingsError
from gateway.remote import Remote
from server import gateway, health, pages
from server.middleware import layers
from server.processes import listen, run, server_of


def run_gateway(settings: Settings, graphql_url: str) -> None:
    """Serve the REST dialects over a GraphQL API elsewhere, until SIGTERM or Ctrl-C."""
    listener = listen(settings.host, settings.port)
    settings = replace(settings, port=listener.getsockname()[1])
    app = create_gateway(settings, graphql_url)
    server = server_of(app)
    welcome = f"The gateway to {graphql_url} answers at {settings.effective_public_url}"
    server.on_start = lambda: click.echo(welcome)
    run(server, listener)


def create_gateway(settings: Settings, graphql_url: str) -> Starlette:
    """An app of the dialects alone, over the GraphQL API at a URL; raises SettingsError for what is no URL."""
    parts = urlsplit(graphql_url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"--graphql-url: {graphql_url!r} is not an http(s) URL")
    remote = Remote(graphql_url)
    dialects = gateway.build(settings, remote)

    async def answers() -> None:
        if await remote.version() is None:
            raise RuntimeError("the GraphQL API does not answer")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        await remote.aclose()

    return Starlette(
        routes=[
            *pages.docs_routes(),
            gateway.GatewayRoute(dialects),
            *health.routes(health.Readiness({"graphql": answers})),
        ],
        middleware=layers(settings),
        lifespan=lifespan,
    )
