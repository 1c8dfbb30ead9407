"""Hints by PostgreSQL: NOTIFY on one channel of the metadata database.

LISTEN needs a session of its own: behind a pooler that gives sessions out by transaction it hears nothing, and the poll
is what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import asyncpg

from services.progress.transport import CHECK_SECONDS, CONNECT_SECONDS_MAX, Transport

CHANNEL = "headwater_progress"


class Notifications(Transport):
    """`dsn` is the address of the database."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._sender: asyncpg.Connection[Any] | None = None

    async def send(self, message: str) -> None:
        """Raises `PostgresError`, `InterfaceError` or OSError."""
        if self._sender is None or self._sender.is_closed():
            self._sender = await self._connect()
        await self._sender.execute("SELECT pg_notify($1, $2)", CHANNEL, message)

    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:
        """As in the contract; raises `PostgresError`, `InterfaceError` or OSError when the connection is lost."""

        def heard(_connection: Any, _pid: int, _channel: str, message: object) -> None:
            take(str(message))

        lost = asyncio.Event()
        connection = await self._connect()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(CHANNEL, heard)
            ready()
            while not lost.is_set():
                try:
                    await asyncio.wait_for(lost.wait(), CHECK_SECONDS)
                except TimeoutError:
                    async with asyncio.timeout(CONNECT_SECONDS_MAX):
                        await connection.execute("SELECT 1")
            raise ConnectionResetError
        finally:
            await _end(connection)

    async def close(self) -> None:
        """Close the connection that sends."""
        sender, self._sender = self._sender, None
        if sender is not None:
            await _end(sender)

    async def _connect(self) -> asyncpg.Connection[Any]:
        return await asyncpg.connect(
            self._dsn,
            timeout=CONNECT_SECONDS_MAX,
            server_settings={"application_name": "headwater progress"},
        )


async def _end(connection: asyncpg.Connection[Any]) -> None:
    with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        await connection.close(timeout=CONNECT_SECONDS_MAX)
