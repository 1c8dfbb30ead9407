"""What a dialect is made of: routes, each of which becomes operations of GraphQL and a reply."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal

from starlette.datastructures import Headers

from gateway.documents import Operations
from gateway.failures import Failure
from gateway.fields import Field
from gateway.schemas import Schema

if TYPE_CHECKING:
    from gateway.call import Call

Variables = dict[str, Any]
Data = dict[str, Any]


class _Nothing(Enum):
    EMPTY = "empty"


EMPTY: Final = _Nothing.EMPTY  # no body, where null would be one


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer: a JSON value, or `EMPTY`."""

    status: int = 200
    body: Any = EMPTY
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """What a route does. `operations` are the names of those that it may run, in that order."""

    operations: tuple[str, ...]
    handle: Callable[[Call], Awaitable[Reply]]


def one(
    operation: str,
    variables: Callable[[Call], Variables],
    reply: Callable[[Call, Data], Reply],
) -> Action:
    """One operation: the request becomes its variables, and its data the reply."""

    async def handle(call: Call) -> Reply:
        return reply(call, await call.run(operation, variables(call)))

    return Action((operation,), handle)


def several(*operations: str) -> Callable[[Callable[[Call], Awaitable[Reply]]], Action]:
    """Decorates a function that runs these operations, each by `call.run`."""

    def decorate(handle: Callable[[Call], Awaitable[Reply]]) -> Action:
        return Action(operations, handle)

    return decorate


@dataclass(frozen=True, slots=True)
class Route:
    """A request of a dialect.

    `path` names its parameters, `{name}` for a segment and `{name:int}` for digits; each is one of `fields`. `replies`
    has the JSON Schema of the body of each status that is no failure; None is an empty body. `is_open` needs no
    credential, and looks at none. `is_repeatable` honours the header `Idempotency-Key`. `accepts` are the kinds of
    bodies; a body may be left out. With `body`, a JSON Schema, the route itself reads the JSON value `call.body`,
    whatever that is, and has no fields in the body.
    """

    method: str
    path: str
    summary: str
    action: Action
    fields: tuple[Field, ...] = ()
    replies: Mapping[int, Schema | None] = field(default_factory=lambda: {200: {}})
    is_open: bool = False
    is_repeatable: bool = False
    accepts: tuple[Literal["json", "form"], ...] = ("json",)
    about: str = ""
    body: Schema | None = None

    @property
    def has_body(self) -> bool:
        """Whether a body is read."""
        return self.body is not None or any(each.place == "body" for each in self.fields)


@dataclass(frozen=True, slots=True)
class Dialect:
    """A REST API that clients were written for.

    `prefixes` may stand before each path, the first one is shown in documents; `roots` are the starts of the paths
    whose errors are this dialect's. `failure` makes the reply to whatever failed; the call is None where no route was
    found. `failures` has the schema of the bodies of failures, by status (`404`, `4XX`, `default`). `headers` come with
    every reply. With `reads_texts` the texts of JSON may stand for numbers and booleans, as in forms.
    """

    name: str
    title: str
    about: str
    routes: Sequence[Route]
    operations: Operations
    roots: tuple[str, ...]
    failure: Callable[[Failure, Call | None], Reply]
    failures: Mapping[str, Schema]
    prefixes: tuple[str, ...] = ("",)
    may_end_in_slash: bool = False
    reads_texts: bool = False
    headers: Callable[[Headers], Mapping[str, str]] = lambda _: {}


PARAMETER = re.compile(r"\{(?P<name>\w+)(?P<int>:int)?\}")  # a segment of a route's path


def plain_path(path: str) -> str:
    """The path as OpenAPI writes it."""
    return path.replace(":int}", "}")
