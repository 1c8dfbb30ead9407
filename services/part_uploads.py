"""Uploads in parts: large files that go straight to the object store, each part on its own and as often as needed."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tortoise.exceptions import IntegrityError

from base.errors import Conflict, InvalidInput, NotFound, PlatformError
from base.ids import public_id
from models import PartUpload, Project, Upload
from models.database import transaction
from services import values
from services.access import Viewer, find
from services.idempotency import Result, once
from services.platform import Platform
from services.uploads import Uploaded, refuse_unreadable, shown_name
from storage.store import PartInfo, Place, file_too_large

LIFE_SECONDS = 24 * 3600  # of an upload
LINK_SECONDS = (
    3600  # of a part's link: whoever has it can write the part; `resume` gives fresh ones
)
GRACE_SECONDS = (
    3600  # after which an expired one is swept: one that is being completed is done by then
)
OPEN_MAX = 50  # unfinished uploads of a project
PARTS_MAX = 1000
PARTS_USUAL = 100
PART_BYTES_MIN = 5 * 1024**2  # the least that S3 takes of a part that is not the last
PART_BYTES_MAX = 5 * 1024**3  # the most that S3 takes
PART_BYTES_USUAL_MAX = 64 * 1024**2
SWEPT_AT_ONCE = 100
_MIB = 1024**2
_NEW = "Begin a new upload with `createUpload`."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Part:
    """A part to be sent: PUT `size_bytes` bytes to `url`. `etag`, without quotes, where it is there already.

    The link is good until `expires_at`.
    """

    number: int
    url: str
    size_bytes: int
    etag: str | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    """An upload as its sender needs to know it. `sha256` (hex) and no parts once it is complete."""

    id: str
    object_key: str
    file_name: str
    size_bytes: int
    parts: tuple[Part, ...]
    expires_at: datetime
    sha256: str | None


async def begin(
    platform: Platform,
    viewer: Viewer,
    project_id: str,
    file_name: str,
    size_bytes: int,
    *,
    part_bytes: int | None = None,
    idempotency_key: str | None = None,
) -> Begun:
    """Begin an upload; a repetition with the same key goes on with it, with fresh links.

    `part_bytes` is the size of every part but the last, as `part_bytes_of` says where it is None. Raises Unsupported
    for an unknown extension, PayloadTooLarge, InvalidInput for an empty file and for parts too small, too large or too
    many, and Conflict where the project has too many unfinished uploads.
    """
    project = await find(viewer, Project, project_id, field="input.projectId")
    name = shown_name(file_name)
    refuse_unreadable(name, "input.fileName")
    _check_size(platform, size_bytes)
    if part_bytes is not None:
        _check_part_bytes(size_bytes, part_bytes)

    async def prepare() -> None:
        return None

    async def commit(_: None) -> Result:
        row = await PartUpload.create(
            project_id=project.id,
            creator_id=viewer.user_id,
            object_key=f"uploads/{project.id}/{secrets.token_hex(16)}",
            file_name=name,
            size_bytes=size_bytes,
            part_bytes=part_bytes or part_bytes_of(size_bytes),
            expires_at=datetime.now(UTC) + timedelta(seconds=LIFE_SECONDS),
        )
        await _refuse_too_many(project.id)
        return {"upload": row.id}

    given = [project.id, name, size_bytes, part_bytes]
    done = await once(
        platform, viewer, "createUpload", idempotency_key, given, prepare=prepare, commit=commit
    )
    return await _begun(platform, await find(viewer, PartUpload, _public(done["upload"])))


async def resume(platform: Platform, viewer: Viewer, upload_id: str) -> Begun:
    """An upload with fresh links, and which parts are there. Raises NotFound, and Conflict for an expired one."""
    return await _begun(platform, await find(viewer, PartUpload, upload_id, field="id"))


async def complete(
    platform: Platform, viewer: Viewer, upload_id: str, etags: Sequence[tuple[int, str]]
) -> Uploaded:
    """Make the parts, by number and ETag, one file; repeated, it answers the same.

    The work goes on where the caller is cancelled, and a repetition waits for it. Raises NotFound, InvalidInput where
    the parts are not exactly those that are there, and Conflict where the upload has expired or a part is received.
    """
    row = await find(viewer, PartUpload, upload_id, field="input.uploadId")
    if row.upload_id is not None:  # type: ignore[attr-defined]
        return await _finished(row.id)
    _refuse_expired(row, "input.uploadId")
    parts = _parts_given(row, etags)
    work = (row.object_key, tuple(parts))
    running = _RUNNING.get(work)
    if running is None:
        running = asyncio.create_task(_complete(platform, row, parts))
        _RUNNING[work] = running
        running.add_done_callback(lambda task: _ended(work, task))
    return await asyncio.shield(running)


async def sweep(platform: Platform) -> int:
    """Forget uploads that expired a while ago, and remove the parts of those that were never finished; how many."""
    limit = datetime.now(UTC) - timedelta(seconds=GRACE_SECONDS)
    rows = await PartUpload.filter(expires_at__lt=limit).order_by("expires_at").limit(SWEPT_AT_ONCE)
    swept = 0
    for row in rows:
        try:
            if row.upload_id is None and row.store_id is not None:  # type: ignore[attr-defined]
                await platform.store.abort_parts(row.object_key, row.store_id)
        except (
            PlatformError
        ) as error:  # one refusal leaves the others, and what is tidied after them, alone
            _log.warning("parts of an upload were not removed: %s", error.message)
            continue
        swept += await PartUpload.filter(id=row.id).delete()
    return swept


def part_bytes_of(size_bytes: int) -> int:
    """The size of all parts but the last: about a hundred of 5 to 64 MiB, larger ones only to stay within 1,000."""
    usual = math.ceil(size_bytes / PARTS_USUAL / _MIB) * _MIB
    least = math.ceil(size_bytes / PARTS_MAX / _MIB) * _MIB
    return max(min(max(usual, PART_BYTES_MIN), PART_BYTES_USUAL_MAX), least)


# Completions of this process that are under way; whoever asks again waits for the same one.
_RUNNING: dict[tuple[str, tuple[PartInfo, ...]], asyncio.Task[Uploaded]] = {}


def _ended(work: tuple[str, tuple[PartInfo, ...]], task: asyncio.Task[Uploaded]) -> None:
    _RUNNING.pop(work, None)
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, PlatformError):
        _log.warning("an upload could not be completed", exc_info=error)


async def _until_completed(row: PartUpload) -> None:
    """Wait for completions of an upload that are under way here; raises as they do."""
    for task in [task for (key, _), task in _RUNNING.items() if key == row.object_key]:
        await asyncio.shield(task)


async def _complete(platform: Platform, row: PartUpload, parts: list[PartInfo]) -> Uploaded:
    if row.store_id is None:
        raise InvalidInput("No part has been stored.", field="input.parts")
    try:
        info = await platform.store.complete_parts(
            row.object_key, row.store_id, parts, size_bytes=row.size_bytes
        )
    except InvalidInput as error:
        error.field = "input.parts"
        raise
    assert info.sha256 is not None, "the store has just read it"
    with suppress(IntegrityError):  # another process has completed it as well
        async with transaction():
            upload = await Upload.create(
                project_id=row.project_id,  # type: ignore[attr-defined]
                creator_id=row.creator_id,  # type: ignore[attr-defined]
                object_key=row.object_key,
                file_name=row.file_name,
                size_bytes=info.size_bytes,
                sha256=info.sha256,
            )
            await PartUpload.filter(id=row.id).update(upload_id=upload.id)
    return await _finished(row.id)


async def _finished(row_id: int) -> Uploaded:
    row = await PartUpload.get_or_none(id=row_id).select_related("upload")
    if row is None or row.upload is None:
        raise NotFound("The file of this upload was deleted.", hint=_NEW, field="input.uploadId")
    upload = row.upload
    return Uploaded(upload.object_key, upload.file_name, upload.size_bytes, upload.sha256)


async def _begun(platform: Platform, row: PartUpload) -> Begun:
    sha256, parts = None, []
    if row.upload_id is not None:  # type: ignore[attr-defined]
        sha256 = (await _finished(row.id)).sha256
    else:
        _refuse_expired(row, None)
        try:
            parts = await _parts(platform, row)
        except NotFound:  # the store has made it a file since the row was read
            await _until_completed(row)
            sha256 = (await _finished(row.id)).sha256
    return Begun(
        id=_public(row.id),
        object_key=row.object_key,
        file_name=row.file_name,
        size_bytes=row.size_bytes,
        parts=tuple(parts),
        expires_at=row.expires_at,
        sha256=sha256,
    )


async def _parts(platform: Platform, row: PartUpload) -> list[Part]:
    store_id = row.store_id or await _store_id(platform, row)
    there = {
        (part.number, part.size_bytes): part.etag
        for part in await platform.store.list_parts(row.object_key, store_id)
    }
    # After the store has answered, or links would outlive their upload by its pause.
    now = datetime.now(UTC)
    left = max(int((row.expires_at - now).total_seconds()), 1)
    seconds = min(left, LINK_SECONDS)
    return [
        Part(
            place.number,
            platform.store.presign_part(row.object_key, store_id, place, expires_in=seconds),
            place.size_bytes,
            there.get((place.number, place.size_bytes)),
            now + timedelta(seconds=seconds),
        )
        for place in _places(row)
    ]


async def _store_id(platform: Platform, row: PartUpload) -> str:
    """The store's id, asked for after the row is committed: what has a row is swept, whatever happens."""
    made = await platform.store.create_parts(row.object_key, size_bytes=row.size_bytes)
    if await PartUpload.filter(id=row.id, store_id=None).update(store_id=made):
        return made
    await platform.store.abort_parts(row.object_key, made)  # another request was first
    other = await PartUpload.get_or_none(id=row.id)
    if other is None or other.store_id is None:
        raise NotFound("The upload has expired.", hint=_NEW)
    return other.store_id


def _places(row: PartUpload) -> list[Place]:
    return [
        Place(number, offset, min(row.part_bytes, row.size_bytes - offset))
        for number, offset in enumerate(range(0, row.size_bytes, row.part_bytes), 1)
    ]


def _parts_given(row: PartUpload, etags: Sequence[tuple[int, str]]) -> list[PartInfo]:
    places = _places(row)
    if [number for number, _ in etags] != [place.number for place in places]:
        raise InvalidInput(
            f"The upload has the parts 1 to {len(places)}: name each once, in order.",
            field="input.parts",
        )
    return [
        PartInfo(place.number, place.size_bytes, etag.strip('"'))
        for place, (_, etag) in zip(places, etags, strict=True)
    ]


def _check_size(platform: Platform, size_bytes: int) -> None:
    most = platform.settings.upload_bytes_max
    if size_bytes > most:
        raise file_too_large(most, "input.sizeBytes")
    if size_bytes < 1:
        raise InvalidInput("An upload has at least one byte.", field="input.sizeBytes")


def _check_part_bytes(size_bytes: int, part_bytes: int) -> None:
    field = "input.partBytes"
    values.between(part_bytes, field, least=PART_BYTES_MIN, most=PART_BYTES_MAX)
    count = math.ceil(size_bytes / part_bytes)
    if count > PARTS_MAX:
        least = math.ceil(size_bytes / PARTS_MAX)
        raise InvalidInput(
            f"Parts of {part_bytes:,} bytes would be {count:,}; an upload has up to {PARTS_MAX:,}.",
            hint=f"Parts of {least:,} bytes or more will do.",
            field=field,
        )


async def _refuse_too_many(project_pk: int) -> None:
    """Called after the row is inserted, so that refusing takes it back."""
    open_now = await PartUpload.filter(
        project_id=project_pk, upload_id=None, expires_at__gt=datetime.now(UTC)
    ).count()
    if open_now > OPEN_MAX:
        raise Conflict(
            f"The project has {OPEN_MAX} unfinished uploads.",
            hint="Complete one, or wait until they expire.",
            field="input.projectId",
        )


def _refuse_expired(row: PartUpload, field: str | None) -> None:
    if row.expires_at <= datetime.now(UTC):
        raise Conflict("The upload has expired.", hint=_NEW, field=field)


def _public(pk: int) -> str:
    return public_id("upload", pk)
