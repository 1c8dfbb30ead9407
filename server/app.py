"""The API process as an ASGI app: the only place where rooms meet."""

from __future__ import annotations

import asyncio
import gc
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from base import process
from base.settings import Settings
from graph import schema
from graph.http import GraphQLEndpoint
from graph.sockets import Sockets
from models import database, migrate
from server import files, gateway, health, pages
from server.auth import ContextFactory
from server.embedded import EmbeddedWorker
from server.middleware import layers
from server.wiring import TOKEN_FILE, build_platform, keep_secret
from services import progress, scripts, tokens
from services.platform import Platform
from workers import broker


def create_app(settings: Settings, *, embedded: bool) -> Starlette:
    """The app of prepared settings; `embedded` also makes the first user and runs a worker process beside it.

    `app.state.welcome` is what to tell the person who started it, once it runs; `app.state.sockets.stop()` is for its
    end, before connections are closed.
    """
    platform = build_platform(settings)
    hub = progress.Hub(progress.transport_of(settings))
    endpoint = GraphQLEndpoint(
        schema.build(suggestions=settings.effective_introspection),
        ContextFactory(platform),
        settings,
        page=pages.graphiql.page,
    )
    sockets = Sockets(endpoint.engine, hub, ContextFactory(platform).of, settings)
    dialects = gateway.build(settings, gateway.InProcess(endpoint.engine, ContextFactory(platform)))

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                database.open(settings.effective_database_url, pool=settings.database_pool)
            )
            broker.set_broker(settings)
            progress.publish_by(settings)
            stack.callback(progress.stop_publishing)
            stack.push_async_callback(hub.close)
            stack.push_async_callback(sockets.stop)
            app.state.welcome = f"Headwater answers at {settings.effective_public_url}/graphql"
            if embedded:
                app.state.welcome = await first_link(settings)
                await stack.enter_async_context(EmbeddedWorker(settings))
            if await scripts.install_predefined(platform):
                await asyncio.to_thread(process.stop)  # nobody may need it for long
            platform.rows.load()  # or the first page of rows would wait for it
            stack.callback(platform.rows.close)
            gc.collect()
            gc.freeze()  # the schema and modules live for ever: the collector need not walk them again
            gc.enable()
            yield

    app = Starlette(
        routes=[
            Route("/graphql", endpoint),
            WebSocketRoute("/graphql", sockets),
            *pages.docs_routes(),
            gateway.GatewayRoute(dialects),
            *_routes(platform),
        ],
        middleware=layers(settings),
        lifespan=lifespan,
    )
    app.state.sockets = sockets
    return app


async def first_link(settings: Settings) -> str:
    """Make sure of the first user and its token, and say where to go with it."""
    path = settings.data_dir / TOKEN_FILE
    secret = settings.admin_token or keep_secret(path, tokens.new_secret())
    await tokens.bootstrap(secret)
    kept = "HEADWATER_ADMIN_TOKEN" if settings.admin_token else path
    return f"Open {settings.effective_public_url}/graphql#token={secret} (the API token is kept in {kept})"


def _routes(platform: Platform) -> list[BaseRoute]:
    async def home(_request: Request) -> Response:
        return RedirectResponse("/graphql", status_code=302)

    async def database_answers() -> None:
        if not await migrate.is_current():
            message = "the tables are not at this version"
            raise RuntimeError(message)

    async def storage_answers() -> None:
        await platform.store.head(f"readiness/{secrets.token_hex(4)}")

    readiness = health.Readiness({"database": database_answers, "storage": storage_answers})
    return [
        Route("/", home),
        *pages.graphiql.routes(),
        *files.routes(platform),
        *health.routes(readiness),
    ]
