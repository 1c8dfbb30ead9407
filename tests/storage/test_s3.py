"""The store on S3, against a real server: the conformance checks, and what only S3 can do wrong."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import httpx
import pyarrow as pa
import pytest

from base.errors import Conflict, InvalidInput
from base.tables import ColumnType
from storage.errors import StoreUnavailable
from storage.location import Location
from storage.s3 import PART_BYTES, S3Store
from storage.sigv4 import Credentials
from storage.snapshots.pages import RowQuery
from storage.snapshots.rows import Rows
from storage.snapshots.writer import PartWriter
from storage.store import Place
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.storage import tables
from tests.storage.conformance import CHECKS, KEY, Check, chunks_of, keys_of, read
from tests.storage.part_checks import PART_CHECKS, PartCheck

CACHE_BYTES = 64 * 1024**2


def opened(url: str, folder: Path, secret: str = SECRET) -> S3Store:
    return S3Store(Location.parse(url), Credentials(KEY_ID, secret), folder, CACHE_BYTES)


@pytest.fixture
def store(s3_server: S3Server, tmp_path: Path) -> S3Store:
    return opened(s3_server.url(), tmp_path / "s3")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=120) as opened:
        yield opened


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: Check, store: S3Store) -> None:
    await check(store)


@pytest.mark.parametrize("check", PART_CHECKS, ids=lambda check: check.__name__)
async def test_conforms_in_parts(
    check: PartCheck, store: S3Store, client: httpx.AsyncClient
) -> None:
    await check(store, client)


async def test_pages_of_rows_go_on_at_a_process_with_another_cache(
    s3_server: S3Server, tmp_path: Path
) -> None:
    url = s3_server.url()
    stores = [opened(url, tmp_path / name) for name in ("one", "two")]
    with PartWriter(stores[0].scratch(), stores[0].adopt, "snapshots/rows", part_rows=10) as writer:
        finished = []
        for start in range(0, 30, 10):
            finished += writer.write(pa.record_batch({"n": pa.array(range(start, start + 10))}))
        finished += writer.finish()
    parts = [each.part for each in finished]
    table = tables.schema([("n", ColumnType.INTEGER)])
    numbers, after = list[int](), None
    for store in (*stores, *stores):
        rows = Rows()
        local = await rows.local_parts(store, parts)
        page = await rows.page(local, table, RowQuery(first=7, after=after))
        numbers += [row[0] for row in json.loads(page.rows_json)]
        with pytest.raises(InvalidInput, match="another snapshot, table or order"):
            await rows.page(local[1:], table, RowQuery(after=page.end_cursor))
        after = page.end_cursor
        rows.close()

    assert numbers == list(range(28))


# ── links ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_link_is_an_attachment_with_its_name(
    store: S3Store, client: httpx.AsyncClient
) -> None:
    await store.put(KEY, chunks_of(b"<script>alert(1)</script>"), bytes_max=100)
    name = 'Büro"; x=\r\n.html'

    answer = await client.get(store.presign_get(KEY, expires_in=60, file_name=name))
    middle = await client.get(
        store.presign_get(KEY, expires_in=60, file_name=name), headers={"Range": "bytes=1-6"}
    )

    assert (answer.status_code, answer.content) == (200, b"<script>alert(1)</script>")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"B_ro__ x___.html\"; filename*=UTF-8''B%C3%BCro%22%3B%20x%3D%0D%0A.html"
    )
    assert (middle.status_code, middle.content) == (206, b"script")


@pytest.mark.parametrize(
    "field",
    [
        "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature",
        "response-content-disposition", "response-content-type",
    ],
)  # fmt: skip
async def test_each_tampered_field_is_refused_by_the_server(
    store: S3Store, client: httpx.AsyncClient, field: str
) -> None:
    await store.put(KEY, chunks_of(b"secret"), bytes_max=10)
    url, _, query = store.presign_get(KEY, expires_in=60, file_name="a.csv").partition("?")
    fields = dict(parse_qsl(query))
    changed = {**fields, field: fields[field][:-1] + ("0" if fields[field][-1] != "0" else "1")}

    answer = await client.get(f"{url}?{urlencode(changed)}")

    assert (await client.get(f"{url}?{query}")).status_code == 200
    assert answer.status_code in {400, 403}
    assert b"secret" not in answer.content


async def test_a_link_is_good_for_its_key_method_and_time_only(
    store: S3Store, client: httpx.AsyncClient
) -> None:
    await store.put(KEY, chunks_of(b"secret"), bytes_max=10)
    await store.put(KEY + "0", chunks_of(b"other"), bytes_max=10)
    url = store.presign_get(KEY, expires_in=60, file_name="a")
    short = store.presign_get(KEY, expires_in=1, file_name="a")

    answers = [
        await client.get(url.replace(KEY, KEY + "0")),
        await client.put(url, content=b"changed"),
        await client.delete(url),
        await client.get(url.partition("?")[0]),
    ]
    await asyncio.sleep(2.1)  # S3 counts in whole seconds
    answers.append(await client.get(short))

    assert [answer.status_code for answer in answers] == [403] * 5
    assert await read(store, KEY) == b"secret"


async def test_a_part_link_takes_its_exact_size_only(
    store: S3Store, client: httpx.AsyncClient
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    url = store.presign_part(KEY, upload, Place(1, 0, 10), expires_in=60)

    assert (await client.put(url, content=b"x" * 11)).status_code == 403
    assert (await client.put(url, content=b"x" * 9)).status_code == 403
    assert list(await store.list_parts(KEY, upload)) == []
    assert (await client.put(url, content=b"x" * 10)).status_code == 200


async def test_links_lead_to_the_public_endpoint(
    s3_server: S3Server, tmp_path: Path, client: httpx.AsyncClient
) -> None:
    public = f"http://localhost:{s3_server.port}"
    store = opened(s3_server.url(public_endpoint=public), tmp_path / "s3")
    await store.put(KEY, chunks_of(b"bytes"), bytes_max=10)

    url = store.presign_get(KEY, expires_in=60, file_name="a")

    assert url.startswith(public + "/")
    assert (await client.get(url)).content == b"bytes"
    upload = await store.create_parts(KEY + "0", size_bytes=1)
    place = Place(1, 0, 1)
    part = store.presign_part(KEY + "0", upload, place, expires_in=60)
    assert part.startswith(public + "/")
    assert (await client.put(part, content=b"x")).status_code == 200


# ── what is large, or done at once ───────────────────────────────────────────────────────────────────────────────


async def test_a_large_object_goes_in_parts(store: S3Store, tmp_path: Path) -> None:
    body = hashlib.sha256(b"seed").digest() * ((2 * PART_BYTES + 5) // 32 + 1)
    info = await store.put(KEY, chunks_of(body[:7], body[7:]), bytes_max=len(body))
    file = store.scratch() / "work.part"
    file.write_bytes(body)

    store.adopt(file, KEY + "0")
    with pytest.raises(Conflict):
        await store.put(KEY, chunks_of(body), bytes_max=len(body))

    assert (info.size_bytes, info.sha256) == (len(body), hashlib.sha256(body).hexdigest())
    assert await read(store, KEY) == body
    assert await read(store, KEY + "0", 8_388_600, 8_388_620) == body[8_388_600:8_388_620]
    assert not file.exists()
    assert await unfinished(store) == 0


async def unfinished(store: S3Store) -> int:
    """How many multipart uploads there are, all of which this aborts."""
    return await asyncio.to_thread(store._multipart.sweep, "uploads/", -60)


async def test_a_large_object_that_breaks_off_leaves_nothing(store: S3Store) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (2 * PART_BYTES)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(KEY, broken(), bytes_max=2**40)

    assert await unfinished(store) == 0
    assert await keys_of(store, "") == set()


async def test_of_many_writers_of_a_key_one_wins(store: S3Store) -> None:
    bodies = [bytes([65 + number]) * 100 for number in range(6)]

    done = await asyncio.gather(
        *(store.put(KEY, chunks_of(body), bytes_max=100) for body in bodies),
        return_exceptions=True,
    )

    winners = [
        body for body, each in zip(bodies, done, strict=True) if not isinstance(each, Conflict)
    ]
    assert len(winners) == 1
    assert await read(store, KEY) == winners[0]


async def test_prefixes_of_a_bucket_are_apart(s3_server: S3Server, tmp_path: Path) -> None:
    one = opened(s3_server.url("a-prefix"), tmp_path / "1")
    two = opened(s3_server.url("a-prefix2"), tmp_path / "2")
    await one.put("x/1", chunks_of(b"one"), bytes_max=10)
    await two.put("x/2", chunks_of(b"two"), bytes_max=10)

    assert await keys_of(one, "") == {"x/1"}
    assert await two.head("x/1") is None
    await one.delete("x/1")
    await two.delete("x/2")


# ── refusals ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_wrong_credentials_are_said_without_them(s3_server: S3Server, tmp_path: Path) -> None:
    wrong = opened(s3_server.url(), tmp_path / "s3", secret="wrong-secret-canary")

    for work in (
        wrong.head(KEY),
        wrong.put(KEY, chunks_of(b"x"), bytes_max=1),
        wrong.create_parts(KEY, size_bytes=1),
    ):
        with pytest.raises(StoreUnavailable, match="refused") as caught:
            await work
        assert "canary" not in repr(caught.value) + str(caught.value.hint)
    assert "canary" not in repr(wrong._signer)


@pytest.mark.parametrize(
    "url",
    [
        "s3://", "s3:bucket", "s3:///prefix", "s3://UPPER/x", "s3://bucket/../x", "s3://bucket/a b",
        "s3://bucket?endpoint=ftp://x", "s3://bucket?endpoint=http://x/path", "s3://bucket?key=x",
        "s3://bucket?path_style=yes", "s3://bucket?endpoint=http://user:pw@host",
    ],
)  # fmt: skip
def test_urls_that_name_no_bucket_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"S3 storage URL|object key"):
        Location.parse(url)


def test_without_an_endpoint_it_is_amazon() -> None:
    plain = Location.parse("s3://bucket/some/prefix?region=eu-west-1")
    own = Location.parse("s3://bucket?endpoint=http://127.0.0.1:9000&path_style=false")

    assert (plain.prefix, plain.base(plain.endpoint), plain.path) == (
        "some/prefix/", "https://bucket.s3.eu-west-1.amazonaws.com", "",
    )  # fmt: skip
    assert own.base(own.endpoint) == "http://bucket.127.0.0.1:9000"
