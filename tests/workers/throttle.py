"""A TCP proxy that lets so many bytes a second through, so that a fast source takes long enough to be interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

CHUNK_BYTES = 16 * 1024


class Throttle:
    """Listens on `port`. `bytes_per_second` may be changed at any time; None lets everything through."""

    def __init__(self, target_port: int, bytes_per_second: int | None) -> None:
        self.bytes_per_second = bytes_per_second
        self.bytes_passed = 0  # from the target
        self.port = 0
        self._target_port = target_port
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Throttle]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        source, sink = await asyncio.open_connection(
            "127.0.0.1", self._target_port, limit=CHUNK_BYTES
        )
        try:
            ways = (self._copy(reader, sink), self._copy(source, writer, is_throttled=True))
            tasks = [asyncio.create_task(way) for way in ways]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for each in (writer, sink):
                each.transport.abort()

    async def _copy(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        is_throttled: bool = False,
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
            if is_throttled:
                self.bytes_passed += len(data)
                await asyncio.sleep(
                    len(data) / self.bytes_per_second if self.bytes_per_second else 0
                )
