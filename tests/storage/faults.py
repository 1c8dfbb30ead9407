"""A proxy before a real S3 server that does to requests what networks and busy servers do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import Enum

HEAD_BYTES_MAX = 64 * 1024


class Fault(Enum):
    """What becomes of one request."""

    BUSY = "503 without asking the server"
    CUT = "the answer breaks off in its body"
    SHORT = "the answer has half the body, and says so"
    LOST = "the server does it, and its answer is lost"
    RESET = "the connection breaks while the request is sent"
    HELD = "the server is not asked before the test says so"


@dataclass
class Faults:
    """What requests get, and what became of them.

    `rule` gives the fault of a request by its method and target; `seen` are all of them, `done` the targets of those
    that the server has answered. `go_on` says that none is held any longer.
    """

    rule: Callable[[str, str], Fault | None] = lambda _method, _target: None
    seen: list[tuple[str, str]] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    port: int = 0
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    def times(self, count: int, fault: Fault, method: str, part: str = "") -> None:
        """The first `count` requests with this method, and this in the target, get the fault."""
        left = count

        def rule(asked: str, target: str) -> Fault | None:
            nonlocal left
            if asked != method or part not in target or not left:
                return None
            left -= 1
            return fault

        self.rule = rule


@asynccontextmanager
async def proxy(upstream: int) -> AsyncIterator[Faults]:
    """The proxy of a server's port on loopback."""
    faults = Faults()
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await _exchange(faults, upstream, reader, writer)
        finally:
            writer.close()
            connections.discard(task)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
    faults.port = server.sockets[0].getsockname()[1]
    try:
        yield faults
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _exchange(
    faults: Faults, upstream: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """One request and answer; the connection ends with it."""
    head = await reader.readuntil(b"\r\n\r\n")
    method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
    faults.seen.append((method, target))
    fault = faults.rule(method, target)
    if fault is Fault.RESET:
        writer.transport.abort()
        return
    body = await reader.readexactly(_length(head))
    if fault is Fault.BUSY:
        writer.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        return
    if fault is Fault.HELD:
        await faults.go_on.wait()
    answer = await _asked(upstream, head, body)
    faults.done.append(target)
    if fault is Fault.LOST:
        writer.transport.abort()
        return
    top, _, content = answer.partition(b"\r\n\r\n")
    if fault in {Fault.CUT, Fault.SHORT}:
        content = content[: len(content) // 2]
    if fault is Fault.SHORT:
        top = _with(top, b"Content-Length", str(len(content)).encode())
    writer.write(_with(top, b"Connection", b"close") + b"\r\n\r\n" + content)
    await writer.drain()


async def _asked(port: int, head: bytes, body: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_with(head[:-4], b"Connection", b"close") + b"\r\n\r\n" + body)
        await writer.drain()
        return await reader.read()
    finally:
        writer.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _with(head: bytes, name: bytes, value: bytes) -> bytes:
    lines = [
        line for line in head.split(b"\r\n") if not line.lower().startswith(name.lower() + b":")
    ]
    return b"\r\n".join([*lines, name + b": " + value])
