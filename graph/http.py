"""GraphQL over HTTP: strict requests in, the specification's media types and status codes out.

Queries by GET and forms are accepted only from clients that send a header which no page of another site can make a
browser send: `Authorization`, or `GraphQL-Require-Preflight`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol
from urllib.parse import parse_qsl

import strawberry
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.types import ASGIApp, Receive, Scope, Send

from base.bodies import load, read
from base.errors import InvalidInput, PlatformError, Unauthenticated, Unsupported
from base.settings import Settings
from graph.bodies import parse, parse_form, to_request
from graph.errors import present
from graph.limits import Limits
from graph.operations import Answer, Engine, Request, is_query, is_subscription
from graph.serialized import dumps

JSON = "application/json"
RESPONSE_JSON = "application/graphql-response+json"
FORM = "multipart/form-data"
UPLOAD_SECONDS_MAX = 3600.0  # of an operation that stores files
QUERY_STRING_BYTES_MAX = 48 * 1024
PARAMETERS_MAX = 16
_ALLOW = {"allow": "GET, POST"}
_CLOSE = {"connection": "close"}  # what is left of the body is not waited for
ACCEPT_CHARS_MAX = 1_000
_STATUS = {
    "INVALID_INPUT": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "TIMEOUT": 408,
    "PAYLOAD_TOO_LARGE": 413,
    "RATE_LIMITED": 429,
}
_HEADERS = {
    "UNAUTHENTICATED": {"www-authenticate": "Bearer"},
    "TIMEOUT": _CLOSE,
    "PAYLOAD_TOO_LARGE": _CLOSE,
}
_PREFLIGHT = ("authorization", "graphql-require-preflight", "x-requested-with")


class HasViewer(Protocol):
    """What the endpoint has to know of a context."""

    @property
    def viewer(self) -> object | None:
        """Who asks; None for a request without a token."""


ContextFactory = Callable[[HttpRequest], Awaitable[HasViewer]]


class Refused(Exception):
    """A request that is not answered as GraphQL."""

    def __init__(
        self, status: int, error: PlatformError, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__()
        self.status = status
        self.error = error
        self.headers = headers or {}


@dataclass(slots=True)
class _Exchange:
    """One request on its way to an answer."""

    scope: Scope
    receive: Receive
    headers: Headers
    media_type: str = JSON
    open: AsyncExitStack = field(default_factory=AsyncExitStack)
    has_files: bool = False


class GraphQLEndpoint:
    """An ASGI app for one path: POST, GET, and `page` for browsers that come to look."""

    def __init__(
        self,
        schema: strawberry.Schema,
        context_factory: ContextFactory,
        settings: Settings,
        *,
        page: ASGIApp | None = None,
    ) -> None:
        self.engine = Engine(
            schema,
            limits=Limits(cost_max=settings.query_cost_max),
            seconds_max=settings.query_seconds_max,
        )
        self._context_factory = context_factory
        self._body_bytes_max = settings.body_bytes_max
        self._upload_bytes_max = settings.upload_bytes_max
        self._open_schema = settings.effective_introspection
        self._page = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        if self._page is not None and scope["method"] == "GET" and _wants_page(scope, headers):
            await self._page(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, headers)
        extra: Mapping[str, str] = {}
        try:
            exchange.media_type = _media_type(headers.get("accept", "*/*")[:ACCEPT_CHARS_MAX])
            async with exchange.open:
                answer = await self._answer(exchange)
                status = 200 if answer.is_executed or exchange.media_type == JSON else 400
                body = dumps(answer.body)
        except Refused as refusal:
            status, extra = refusal.status, refusal.headers
            body = dumps({"errors": present([refusal.error])})
        except PlatformError as error:
            status = _STATUS.get(error.code, 400)
            body = dumps({"errors": present([error])})
            extra = _HEADERS.get(error.code, {})
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the edge of the process: masked and logged
            status, body = 500, dumps({"errors": present([error])})
        await _send(send, status, exchange.media_type, body, extra)

    async def _answer(self, exchange: _Exchange) -> Answer:
        method = exchange.scope["method"]
        if method == "POST":
            context, request = await self._posted(exchange)
        elif method == "GET":
            context, request = await self._asked(exchange)
        else:
            raise Refused(405, Unsupported("Use POST, or GET for queries."), _ALLOW)
        may_introspect = self._open_schema or context.viewer is not None
        operation = self.engine.prepare(request, may_introspect=may_introspect)
        if isinstance(operation, Answer):
            return operation
        if is_subscription(operation):
            error = Unsupported(
                "A subscription cannot be answered over HTTP.",
                hint="Open a WebSocket here with the subprotocol `graphql-transport-ws`.",
            )
            return self.engine.refuse(request, error)
        if method == "GET" and not is_query(operation):
            error = Unsupported("GET is for queries.", hint="Send this operation by POST.")
            raise Refused(405, error, {"allow": "POST"})
        return await self.engine.run(
            operation,
            request,
            context,
            may_introspect=may_introspect,
            seconds_max=UPLOAD_SECONDS_MAX if exchange.has_files else None,
        )

    async def _posted(self, exchange: _Exchange) -> tuple[HasViewer, Request]:
        media_type = exchange.headers.get("content-type", "")
        kind = _content_type(media_type)
        if kind == JSON:
            body = await read(exchange.receive, exchange.headers, self._body_bytes_max)
            request = parse(body)
            return await self._context(exchange), request
        if kind != FORM:
            error = Unsupported(
                "The body has to be application/json in UTF-8.", hint="Set the Content-Type."
            )
            raise Refused(415, error, {"accept": f"{JSON}, {FORM}"})
        _require_preflight(exchange.headers, "A form")
        context = await self._context(exchange)
        if context.viewer is None:  # nobody fills the disk who has not shown a token
            raise Unauthenticated(
                "Sending files needs an API token.",
                hint="Send the header `Authorization: Bearer hw_…`.",
            )
        exchange.has_files = True
        request = await exchange.open.enter_async_context(
            parse_form(
                exchange.receive,
                exchange.headers,
                body_bytes_max=self._body_bytes_max,
                upload_bytes_max=self._upload_bytes_max,
            )
        )
        return context, request

    async def _asked(self, exchange: _Exchange) -> tuple[HasViewer, Request]:
        _require_preflight(exchange.headers, "A query by GET")
        query_string: bytes = exchange.scope["query_string"]
        if len(query_string) > QUERY_STRING_BYTES_MAX:
            error = InvalidInput(
                f"The query string is over the limit of {QUERY_STRING_BYTES_MAX:,} bytes.",
                hint="Send it by POST.",
            )
            raise Refused(414, error)
        return await self._context(exchange), _from_parameters(query_string)

    async def _context(self, exchange: _Exchange) -> HasViewer:
        return await self._context_factory(HttpRequest(exchange.scope, exchange.receive))


def _from_parameters(query_string: bytes) -> Request:
    try:
        pairs = parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=PARAMETERS_MAX,
        )
    except ValueError:
        raise InvalidInput("The query string is not URL-encoded UTF-8.") from None
    value: dict[str, Any] = dict(pairs)
    if len(value) < len(pairs):
        raise InvalidInput("The query string has a parameter twice.")
    for name in ("variables", "extensions"):
        if value.get(name):
            value[name] = load(value[name], f"`{name}`")
        else:
            value.pop(name, None)
    return to_request(value)


def _require_preflight(headers: Headers, what: str) -> None:
    if not any(name in headers for name in _PREFLIGHT):
        raise InvalidInput(
            f"{what} needs the header `Authorization` or `GraphQL-Require-Preflight`.",
            hint="It keeps pages of other sites from sending requests through a browser.",
        )


@lru_cache(maxsize=256)
def _content_type(header: str) -> str | None:
    """The media type of a body; None for one in another encoding than UTF-8."""
    media_type, *parameters = (part.strip() for part in header.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip('" ').lower() not in {"utf-8", "utf8"}:
            return None
    return media_type.lower()


@lru_cache(maxsize=256)
def _media_type(accept: str) -> str:
    """The media type of the answer; raises `Refused` where the client takes none of ours."""
    weights = _weights(accept)
    anything = max(weights.get("*/*", 0.0), weights.get("application/*", 0.0))
    plain = weights.get(JSON, anything)
    newer = weights.get(RESPONSE_JSON, 0.0)  # only who names it knows it
    if newer > 0 and newer >= plain:
        return RESPONSE_JSON
    if plain > 0:
        return JSON
    raise Refused(406, Unsupported(f"The answer is {RESPONSE_JSON} or {JSON}."))


@lru_cache(maxsize=256)
def _weights(accept: str) -> dict[str, float]:
    weights = {}
    for entry in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in entry.split(";"))
        quality = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        weights[media_type] = quality
    return weights


def _wants_page(scope: Scope, headers: Headers) -> bool:
    """Whether a browser has come by a link, not a client with a query."""
    weights = _weights(headers.get("accept", "")[:ACCEPT_CHARS_MAX])
    return weights.get("text/html", 0.0) > 0 and not scope["query_string"].startswith(b"query=")


async def _send(
    send: Send, status: int, media_type: str, body: bytes, extra: Mapping[str, str]
) -> None:
    headers = [
        (b"content-type", f"{media_type}; charset=utf-8".encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"vary", b"Accept, Authorization"),
        *((name.encode(), value.encode()) for name, value in extra.items()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
