"""What every object store has to do with uploads in parts. Each check gets a fresh store and a client for its links."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence

import httpx
import pytest

from base.errors import InvalidInput, NotFound
from storage.store import ObjectStore, PartInfo, Place
from tests.storage.conformance import KEY, keys_of, read

PART = 5 * 1024**2  # the least that S3 takes of a part that is not the last
FIRST, SECOND = bytes(range(256)) * (PART // 256), b"the rest"
WHOLE = FIRST + SECOND
SIZE = len(WHOLE)
PLACES = (Place(1, 0, PART), Place(2, PART, len(SECOND)))


async def put(
    store: ObjectStore, client: httpx.AsyncClient, upload: str, place: Place, body: bytes
) -> PartInfo:
    url = store.presign_part(KEY, upload, place, expires_in=60)
    answer = await client.put(url, content=body)
    assert answer.status_code == 200, answer.text
    return PartInfo(place.number, place.size_bytes, answer.headers["etag"].strip('"'))


async def both(store: ObjectStore, client: httpx.AsyncClient, upload: str) -> Sequence[PartInfo]:
    later = await put(store, client, upload, PLACES[1], SECOND)
    return (await put(store, client, upload, PLACES[0], FIRST), later)


async def makes_parts_one_object(store: ObjectStore, client: httpx.AsyncClient) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    assert list(await store.list_parts(KEY, upload)) == []
    parts = await both(store, client, upload)
    assert list(await store.list_parts(KEY, upload)) == list(parts)
    assert await keys_of(store, "") == set()

    done = await store.complete_parts(KEY, upload, parts, size_bytes=SIZE)
    again = await store.complete_parts(KEY, upload, parts, size_bytes=SIZE)

    assert (done.key, done.size_bytes) == (KEY, SIZE)
    assert done.sha256 == again.sha256 == hashlib.sha256(WHOLE).hexdigest()
    assert await read(store, KEY) == WHOLE
    with pytest.raises(NotFound):
        await store.list_parts(KEY, upload)


async def takes_a_part_again(store: ObjectStore, client: httpx.AsyncClient) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    await put(store, client, upload, PLACES[0], FIRST[::-1])
    first, last = await both(store, client, upload)
    never = PartInfo(1, PART, "0" * 32)

    with pytest.raises(InvalidInput, match="another ETag"):
        await store.complete_parts(KEY, upload, (never, last), size_bytes=SIZE)

    assert await store.head(KEY) is None
    await store.complete_parts(KEY, upload, (first, last), size_bytes=SIZE)
    assert await read(store, KEY) == WHOLE


async def refuses_parts_that_are_not_there_or_not_in_order(
    store: ObjectStore, client: httpx.AsyncClient
) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    first = await put(store, client, upload, PLACES[0], FIRST)
    missing = PartInfo(2, len(SECOND), "0" * 32)
    with pytest.raises(InvalidInput, match="Part 2 has not been stored"):
        await store.complete_parts(KEY, upload, (first, missing), size_bytes=SIZE)
    last = await put(store, client, upload, PLACES[1], SECOND)

    for given in ((last, first), (first, first), (last,), ()):
        with pytest.raises(InvalidInput):
            await store.complete_parts(KEY, upload, given, size_bytes=SIZE)
    with pytest.raises(InvalidInput, match="make up"):
        await store.complete_parts(KEY, upload, (first,), size_bytes=SIZE)

    assert await store.head(KEY) is None
    await store.complete_parts(KEY, upload, (first, last), size_bytes=SIZE)
    assert await read(store, KEY) == WHOLE


async def nobody_changes_what_is_complete(store: ObjectStore, client: httpx.AsyncClient) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    parts = await both(store, client, upload)
    await store.complete_parts(KEY, upload, parts, size_bytes=SIZE)

    url = store.presign_part(KEY, upload, PLACES[0], expires_in=60)
    late = await client.put(url, content=FIRST[::-1])

    assert late.status_code == 404
    assert await read(store, KEY) == WHOLE


async def forgets_an_aborted_upload(store: ObjectStore, client: httpx.AsyncClient) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    parts = await both(store, client, upload)

    await store.abort_parts(KEY, upload)
    await store.abort_parts(KEY, upload)

    with pytest.raises(NotFound):
        await store.list_parts(KEY, upload)
    with pytest.raises(NotFound):
        await store.complete_parts(KEY, upload, parts, size_bytes=SIZE)
    url = store.presign_part(KEY, upload, PLACES[0], expires_in=60)
    assert (await client.put(url, content=FIRST)).status_code == 404
    assert await keys_of(store, "") == set()


async def part_links_are_good_for_one_part_and_some_time(
    store: ObjectStore, client: httpx.AsyncClient
) -> None:
    upload = await store.create_parts(KEY, size_bytes=SIZE)
    other = await store.create_parts(KEY + "0", size_bytes=SIZE)
    url = store.presign_part(KEY, upload, PLACES[0], expires_in=60)
    expired = store.presign_part(KEY, upload, PLACES[1], expires_in=1)
    await asyncio.sleep(2.1)  # S3 counts in whole seconds

    assert (await client.get(url)).status_code in {403, 405}
    assert (await client.put(url.replace(upload, other), content=SECOND)).status_code == 403
    assert (await client.put(url[:-1] + ("0" if url[-1] != "0" else "1"))).status_code == 403
    assert (await client.put(url.partition("?")[0], content=SECOND)).status_code == 403
    assert (await client.put(expired, content=SECOND)).status_code == 403

    assert list(await store.list_parts(KEY, upload)) == []
    assert list(await store.list_parts(KEY + "0", other)) == []


PartCheck = Callable[[ObjectStore, httpx.AsyncClient], Awaitable[None]]
PART_CHECKS: list[PartCheck] = [
    makes_parts_one_object,
    takes_a_part_again,
    refuses_parts_that_are_not_there_or_not_in_order,
    nobody_changes_what_is_complete,
    forgets_an_aborted_upload,
    part_links_are_good_for_one_part_and_some_time,
]
