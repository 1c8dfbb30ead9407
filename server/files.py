"""Signed links: objects at `/files/…`, parts of uploads at `/parts/…`, tables made while they are sent at `/exports/…`.

Objects and exports take GET and HEAD, parts PUT. The link is the permission, so these routes ask for no
token. A link that belongs to a data source dies with it. What is served came from users: it is always an attachment of
a type that browsers do not run.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Send

from base.errors import (
    Conflict,
    NotFound,
    PayloadTooLarge,
    PlatformError,
    RateLimited,
    StorageFull,
    TimedOut,
)
from services import snapshots
from services.platform import Platform
from storage.attachments import disposition
from storage.local import PARTS_PATH, LocalStore
from storage.signing import LinkExpired, LinkInvalid, Signer
from storage.snapshots.formats import ExportFormat
from storage.store import ObjectInfo, Place, part_too_large

logger = logging.getLogger(__name__)

STALL_SECONDS_MAX = 60  # without a byte taken or given
_SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "private, no-store",
}
_BYTES_TYPE = "application/octet-stream"
_TYPES = {
    ExportFormat.CSV: "text/csv; charset=utf-8",
    ExportFormat.JSONL: "application/x-ndjson",
    ExportFormat.PARQUET: "application/vnd.apache.parquet",
}
_STATUSES: dict[type[PlatformError], int] = {
    NotFound: 404,
    Conflict: 409,
    PayloadTooLarge: 413,
    RateLimited: 429,
    TimedOut: 504,
    StorageFull: 507,
}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


def routes(platform: Platform) -> list[Route]:
    """The routes of signed links."""
    links = _Links(platform)
    return [
        Route("/files/{key:path}", links.read, methods=["GET"]),
        Route(PARTS_PATH + "/{upload}/{number:int}", links.write_part, methods=["PUT"]),
        Route(snapshots.EXPORTS_PATH + "/{snapshot}", links.export, methods=["GET"]),
    ]


class _Links:
    """What the routes share."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._signer = Signer(platform.keyring.signing_key)

    async def read(self, request: Request) -> Response:
        """GET and HEAD of an object, whole or one range of it."""
        key = request.path_params["key"]
        try:
            fields = self._verify(request, "GET")
            holder = fields.get("holder")
            info = await self._platform.store.head(key)
            if info is None or (holder is not None and not await snapshots.is_alive(holder)):
                raise NotFound("What this link led to is deleted.")
        except PlatformError as error:
            return _refused(error)
        except (LinkInvalid, LinkExpired) as error:
            return _forbidden(error)
        return self._object(request, info, fields["name"])

    async def write_part(self, request: Request) -> Response:
        """PUT of a part of an upload, as often as needed until that is completed."""
        try:
            fields = self._verify(request, "PUT")
            store = self._platform.store
            if not isinstance(store, LocalStore):
                raise NotFound("Parts are uploaded to the object store itself.")
            place = Place(request.path_params["number"], int(fields["offset"]), int(fields["size"]))
            declared = request.headers.get("content-length", "")
            if declared.isdecimal() and int(declared) > place.size_bytes:
                raise part_too_large(place)
            part = await store.put_part(request.path_params["upload"], place, _body(request))
        except PlatformError as error:
            return _refused(error)
        except (LinkInvalid, LinkExpired) as error:
            return _forbidden(error)
        return Response(status_code=200, headers={"ETag": f'"{part.etag}"'})

    async def export(self, request: Request) -> Response:
        """GET and HEAD of a table as a file; its length is not known before its end."""
        try:
            fields = self._verify(request, "GET")
            kind = ExportFormat(fields["format"])
            chunks = await snapshots.export(
                self._platform, request.path_params["snapshot"], int(fields["table"]), kind
            )
            headers = _headers(fields["name"], _TYPES[kind]) | {"Accept-Ranges": "none"}
            if request.method == "HEAD":
                return Response(headers=headers)
            first = await anext(chunks, b"")  # a failure to start is a status, not a broken file
        except PlatformError as error:
            return _refused(error)
        except (LinkInvalid, LinkExpired) as error:
            return _forbidden(error)
        return _Stream(_preceded(first, chunks), headers=headers)

    def _verify(self, request: Request, method: str) -> dict[str, str]:
        return self._signer.verify(
            method, request.scope["path"], request.query_params.multi_items()
        )

    def _object(self, request: Request, info: ObjectInfo, file_name: str) -> Response:
        # Objects never change, so their key tells them apart.
        etag = f'"{hashlib.sha256(info.key.encode()).hexdigest()[:32]}"'
        kind = _TYPES[ExportFormat.PARQUET] if info.key.endswith(".parquet") else _BYTES_TYPE
        headers = _headers(file_name, kind) | {"Accept-Ranges": "bytes", "ETag": etag}
        if request.headers.get("if-none-match") in {etag, "*"}:
            return Response(status_code=304, headers=headers)
        size, status = info.size_bytes, 200
        start, end = 0, size
        if request.headers.get("if-range", etag) == etag:
            wanted = _range(request.headers.get("range"), size)
            if wanted is not None and wanted[0] >= wanted[1]:
                return Response(
                    status_code=416, headers=headers | {"Content-Range": f"bytes */{size}"}
                )
            if wanted is not None:
                (start, end), status = wanted, 206
                headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
        headers["Content-Length"] = str(end - start)
        if request.method == "HEAD":
            return Response(status_code=status, headers=headers)
        chunks = self._platform.store.open(info.key, start, end)
        return _Stream(_preceded(b"", chunks), status_code=status, headers=headers)


class _Stream(StreamingResponse):
    """Sends chunks, gives up on a client that takes none for `STALL_SECONDS_MAX`, and always closes its source."""

    def __init__(
        self,
        chunks: AsyncGenerator[bytes],
        *,
        headers: Mapping[str, str],
        status_code: int = 200,
    ) -> None:
        super().__init__(chunks, status_code=status_code, headers=headers)
        self._chunks = chunks

    async def stream_response(self, send: Send) -> None:
        """Send everything, or break the connection off so that the client sees an incomplete file."""
        async with aclosing(self._chunks) as chunks:
            await send(
                {
                    "type": "http.response.start",
                    "status": self.status_code,
                    "headers": self.raw_headers,
                }
            )
            try:
                async for chunk in chunks:
                    async with asyncio.timeout(STALL_SECONDS_MAX):
                        await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except TimeoutError:
                logger.warning("a client stopped taking its download")
                return
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _preceded(first: bytes, rest: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
    try:
        if first:
            yield first
        async for chunk in rest:
            yield chunk
    finally:
        if isinstance(rest, AsyncGenerator):
            await rest.aclose()


async def _body(request: Request) -> AsyncGenerator[bytes]:
    """The request's body; raises TimedOut for a client that stops sending."""
    async with aclosing(request.stream()) as chunks:
        while True:
            try:
                async with asyncio.timeout(STALL_SECONDS_MAX):
                    chunk = await anext(chunks, None)
            except TimeoutError as error:
                raise TimedOut(f"No bytes came for {STALL_SECONDS_MAX} seconds.") from error
            if chunk is None:
                return
            yield chunk


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """Start and end (exclusive) of a single range, empty where it cannot be met; None to send all.

    As RFC 9110 allows, what is malformed and what asks for several ranges gets the whole.
    """
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None
    first, last = match.groups()
    if first:
        if last and int(last) < int(first):
            return None
        return int(first), min(int(last) + 1, size) if last else size
    return (max(size - int(last), 0), size) if last else None


def _headers(file_name: str, content_type: str) -> dict[str, str]:
    shown = {"Content-Disposition": disposition(file_name), "Content-Type": content_type}
    return _SAFE_HEADERS | shown


def _refused(error: PlatformError) -> Response:
    status = next((code for kind, code in _STATUSES.items() if isinstance(error, kind)), 400)
    body = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
    headers = _SAFE_HEADERS | (
        {"Retry-After": "30"} if status == HTTPStatus.TOO_MANY_REQUESTS else {}
    )
    return JSONResponse(body, status, headers)


def _forbidden(error: LinkInvalid | LinkExpired) -> Response:
    expired = isinstance(error, LinkExpired)
    message = "The link has expired." if expired else "The link is not valid: it was changed."
    body = {"error": {"code": "FORBIDDEN", "message": message, "hint": "Ask for a new one."}}
    return JSONResponse(body, 403, _SAFE_HEADERS)
