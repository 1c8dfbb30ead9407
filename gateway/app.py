"""Requests of all dialects in, replies out: an ASGI app for the paths that it `owns`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

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
from gateway.dialect import EMPTY, Dialect, Reply, Route
from gateway.explain import explain
from gateway.failures import Failure, Problem, invalid
from gateway.links import PREFIX as LINKS
from gateway.links import Links
from gateway.openapi import document
from gateway.requests import Asked
from gateway.routing import Match, Router

logger = logging.getLogger("headwater.gateway")

OPERATION_HEADER = "x-headwater-operation"
OWN = "/gateway/"
EXPLAIN = f"{OWN}explain"
OPENAPI = f"{OWN}openapi"


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
        self._dialects = tuple(dialects)
        self.router = Router(dialects)
        self._executor = executor
        self._links = Links(keyring)
        self._public_url = public_url
        self._limits = limits
        self._wait_seconds = wait_seconds
        self._sdl = cache(sdl)

    def owns(self, path: str) -> bool:
        """Whether a path is one of a dialect, or of the gateway itself; with and without a slash at its end."""
        whole = f"{path}/"
        return whole.startswith(OWN) or any(map(self.router.owner, (path, whole)))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        headers = Headers(scope=scope)
        query = scope["query_string"].decode("ascii", "replace")
        credential = requests.credential_of(headers)
        asked = Asked(scope["method"], scope["path"], query, headers, credential)
        answer = self._own if asked.path.startswith(OWN) else self._serve
        try:
            response = await answer(asked, receive)
        except ClientDisconnect:
            return
        if asked.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _own(self, asked: Asked, receive: Receive) -> Response:
        """What is the gateway's, and no dialect's."""
        path = asked.path
        if asked.method not in {"GET", "HEAD"}:
            return _json(405, {"message": "Use GET."}, {"allow": "GET"})
        if path == EXPLAIN:
            status, body = await explain(self, requests.query_of(asked), self._sdl)
            return _json(status, body)
        if path == OPENAPI:
            return _json(200, {"documents": [_listed(each) for each in self._dialects]})
        for dialect in self._dialects:
            if path == _listed(dialect)["url"]:
                return _json(200, document(dialect, self._public_url))
        if path.startswith(LINKS) and (linked := self._links.open(path)) is not None:
            inner, _, query = linked.path.partition("?")
            meant = replace(asked, path=inner, query=query, credential=linked.credential)
            return await self._serve(meant, receive)
        return _json(404, {"message": "There is nothing here, or the link has expired."})

    def call(self, match: Match, asked: Asked, executor: Executor | None = None) -> Call:
        """A request that has found its route, on its way to our executor or another one."""
        return Call(
            dialect=match.dialect,
            route=match.route,
            method=asked.method,
            path=asked.path,
            params=match.params,
            query=requests.query_of(asked),
            headers=asked.headers,
            credential=None if match.route.is_open else asked.credential,
            executor=executor or self._executor,
            public_url=self._public_url,
            links=self._links,
            wait_seconds=self._wait_seconds,
        )

    async def _serve(self, asked: Asked, receive: Receive) -> Response:
        match = self.router.match(asked.method, asked.path)
        if isinstance(match, Failure):
            dialect = self.router.owner(asked.path)
            if dialect is None:
                return _json(404, {"message": match.message})
            return _response(dialect, asked.headers, dialect.failure(match, None))
        call = self.call(match, asked)
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
        return _response(call.dialect, asked.headers, reply, ", ".join(names))

    async def _reply(self, call: Call, receive: Receive) -> Reply:
        route = call.route
        if not route.is_open:
            if call.credential is None:
                raise Failure("UNAUTHENTICATED", "Authentication credentials were not provided.")
            if route.has_body:
                refused = await call.executor.admit(call.credential)
                if refused is not None:
                    raise refusal_of(refused)
        async with requests.body_of(route, receive, call.headers, self._limits) as body:
            _fill(call, body)
            return await route.action.handle(call)


def _listed(dialect: Dialect) -> Mapping[str, str]:
    """A dialect in the list of documents."""
    return {"name": dialect.name, "title": dialect.title, "url": f"{OPENAPI}/{dialect.name}.json"}


def _fill(call: Call, body: requests.Body) -> None:
    """Read the declared fields of a call; raises Failure that names every mistake."""
    call.body = body.whole
    is_text = body.is_text or call.dialect.reads_texts
    call.values, problems = fields.read(
        call.route.fields, call.params, call.query, body.values, is_text=is_text
    )
    if problems:
        raise _refused(call.route, problems)


def _refused(route: Route, problems: Sequence[Problem]) -> Failure:
    """The failure of a request with such mistakes: a path that can name nothing is not found."""
    in_path = {each.name for each in route.fields if each.place == "path"}
    if any(each.field in in_path for each in problems):
        return Failure("NOT_FOUND", "There is nothing at this path.")
    return invalid(*problems)


def _response(dialect: Dialect, headers: Headers, reply: Reply, operations: str = "") -> Response:
    extra = {"trace-id": trace_id(), **dialect.headers(headers), **reply.headers}
    if operations:
        extra[OPERATION_HEADER] = operations
    return _json(reply.status, reply.body, extra)


def _json(status: int, body: Any, headers: Mapping[str, str] | None = None) -> Response:
    if body is EMPTY:
        return Response(status_code=status, headers=dict(headers or {}))
    return Response(orjson.dumps(body), status, dict(headers or {}), media_type="application/json")
