"""Connections of the HTTP client: to addresses that the outbound guard let through, and within the request's time."""

from __future__ import annotations

import socket
import ssl
import time
from functools import cache
from typing import Any

import httpcore
import httpx

from base.errors import TimedOut
from base.net import Guard, Lookup


class Clock:
    """The time that a request has left."""

    def __init__(self, total_seconds: float) -> None:
        self._total = total_seconds
        self._ends = 0.0
        self._what = ""
        self._is_stopped = False

    def start(self, what: str) -> None:
        """Give a request all its time; `what` it asks is for messages."""
        self._ends = 0.0 if self._is_stopped else time.monotonic() + self._total
        self._what = what

    def stop(self) -> None:
        """There is no time left, for this request and for those that follow."""
        self._is_stopped = True
        self._ends = 0.0

    def left(self) -> float:
        """Seconds until the end."""
        return self._ends - time.monotonic()

    def bounded(self, seconds: float | None) -> float:
        """A time-out that ends no later than the request; httpcore's, when there is no time left."""
        left = self.left()
        if left <= 0:
            raise httpcore.ReadTimeout
        return left if seconds is None else min(seconds, left)

    def check(self) -> None:
        """Raise TimedOut when the time is over."""
        if self.left() <= 0:
            raise TimedOut(
                f"{self._what} took longer than the limit of {self._total:g} seconds.",
                hint="Ask for less at once, or try when the server is less busy.",
            )


class Backend(httpcore.NetworkBackend):
    """Connects to addresses that the guard let through; names are never connected to."""

    def __init__(self, guard: Guard, clock: Clock, lookup: Lookup) -> None:
        self._guard = guard
        self._clock = clock
        self._lookup = lookup
        self._inner = httpcore.SyncBackend()
        self._socket: socket.socket | None = None

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """A connection to the first of the host's addresses that takes it."""
        failed: Exception | None = None
        for one in self._guard.resolve(host, port, lookup=self._lookup):
            try:
                stream = self._inner.connect_tcp(
                    one, port, self._clock.bounded(timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
                continue
            self._socket = stream.get_extra_info("socket")
            return _Stream(stream, self._clock)
        raise failed or httpcore.ConnectError

    def abort(self) -> None:
        """Have every read and write of the last connection fail at once."""
        if self._socket is not None:
            try:
                self._socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it is closed already


class _Stream(httpcore.NetworkStream):
    """A connection on which every single step ends with the request's time."""

    def __init__(self, inner: httpcore.NetworkStream, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.bounded(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.bounded(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        bounded = self._clock.bounded(timeout)
        inner = self._inner.start_tls(ssl_context, server_hostname, bounded)
        return _Stream(inner, self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Transport(httpx.HTTPTransport):
    """httpx's transport on our connections."""

    def __init__(self, backend: Backend) -> None:
        trusted = trusted_certificates()
        super().__init__(verify=trusted, trust_env=False)
        self._pool.close()
        self._pool = httpcore.ConnectionPool(
            ssl_context=trusted, max_connections=4, keepalive_expiry=30, network_backend=backend
        )


@cache
def trusted_certificates() -> ssl.SSLContext:
    """The authorities that httpx brings, and those of the system, where private ones are added."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
