"""What every HTTP answer and every socket gets: a trace id, the security headers, and one line in the log."""

from __future__ import annotations

import logging
import time
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from base.settings import Settings
from base.tracing import set_trace_id

logger = logging.getLogger("headwater.http")

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
HUNG_UP = 499  # the log's status of a request whose client did not wait for the answer
_QUIET_PATHS = {"/healthz", "/readyz"}
_LINKS = "/gateway/links/"  # what follows is a credential


class RequestScope:
    """Pure ASGI. An answer keeps what it sets itself: GraphiQL brings its own content security policy."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._headers = dict(SECURITY_HEADERS)
        if is_https:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "websocket":
            await self._serve_socket(scope, receive, send)
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = set_trace_id(Headers(scope=scope).get("trace-id"))
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["trace-id"] = trace_id
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
            status = status or HUNG_UP
        finally:
            if scope["path"] not in _QUIET_PATHS:
                # The path of a signed link without its query: the signature is a credential.
                logger.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": _shown(scope["path"]),
                        "status": status or 500,
                        "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                    },
                )

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As a request: a trace id for all that happens on it, and one line once it is closed."""
        trace_id = set_trace_id(Headers(scope=scope).get("trace-id"))
        started = time.perf_counter()
        code = 0  # neither side said anything

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] in {"websocket.accept", "websocket.http.response.start"}:
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["trace-id"] = trace_id
                code = message.get("status", code)
            elif message["type"] == "websocket.close":
                code = message.get("code", 1000)
            await send(message)

        async def receive_with_code() -> Message:
            nonlocal code
            message = await receive()
            if message["type"] == "websocket.disconnect":
                code = code or message.get("code", 1005)
            return message

        try:
            await self._app(scope, receive_with_code, send_with_headers)
        finally:
            logger.info(
                "socket",
                extra={
                    "path": scope["path"],
                    "status": code,
                    "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                },
            )


def _shown(path: str) -> str:
    """A path as the log may have it."""
    return f"{_LINKS}…" if path.startswith(_LINKS) else path


def layers(settings: Settings) -> list[Middleware]:
    """What every request passes on its way to the app."""
    is_https = urlsplit(settings.effective_public_url).scheme == "https"
    passed = [Middleware(RequestScope, is_https=is_https)]
    hosts = settings.allow_hosts
    if not hosts and settings.is_production:
        hosts = (urlsplit(settings.effective_public_url).hostname or settings.host,)
    if hosts:
        passed.append(
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
        )
    if settings.cors_origins:
        passed.append(
            Middleware(
                CORSMiddleware,
                allow_origins=list(settings.cors_origins),
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                allow_headers=[
                    "authorization",
                    "content-type",
                    "graphql-require-preflight",
                    "idempotency-key",
                    "node-id",
                    "trace-id",
                    "x-pd-api-key",
                    "x-pd-external-trace-id",
                    "x-supabase-token",
                ],
                # The ETag of an upload's part is needed to complete it.
                expose_headers=["trace-id", "etag", "x-headwater-operation", "x-pd-trace-id"],
            )
        )
    return passed
