"""Files at a URL: fetched through the outbound guard into the store, where they are uploads like any other.

The whole URL is a secret, for it may be a presigned one; what is shown of it ends with its path.
"""

from __future__ import annotations

import asyncio
import secrets as tokens
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

import connectors
from base.errors import Conflict, ConnectionFailed, InvalidInput, Unsupported
from connectors import urls
from connectors.connector import Family
from connectors.files.settings import encoding
from models import DataSource, Upload
from models.database import transaction
from services import uploads
from services.platform import Platform
from services.sources.holding import held

if TYPE_CHECKING:
    import httpx

    from connectors.web import Answer, Web

FETCH_SECONDS_MAX = 3_600
FETCHES_MAX = 16  # of one process that wait for a server at once
CHUNK_BYTES = 1024**2
UNKNOWN_KIND = "file"  # of one whose URL does not say, until it was fetched
NAMED = "named_as"  # a setting: what the user calls the file, whatever it is called at its URL
FETCHED = (
    "object_key",
    "sha256",
    "etag",
    "last_modified",
    "charset",
)  # settings that a fetch writes
_PLACE = ("url", NAMED)
_PENDING = "pending"  # an object key, while there is none
_TAG_CHARS_MAX = 1_000
_LARGER = "Offer the file in several, or raise HEADWATER_UPLOAD_BYTES_MAX."
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_PLAIN = frozenset({"text", "markdown"})  # kinds that may hold markup
_EXTENSIONS = {
    "text/csv": ".csv",
    "application/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "application/json": ".json",
    "text/json": ".json",
    "application/x-ndjson": ".ndjson",
    "application/ndjson": ".ndjson",
    "application/jsonl": ".jsonl",
    "application/x-jsonlines": ".jsonl",
    "application/vnd.apache.parquet": ".parquet",
    "application/x-parquet": ".parquet",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ".xlsx",
    "application/vnd.ms-excel": ".xls",
    "application/pdf": ".pdf",
    "application/msword": ".doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
    "application/vnd.ms-powerpoint": ".ppt",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": ".pptx",
    "text/markdown": ".md",
    "text/plain": ".txt",
}

T = TypeVar("T")
# Not those of the event loop: servers that are silent would keep whatever else is done in a thread waiting.
_THREADS = ThreadPoolExecutor(FETCHES_MAX, thread_name_prefix="fetch")


class SourceChanged(Conflict):
    """The source was changed while its file was fetched."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that was stored. `etag` and `last_modified` are the server's own words.

    `charset` is the codec of the text encoding that it names, if that is not UTF-8 anyway.
    """

    kind: str
    file_name: str
    object_key: str
    size_bytes: int
    sha256: str
    etag: str | None
    last_modified: str | None
    charset: str | None

    def settings(self) -> dict[str, str]:
        """What a source keeps of it."""
        kept = {name: getattr(self, name) for name in ("file_name", *FETCHED)}
        return {name: value for name, value in kept.items() if value is not None}


def check_url(url: str, raw: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, str]]:
    """Kind, public settings and secrets of a file at a URL, without asking for it. `raw` is what else was said of it.

    A `file_name` in it is what the file is called. Raises InvalidInput, Unsupported for a name that says no kind.
    """
    shown, path = _shown(url)
    said = {name: value for name, value in raw.items() if name != "file_name"}
    called = raw.get("file_name")
    name = uploads.shown_name(unquote(path) if called is None else called)
    kind: str | None = None
    try:
        kind = _kind_of(name, None if called is None else "file_name")
    except Unsupported:
        if called is not None:
            raise
    settings = _unplaced(kind, said)
    known = {"url": shown} | ({"file_name": name} if kind else {})
    known |= {} if called is None else {NAMED: name}
    return kind or UNKNOWN_KIND, known | settings, {"url": url}


def check_unknown(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Public settings of a file of which nobody knows yet what it is, or where. Raises InvalidInput."""
    return _unplaced(None, raw)


async def refresh(platform: Platform, source: DataSource, url: str, *, seconds: float) -> None:
    """Fetch a source's file unless it is the one that is stored; the source then names the new one.

    Raises ConnectionFailed, TimedOut, PayloadTooLarge, Unsupported, StorageFull, and `SourceChanged`.
    """
    old = source.settings.get("object_key")
    has_old = old is not None and await platform.store.head(old) is not None
    known = source.settings if has_old else {}
    project_id: int = source.project_id  # type: ignore[attr-defined]
    called = source.settings.get(NAMED)
    got = await fetch(platform, project_id, url, seconds=seconds, known=known, called=called)
    if got is None:
        return
    try:
        same = known.get("sha256"), source.kind, known.get("charset")
        if (got.sha256, got.kind, got.charset) == same:
            await platform.store.delete(got.object_key)
            return
        await _take(source, got)
    except BaseException:
        await platform.store.delete(got.object_key)
        raise
    if old is not None:
        await uploads.drop(platform, source, old)


async def fetch(
    platform: Platform,
    project_id: int,
    url: str,
    *,
    seconds: float,
    known: Mapping[str, Any] | None = None,
    bytes_max: int | None = None,
    called: str | None = None,
) -> Fetched | None:
    """Stream the file at a URL into the store; None where it is still the known one. It has no row of its own yet.

    It is found out what it is, unless it is `called` something.
    """
    from connectors.web import Web, WebLimits  # noqa: PLC0415 - loads the HTTP client where it is used

    most = min(platform.settings.upload_bytes_max, bytes_max or platform.settings.upload_bytes_max)
    web = await asyncio.to_thread(
        Web, platform.guard, WebLimits(most, total_seconds=seconds, larger_hint=_LARGER)
    )
    headers, private = _conditions(known or {}), _private(url)
    try:
        answer = await _step(web, lambda: web.open(url, headers=headers, private=private))
        if answer.status == 304:  # noqa: PLR2004 - Not Modified
            return None
        name, kind = _named(answer, url, called)
        key = f"uploads/{project_id}/{tokens.token_hex(16)}"
        async with aclosing(_chunks(web, answer)) as chunks:
            info = await platform.store.put(key, chunks, bytes_max=most)
        assert info.sha256 is not None, "the store has just written it"
        return Fetched(
            kind,
            name,
            key,
            info.size_bytes,
            info.sha256,
            _tag(answer.headers.get("etag")),
            _tag(answer.headers.get("last-modified")),
            _charset(answer.headers),
        )
    finally:
        await asyncio.to_thread(web.close)


async def _step(web: Web, work: Callable[[], T]) -> T:
    """Do blocking work in a thread; whoever stops waiting for it also breaks it off."""
    job = _THREADS.submit(work)
    done = asyncio.wrap_future(job)
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        web.abort()
        if not job.cancel():  # it has begun
            with suppress(Exception):
                await done
        raise


async def _chunks(web: Web, answer: Answer) -> AsyncGenerator[bytes]:
    pieces = answer.chunks()
    while chunk := await _step(web, lambda: _next(pieces)):
        yield chunk


def _next(pieces: Iterator[bytes]) -> bytes:
    """About `CHUNK_BYTES` of the body, nothing at its end."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= CHUNK_BYTES:
            break
    return bytes(chunk)


def _conditions(known: Mapping[str, Any]) -> dict[str, str]:
    """Headers that ask for the file only if it is another one by now."""
    conditions = {"If-None-Match": "etag", "If-Modified-Since": "last_modified"}
    return {header: known[name] for header, name in conditions.items() if known.get(name)}


def _private(url: str) -> Any:
    """User name and password of a URL, as a header."""
    from connectors.web import Private  # noqa: PLC0415 - loads the HTTP client where it is used

    parts = urlsplit(url)
    if parts.username is None:
        return Private()
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return Private({"Authorization": f"Basic {b64encode(pair).decode()}"})


def _named(answer: Answer, url: str, called: str | None) -> tuple[str, str]:
    """Name and kind of a file, by what it is `called`, or by what the server calls it, by its URLs, else by its type.

    Raises Unsupported.
    """
    type_ = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    kind = None if called is None else _kind_of(called)
    # Many a script gives a file of data this type: its user knows better, and its content is looked at later.
    if type_ in _PAGES and (kind is None or kind in _PLAIN):
        raise ConnectionFailed(
            "The URL answers with a web page, not with a file of data.",
            hint="It may be a login, or a page about the file: give the URL of the file itself, or, "
            "if it is one, its name as `fileName`.",
        )
    if called is not None and kind is not None:
        return called, kind
    names = [
        _disposition(answer.headers),
        unquote(urlsplit(url).path),
        unquote(answer.url.path),
    ]
    shown = [uploads.shown_name(name) for name in names if name]
    for name in shown:
        with suppress(Unsupported):
            return name, _kind_of(name)
    extension = _EXTENSIONS.get(type_)
    if extension is None:
        what = f"of the type {type_[:80]}" if type_ else "without a type"
        raise Unsupported(
            f"What the URL gives is {what}, and its name does not say what it is.",
            hint="Say what it is by a name such as cities.csv, as `fileName`.",
        )
    stem = next((name for name in shown if name != uploads.NAMELESS), "data")
    return stem + extension, _kind_of(stem + extension)


def _kind_of(name: str, field: str | None = None) -> str:
    """The kind that an extension stands for; raises Unsupported, InvalidInput for a database, both of this field."""
    try:
        kind = connectors.kind_of_file(name)
    except Unsupported as error:
        error.field = field
        raise
    if kind.family is not Family.FILE:
        raise InvalidInput(
            f"{name!r} is a database, which is not read from a URL.",
            hint=f"Upload it, and connect it as `database: {{ engine: {kind.name.upper()}, objectKey: … }}`.",
            field=field or "url",
        )
    return kind.name


def _disposition(headers: httpx.Headers) -> str | None:
    value = headers.get("content-disposition")
    if not value:
        return None
    message = Message()
    message["content-disposition"] = value
    params = message.get_params([], "content-disposition")
    names = [given for name, given in params if name.lower() == "filename"]
    # `filename*`, which is a tuple of three, is the name itself; `filename` beside it is for old clients.
    best = next((name for name in names if isinstance(name, tuple)), next(iter(names), None))
    return None if best is None else collapse_rfc2231_value(best)


def _charset(headers: httpx.Headers) -> str | None:
    """The text encoding of an answer, where its type names one that is known, and that more than UTF-8 is in."""
    message = Message()
    message["content-type"] = headers.get("content-type", "")
    said = message.get_content_charset()
    with suppress(InvalidInput):
        name = None if said is None else encoding(said)
        return None if name in {"utf-8", "ascii"} else name
    return None


def _tag(value: str | None) -> str | None:
    """A validator as it can be sent back."""
    return value if value and len(value) <= _TAG_CHARS_MAX and value.isprintable() else None


async def _take(source: DataSource, got: Fetched) -> None:
    """The source's file is this one from now on."""
    said = {name: value for name, value in source.settings.items() if name not in FETCHED}
    settings = plain(said) | {"object_key": got.object_key, "file_name": got.file_name}
    settings, _ = connectors.parse(got.kind, settings)
    settings = {name: said[name] for name in _PLACE if name in said} | settings | got.settings()
    async with transaction():
        now = await held(source.id)
        if (now.settings, now.secrets) != (source.settings, source.secrets):
            raise SourceChanged("The data source was changed while its file was fetched.")
        await Upload.create(
            project_id=source.project_id,  # type: ignore[attr-defined]
            creator_id=source.creator_id,  # type: ignore[attr-defined]
            object_key=got.object_key,
            file_name=got.file_name,
            size_bytes=got.size_bytes,
            sha256=got.sha256,
        )
        await DataSource.filter(id=source.id).update(kind=got.kind, settings=settings)
    source.kind, source.settings = got.kind, settings


def plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a file at a URL without those that only such a file has."""
    return {name: value for name, value in settings.items() if name not in _PLACE}


def _unplaced(kind: str | None, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a file without an object key; None is any kind: what may be said of some file may be said of it."""
    settings, _ = connectors.parse(kind or "csv", {**raw, "object_key": _PENDING})
    del settings["object_key"]
    return settings


def _shown(url: str) -> tuple[str, str]:
    """What may be seen of a URL, and its path; raises InvalidInput for one that is not of the web."""
    hint = "Give a URL like https://data.example.com/files/cities.csv."
    parts, origin = urls.checked(url, "url", hint=hint)
    return f"{origin}{parts.path}", parts.path
