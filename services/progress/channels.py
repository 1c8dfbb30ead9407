"""Hints by Redis: one channel that every process of the deployment publishes to."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.progress.transport import CHECK_SECONDS, CONNECT_SECONDS_MAX, Transport


class Channel(Transport):
    """`url` names the server and the database. Channels know no databases, so its number goes behind `name`."""

    def __init__(self, url: str, name: str = "headwater:progress") -> None:
        self._url = url
        self._prefix = name
        self._sender: Redis | None = None

    async def send(self, message: str) -> None:
        """Raises `RedisError` or OSError."""
        if self._sender is None:
            self._sender = self._connect()
        await self._sender.publish(self._name(self._sender), message)

    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:
        """As in the contract; raises `RedisError` or OSError when the connection is lost."""
        async with self._connect() as client, client.pubsub() as subscription:
            await subscription.subscribe(self._name(client))
            while True:
                message = await subscription.get_message(timeout=CHECK_SECONDS)
                if message is None:
                    await subscription.ping()
                elif message["type"] == "subscribe":
                    ready()
                elif message["type"] == "message":
                    take(message["data"])

    async def close(self) -> None:
        """Close the connection that sends."""
        sender, self._sender = self._sender, None
        if sender is not None:
            with suppress(RedisError, OSError):
                await sender.aclose()

    def _connect(self) -> Redis:
        return Redis.from_url(
            self._url,
            decode_responses=True,
            client_name=f"headwater-progress-{os.getpid()}",
            socket_connect_timeout=CONNECT_SECONDS_MAX,
            socket_timeout=2 * CHECK_SECONDS,
        )

    def _name(self, client: Redis) -> str:
        return f"{self._prefix}:{client.connection_pool.connection_kwargs.get('db', 0)}"
