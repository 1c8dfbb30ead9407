"""A request on its way through a route."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

from starlette.datastructures import Headers

from gateway.client import Answer, Executor
from gateway.dialect import Data, Dialect, Route
from gateway.failures import Failure
from gateway.links import Links

WAIT_FIRST_SECONDS = 0.05
WAIT_LONGEST_SECONDS = 1.0
IDEMPOTENCY_HEADER = "idempotency-key"
IDEMPOTENCY_CHARS_MAX = 150
T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """A request of a dialect. `values` are its declared fields by name; `executed` the operations it became so far.

    `body` is the JSON value of a route that reads its body itself; None without one.

    `wait_seconds` is how long it may wait for jobs before it answers how far they are.
    """

    dialect: Dialect
    route: Route
    method: str
    path: str
    params: Mapping[str, str]
    query: Mapping[str, str]
    headers: Headers
    credential: str | None
    executor: Executor
    public_url: str
    links: Links
    wait_seconds: float
    values: dict[str, Any] = field(default_factory=dict)
    body: Any = None
    executed: list[str] = field(default_factory=list)
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def run(
        self, operation: str, variables: Mapping[str, Any], *, credential: str | None = None
    ) -> Data:
        """The data of an operation of this dialect's document; raises Failure where it has errors.

        Variables that are None are left out. `credential` stands in for the request's own.
        """
        given = {name: value for name, value in variables.items() if value is not None}
        if operation not in self.executed:
            self.executed.append(operation)
        document = self.dialect.operations.documents[operation]
        token = self.credential if credential is None else credential
        answer = await self.executor.execute(document, operation, given, token)
        errors = answer.get("errors")
        if errors:
            raise failure_of(errors, has_credential=token is not None)
        data: Data = answer["data"]
        return data

    async def wait(
        self,
        operation: str,
        variables: Mapping[str, Any],
        is_over: Callable[[Data], bool],
    ) -> Data:
        """The data of an operation once `is_over` says so, or after `wait_seconds`; it is asked again and again."""

        async def ask() -> Data:
            return await self.run(operation, variables)

        return await self.repeat(ask, is_over)

    async def repeat(self, ask: Callable[[], Awaitable[T]], is_over: Callable[[T], bool]) -> T:
        """The same of anything that can be asked, such as several operations."""
        waited, pause = 0.0, WAIT_FIRST_SECONDS
        while True:
            found = await ask()
            if is_over(found) or waited >= self.wait_seconds:
                return found
            await self.pause(pause)
            waited += pause
            pause = min(2 * pause, WAIT_LONGEST_SECONDS)

    def idempotency_key(self, step: str = "") -> str | None:
        """The key of the header `Idempotency-Key`, of its own for each dialect and step; None without one.

        The route has to say that it `is_repeatable`.
        """
        assert self.route.is_repeatable, f"{self.route.path} does not declare its key"
        key = self.headers.get(IDEMPOTENCY_HEADER)
        if not key:
            return None
        if len(key) > IDEMPOTENCY_CHARS_MAX:  # and not its beginning, which another may share
            key = hashlib.sha256(key.encode()).hexdigest()
        return ":".join(filter(None, (self.dialect.name, step, key)))

    def url(self, path: str, query: Mapping[str, Any] | None = None) -> str:
        """The absolute URL of a path, by the public URL of this server."""
        return f"{self.public_url}{path}" + (f"?{urlencode(query)}" if query else "")

    def link(self, path: str, name: str) -> str:
        """An absolute URL, good for an hour, at which whoever has it gets what GET of `path` gives the caller now.

        `name` is how it ends, for people and for programs that look at extensions.
        """
        assert self.credential is not None, "links are made for somebody"
        return f"{self.public_url}{self.links.path(self.credential, path, name)}"


def failure_of(errors: Sequence[Mapping[str, Any]], *, has_credential: bool) -> Failure:
    """The failure that the first error of an answer is."""
    first = errors[0]
    extensions = first.get("extensions") or {}
    return Failure(
        extensions.get("code", "INTERNAL"),
        first.get("message", ""),
        hint=extensions.get("hint"),
        field=extensions.get("field"),
        has_credential=has_credential,
    )


def refusal_of(answer: Answer) -> Failure:
    """The failure that an answer to `Executor.admit` is."""
    return failure_of(answer["errors"], has_credential=True)
