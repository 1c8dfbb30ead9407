"""Uploads in parts: begun, gone on with, completed once, refused when too late, and swept."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest

from base.errors import (
    Conflict,
    Forbidden,
    InvalidInput,
    NotFound,
    PayloadTooLarge,
    Unsupported,
)
from models import PartUpload, Role, Upload
from services import part_uploads
from services.part_uploads import GRACE_SECONDS, OPEN_MAX, part_bytes_of
from services.platform import Platform
from storage.local import LocalStore
from storage.store import PartInfo
from storage.store import Place as PartPlace
from tests.services.places import Place, make_place, put_parts, refused
from workers.housekeeping import Housekeeper

MIB = 1024**2
BODY = b"a,b\n1,2\n"
LONG = bytes(range(256)) * (5 * MIB // 256) + b"tail"


async def send(platform: Platform, object_key: str, number: int, body: bytes) -> PartInfo:
    """What a client's PUT of a part does."""
    row = await PartUpload.get(object_key=object_key)

    async def chunks() -> AsyncIterator[bytes]:
        yield body

    assert isinstance(platform.store, LocalStore)
    assert row.store_id is not None
    place = PartPlace(number, (number - 1) * row.part_bytes, len(body))
    return await platform.store.put_part(row.store_id, place, chunks())


async def stored(platform: Platform) -> list[str]:
    return [info.key async for info in platform.store.list("")]


@pytest.mark.parametrize(
    ("size", "part", "count"),
    [
        (1, 5 * MIB, 1),
        (5 * MIB, 5 * MIB, 1),
        (5 * MIB + 1, 5 * MIB, 2),
        (500 * MIB, 5 * MIB, 100),
        (5 * 1024 * MIB, 52 * MIB, 99),
        (20 * 1024 * MIB, 64 * MIB, 320),
        (64_000 * MIB, 64 * MIB, 1000),
        (64_000 * MIB + 1, 65 * MIB, 985),
    ],
)
def test_parts_are_few_and_of_a_good_size(size: int, part: int, count: int) -> None:
    assert part_bytes_of(size) == part
    assert -(-size // part) == count


GIB = 1024 * MIB


@pytest.mark.parametrize(
    ("size", "part", "count"),
    [
        (1, 5 * MIB, 1),
        (1, 5 * GIB, 1),
        (11 * MIB, 5 * MIB, 3),
        (5000 * MIB, 5 * MIB, 1000),
        (5 * GIB, 5 * GIB, 1),
    ],
)
async def test_the_sender_may_choose_the_size_of_parts(
    platform: Platform, size: int, part: int, count: int
) -> None:
    place = await make_place(Role.WRITE)

    begun = await part_uploads.begin(
        platform, place.viewer, place.project_id, "a.csv", size, part_bytes=part
    )

    sizes = [each.size_bytes for each in begun.parts]
    assert (len(sizes), sum(sizes)) == (count, size)
    assert set(sizes[:-1]) <= {part}
    again = await part_uploads.resume(platform, place.viewer, begun.id)
    assert [each.size_bytes for each in again.parts] == sizes


@pytest.mark.parametrize(
    ("size", "part", "hint"),
    [
        (8, 0, None),
        (8, 5 * MIB - 1, None),
        (8, 5 * GIB + 1, None),
        (5000 * MIB + 1, 5 * MIB, "5,242,881 bytes"),
        (5 * GIB, 5 * MIB, "5,368,710 bytes"),
    ],
)
async def test_parts_too_small_too_large_or_too_many_are_refused(
    platform: Platform, size: int, part: int, hint: str | None
) -> None:
    place = await make_place(Role.WRITE)

    async with refused(InvalidInput, "input.partBytes") as caught:
        await part_uploads.begin(
            platform, place.viewer, place.project_id, "a.csv", size, part_bytes=part
        )

    assert caught.value.hint is None if hint is None else hint in str(caught.value.hint)


async def test_another_size_of_parts_is_another_request(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    async def begin(part: int | None) -> part_uploads.Begun:
        return await part_uploads.begin(
            platform,
            place.viewer,
            place.project_id,
            "a.csv",
            8,
            part_bytes=part,
            idempotency_key="k",
        )

    first = await begin(6 * MIB)
    assert (await begin(6 * MIB)).id == first.id
    async with refused(Conflict, "input.idempotencyKey"):
        await begin(None)


async def test_a_file_in_parts_is_stored_with_its_hash(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    before = datetime.now(UTC)
    begun = await part_uploads.begin(
        platform, place.viewer, place.project_id, "folder/My rain.CSV", len(LONG)
    )
    after = datetime.now(UTC)
    assert [(part.number, part.size_bytes, part.etag) for part in begun.parts] == [
        (1, 5 * MIB, None), (2, 4, None),
    ]  # fmt: skip
    assert urlsplit(begun.parts[0].url).path.startswith("/parts/")
    day, hour = timedelta(days=1), timedelta(hours=1)
    assert before + day <= begun.expires_at <= after + day
    assert before + hour <= begun.parts[0].expires_at <= after + hour

    last = await send(platform, begun.object_key, 2, b"tail")
    half = await part_uploads.resume(platform, place.viewer, begun.id)
    first = await send(platform, begun.object_key, 1, LONG[:-4])
    done = await part_uploads.complete(
        platform, place.viewer, begun.id, [(1, f'"{first.etag}"'), (2, last.etag)]
    )

    assert [part.etag for part in half.parts] == [None, last.etag]
    assert half.sha256 is None
    assert (done.object_key, done.file_name, done.size_bytes) == (
        begun.object_key, "My rain.CSV", 5 * MIB + 4,
    )  # fmt: skip
    assert done.sha256 == hashlib.sha256(LONG).hexdigest()
    assert b"".join([chunk async for chunk in platform.store.open(done.object_key)]) == LONG
    row = await Upload.get(object_key=done.object_key).values()
    assert (row["project_id"], row["creator_id"]) == (place.project.id, place.viewer.user_id)
    assert (row["sha256"], row["size_bytes"]) == (done.sha256, done.size_bytes)


async def test_completing_again_or_at_once_gives_the_same_file(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    parts = [(1, part.etag)]

    first, second = await asyncio.gather(
        *(part_uploads.complete(platform, place.viewer, begun.id, parts) for _ in range(2))
    )
    third = await part_uploads.complete(platform, place.viewer, begun.id, parts)
    seen = await part_uploads.resume(platform, place.viewer, begun.id)

    assert first == second == third
    assert await Upload.all().count() == 1
    assert (seen.sha256, seen.parts) == (first.sha256, ())


async def test_an_upload_that_has_just_been_completed_is_seen_as_that(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    read_before = await PartUpload.get(object_key=begun.object_key)
    done = await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])

    seen = await part_uploads._begun(platform, read_before)

    assert (seen.sha256, seen.parts) == (done.sha256, ())


async def test_what_a_client_no_longer_waits_for_is_completed_all_the_same(
    platform: Platform,
) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    asking = asyncio.create_task(
        part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])
    )
    while not part_uploads._RUNNING:  # noqa: ASYNC110 - there is nothing else to wait for
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    done = await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])

    assert done.sha256 == hashlib.sha256(BODY).hexdigest()
    assert await Upload.all().count() == 1


async def test_a_link_is_no_longer_good_than_an_hour_or_its_upload(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun = await part_uploads.begin(platform, place.viewer, place.project_id, "a.csv", 8)
    soon = datetime.now(UTC) + timedelta(seconds=60)

    def until(part: part_uploads.Part) -> float:
        return float(dict(parse_qsl(urlsplit(part.url).query))["expires"])

    assert until(begun.parts[0]) - time.time() <= 3_600
    await PartUpload.filter(object_key=begun.object_key).update(expires_at=soon)
    before = time.time()
    fresh = (await part_uploads.resume(platform, place.viewer, begun.id)).parts[0]
    assert until(fresh) <= soon.timestamp() + (time.time() - before)
    assert fresh.expires_at <= soon


async def test_a_repeated_request_goes_on_with_the_same_upload(platform: Platform) -> None:
    place = await make_place(Role.WRITE)

    async def begin(key: str | None, size: int = 8) -> part_uploads.Begun:
        return await part_uploads.begin(
            platform, place.viewer, place.project_id, "a.csv", size, idempotency_key=key
        )

    first = await begin("k")
    part = await send(platform, first.object_key, 1, BODY)
    again, other = await begin("k"), await begin("j")
    async with refused(Conflict, "input.idempotencyKey"):
        await begin("k", 9)

    assert (again.id, again.object_key) == (first.id, first.object_key)
    assert [each.etag for each in again.parts] == [part.etag]
    assert other.id != first.id


async def test_parts_that_are_not_all_or_not_those_are_refused(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun = await part_uploads.begin(platform, place.viewer, place.project_id, "a.csv", len(LONG))
    last = await send(platform, begun.object_key, 2, b"tail")
    lists: list[list[tuple[int, str]]] = [
        [], [(1, "x")], [(2, last.etag)], [(2, last.etag), (1, "x")], [(1, "x"), (2, last.etag)],
        [(1, "x"), (2, last.etag), (3, "x")],
    ]  # fmt: skip

    for parts in lists:
        async with refused(InvalidInput, "input.parts"):
            await part_uploads.complete(platform, place.viewer, begun.id, parts)

    assert await stored(platform) == []


@pytest.mark.parametrize(
    ("name", "size", "kind", "field"),
    [
        ("virus.exe", 8, Unsupported, "input.fileName"),
        ("a.csv", 0, InvalidInput, "input.sizeBytes"),
        ("a.csv", -1, InvalidInput, "input.sizeBytes"),
        ("a.csv", 11, PayloadTooLarge, "input.sizeBytes"),
    ],
)
async def test_files_that_cannot_be_are_refused_at_once(
    platform: Platform, name: str, size: int, kind: type, field: str
) -> None:
    place = await make_place(Role.WRITE)
    small = replace(platform, settings=replace(platform.settings, upload_bytes_max=10))

    async with refused(kind, field):
        await part_uploads.begin(small, place.viewer, place.project_id, name, size)


async def test_a_project_has_so_many_unfinished_uploads(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    await rows_of(place, OPEN_MAX - 1)

    async with refused(Conflict, "input.projectId"):
        await part_uploads.begin(platform, place.viewer, place.project_id, "a.csv", 8)

    await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])
    await part_uploads.begin(platform, place.viewer, place.project_id, "a.csv", 8)


async def rows_of(place: Place, count: int) -> None:
    await PartUpload.bulk_create(
        PartUpload(
            project_id=place.project.id,
            object_key=f"uploads/{place.project.id}/{number}",
            file_name="a.csv",
            size_bytes=8,
            part_bytes=8,
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
        for number in range(count)
    )


async def test_an_expired_upload_is_refused_and_swept(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    kept, _ = await put_parts(platform, place, BODY)
    await age(begun, 1)

    async with refused(Conflict, "input.uploadId"):
        await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])
    async with refused(Conflict):
        await part_uploads.resume(platform, place.viewer, begun.id)
    assert await part_uploads.sweep(platform) == 0
    await age(begun, GRACE_SECONDS + 1)
    await Housekeeper(platform).tidy()

    async with refused(NotFound, "input.uploadId"):
        await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])
    assert [row.object_key for row in await PartUpload.all()] == [kept.object_key]
    assert isinstance(platform.store, LocalStore)
    assert len(list((platform.store.scratch().parent / ".parts").iterdir())) == 1


async def age(begun: part_uploads.Begun, seconds: int) -> None:
    past = datetime.now(UTC) - timedelta(seconds=seconds)
    await PartUpload.filter(object_key=begun.object_key).update(expires_at=past)


async def test_a_finished_file_outlives_its_upload(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])
    await age(begun, GRACE_SECONDS + 1)

    keeper = Housekeeper(platform)
    for _ in range(3):
        await keeper.tidy()

    assert await PartUpload.all().count() == 0
    assert await stored(platform) == [begun.object_key]


async def test_bytes_whose_row_is_still_to_come_are_kept(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    begun, part = await put_parts(platform, place, BODY)
    row = await PartUpload.get(object_key=begun.object_key)
    assert row.store_id is not None
    await platform.store.complete_parts(begun.object_key, row.store_id, [part], size_bytes=8)

    keeper = Housekeeper(platform)
    for _ in range(3):
        await keeper.tidy()
    done = await part_uploads.complete(platform, place.viewer, begun.id, [(1, part.etag)])

    assert done.sha256 == part.etag


async def test_readers_and_strangers_are_refused(platform: Platform) -> None:
    place, other = await make_place(Role.WRITE), await make_place(Role.ADMIN)
    begun, part = await put_parts(platform, place, BODY)
    reader = (await place.member(Role.READ)).acting(Role.READ)

    async with refused(NotFound, "input.uploadId"):
        await part_uploads.complete(platform, other.viewer, begun.id, [(1, part.etag)])
    async with refused(NotFound, "input.projectId"):
        await part_uploads.begin(platform, other.viewer, place.project_id, "a.csv", 8)
    async with refused(Forbidden, "input.projectId"):
        await part_uploads.begin(
            platform, replace(reader, needs=Role.WRITE), place.project_id, "a.csv", 8
        )
