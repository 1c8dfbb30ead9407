"""Running the API process: uvicorn with our app, and the one line that a first start prints."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import click
import uvicorn
from starlette.types import ASGIApp

from base.settings import Settings, SettingsError
from server.app import create_app
from server.operations import make_ready, upgrade_apart
from server.websockets import SOCKET_MESSAGE_BYTES_MAX, SocketProtocol

logger = logging.getLogger(__name__)

GRACE_SECONDS = 15
KEEP_ALIVE_SECONDS = 65  # longer than the idle time of common proxies, so that they close first


def run_api(settings: Settings, *, embedded: bool) -> None:
    """Serve until SIGTERM or Ctrl-C. `embedded` also migrates, makes the first user and runs a worker process."""
    listener = listen(settings.host, settings.port)
    if embedded:
        upgrade_apart(settings)
    asyncio.run(make_ready(settings, migrating=embedded))
    app = create_app(replace(settings, port=listener.getsockname()[1]), embedded=embedded)
    if settings.allow_networks is None and not settings.is_production:
        logger.warning(
            "sources may be on loopback and private networks, the default in development: "
            "set HEADWATER_ALLOW_NETWORKS, or HEADWATER_ENV=production to close them"
        )
    server = server_of(app)
    server.on_start = lambda: click.echo(app.state.welcome)
    server.on_stop = app.state.sockets.stop
    run(server, listener)


def server_of(app: ASGIApp) -> Server:
    """The server of an app, for sockets that are bound already."""
    config = uvicorn.Config(
        app,
        lifespan="on",
        loop="uvloop",
        http="httptools",
        ws=SocketProtocol,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,  # some 40 KB a socket, for messages that are short
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    return Server(config)


def run(server: Server, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; ends the process with 3 where the server did not start."""
    with suppress(KeyboardInterrupt):  # uvicorn raises it once it has ended in order
        server.run(sockets=[listener])
    if not server.started:
        sys.exit(3)  # the reason is in the log


async def _nothing() -> None:
    pass


class Server(uvicorn.Server):
    """Says when it answers, and when it is about to close its connections."""

    on_start: Callable[[], None] = staticmethod(lambda: None)
    on_stop: Callable[[], Awaitable[None]] = staticmethod(_nothing)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then call `on_start`."""
        await super().startup(sockets=sockets)
        if self.started:
            self.on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Call `on_stop`, then close."""
        await self.on_stop()
        await super().shutdown(sockets=sockets)


def listen(host: str, port: int) -> socket.socket:
    """Bind before anything else is done, so that a taken port is the first thing a user hears of."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        msg = f"cannot listen on {host}:{port}: {error.strerror}; choose another with HEADWATER_HOST and HEADWATER_PORT"
        raise SettingsError(msg) from error
    listener.set_inheritable(True)
    return listener
