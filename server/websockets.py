"""uvicorn's WebSocket protocol, with an end for clients that do not read, and a log without addresses' queries."""

from __future__ import annotations

import logging
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

SOCKET_MESSAGE_BYTES_MAX = 64 * 1024  # of a client's message; a document has 32 KiB at most

logger = logging.getLogger("headwater.sockets")
logger.setLevel(logging.WARNING)


class SocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn waits until what was written has left before it closes, which may be for ever."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # uvicorn writes a line for each socket with its whole address; `RequestScope` writes one without the query.
        self.logger = logger
        self.conn.logger = logger

    async def run_asgi(self) -> None:
        """Run the app; cut the connection where a client does not read what was left for it."""
        await super().run_asgi()
        if not self.writable.is_set():
            self.transport.abort()

    def keepalive_timeout(self) -> None:
        """As uvicorn, but nothing more is waited for."""
        super().keepalive_timeout()
        self.transport.abort()
