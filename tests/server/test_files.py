"""Signed links over HTTP: what they serve, to the byte and the header, and all that they refuse."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import httpx
import pytest
from starlette.applications import Starlette

from base.ids import public_id
from models import DataSource
from server import files
from services.platform import Platform
from storage.store import Place
from tests import factories

KEY = "uploads/1/0123456789abcdef"
BODY = bytes(range(256)) * 4
SAFE = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "sandbox; default-src 'none'",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, no-store",
}


@pytest.fixture
async def platform(platform: Platform) -> AsyncIterator[Platform]:
    yield platform
    platform.rows.close()


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=files.routes(platform))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as opened:
        yield opened


def scope_of(method: str, path: str, query: str) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [],
        "server": ("127.0.0.1", 8000),
        "scheme": "http",
        "root_path": "",
    }


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def put(platform: Platform, body: bytes = BODY, key: str = KEY) -> None:
    await platform.store.put(key, chunks_of(body), bytes_max=len(body))


def link(platform: Platform, name: str = "data.csv", **more: Any) -> str:
    return platform.store.presign_get(KEY, expires_in=60, file_name=name, **more)


# ── objects ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_object_is_an_attachment_that_no_browser_runs(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    await put(platform, b"<script>alert(1)</script>")

    answer = await client.get(link(platform, "page.html"))

    assert (answer.status_code, answer.content) == (200, b"<script>alert(1)</script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == "25"
    assert answer.headers["accept-ranges"] == "bytes"
    assert SAFE.items() <= dict(answer.headers).items()
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"page.html\"; filename*=UTF-8''page.html"
    )


@pytest.mark.parametrize(
    ("name", "plain", "encoded"),
    [
        ("Büro 😀.csv", "B_ro _.csv", "B%C3%BCro%20%F0%9F%98%80.csv"),
        ('a"; filename=evil.exe; x="', "a__ filename_evil.exe_ x__", None),
        ("a\r\nSet-Cookie: x=1\r\n\r\n<html>", "a__Set-Cookie_ x_1_____html_", None),
        ("../../etc/passwd", ".._.._etc_passwd", "..%2F..%2Fetc%2Fpasswd"),
    ],
)
async def test_file_names_cannot_leave_their_header(
    platform: Platform, client: httpx.AsyncClient, name: str, plain: str, encoded: str | None
) -> None:
    await put(platform)

    answer = await client.get(link(platform, name))

    expected = encoded or quote(name, safe="")
    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"{plain}\"; filename*=UTF-8''{expected}"
    )
    assert "set-cookie" not in answer.headers


async def test_head_tells_the_same_without_the_bytes(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    await put(platform)
    url = link(platform)

    whole, head = await client.get(url), await client.head(url)

    assert head.status_code == 200
    assert head.content == b""
    assert dict(head.headers) == dict(whole.headers)


SIZE = len(BODY)
RANGES: list[tuple[str, int, int, int]] = [
    ("bytes=0-0", 206, 0, 1),
    ("bytes=0-", 206, 0, SIZE),
    ("bytes=10-19", 206, 10, 20),
    (f"bytes={SIZE - 1}-", 206, SIZE - 1, SIZE),
    ("bytes=1000-99999", 206, 1000, SIZE),
    ("bytes=-1", 206, SIZE - 1, SIZE),
    ("bytes=-99999", 206, 0, SIZE),
    (f"bytes={SIZE}-", 416, 0, 0),
    (f"bytes={SIZE}-{SIZE + 1}", 416, 0, 0),
    ("bytes=-0", 416, 0, 0),
    ("bytes=5-4", 200, 0, SIZE),
    ("bytes=-", 200, 0, SIZE),
    ("bytes=a-b", 200, 0, SIZE),
    ("bytes= 0-1", 200, 0, SIZE),
    ("bytes=0-1,5-6", 200, 0, SIZE),
    ("bytes=" + "0-," * 5000 + "0-", 200, 0, SIZE),
    ("bytes=" + "9" * 5000 + "-", 200, 0, SIZE),
    ("rows=0-1", 200, 0, SIZE),
    ("", 200, 0, SIZE),
]


@pytest.mark.parametrize(
    ("header", "status", "start", "end"), RANGES, ids=[row[0][:20] for row in RANGES]
)
async def test_ranges(
    platform: Platform,
    client: httpx.AsyncClient,
    header: str,
    status: int,
    start: int,
    end: int,
) -> None:
    await put(platform)

    answer = await client.get(link(platform), headers={"Range": header})
    head = await client.head(link(platform), headers={"Range": header})

    assert answer.status_code == head.status_code == status
    assert answer.content == BODY[start:end]
    shown = {206: f"bytes {start}-{end - 1}/{SIZE}", 416: f"bytes */{SIZE}"}.get(status)
    assert answer.headers.get("content-range") == shown
    assert answer.headers["content-length"] == str(end - start)


async def test_a_range_of_an_empty_object_cannot_be_met(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    await put(platform, b"")

    answer = await client.get(link(platform), headers={"Range": "bytes=0-"})

    assert (answer.status_code, answer.headers["content-range"]) == (416, "bytes */0")
    assert (await client.get(link(platform))).content == b""


async def test_the_etag_answers_conditions(platform: Platform, client: httpx.AsyncClient) -> None:
    await put(platform)
    await put(platform, b"other", "uploads/1/other")
    first = await client.get(link(platform))
    etag = first.headers["etag"]
    other = platform.store.presign_get("uploads/1/other", expires_in=60, file_name="x")

    unchanged = await client.get(link(platform), headers={"If-None-Match": etag})
    ranged = {"Range": "bytes=0-3"}
    same = await client.get(link(platform), headers=ranged | {"If-Range": etag})
    changed = await client.get(link(platform), headers=ranged | {"If-Range": '"older"'})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert (same.status_code, same.content) == (206, BODY[:4])
    assert (changed.status_code, changed.content) == (200, BODY)
    assert (await client.get(other)).headers["etag"] != etag


async def test_a_large_object_comes_whole_and_in_any_range(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    body = hashlib.sha256(b"seed").digest() * 100_000
    await put(platform, body)

    whole = await client.get(link(platform))
    middle = await client.get(link(platform), headers={"Range": "bytes=1048575-2097153"})

    assert whole.content == body
    assert middle.content == body[1_048_575:2_097_154]


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "field", ["name", "holder", "version", "key", "expires", "signature", "bytes_max"]
)
async def test_each_tampered_field_is_refused(
    platform: Platform, client: httpx.AsyncClient, field: str
) -> None:
    await put(platform)
    url, _, query = link(platform).partition("?")
    fields = dict(parse_qsl(query))
    fields[field] = str(int(fields.get(field, "1"), 16) + 1) if field != "name" else "other"

    answer = await client.get(f"{url}?{urlencode(fields)}")

    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "FORBIDDEN"
    assert SAFE.items() <= dict(answer.headers).items()


async def test_expired_links_are_refused_and_say_so(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    await put(platform)
    url = platform.store.presign_get(KEY, expires_in=0, file_name="x")

    answer = await client.get(url)

    assert answer.status_code == 403
    assert answer.json()["error"]["message"] == "The link has expired."


@pytest.mark.parametrize(
    "path",
    [
        "uploads/1/0123456789abcdee",
        "uploads/1/../1/0123456789abcdef",
        "uploads/1/%2e%2e/1/0123456789abcdef",
        "/etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "uploads/1/0123456789abcdef%00",
        "uploads//1/0123456789abcdef",
        "",
    ],
)
async def test_a_signature_is_good_for_its_own_path_only(
    platform: Platform, client: httpx.AsyncClient, path: str
) -> None:
    await put(platform)
    query = urlsplit(link(platform)).query

    answer = await client.get(f"http://127.0.0.1:8000/files/{path}?{query}")

    # httpx resolves plain dots itself, as browsers do.
    assert answer.status_code == (200 if "/../" in path else 403)


async def test_methods_cannot_be_swapped(platform: Platform, client: httpx.AsyncClient) -> None:
    await put(platform)
    reading = link(platform)
    upload = await platform.store.create_parts(KEY + "0", size_bytes=1)
    writing = platform.store.presign_part(KEY + "0", upload, Place(1, 0, 1), expires_in=60)
    query = urlsplit(reading).query

    for method in ("PUT", "POST", "DELETE"):
        assert (await client.request(method, reading, content=b"x")).status_code == 405
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert (await client.request(method, writing)).status_code == 405
    assert (await client.put(f"{writing.partition('?')[0]}?{query}")).status_code == 403


async def test_no_signature_gets_nothing(platform: Platform, client: httpx.AsyncClient) -> None:
    await put(platform)

    for path in (f"/files/{KEY}", "/files/", "/exports/snapshot-x"):
        assert (await client.get(path)).status_code == 403


async def test_a_deleted_object_is_not_found(platform: Platform, client: httpx.AsyncClient) -> None:
    await put(platform)
    url = link(platform)
    await platform.store.delete(KEY)

    answer = await client.get(url)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


async def test_a_link_dies_with_its_source(platform: Platform, client: httpx.AsyncClient) -> None:
    await put(platform)
    source = await factories.make_source()
    url = link(platform, holder=public_id("datasource", source.id))

    assert (await client.get(url)).status_code == 200
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))
    assert (await client.get(url)).status_code == 404
    assert (await client.head(url)).status_code == 404


async def test_a_part_that_breaks_off_is_not_there(platform: Platform) -> None:
    app = Starlette(routes=files.routes(platform))
    store = platform.store
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    url = urlsplit(store.presign_part(KEY, upload, Place(1, 0, SIZE), expires_in=60))
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": BODY[:100], "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def send(_message: MutableMapping[str, Any]) -> None:
        pass

    with pytest.raises(Exception, match=r"^$"):  # Starlette's ClientDisconnect
        await app(scope_of("PUT", url.path, url.query), receive, send)

    assert await store.list_parts(KEY, upload) == []
