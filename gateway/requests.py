"""From an HTTP request to the values of a route's fields."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.types import Receive

from base import bodies
from base.errors import InvalidInput, TimedOut
from gateway.dialect import Route
from gateway.failures import (
    MALFORMED_BODY,
    UNSUPPORTED_MEDIA_TYPE,
    Failure,
    Problem,
    invalid,
)

JSON = "application/json"
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"
FILES_MAX = 5
FIELDS_MAX = 50
CREDENTIAL_CHARS_MAX = 8_192
QUERY_CHARS_MAX = 16 * 1024
QUERY_FIELDS_MAX = 100
_FORM_BYTES = 64 * 1024  # what the boundaries and heads of the parts may add to their contents
_SCHEMES = ("jwt", "token", "bearer")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request without its body. `query` is what follows the question mark; `credential` an API token or a session."""

    method: str
    path: str
    query: str
    headers: Headers
    credential: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """The fields of a body; `is_text` says that they came as texts, in a form.

    `whole` is the JSON value for a route that reads it itself.
    """

    values: Mapping[str, Any]
    is_text: bool = False
    whole: Any = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a body, and of the files in one."""

    body_bytes_max: int
    upload_bytes_max: int


def credential_of(headers: Headers) -> str | None:
    """The API token or session of a request, in any of its spellings; None without one.

    `Authorization: JWT x`, `Token x` and `Bearer x`, or `x-pd-api-key: x`.
    """
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    if scheme.lower() in _SCHEMES and secret.strip():
        return secret.strip()[:CREDENTIAL_CHARS_MAX]
    if scheme:
        return scheme[:CREDENTIAL_CHARS_MAX]  # no scheme of ours: no token of ours either
    return headers.get("x-pd-api-key", "").strip()[:CREDENTIAL_CHARS_MAX] or None


def query_of(asked: Asked) -> dict[str, str]:
    """The fields of a query, of several with one name the last; none of a query that nothing could mean."""
    if not asked.query:
        return {}
    try:
        pairs = parse_qsl(
            asked.query[:QUERY_CHARS_MAX],
            keep_blank_values=True,
            max_num_fields=QUERY_FIELDS_MAX,
            errors="replace",
        )
    except ValueError:
        return {}
    return dict(pairs)


@asynccontextmanager
async def body_of(
    route: Route, receive: Receive, headers: Headers, limits: Limits
) -> AsyncIterator[Body]:
    """The body of a request; its files are gone at the end. Raises Failure, or as `base.bodies` does."""
    if not route.has_body:
        yield Body({})
        return
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in {MULTIPART, URLENCODED} and "form" in route.accepts:
        async with _form(kind, receive, headers, limits) as body:
            yield body
        return
    raw = await _in_time(bodies.read(receive, headers, limits.body_bytes_max))
    if not raw.strip():
        yield Body({})
        return
    if "json" not in route.accepts or (kind and kind != JSON and not kind.endswith("+json")):
        raise Failure(UNSUPPORTED_MEDIA_TYPE, f'Unsupported media type "{kind}" in request.')
    value = _json(raw)
    yield Body(_object(value)) if route.body is None else Body({}, whole=value)


async def _in_time(reading: Awaitable[T]) -> T:
    """What is read; a client that is too slow is not the server's failure, and its connection ends."""
    try:
        return await reading
    except TimedOut as error:
        raise Failure(MALFORMED_BODY, error.message, headers={"connection": "close"}) from None


def _json(raw: bytes) -> Any:
    try:
        return bodies.load(raw, "The body")
    except InvalidInput as error:
        raise Failure(MALFORMED_BODY, _python_message(raw) or error.message) from None


def _python_message(raw: bytes) -> str | None:
    """What Python's own parser says of it, which clients of these APIs know; None where it takes it."""
    try:
        json.loads(raw)
    except UnicodeDecodeError as error:
        return f"{error.reason} at byte {error.start}"
    except RecursionError:
        return None
    except ValueError as error:
        return str(error)
    return None


def _object(value: Any) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        kind = type(value).__name__
        message = f"Invalid data. Expected a dictionary, but got {kind}."
        raise invalid(Problem("", "object", message, wanted="object", given=value))
    return value


@asynccontextmanager
async def _form(
    kind: str, receive: Receive, headers: Headers, limits: Limits
) -> AsyncIterator[Body]:
    parser: FormParser | MultiPartParser
    try:
        if kind == URLENCODED:
            pieces = bodies.pieces(receive, headers, limits.body_bytes_max)
            parser = FormParser(
                headers, pieces, max_fields=FIELDS_MAX, max_part_size=limits.body_bytes_max
            )
        else:
            bytes_max = limits.upload_bytes_max + limits.body_bytes_max + _FORM_BYTES
            pieces = bodies.pieces(receive, headers, bytes_max)
            parser = MultiPartParser(
                headers,
                pieces,
                max_files=FILES_MAX,
                max_fields=FIELDS_MAX,
                max_part_size=limits.body_bytes_max,
            )
        form = await _in_time(parser.parse())
    except (MultiPartException, KeyError) as error:
        reason = error.message if isinstance(error, MultiPartException) else "no boundary"
        what = "Form" if kind == URLENCODED else "Multipart form"
        raise Failure(MALFORMED_BODY, f"{what} parse error - {reason}") from None
    try:
        for name, value in form.multi_items():
            if "\0" in name or (isinstance(value, str) and "\0" in value):
                message = "Null characters are not allowed."
                raise invalid(Problem(name.replace("\0", ""), "other", message))
        yield Body(dict(form.multi_items()), is_text=True)
    finally:
        await form.close()
