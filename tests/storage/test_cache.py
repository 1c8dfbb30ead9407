"""The cache of immutable objects: one download however many ask, room made by last use, nothing in use dropped."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from base.errors import Internal
from storage.cache import USE_SECONDS, Cache
from tests.storage.test_local import ROOT


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return make(tmp_path)


def make(folder: Path, bytes_max: int = 30) -> Cache:
    scratch = folder / ".scratch"
    scratch.mkdir(exist_ok=True)
    return Cache(folder, scratch, bytes_max)


class Source:
    """Objects of ten bytes; counts who opens them."""

    def __init__(self, body: bytes = b"0123456789") -> None:
        self.body = body
        self.opened = 0

    async def open(self) -> AsyncIterator[bytes]:
        self.opened += 1
        for at in range(0, len(self.body), 3):
            await asyncio.sleep(0.001)
            yield self.body[at : at + 3]


def age(path: Path, seconds: float = USE_SECONDS + 1) -> None:
    os.utime(path, (time.time() - seconds,) * 2)


async def test_many_who_ask_at_once_download_once(cache: Cache, tmp_path: Path) -> None:
    source, other = Source(), make(tmp_path)

    paths = await asyncio.gather(
        *(each.fetch("x/1", 10, source.open) for each in (cache, other) * 5)
    )

    assert set(paths) == {tmp_path / "x/1"}
    assert source.opened == 1
    assert paths[0].read_bytes() == b"0123456789"
    assert paths[0].stat().st_mode & 0o777 == 0o444
    assert cache.find("x/1") == paths[0]
    assert cache.find("x/2") is None


@pytest.mark.parametrize("size", [9, 11])
async def test_another_size_than_expected_is_not_kept(
    cache: Cache, tmp_path: Path, size: int
) -> None:
    with pytest.raises(Internal, match=f"10 bytes of an object of {size}"):
        await cache.fetch("x/1", size, Source().open)

    assert cache.find("x/1") is None
    assert list((tmp_path / ".scratch").iterdir()) == []


async def test_what_was_used_longest_ago_makes_room(cache: Cache) -> None:
    paths = [await cache.fetch(f"x/{number}", 10, Source().open) for number in range(3)]
    for path, seconds in zip(paths, (3000, 5000, 4000), strict=True):
        age(path, seconds)
    assert cache.find("x/1") is not None  # used just now

    await cache.fetch("x/3", 10, Source().open)

    assert [cache.find(f"x/{n}") is not None for n in range(4)] == [True, True, False, True]


async def test_what_is_open_or_just_handed_out_stays(cache: Cache, tmp_path: Path) -> None:
    kept, fresh, old = [await cache.fetch(f"x/{n}", 10, Source().open) for n in range(3)]
    age(kept, 5000)
    age(old, 4000)
    reader = subprocess.Popen(  # noqa: ASYNC220 - another process that reads the file
        [sys.executable, "-c", "import sys; f = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()", kept],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    with reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == b"open\n"
        await cache.fetch("x/3", 10, Source().open)
        await cache.fetch("x/4", 10, Source().open)
        assert (kept.exists(), fresh.exists(), old.exists()) == (True, True, False)
        assert reader.stdin is not None
        reader.stdin.close()
        reader.wait()

    await cache.fetch("x/5", 10, Source().open)
    assert not kept.exists()
    assert fresh.exists()


async def test_a_download_that_is_cancelled_leaves_nothing_and_can_be_repeated(
    cache: Cache, tmp_path: Path
) -> None:
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            begun.set()
            yield b"x"
            await asyncio.sleep(0)

    task = asyncio.create_task(cache.fetch("x/1", 10, endless))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert list((tmp_path / ".scratch").iterdir()) == []
    assert (await cache.fetch("x/1", 10, Source().open)).read_bytes() == b"0123456789"


_PROCESS = """
import asyncio, sys
from pathlib import Path
from storage.cache import Cache
folder = Path(sys.argv[1])
cache = Cache(folder, folder / ".scratch", 100)
async def source():
    print("downloading", flush=True)
    await asyncio.sleep(0.3)
    yield b"0123456789"
async def main():
    path = await cache.fetch("x/1", 10, source)
    assert path.read_bytes() == b"0123456789"
asyncio.run(main())
"""


def test_processes_download_once_between_them(cache: Cache, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", _PROCESS, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, env=env) for _ in range(3)]
    said = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0, 0]
    assert sorted(said) == [b"", b"", b"downloading\n"]
    assert cache.find("x/1") == tmp_path / "x/1"


async def test_a_dropped_object_is_gone(cache: Cache) -> None:
    await cache.fetch("x/1", 10, Source().open)
    cache.drop("x/1")
    cache.drop("x/1")

    assert cache.find("x/1") is None


async def test_what_is_dropped_leaves_no_empty_folders(cache: Cache, tmp_path: Path) -> None:
    await cache.fetch("x/1/2/a", 10, Source().open)
    await cache.fetch("x/1/b", 10, Source().open)

    cache.drop("x/1/2/a")
    cache.drop("x/1/2/a")
    assert sorted(path.name for path in (tmp_path / "x/1").iterdir()) == ["b"]
    cache.drop("x/1/b")

    assert not (tmp_path / "x").exists()
    assert (await cache.fetch("x/1/b", 10, Source().open)).exists()
