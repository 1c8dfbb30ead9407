"""What every object store has to do. A driver's test file hands each check a fresh store.

Not covered here, because they are the driver's own: symbolic links, durability, and who serves the links.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from base.errors import Conflict, NotFound, PayloadTooLarge
from storage.store import ObjectStore

KEY = "uploads/7/0123456789abcdef"


async def chunks_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def read(store: ObjectStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([chunk async for chunk in store.open(key, start, end)])


async def keys_of(store: ObjectStore, prefix: str) -> set[str]:
    return {info.key async for info in store.list(prefix)}


async def puts_and_gives_back_the_same_bytes(store: ObjectStore) -> None:
    body = bytes(range(256)) * 20_000

    info = await store.put(
        KEY, chunks_of(body[:3], b"", body[3:2_500_000], body[2_500_000:]), bytes_max=len(body)
    )

    assert (info.key, info.size_bytes) == (KEY, 5_120_000)
    assert info.sha256 == hashlib.sha256(body).hexdigest()
    assert await read(store, KEY) == body


async def puts_an_empty_object(store: ObjectStore) -> None:
    info = await store.put(KEY, chunks_of(), bytes_max=0)

    assert info.size_bytes == 0
    assert await read(store, KEY) == b""


async def gives_parts_of_an_object(store: ObjectStore) -> None:
    await store.put(KEY, chunks_of(b"0123456789"), bytes_max=10)

    assert await read(store, KEY, 0, 1) == b"0"
    assert await read(store, KEY, 4) == b"456789"
    assert await read(store, KEY, 4, 7) == b"456"
    assert await read(store, KEY, 8, 100) == b"89"
    assert await read(store, KEY, 5, 5) == b""


async def keeps_nothing_of_an_object_over_its_limit(store: ObjectStore) -> None:
    with pytest.raises(PayloadTooLarge, match="larger than 9 bytes"):
        await store.put(KEY, chunks_of(b"01234", b"56789"), bytes_max=9)

    assert await store.head(KEY) is None
    assert list(store.scratch().iterdir()) == []


async def keeps_nothing_of_a_body_that_breaks_off(store: ObjectStore) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await store.put(KEY, broken(), bytes_max=100)

    assert await store.head(KEY) is None
    assert list(store.scratch().iterdir()) == []


async def never_overwrites_an_object(store: ObjectStore) -> None:
    await store.put(KEY, chunks_of(b"first"), bytes_max=10)
    file = store.scratch() / "other"
    file.write_bytes(b"other")

    with pytest.raises(Conflict):
        await store.put(KEY, chunks_of(b"second"), bytes_max=10)
    with pytest.raises(Conflict):
        store.adopt(file, KEY)

    assert await read(store, KEY) == b"first"


async def says_what_is_not_there(store: ObjectStore) -> None:
    assert await store.head(KEY) is None
    with pytest.raises(NotFound):
        await read(store, KEY)
    with pytest.raises(NotFound):
        await store.local_path(KEY)
    await store.delete(KEY)


async def deletes_one_object_and_no_other(store: ObjectStore) -> None:
    for name in ("a", "ab", "b"):
        await store.put(f"x/{name}", chunks_of(name.encode()), bytes_max=10)

    await store.delete("x/a")

    assert await store.head("x/a") is None
    assert await keys_of(store, "") == {"x/ab", "x/b"}


async def lists_by_prefix(store: ObjectStore) -> None:
    for key in ("x/1/a", "x/1/b", "x/12/c", "y/1/d"):
        await store.put(key, chunks_of(b"12345"), bytes_max=10)

    assert await keys_of(store, "x/1/") == {"x/1/a", "x/1/b"}
    assert await keys_of(store, "x/1") == {"x/1/a", "x/1/b", "x/12/c"}
    assert await keys_of(store, "z/") == set()
    assert [info.size_bytes async for info in store.list("y/")] == [5]


async def adopts_a_file(store: ObjectStore) -> None:
    file = store.scratch() / "work.part"
    file.write_bytes(b"rows")

    store.adopt(file, "snapshots/1/2-3/0.parquet")

    assert not file.exists()
    assert await read(store, "snapshots/1/2-3/0.parquet") == b"rows"
    assert (await store.local_path("snapshots/1/2-3/0.parquet")).read_bytes() == b"rows"


async def refuses_keys_that_are_not_plain_names(store: ObjectStore) -> None:
    bad = ["", "/etc/passwd", "../x", "a/../b", "a/..", "a//b", "a/", ".hidden", "a/.scratch/b"]
    bad += ["a\x00b", "a\nb", "a b", "a\\b", "~/x", "a?b", "ü", "a" * 301, "%2e%2e/x"]
    for key in bad:
        with pytest.raises(ValueError, match="key"):
            await store.put(key, chunks_of(b"x"), bytes_max=1)
        with pytest.raises(ValueError, match="key"):
            store.presign_get(key, expires_in=60, file_name="x")
        with pytest.raises(ValueError, match="key"):
            await store.delete(key)

    assert await keys_of(store, "") == set()


async def sweeps_what_killed_writers_left(store: ObjectStore) -> None:
    (store.scratch() / "left.part").write_bytes(b"x")
    (store.scratch() / "job").mkdir()
    (store.scratch() / "job" / "deeper.part").write_bytes(b"x")
    await store.put(KEY, chunks_of(b"kept"), bytes_max=10)

    assert store.sweep(older_than_seconds=3600) == 0
    assert store.sweep(older_than_seconds=-1) == 2

    assert list(store.scratch().iterdir()) == []
    assert await read(store, KEY) == b"kept"


Check = Callable[[ObjectStore], Awaitable[None]]
CHECKS: list[Check] = [
    puts_and_gives_back_the_same_bytes,
    puts_an_empty_object,
    gives_parts_of_an_object,
    keeps_nothing_of_an_object_over_its_limit,
    keeps_nothing_of_a_body_that_breaks_off,
    never_overwrites_an_object,
    says_what_is_not_there,
    deletes_one_object_and_no_other,
    lists_by_prefix,
    adopts_a_file,
    refuses_keys_that_are_not_plain_names,
    sweeps_what_killed_writers_left,
]
