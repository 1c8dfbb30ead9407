"""HTTP bodies: read within a size and a time, and JSON that every reader understands in the same way."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from base.errors import InvalidInput, PayloadTooLarge, TimedOut

BODY_SECONDS_MAX = 30.0  # for a whole JSON body, and for each piece of a form
NESTING_MAX = 32
VALUES_MAX = 10_000
_KEY = re.compile(rb'"[ \t\r\n]*:')


async def read(
    receive: Receive, headers: Headers, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX
) -> bytes:
    """The whole body; raises PayloadTooLarge, TimedOut or ClientDisconnect."""
    refuse_declared(headers, bytes_max)
    body = b""
    try:
        async with asyncio.timeout(seconds_max):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece: bytes = message.get("body", b"")
                body += piece
                if len(body) > bytes_max:
                    raise _too_large(bytes_max)
                if not message.get("more_body", False):
                    return body
    except TimeoutError:
        raise _too_slow(seconds_max) from None


async def pieces(
    receive: Receive, headers: Headers, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX
) -> AsyncGenerator[bytes, None]:
    """The body piece by piece, each within the time; raises as `read` does."""
    refuse_declared(headers, bytes_max)
    received = 0
    more = True
    while more:
        try:
            async with asyncio.timeout(seconds_max):
                message = await receive()
        except TimeoutError:
            raise _too_slow(seconds_max) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        received += len(piece)
        if received > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
        yield piece


def refuse_declared(headers: Headers, bytes_max: int) -> None:
    """Raise PayloadTooLarge for a body whose head already says that it is."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(bytes_max)


def _too_large(bytes_max: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The body is larger than the limit of {bytes_max:,} bytes.",
        hint="Send less at once, a large file in parts (createUpload); or raise HEADWATER_BODY_BYTES_MAX, of files"
        " HEADWATER_UPLOAD_BYTES_MAX.",
    )


def _too_slow(seconds_max: float) -> TimedOut:
    return TimedOut(f"The body did not arrive within the limit of {seconds_max:g} s.")


def load(text: bytes | str, name: str) -> Any:
    """The value of a JSON text that every reader understands in the same way, within limits; raises InvalidInput."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Its own text may quote the offending characters.
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInput(f"{name} is not JSON in UTF-8: see {where}.") from None
    keys = _check(value, name)
    raw = text.encode() if isinstance(text, str) else text
    # Each key is a quote before a colon. Are there more of those, a text has one too, or a key is there twice.
    if len(_KEY.findall(raw)) > keys:
        json.loads(raw, object_pairs_hook=lambda pairs: _unique(pairs, name))
    return value


def _unique(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise InvalidInput(f"{name} has an object with the same key twice.")
    return value


def _check(value: Any, name: str) -> int:
    """Refuse what is too deep, too large or not storable; gives the number of keys."""
    keys = values = 0
    level = [value]
    for _ in range(NESTING_MAX):
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                if "\0" in item:
                    raise InvalidInput(f"{name} has a text with a NUL character (U+0000).")
            elif isinstance(item, dict):
                keys += len(item)
                below.extend(item)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        values += len(below)
        if values > 2 * VALUES_MAX:
            raise InvalidInput(f"{name} has more than the limit of {VALUES_MAX:,} values.")
        if not below:
            return keys
        level = below
    raise InvalidInput(f"{name} is nested deeper than the limit of {NESTING_MAX} levels.")
