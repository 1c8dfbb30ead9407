"""The brokers: what carries a wake-up from where a job was queued to a worker. All they ever carry is "look"."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import dramatiq
from dramatiq.brokers.stub import StubBroker
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware

from base.errors import ConnectionFailed
from base.net import unix_address
from base.settings import Settings

QUEUE = "headwater"
SOCKET_FILE = "worker.sock"
CONNECT_SECONDS = 3
DATAGRAM_BYTES = 64
REDIS_HEARTBEAT_MS = 15_000  # after which the wake-ups of a dead worker go to another
REDIS_MAINTENANCE_PER_MILLION = (
    100_000  # commands that look for dead workers; the default's 0.1 % finds none for minutes
)
RABBITMQ_OPTIONS = {
    "heartbeat": "60",
    "socket_timeout": str(CONNECT_SECONDS),
    "stack_timeout": str(2 * CONNECT_SECONDS),
    "blocked_connection_timeout": "10",
    "connection_attempts": "1",
}


def set_broker(
    settings: Settings, middleware: Sequence[Middleware] = (), *, queue: str = QUEUE
) -> dramatiq.Broker:
    """Make this process's broker from its settings. It connects when it is first used.

    Dramatiq's own retries, time limits and priorities are left out: the job row has them.
    """
    broker = _make(settings, list(middleware))
    broker.declare_queue(queue)
    dramatiq.set_broker(broker)
    return broker


def ping(settings: Settings) -> None:
    """Blocking: reach the broker. Raises `ConnectionFailed`; the embedded one is always there."""
    broker: Any = _make(settings, [])
    try:
        match urlsplit(settings.broker_url).scheme:
            case "redis" | "rediss":
                broker.client.ping()
            case "amqp" | "amqps":
                broker.connection.process_data_events(0)
    except (
        Exception
    ) as error:  # pika and redis have no common base; the password stays out of the message
        reason = type(error).__name__
        raise ConnectionFailed(f"The broker does not answer ({reason}).") from error
    finally:
        broker.close()


def _make(settings: Settings, middleware: list[Middleware]) -> dramatiq.Broker:
    """A client is loaded where it is used: each takes megabytes in every process."""
    match urlsplit(settings.broker_url).scheme:
        case "redis" | "rediss":
            return _redis(settings.broker_url, middleware)
        case "amqp" | "amqps":
            from dramatiq.brokers.rabbitmq import RabbitmqBroker  # noqa: PLC0415

            return RabbitmqBroker(url=_with_options(settings.broker_url), middleware=middleware)
        case _:
            return EmbeddedBroker(settings.data_dir / SOCKET_FILE, middleware=middleware)


def _redis(url: str, middleware: list[Middleware]) -> dramatiq.Broker:
    import redis  # noqa: PLC0415
    from dramatiq.brokers.redis import RedisBroker  # noqa: PLC0415

    client = redis.Redis.from_url(
        url, socket_connect_timeout=CONNECT_SECONDS, socket_timeout=2 * CONNECT_SECONDS
    )
    return RedisBroker(  # type: ignore[no-untyped-call]
        client=client,
        middleware=middleware,
        namespace=QUEUE,
        heartbeat_timeout=REDIS_HEARTBEAT_MS,
        maintenance_chance=REDIS_MAINTENANCE_PER_MILLION,
    )


def _with_options(url: str) -> str:
    parts = urlsplit(url)
    query = RABBITMQ_OPTIONS | dict(parse_qsl(parts.query))
    return urlunsplit(parts._replace(query=urlencode(query)))


class EmbeddedBroker(StubBroker):
    """Wake-ups between the processes of one machine: datagrams to a unix socket, a queue in memory behind it.

    A process sends to the socket; the one that called `listen` has the queue. Where nobody listens, or the socket's
    buffer is full, a wake-up is dropped: the worker that starts, or is that busy, looks anyway.
    """

    def __init__(self, path: Path, middleware: list[Middleware] | None = None) -> None:
        super().__init__(middleware)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._listening = False

    def listen(self) -> None:
        """Take the socket over and receive on it from now on, in a thread."""
        self._path.unlink(missing_ok=True)
        with unix_address(self._path) as address:
            self._socket.bind(address)
        self._path.chmod(0o600)
        self._socket.setblocking(True)
        self._listening = True
        threading.Thread(target=self._receive, name="embedded-broker", daemon=True).start()

    def enqueue(
        self, message: dramatiq.Message[Any], *, delay: int | None = None
    ) -> dramatiq.Message[Any]:
        """Queue a message here, or send a wake-up to the worker."""
        if self._listening:
            return super().enqueue(message, delay=delay)
        with suppress(OSError), unix_address(self._path) as address:
            self._socket.sendto(message.actor_name.encode()[:DATAGRAM_BYTES], address)
        return message

    def close(self) -> None:
        """Stop sending and receiving."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that receives
        self._socket.close()
        super().close()

    def _receive(self) -> None:
        while True:
            try:
                actor = self._socket.recv(DATAGRAM_BYTES).decode(errors="replace")
            except OSError:
                return
            for queue in self.get_declared_queues() if actor in self.actors else ():
                super().enqueue(self.actors[actor].message().copy(queue_name=queue))


__all__ = ["QUEUE", "ConnectionClosed", "EmbeddedBroker", "ping", "set_broker"]
