"""Files that are worked with for long stay, however small the cache is, and go once nobody does."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from storage import keeping
from storage.cache import USE_SECONDS
from storage.keeping import Kept
from storage.location import Location
from storage.s3 import S3Store
from storage.sigv4 import Credentials
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.storage.conformance import chunks_of
from tests.storage.test_cache import age


@pytest.fixture
async def store(s3_server: S3Server, tmp_path: Path) -> S3Store:
    """One with objects `x/0` to `x/2`, of which the cache has room for none."""
    credentials = Credentials(KEY_ID, SECRET)
    store = S3Store(Location.parse(s3_server.url()), credentials, tmp_path / "s3", 1)
    for number in range(3):
        await store.put(f"x/{number}", chunks_of(b"%d" % number), bytes_max=1)
    return store


async def test_a_file_that_is_kept_stays_until_whoever_keeps_it_ends(
    store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "ASK_SECONDS", 0.01)
    async with Kept(store) as kept:
        path = await kept.local_path("x/0")
        await kept.local_path("x/1")
        await store.delete("x/1")  # what is gone is nobody's trouble
        age(path)
        async with asyncio.timeout(60):
            while path.stat().st_mtime < time.time() - USE_SECONDS:  # noqa: ASYNC110 - only the file tells
                await asyncio.sleep(0.01)
        await store.local_path("x/2")
        assert path.read_bytes() == b"0"

    age(path)
    await store.delete("x/2")
    await store.put("x/2", chunks_of(b"2"), bytes_max=1)
    await store.local_path("x/2")
    assert not path.exists()
