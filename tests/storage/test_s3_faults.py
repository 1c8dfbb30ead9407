"""The store on S3 when the network and the server misbehave: whole objects or none, and no wrong bytes."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from base.errors import PayloadTooLarge, PlatformError
from storage.errors import StoreUnavailable
from storage.location import Location
from storage.s3 import PART_BYTES, PARTS_AT_ONCE, S3Store
from storage.sigv4 import Credentials
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.storage.conformance import KEY, chunks_of, keys_of, read
from tests.storage.faults import Fault, Faults, proxy

BODY = hashlib.sha256(b"seed").digest() * 4096  # 128 KiB
LARGE = BODY * (PART_BYTES // len(BODY) + 1)


@pytest.fixture
async def faults(s3_server: S3Server) -> AsyncIterator[Faults]:
    async with proxy(s3_server.port) as opened:
        yield opened


@pytest.fixture
def store(s3_server: S3Server, faults: Faults, tmp_path: Path) -> S3Store:
    location = Location.parse(s3_server.url(endpoint=f"http://127.0.0.1:{faults.port}"))
    return S3Store(location, Credentials(KEY_ID, SECRET), tmp_path / "s3", 1024**3)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.LOST])
async def test_a_put_that_fails_once_is_repeated_without_harm(
    store: S3Store, faults: Faults, fault: Fault
) -> None:
    faults.times(1, fault, "PUT")

    info = await store.put(KEY, chunks_of(BODY), bytes_max=len(BODY))

    assert info.sha256 == hashlib.sha256(BODY).hexdigest()
    assert await read(store, KEY) == BODY


@pytest.mark.parametrize(
    ("fault", "method", "part"),
    [
        (Fault.BUSY, "POST", "uploads="),
        (Fault.LOST, "POST", "uploads="),
        (Fault.BUSY, "PUT", "partNumber=1"),
        (Fault.LOST, "PUT", "partNumber=1"),
        (Fault.RESET, "PUT", "partNumber=2"),
        (Fault.BUSY, "POST", "uploadId="),
        (Fault.LOST, "POST", "uploadId="),
    ],
)
async def test_a_large_put_survives_any_request_failing_once(
    store: S3Store, faults: Faults, fault: Fault, method: str, part: str
) -> None:
    faults.times(1, fault, method, part)

    info = await store.put(KEY, chunks_of(LARGE), bytes_max=len(LARGE))

    assert info.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert await read(store, KEY) == LARGE


async def test_a_large_put_that_keeps_failing_is_aborted(store: S3Store, faults: Faults) -> None:
    faults.times(100, Fault.BUSY, "PUT", "partNumber=2")

    with pytest.raises(StoreUnavailable, match="answered 503"):
        await store.put(KEY, chunks_of(LARGE), bytes_max=len(LARGE))

    assert await keys_of(store, "") == set()
    assert await asyncio.to_thread(store._multipart.sweep, "uploads/", -60) == 0


async def test_a_put_that_is_cancelled_forgets_its_parts_once_none_is_under_way(
    store: S3Store, faults: Faults
) -> None:
    faults.times(1, Fault.HELD, "PUT", "partNumber=1")
    given = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield bytes(PARTS_AT_ONCE * PART_BYTES + 1)
        given.set()
        yield bytes(PART_BYTES)  # waits for the first part

    putting = asyncio.create_task(store.put(KEY, chunks(), bytes_max=2**40))
    await given.wait()
    others = PARTS_AT_ONCE - 1
    while sum("partNumber=" in each for each in faults.done) < others:  # noqa: ASYNC110 - only the proxy tells
        await asyncio.sleep(0.01)
    putting.cancel()
    done, _ = await asyncio.wait({putting}, timeout=0.5)
    assert not done
    faults.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await putting

    assert await asyncio.to_thread(store._multipart.sweep, "uploads/", -60) == 0


async def test_why_a_large_put_broke_off_is_said_also_where_its_parts_cannot_be_removed(
    store: S3Store, faults: Faults
) -> None:
    faults.times(100, Fault.BUSY, "DELETE")

    with pytest.raises(PayloadTooLarge):
        await store.put(KEY, chunks_of(LARGE, LARGE), bytes_max=len(LARGE))


async def test_an_answer_cut_off_once_is_read_on(store: S3Store, faults: Faults) -> None:
    await store.put(KEY, chunks_of(BODY), bytes_max=len(BODY))
    faults.times(1, Fault.CUT, "GET", KEY)

    assert await read(store, KEY) == BODY


@pytest.mark.parametrize("fault", [Fault.CUT, Fault.SHORT])
async def test_an_answer_that_is_always_short_is_never_taken_for_the_object(
    store: S3Store, faults: Faults, fault: Fault
) -> None:
    await store.put(KEY, chunks_of(BODY), bytes_max=len(BODY))
    faults.times(100, fault, "GET", KEY)

    with pytest.raises(PlatformError):
        await read(store, KEY)
    with pytest.raises(PlatformError):
        await store.local_path(KEY)

    assert list(store.scratch().iterdir()) == []
    faults.times(0, fault, "GET")
    assert (await store.local_path(KEY)).read_bytes() == BODY


async def test_a_store_that_is_away_is_said(s3_server: S3Server, tmp_path: Path) -> None:
    async with proxy(s3_server.port) as gone:
        port = gone.port
    location = Location.parse(s3_server.url(endpoint=f"http://127.0.0.1:{port}"))
    store = S3Store(location, Credentials(KEY_ID, SECRET), tmp_path / "s3", 1024**3)

    for work in (store.head(KEY), store.create_parts(KEY, size_bytes=1)):
        with pytest.raises(StoreUnavailable) as caught:
            await work
        assert caught.value.retryable
        assert str(port) not in caught.value.message
