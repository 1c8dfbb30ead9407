"""Uploads in parts on a local folder: the conformance checks, and what only files can do wrong."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from base.credentials import Keyring, generate_key
from base.errors import Conflict, InvalidInput, NotFound, PayloadTooLarge
from base.net import Guard
from base.settings import Settings
from server import files
from services.platform import Platform
from storage.local import LocalStore
from storage.parts import PARTS_SECONDS_MAX
from storage.signing import Signer
from storage.store import PartInfo, Place
from tests.storage.conformance import KEY, chunks_of, keys_of, read
from tests.storage.part_checks import PART_CHECKS, PartCheck

PLACE = Place(1, 0, 10)
BODY = b"0123456789"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    keyring = Keyring([generate_key()])
    store = LocalStore(tmp_path / "objects", Signer(keyring.signing_key), "http://127.0.0.1:8000")
    return Platform(Settings(data_dir=tmp_path), keyring, store, Guard())


@pytest.fixture
def store(platform: Platform) -> LocalStore:
    assert isinstance(platform.store, LocalStore)
    return platform.store


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=Starlette(routes=files.routes(platform)))
    async with httpx.AsyncClient(transport=transport) as opened:
        yield opened


@pytest.mark.parametrize("check", PART_CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: PartCheck, store: LocalStore, client: httpx.AsyncClient) -> None:
    await check(store, client)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (BODY + b"x", 413, "PAYLOAD_TOO_LARGE"),
        (BODY[1:], 400, "INVALID_INPUT"),
        (b"", 400, "INVALID_INPUT"),
    ],
)
@pytest.mark.parametrize("length", ["declared", "hidden"])
async def test_a_part_of_another_size_is_refused(
    store: LocalStore, client: httpx.AsyncClient, body: bytes, status: int, code: str, length: str
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    url = store.presign_part(KEY, upload, PLACE, expires_in=60)

    answer = await client.put(url, content=body if length == "declared" else chunks_of(body))

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert await store.list_parts(KEY, upload) == []
    assert (await client.put(url, content=BODY)).status_code == 200


@pytest.mark.parametrize("field", ["offset", "size", "expires", "key", "version", "signature"])
async def test_each_field_of_a_part_s_link_counts(
    store: LocalStore, client: httpx.AsyncClient, field: str
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    url = httpx.URL(store.presign_part(KEY, upload, PLACE, expires_in=60))
    changed = str(int(url.params[field], 16) + 1)

    tampered = url.copy_set_param(field, changed)
    answers = [
        await client.put(tampered, content=BODY),
        await client.put(url.copy_remove_param(field), content=BODY),
        await client.put(str(url).replace(f"{upload}/1?", f"{upload}/2?"), content=BODY),
    ]

    assert [answer.status_code for answer in answers] == [403] * 3
    assert await store.list_parts(KEY, upload) == []


async def test_one_writes_a_part_at_a_time_and_none_while_it_is_completed(
    store: LocalStore,
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly() -> AsyncIterator[bytes]:
        yield BODY[:5]
        begun.set()
        await go_on.wait()
        yield BODY[5:]

    writing = asyncio.create_task(store.put_part(upload, PLACE, slowly()))
    await begun.wait()
    with pytest.raises(Conflict, match="Part 1 is just being received"):
        await store.put_part(upload, PLACE, chunks_of(BODY))
    with pytest.raises(Conflict, match="still being received"):
        await store.complete_parts(KEY, upload, [PartInfo(1, 10, "x")], size_bytes=10)
    go_on.set()
    part = await writing

    await store.complete_parts(KEY, upload, [part], size_bytes=10)
    assert await read(store, KEY) == BODY


async def test_only_the_last_attempt_at_a_part_counts(store: LocalStore) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    old = await store.put_part(upload, PLACE, chunks_of(BODY[::-1]))
    new = await store.put_part(upload, PLACE, chunks_of(BODY))

    with pytest.raises(InvalidInput, match="another ETag"):
        await store.complete_parts(KEY, upload, [old], size_bytes=10)

    await store.complete_parts(KEY, upload, [new], size_bytes=10)
    assert await read(store, KEY) == BODY


async def test_a_part_that_breaks_off_is_not_there_and_was_there_no_longer(
    store: LocalStore,
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    part = await store.put_part(upload, PLACE, chunks_of(BODY))

    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put_part(upload, PLACE, broken())

    assert await store.list_parts(KEY, upload) == []
    with pytest.raises(InvalidInput, match="has not been stored"):
        await store.complete_parts(KEY, upload, [part], size_bytes=10)


async def test_a_process_that_dies_after_the_object_got_its_name_is_made_good(
    store: LocalStore, tmp_path: Path
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    part = await store.put_part(upload, PLACE, chunks_of(BODY))
    data = tmp_path / "objects" / ".parts" / upload / "data"
    target = tmp_path / "objects" / KEY
    target.parent.mkdir(parents=True)
    data.chmod(0o444)
    os.link(data, target)  # what `adopt` has done when it is killed before its last step

    with pytest.raises(NotFound):
        await store.put_part(upload, PLACE, chunks_of(BODY[::-1]))
    done = await store.complete_parts(KEY, upload, [part], size_bytes=10)

    assert done.sha256 == part.etag
    assert await read(store, KEY) == BODY
    assert not data.parent.exists()


async def test_what_nobody_came_back_for_is_swept(store: LocalStore, tmp_path: Path) -> None:
    old = await store.create_parts(KEY, size_bytes=10)
    new = await store.create_parts(KEY, size_bytes=10)
    folder = tmp_path / "objects" / ".parts" / old
    for path in (folder / "data", folder):
        os.utime(path, (time.time() - PARTS_SECONDS_MAX - 1,) * 2)

    assert store.sweep(older_than_seconds=3600) == 1

    with pytest.raises(NotFound):
        await store.list_parts(KEY, old)
    assert await store.list_parts(KEY, new) == []
    assert await keys_of(store, "") == set()


async def test_a_folder_without_its_file_is_swept_too(store: LocalStore, tmp_path: Path) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)
    folder = tmp_path / "objects" / ".parts" / upload
    (folder / "data").unlink()  # killed before it was made, or once it was an object
    assert store.sweep(older_than_seconds=3600) == 0
    os.utime(folder, (time.time() - PARTS_SECONDS_MAX - 1,) * 2)

    assert store.sweep(older_than_seconds=3600) == 1
    assert not folder.exists()


async def test_a_part_of_an_upload_that_is_forgotten_meanwhile_is_not_found(
    store: LocalStore, client: httpx.AsyncClient
) -> None:
    upload = await store.create_parts(KEY, size_bytes=10)

    async def overtaken() -> AsyncIterator[bytes]:
        yield BODY[:5]
        await store.abort_parts(KEY, upload)
        yield BODY[5:]

    url = store.presign_part(KEY, upload, PLACE, expires_in=60)
    assert (await client.put(url, content=overtaken())).status_code == 404


@pytest.mark.parametrize("upload", ["", "..", "../../etc", "0" * 31, "0" * 32, "x" * 32, "0\n"])
async def test_ids_that_were_never_given_lead_nowhere(store: LocalStore, upload: str) -> None:
    with pytest.raises(NotFound):
        await store.put_part(upload, PLACE, chunks_of(BODY))
    with pytest.raises(NotFound):
        await store.list_parts(KEY, upload)


async def test_a_part_too_long_is_cut_off_at_its_end(store: LocalStore) -> None:
    upload = await store.create_parts(KEY, size_bytes=20)
    await store.put_part(upload, Place(2, 10, 10), chunks_of(BODY))

    with pytest.raises(PayloadTooLarge, match="larger than 10 bytes"):
        await store.put_part(upload, PLACE, chunks_of(BODY, BODY))

    first = await store.put_part(upload, PLACE, chunks_of(BODY))
    second = (await store.list_parts(KEY, upload))[1]
    await store.complete_parts(KEY, upload, [first, second], size_bytes=20)
    assert await read(store, KEY) == BODY * 2
