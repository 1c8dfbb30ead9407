"""The REST dialects, and how they reach the GraphQL API in the same process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.datastructures import UploadFile
from starlette.routing import BaseRoute, Match
from starlette.types import Receive, Scope, Send

from base.credentials import Keyring
from base.errors import PlatformError
from base.settings import Settings, SettingsError
from gateway import DIALECTS, Executor, Gateway
from gateway.client import Answer
from gateway.dialect import Dialect
from gateway.requests import Limits
from graph.context import Context
from graph.errors import present
from graph.http import UPLOAD_SECONDS_MAX
from graph.operations import Answer as Refused
from graph.operations import Engine, Request
from graph.schema import export
from graph.serialized import dumps
from server.auth import ContextFactory


class InProcess:
    """Executes operations as the endpoint of the GraphQL API does, without HTTP between."""

    def __init__(self, engine: Engine, contexts: ContextFactory) -> None:
        self._engine = engine
        self._contexts = contexts

    async def execute(
        self, document: str, operation: str, variables: Mapping[str, Any], credential: str | None
    ) -> Answer:
        """As `gateway.Executor.execute`."""
        try:
            context = await self._context(credential)
        except PlatformError as error:
            return {"errors": present([error])}
        request = Request(document, dict(variables), operation)
        prepared = self._engine.prepare(request, may_introspect=True)
        if isinstance(prepared, Refused):
            return prepared.body
        seconds = UPLOAD_SECONDS_MAX if _has_file(request.variables) else None
        answer = await self._engine.run(prepared, request, context, seconds_max=seconds)
        body: Answer = orjson.loads(dumps(answer.body))  # rows are JSON text in it
        return body

    async def admit(self, credential: str) -> Answer | None:
        """As `gateway.Executor.admit`."""
        try:
            await self._context(credential)
        except PlatformError as error:
            return {"errors": present([error])}
        return None

    async def _context(self, credential: str | None) -> Context:
        return await self._contexts.of(None if credential is None else f"Bearer {credential}")


def _has_file(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_file, value.values()))
    return isinstance(value, UploadFile)


class GatewayRoute(BaseRoute):
    """The paths of the dialects, in an app with others."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the path is one of a dialect."""
        is_ours = scope["type"] == "http" and self._gateway.owns(scope["path"])
        return (Match.FULL, {"endpoint": self._gateway}) if is_ours else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._gateway(scope, receive, send)


def chosen(settings: Settings) -> list[Dialect]:
    """The dialects that the settings name; raises SettingsError for one that there is not."""
    if settings.gateway_dialects is None:
        return list(DIALECTS.values())
    unknown = [name for name in settings.gateway_dialects if name not in DIALECTS]
    if unknown:
        known = ", ".join(DIALECTS)
        msg = f"HEADWATER_GATEWAY_DIALECTS names {unknown[0]!r}; there are {known}"
        raise SettingsError(msg)
    return [DIALECTS[name] for name in settings.gateway_dialects]


def build(settings: Settings, executor: Executor) -> Gateway:
    """The gateway of prepared settings, over an executor."""
    return Gateway(
        chosen(settings),
        executor,
        keyring=Keyring(settings.secret_keys),
        public_url=settings.effective_public_url,
        limits=Limits(settings.body_bytes_max, settings.upload_bytes_max),
        wait_seconds=settings.gateway_wait_seconds_max,
        sdl=export,
    )
