"""Uploads: stored whole under our own key, or not at all."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from base.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Unsupported,
)
from models import Role, Upload
from services import uploads
from services.platform import Platform
from services.uploads import Uploaded, shown_name
from tests import factories
from tests.services.places import make_place, refused


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def stored_keys(platform: Platform) -> list[str]:
    return [info.key async for info in platform.store.list("")]


async def test_a_file_is_stored_with_its_hash(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    done = await uploads.receive(
        platform, place.viewer, place.project_id, "My rain.CSV", pieces(b"a,b\n", b"1,2\n")
    )

    assert (done.file_name, done.size_bytes) == ("My rain.CSV", 8)
    assert done.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    assert (
        b"".join([chunk async for chunk in platform.store.open(done.object_key)]) == b"a,b\n1,2\n"
    )
    row = await Upload.get(object_key=done.object_key).values()
    assert (row["project_id"], row["creator_id"]) == (place.project.id, place.viewer.user_id)
    assert (row["file_name"], row["size_bytes"], row["sha256"]) == (
        done.file_name, done.size_bytes, done.sha256,
    )  # fmt: skip
    folder, project, name = done.object_key.split("/")
    assert (folder, project, len(name)) == ("uploads", str(place.project.id), 32)


async def test_a_sqlite_file_may_be_brought(platform: Platform) -> None:
    place = await make_place()

    done = await uploads.receive(
        platform, place.viewer, place.project_id, "data.sqlite", pieces(b"SQLite format 3\x00")
    )

    assert done.file_name == "data.sqlite"


@pytest.mark.parametrize("name", ["virus.exe", "noextension", "", None, "a.csv.gz", ".csv "])
async def test_a_file_that_nothing_can_read_is_refused(
    platform: Platform, name: str | None
) -> None:
    place = await make_place()

    async with refused(Unsupported, "input.file"):
        await uploads.receive(platform, place.viewer, place.project_id, name, pieces(b"x"))

    assert await stored_keys(platform) == []


async def test_a_file_over_the_limit_is_refused(platform: Platform) -> None:
    place = await make_place()
    small = replace(platform, settings=replace(platform.settings, upload_bytes_max=10))

    async with refused(PayloadTooLarge, "input.file"):
        await uploads.receive(
            small, place.viewer, place.project_id, "a.csv", pieces(b"123456", b"78901")
        )

    assert await stored_keys(platform) == []


async def test_a_file_that_is_sent_again_with_the_same_key_is_stored_once(
    platform: Platform,
) -> None:
    place = await make_place(Role.WRITE)

    async def send(content: bytes = b"a\n1\n", name: str = "a.csv", key: str = "k") -> Uploaded:
        return await uploads.receive(
            platform, place.viewer, place.project_id, name, pieces(content), idempotency_key=key
        )

    first, second = await asyncio.gather(send(), send())
    third = await send(name="folder/a.csv")

    assert first == second == third
    assert await stored_keys(platform) == [first.object_key]
    for other in ({"content": b"a\n2\n"}, {"name": "b.csv"}):
        async with refused(Conflict, "input.idempotencyKey"):
            await send(**other)
    for wrong in ("", " ", "x" * 201):
        async with refused(InvalidInput, "input.idempotencyKey"):
            await send(key=wrong)
    assert await stored_keys(platform) == [first.object_key]
    assert (await send(key="j")).object_key != first.object_key


async def test_a_file_that_was_deleted_is_not_answered_for(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    async def send() -> Uploaded:
        return await uploads.receive(
            platform, place.viewer, place.project_id, "a.csv", pieces(b"x"), idempotency_key="k"
        )

    first = await send()
    source = await factories.make_source(place.project)
    await uploads.drop(platform, source, first.object_key)

    async with refused(Conflict, "input.idempotencyKey"):
        await send()

    assert await stored_keys(platform) == []


async def test_the_keys_of_others_are_their_own(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    other = (await place.member(Role.WRITE)).acting(Role.WRITE)

    done = [
        await uploads.receive(
            platform, viewer, place.project_id, "a.csv", pieces(b"x"), idempotency_key="k"
        )
        for viewer in (place.viewer, other)
    ]

    assert len({each.object_key for each in done}) == 2


async def test_a_stranger_and_a_reader_store_nothing(platform: Platform) -> None:
    place = await make_place()
    reader = (await place.member(Role.EXECUTE)).acting(Role.WRITE)
    stranger = (await make_place()).viewer

    async with refused(NotFound, "input.projectId"):
        await uploads.receive(platform, stranger, place.project_id, "a.csv", pieces(b"x"))
    async with refused(Forbidden, "input.projectId"):
        await uploads.receive(platform, reader, place.project_id, "a.csv", pieces(b"x"))

    assert await stored_keys(platform) == []


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("rain.csv", "rain.csv"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\rain.csv", "rain.csv"),
        ("/", "upload"),
        ("..", "upload"),
        ("", "upload"),
        (None, "upload"),
        ("a\r\nSet-Cookie: x.csv", "aSet-Cookie: x.csv"),
        ("a\x00\x1b[31m.csv", "a[31m.csv"),
        ("\ud800.csv", ".csv"),
        ("evil\u202evsc.exe", "evilvsc.exe"),
        ("e\u0301.csv", "\u00e9.csv"),
        ("<script>.csv", "<script>.csv"),
        ("名前.csv", "名前.csv"),
        ("x" * 300 + ".csv", "x" * 251 + ".csv"),
    ],
)
def test_a_file_name_is_made_fit_to_show(given: str | None, shown: str) -> None:
    assert shown_name(given) == shown
