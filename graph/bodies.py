"""Request bodies: read within a size and a time, and parsed strictly."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect
from starlette.types import Receive

from base.errors import InvalidInput, PayloadTooLarge, TimedOut
from graph.operations import Request

BODY_SECONDS_MAX = 30.0  # for a whole JSON body, and for each piece of a form
NESTING_MAX = 32
VALUES_MAX = 10_000
FILES_MAX = 20
FILE_USES_MAX = 20
_FORM_BYTES = 64 * 1024  # what the boundaries and heads of the parts may add to their contents
_INDEX_DIGITS_MAX = 5  # of a place in a list; longer numbers are slow to read
_KEY = re.compile(rb'"[ \t\r\n]*:')


async def read(
    receive: Receive, headers: Headers, bytes_max: int, seconds_max: float = BODY_SECONDS_MAX
) -> bytes:
    """The whole body; raises PayloadTooLarge, TimedOut or ClientDisconnect."""
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
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


def _too_large(bytes_max: int) -> PayloadTooLarge:
    return PayloadTooLarge(f"The body is larger than the limit of {bytes_max:,} bytes.")


def _too_slow(seconds_max: float) -> TimedOut:
    return TimedOut(f"The body did not arrive within the limit of {seconds_max:g} s.")


def parse(body: bytes) -> Request:
    """The request in a JSON body; raises InvalidInput."""
    return to_request(load(body, "The body"))


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


def to_request(value: Any) -> Request:
    """The GraphQL request in a JSON value; raises InvalidInput."""
    if not isinstance(value, dict):
        hint = "Batches are not supported: send one request for each operation."
        raise InvalidInput(
            "The body has to be a JSON object.", hint=hint if isinstance(value, list) else None
        )
    query = value.get("query")
    if not isinstance(query, str) or not query.strip():
        raise InvalidInput("`query` has to be the text of a document.", field="query")
    name = value.get("operationName")
    if name is not None and not isinstance(name, str):
        raise InvalidInput("`operationName` has to be a text or null.", field="operationName")
    variables = value.get("variables")
    if variables is not None and not isinstance(variables, dict):
        raise InvalidInput("`variables` has to be an object or null.", field="variables")
    extensions = value.get("extensions")
    if extensions is not None and not isinstance(extensions, dict):
        raise InvalidInput("`extensions` has to be an object or null.", field="extensions")
    return Request(query, variables or {}, name or None)


@asynccontextmanager
async def parse_form(
    receive: Receive, headers: Headers, *, body_bytes_max: int, upload_bytes_max: int
) -> AsyncIterator[Request]:
    """The request in a form by the GraphQL multipart request specification, its files in the variables.

    Files go to disk while they arrive, and are gone at the end. Raises InvalidInput, PayloadTooLarge, TimedOut or
    ClientDisconnect.
    """
    bytes_max = upload_bytes_max + body_bytes_max + _FORM_BYTES
    declared = headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > bytes_max:
        raise _too_large(bytes_max)
    parser = MultiPartParser(
        headers,
        _pieces(receive, bytes_max),
        max_files=FILES_MAX,
        max_fields=2,
        max_part_size=body_bytes_max,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidInput(f"The form cannot be read: {error.message}") from None
    try:
        yield to_request(_with_files(form))
    finally:
        await form.close()


async def _pieces(receive: Receive, bytes_max: int) -> AsyncGenerator[bytes, None]:
    received = 0
    more = True
    while more:
        try:
            async with asyncio.timeout(BODY_SECONDS_MAX):
                message = await receive()
        except TimeoutError:
            raise _too_slow(BODY_SECONDS_MAX) from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        piece: bytes = message.get("body", b"")
        received += len(piece)
        if received > bytes_max:
            raise _too_large(bytes_max)
        more = message.get("more_body", False)
        yield piece


def _with_files(form: FormData) -> Any:
    """The JSON value of `operations`, with the files where `map` says."""
    operations = load(_text(form, "operations"), "`operations`")
    places = load(_text(form, "map"), "`map`")
    is_map = isinstance(places, dict) and all(
        isinstance(paths, list) and all(isinstance(path, str) for path in paths)
        for paths in places.values()
    )
    if not is_map:
        raise InvalidInput("`map` has to be an object of lists of paths.", field="map")
    if sum(map(len, places.values())) > FILE_USES_MAX:
        raise InvalidInput(f"`map` has more than the limit of {FILE_USES_MAX} paths.", field="map")
    files = {name: value for name, value in form.multi_items() if isinstance(value, UploadFile)}
    if files.keys() != places.keys():
        raise InvalidInput("`map` has to name each file of the form, and no other.", field="map")
    for name, paths in places.items():
        for path in paths:
            _place(operations, path, files[name])
    return operations


def _text(form: FormData, name: str) -> str:
    found = form.getlist(name)
    if len(found) != 1 or not isinstance(found[0], str):
        raise InvalidInput(f"The form needs one field `{name}` with JSON.", field=name)
    return found[0]


def _place(operations: Any, path: str, file: UploadFile) -> None:
    """Put a file in the place of the null at `variables.…`."""
    keys = path.split(".")
    spot = operations
    for key in keys[:-1]:
        spot = _at(spot, key)
    last: Any = int(keys[-1]) if isinstance(spot, list) and keys[-1].isdecimal() else keys[-1]
    there = _at(spot, keys[-1])
    if keys[0] != "variables" or there is not None:
        raise InvalidInput(
            "`map` has a path that is not that of a null in `variables`.", field="map"
        )
    spot[last] = file


def _at(spot: Any, key: str) -> Any:
    if isinstance(spot, dict) and key in spot:
        return spot[key]
    if (
        isinstance(spot, list)
        and key.isdecimal()
        and len(key) <= _INDEX_DIGITS_MAX
        and int(key) < len(spot)
    ):
        return spot[int(key)]
    raise InvalidInput("`map` has a path that is not in `operations`.", field="map")
