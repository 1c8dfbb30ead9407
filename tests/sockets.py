"""Sockets in tests: an app behind uvicorn on the test's own event loop, and a client of `graphql-transport-ws`."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from graph.protocol import SUBPROTOCOL
from server.websockets import SOCKET_MESSAGE_BYTES_MAX, SocketProtocol

WAIT_SECONDS = 60.0


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[str]:
    """The address of the app's sockets while the block runs, on this event loop and its database."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        log_level="error",
        lifespan="off",
        ws=SocketProtocol,
        ws_max_size=SOCKET_MESSAGE_BYTES_MAX,
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([listener]))
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            while not server.started:  # noqa: ASYNC110 - nothing else tells
                await asyncio.sleep(0.005)
        yield f"ws://127.0.0.1:{listener.getsockname()[1]}/graphql"
    finally:
        server.should_exit = True
        await running
        listener.close()


@dataclass
class SocketClient:
    """One socket. `received` are the messages that nobody asked for yet."""

    connection: ClientConnection
    received: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, kind: str, name: str | None = None, payload: Any = None) -> None:
        """Send a message of the protocol."""
        message = {"type": kind, "id": name, "payload": payload}
        text = json.dumps({key: value for key, value in message.items() if value is not None})
        await self.connection.send(text)

    async def subscribe(self, name: str, query: str, **variables: Any) -> None:
        """Begin an operation."""
        await self.send("subscribe", name, {"query": query, "variables": variables})

    async def receive(self) -> dict[str, Any]:
        """The next message."""
        if self.received:
            return self.received.pop(0)
        async with asyncio.timeout(WAIT_SECONDS):
            message: dict[str, Any] = json.loads(await self.connection.recv())
        return message

    async def next(self, name: str) -> dict[str, Any]:
        """The data of the next event of an operation, which has to be one without errors."""
        message = await self.of(name)
        assert message["type"] == "next", message
        assert "errors" not in message["payload"], message
        data: dict[str, Any] = message["payload"]["data"]
        return data

    async def of(self, name: str) -> dict[str, Any]:
        """The next message about an operation; those about others wait."""
        for index, known in enumerate(self.received):
            if known.get("id") == name:
                return self.received.pop(index)
        others: list[dict[str, Any]] = []
        while True:
            async with asyncio.timeout(WAIT_SECONDS):
                message: dict[str, Any] = json.loads(await self.connection.recv())
            if message.get("id") == name:
                self.received.extend(others)
                return message
            others.append(message)

    async def closed(self) -> int:
        """Read on until the server closes; the code."""
        with suppress(ConnectionClosed):
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    await self.connection.recv()
        code = self.connection.close_code
        assert code is not None, "the connection ended without a word"
        return code


@asynccontextmanager
async def opened(url: str, **options: Any) -> AsyncIterator[SocketClient]:
    """A socket on which nothing was said yet."""
    options.setdefault("subprotocols", [SUBPROTOCOL])
    options = {
        "compression": None,
        "proxy": None,
        "ping_interval": None,
        "max_size": None,
    } | options
    async with connect(url, **options) as connection:
        yield SocketClient(connection)


@asynccontextmanager
async def signed_in(url: str, secret: str, **options: Any) -> AsyncIterator[SocketClient]:
    """A socket of whoever has this token."""
    async with opened(url, **options) as client:
        await client.send("connection_init", payload={"Authorization": f"Bearer {secret}"})
        assert await client.receive() == {"type": "connection_ack"}
        yield client
