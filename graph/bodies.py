"""GraphQL requests in bodies, parsed strictly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.datastructures import FormData, Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.types import Receive

from base.bodies import load, pieces, refuse_declared
from base.errors import InvalidInput
from graph.operations import Request

FILES_MAX = 20
FILE_USES_MAX = 20
_FORM_BYTES = 64 * 1024  # what the boundaries and heads of the parts may add to their contents
_INDEX_DIGITS_MAX = 5  # of a place in a list; longer numbers are slow to read


def parse(body: bytes) -> Request:
    """The request in a JSON body; raises InvalidInput."""
    return to_request(load(body, "The body"))


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
    refuse_declared(headers, bytes_max)
    parser = MultiPartParser(
        headers,
        pieces(receive, headers, bytes_max),
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
