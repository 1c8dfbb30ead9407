"""Requests of all dialects in, replies out: an ASGI app for the paths below `owns`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from base.credentials import Keyring
from base.errors import PlatformError
from base.tracing import trace_id
from gateway import fields, requests
from gateway.call import Call, refusal_of
from gateway.client import Executor
from gateway.dialect import EMPTY, Dialect, Reply, Route, pattern
from gateway.explain import explain
from gateway.failures import (
    METHOD_NOT_ALLOWED,
    NO_ROUTE,
    Failure,
    invalid,
)
from gateway.links import PREFIX as LINKS
from gateway.links import Links
from gateway.openapi import document

logger = logging.getLogger("headwater.gateway")

OPERATION_HEADER = "x-headwater-operation"
EXPLAIN = "/gateway/explain"
OPENAPI = "/gateway/openapi"
QUERY_CHARS_MAX = 16 * 1024
QUERY_FIELDS_MAX = 100


@dataclass(frozen=True, slots=True)
class _Served:
    dialect: Dialect
    route: Route
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class _Match:
    served: _Served
    params: Mapping[str, str]


class Gateway:
    """Serves dialects through an executor of GraphQL operations. `sdl` gives the GraphQL schema's text."""

    def __init__(
        self,
        dialects: Sequence[Dialect],
        executor: Executor,
        *,
        keyring: Keyring,
        public_url: str,
        limits: requests.Limits,
        wait_seconds: float,
        sdl: Callable[[], str],
    ) -> None:
        self.dialects = tuple(dialects)
        self._executor = executor
        self._links = Links(keyring)
        self._public_url = public_url
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._sdl = sdl
        self._routes = [
            _Served(
                dialect,
                route,
                pattern(dialect.prefixes, route.path, may_end_in_slash=dialect.may_end_in_slash),
            )
            for dialect in dialects
            for route in dialect.routes
        ]
        self._roots = tuple((root, dialect) for dialect in dialects for root in dialect.roots)

    def owns(self, path: str) -> bool:
        """Whether a path is one of a dialect, or of the gateway itself."""
        return path.startswith("/gateway/") or self._dialect(path) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        path, method = scope["path"], scope["method"]
        headers = Headers(scope=scope)
        query = scope["query_string"].decode("ascii", "replace")
        try:
            response = await self._respond(method, path, query, headers, receive)
        except ClientDisconnect:
            return
        if method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _respond(
        self, method: str, path: str, query: str, headers: Headers, receive: Receive
    ) -> Response:
        if path.startswith("/gateway/"):
            return await self._own(method, path, query, headers, receive)
        return await self._serve(
            method, path, query, headers, receive, requests.credential_of(headers)
        )

    async def _own(
        self, method: str, path: str, query: str, headers: Headers, receive: Receive
    ) -> Response:
        """What is the gateway's, and no dialect's."""
        if method not in {"GET", "HEAD"}:
            return _json(405, {"message": "Use GET."}, {"allow": "GET"})
        if path == EXPLAIN:
            asked = dict(parse_qsl(query[:QUERY_CHARS_MAX], keep_blank_values=True))
            status, body = await explain(self, asked, self._sdl)
            return _json(status, body)
        if path == OPENAPI:
            return _json(200, {"documents": [_listed(each) for each in self.dialects]})
        for dialect in self.dialects:
            if path == _listed(dialect)["url"]:
                return _json(200, document(dialect, self._public_url))
        if path.startswith(LINKS) and (linked := self._links.open(path)) is not None:
            inner, _, inner_query = linked.path.partition("?")
            return await self._serve("GET", inner, inner_query, headers, receive, linked.credential)
        return _json(404, {"message": "There is nothing here, or the link has expired."})

    def match(self, method: str, path: str) -> _Match | Failure:
        """The route of a request, or why there is none."""
        allowed = []
        for served in self._routes:
            found = served.pattern.fullmatch(path)
            if found is None:
                continue
            if served.route.method == ("GET" if method == "HEAD" else method):
                params = {name: text for name, text in found.groupdict().items() if text}
                return _Match(served, params)
            allowed.append(served.route.method)
        if allowed:
            return Failure(
                METHOD_NOT_ALLOWED,
                f'Method "{method}" not allowed.',
                headers={"allow": ", ".join(sorted(set(allowed)))},
            )
        return Failure(NO_ROUTE, "There is no such path.")

    def call(
        self,
        match: _Match,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        credential: str | None,
        executor: Executor | None = None,
    ) -> Call:
        """A request that has found its route; raises Failure for a query that nothing could mean."""
        try:
            pairs = parse_qsl(
                query[:QUERY_CHARS_MAX],
                keep_blank_values=True,
                max_num_fields=QUERY_FIELDS_MAX,
                errors="strict",
            )
        except ValueError:
            pairs = []
        return Call(
            dialect=match.served.dialect,
            route=match.served.route,
            method=method,
            path=path,
            params=match.params,
            query=dict(pairs),
            headers=headers,
            credential=credential,
            executor=executor or self._executor,
            public_url=self._public_url,
            links=self._links,
            wait_seconds=self._wait_seconds,
        )

    async def _serve(
        self,
        method: str,
        path: str,
        query: str,
        headers: Headers,
        receive: Receive,
        credential: str | None,
    ) -> Response:
        match = self.match(method, path)
        if isinstance(match, Failure):
            dialect = self._dialect(path)
            if dialect is None:
                return _json(404, {"message": match.message})
            return _response(dialect, headers, dialect.failure(match, None))
        call = self.call(match, method, path, query, headers, credential)
        try:
            reply = await self._reply(call, receive)
        except ClientDisconnect:
            raise
        except Failure as failure:
            reply = call.dialect.failure(failure, call)
        except PlatformError as error:
            refused = Failure(error.code, error.message, hint=error.hint)
            reply = call.dialect.failure(refused, call)
        except Exception:
            logger.exception("request failed", extra={"route": call.route.path})
            ours = Failure("INTERNAL", "Internal error.", hint="Tell the operator the trace id.")
            reply = call.dialect.failure(ours, call)
        names = call.executed or call.route.action.operations
        return _response(call.dialect, headers, reply, ", ".join(names))

    async def _reply(self, call: Call, receive: Receive) -> Reply:
        route = call.route
        if not route.is_open:
            if call.credential is None:
                raise Failure("UNAUTHENTICATED", "Authentication credentials were not provided.")
            if route.has_body:
                refused = await call.executor.admit(call.credential)
                if refused is not None:
                    raise refusal_of(refused)
        async with AsyncExitStack() as stack:
            body = await stack.enter_async_context(
                requests.body_of(route, receive, call.headers, self._limits)
            )
            fill(call, body)
            return await route.action.handle(call)

    def _dialect(self, path: str) -> Dialect | None:
        """Whose errors a path has: the dialect with the longest root."""
        found = [(len(root), dialect) for root, dialect in self._roots if path.startswith(root)]
        return max(found, key=lambda each: each[0])[1] if found else None


def _listed(dialect: Dialect) -> Mapping[str, str]:
    """A dialect in the list of documents."""
    return {"name": dialect.name, "title": dialect.title, "url": f"{OPENAPI}/{dialect.name}.json"}


def fill(call: Call, body: requests.Body) -> None:
    """Read the declared fields of a call; raises Failure that names every mistake."""
    call.body = body.whole
    is_text = body.is_text or call.dialect.reads_texts
    call.values, problems = fields.read(
        call.route.fields, call.params, call.query, body.values, is_text=is_text
    )
    if problems:
        raise invalid(*problems)


def _response(dialect: Dialect, headers: Headers, reply: Reply, operations: str = "") -> Response:
    extra = {"trace-id": trace_id(), **dialect.headers(headers), **reply.headers}
    if operations:
        extra[OPERATION_HEADER] = operations
    return _json(reply.status, reply.body, extra)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    if body is EMPTY:
        return Response(status_code=status, headers=dict(headers or {}))
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type="application/json")
