"""GraphQL over WebSocket by the protocol `graphql-transport-ws`: live subscriptions, and whatever else is asked.

A socket belongs to one token, which is shown first. Each is one reader and a task an operation; what one sends waits
until what was sent before has left, so a client that does not read holds up nobody but itself, and not for long.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context as ContextVars
from datetime import UTC, datetime
from urllib.parse import urlsplit

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from tortoise.exceptions import DBConnectionError, OperationalError

from base.settings import Settings
from graph.operations import Engine
from graph.protocol import FORBIDDEN, GOING_AWAY, SUBPROTOCOL, Close
from graph.session import (
    EVENTS_MAX,
    INIT_SECONDS_MAX,
    WRITE_SECONDS_MAX,
    Connect,
    Seats,
    Service,
    Session,
)
from services import authentication
from services.progress import Hub

CHECK_SECONDS = 2.0  # how soon a token that was revoked elsewhere closes its idle sockets
STOP_SECONDS_MAX = 3.0

_log = logging.getLogger(__name__)


class Sockets:
    """An ASGI app for one path: every socket of a process."""

    def __init__(
        self,
        engine: Engine,
        hub: Hub,
        connect: Connect,
        settings: Settings,
        *,
        init_seconds_max: float = INIT_SECONDS_MAX,
        write_seconds_max: float = WRITE_SECONDS_MAX,
    ) -> None:
        many = settings.subscriptions_per_user_max
        self._service = Service(
            engine,
            hub,
            connect,
            Seats(many, "sockets"),
            Seats(many, "subscriptions"),
            asyncio.Semaphore(EVENTS_MAX),
            init_seconds_max,
            write_seconds_max,
        )
        self._origins = {origin.rstrip("/").lower() for origin in settings.cors_origins}
        self._origins.add(_origin(settings.effective_public_url))
        self._sessions: set[Session] = set()
        self._check: asyncio.Task[None] | None = None
        self._is_stopping = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one socket."""
        websocket = WebSocket(scope, receive, send)
        refusal = self._refusal(websocket)
        if refusal is not None:
            await _deny(websocket, *refusal)
            return
        with suppress(WebSocketDisconnect):
            await websocket.accept(SUBPROTOCOL)
            session = Session(websocket, self._service)
            self._sessions.add(session)
            if self._check is None:
                loop = asyncio.get_running_loop()
                # In a context of its own: it outlives the socket that it starts for.
                self._check = loop.create_task(self._watch_tokens(), context=ContextVars())
            try:
                await session.run()
            finally:
                self._sessions.discard(session)

    async def stop(self) -> None:
        """Close every socket, 1001, and take no more."""
        self._is_stopping = True
        for session in self._sessions:
            session.end(Close(GOING_AWAY, "Going away"))
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS_MAX):
                while self._sessions:  # noqa: ASYNC110 - they go in a moment
                    await asyncio.sleep(0.01)
        if self._check is not None:
            self._check.cancel()
            await asyncio.wait({self._check})

    def _refusal(self, websocket: WebSocket) -> tuple[int, str] | None:
        """Why the socket is not accepted: a status and a line."""
        if self._is_stopping:
            return 503, "The server is going away."
        if not self._is_known(websocket):
            return 403, "Pages of this origin may not open sockets: see HEADWATER_CORS_ORIGINS."
        if SUBPROTOCOL not in websocket.scope["subprotocols"]:
            return 400, f"The subprotocol has to be {SUBPROTOCOL}."
        return None

    def _is_known(self, websocket: WebSocket) -> bool:
        """Whether it comes from a page of ours or of an origin that is let in; only browsers say any."""
        origin = websocket.headers.get("origin")
        if origin is None or "*" in self._origins:
            return True
        host = urlsplit(origin).netloc.lower()
        own = websocket.headers.get("host", "").lower()
        return origin.lower() in self._origins or bool(host and host == own)

    async def _watch_tokens(self) -> None:
        """Close the sockets of tokens that are no more, also where nothing happens on them."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            tokens = {
                session.viewer.token_id
                for session in self._sessions
                if session.viewer is not None and session.viewer.token_id is not None
            }
            if not tokens:
                continue
            try:
                gone = tokens - await authentication.valid_tokens(tokens)
            except (DBConnectionError, OperationalError) as error:
                _log.warning("tokens could not be checked: %s", type(error).__name__)
                continue
            except Exception:  # noqa: BLE001 - a check that ends would let revoked tokens stay
                _log.exception("tokens could not be checked")
                continue
            now = datetime.now(UTC)
            for session in self._sessions:
                if session.viewer is None:
                    continue
                if session.viewer.token_id in gone:
                    session.end(Close(FORBIDDEN, "The API token is expired or revoked."))
                elif (ends_at := session.viewer.session_ends_at) is not None and ends_at <= now:
                    session.end(Close(FORBIDDEN, "The session has expired."))


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower()


async def _deny(websocket: WebSocket, status: int, message: str) -> None:
    await websocket.receive()
    if "websocket.http.response" in websocket.scope.get("extensions", {}):
        await websocket.send_denial_response(PlainTextResponse(f"{message}\n", status))
    else:
        await websocket.close()
