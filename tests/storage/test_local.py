"""The store on a local folder: the conformance checks, and what only files can do wrong."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import storage
from base.errors import StorageFull
from storage.local import LocalStore
from storage.signing import Signer
from tests.storage.conformance import CHECKS, KEY, Check, chunks_of, keys_of, read

ROOT = Path(__file__).parents[2]


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "objects", Signer(b"k" * 32), "http://127.0.0.1:8000/")


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_conforms(check: Check, store: LocalStore) -> None:
    await check(store)


async def test_opens_by_url_with_escapes(tmp_path: Path) -> None:
    url = f"file://{tmp_path}/with%20space"

    opened = storage.open(url, signing_key=b"k", public_url="http://x")

    assert opened.scratch() == tmp_path / "with space" / ".scratch"


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/path", "relative/path", "file:"])
def test_refuses_other_urls(url: str) -> None:
    with pytest.raises(ValueError, match="file:///absolute/path"):
        storage.open(url, signing_key=b"k", public_url="http://x")


async def test_symbolic_links_lead_nowhere(store: LocalStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"secret")
    (tmp_path / "objects" / "link").symlink_to(outside)
    (tmp_path / "objects" / "file").symlink_to(outside / "secret")

    for key in ("link/secret", "file"):
        with pytest.raises(ValueError, match="symbolic link"):
            await read(store, key)
        with pytest.raises(ValueError, match="symbolic link"):
            await store.put(key, chunks_of(b"x"), bytes_max=1)
        with pytest.raises(ValueError, match="symbolic link"):
            await store.delete(key)
    with pytest.raises(ValueError, match="prefix"):
        await keys_of(store, "../")

    assert (outside / "secret").read_bytes() == b"secret"
    assert sorted(outside.iterdir()) == [outside / "secret"]


async def test_objects_are_read_only_files(store: LocalStore) -> None:
    await store.put(KEY, chunks_of(b"x"), bytes_max=1)

    assert (await store.local_path(KEY)).stat().st_mode & 0o777 == 0o444


async def test_folders_left_empty_are_removed(store: LocalStore, tmp_path: Path) -> None:
    await store.put("snapshots/1/2-3/0.parquet", chunks_of(b"x"), bytes_max=1)
    await store.put("snapshots/4/5-6/0.parquet", chunks_of(b"x"), bytes_max=1)

    await store.delete("snapshots/1/2-3/0.parquet")

    assert [path.name for path in (tmp_path / "objects" / "snapshots").iterdir()] == ["4"]


async def test_writers_and_deleters_of_one_folder_do_not_trip_each_other(store: LocalStore) -> None:
    async def write_and_delete(name: str) -> None:
        for _ in range(20):
            await store.put(f"a/b/{name}", chunks_of(b"x"), bytes_max=1)
            await store.delete(f"a/b/{name}")

    await asyncio.gather(*(write_and_delete(name) for name in "pqrst"))

    assert await keys_of(store, "") == set()


async def test_a_cancelled_put_leaves_nothing(store: LocalStore) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 300_000
            await asyncio.sleep(0)

    task = asyncio.create_task(store.put(KEY, endless(), bytes_max=2**40))
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list(store.scratch().iterdir()) == []
    assert await store.head(KEY) is None


async def test_a_full_disk_is_said_and_leaves_nothing(store: LocalStore) -> None:
    # A limit on file size is what a full disk looks like to a process, without filling a disk.
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * 1024**2, old[1]))
    try:
        with pytest.raises(StorageFull, match="no space left"):
            await store.put(KEY, chunks_of(*[b"x" * 1024**2] * 5), bytes_max=2**40)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)

    assert list(store.scratch().iterdir()) == []
    assert await store.head(KEY) is None
    assert (await store.put(KEY, chunks_of(b"fits"), bytes_max=10)).size_bytes == 4


_KILLED = """
import asyncio, sys
import storage
async def slow():
    while True:
        yield b"x" * 2**20
        print("written", flush=True)
        await asyncio.sleep(0.01)
store = storage.open(sys.argv[1], signing_key=b"k", public_url="http://x")
asyncio.run(store.put("uploads/1/killed", slow(), bytes_max=2**40))
"""


async def test_a_killed_writer_leaves_no_object(store: LocalStore, tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'objects'}"
    writer = subprocess.Popen(  # noqa: ASYNC220 - a process that is killed in mid-write
        [sys.executable, "-c", _KILLED, url],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with writer:
        assert writer.stdout is not None
        for _ in range(3):
            assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)

    assert await keys_of(store, "") == set()
    assert len(list(store.scratch().iterdir())) == 1
    left = next(store.scratch().iterdir())
    os.utime(left, (time.time() - 7200,) * 2)
    assert store.sweep(older_than_seconds=3600) == 1
