"""What every HTTP answer gets: a trace id, the security headers, and one line in the log."""

from __future__ import annotations

import logging
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from base.tracing import set_trace_id

logger = logging.getLogger("headwater.http")

SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
}
_QUIET_PATHS = {"/healthz", "/readyz"}


class RequestScope:
    """Pure ASGI. An answer keeps what it sets itself: GraphiQL brings its own content security policy."""

    def __init__(self, app: ASGIApp, *, is_https: bool) -> None:
        self._app = app
        self._headers = dict(SECURITY_HEADERS)
        if is_https:
            self._headers["strict-transport-security"] = "max-age=31536000"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        trace_id = set_trace_id(Headers(scope=scope).get("trace-id"))
        started = time.perf_counter()
        status = 500

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
        finally:
            if scope["path"] not in _QUIET_PATHS:
                # The path of a signed link without its query: the signature is a credential.
                logger.info(
                    "request",
                    extra={
                        "method": scope["method"],
                        "path": scope["path"],
                        "status": status,
                        "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                    },
                )
