"""Uploads: files that users bring, stored whole under a key of ours before any source uses them."""

from __future__ import annotations

import re
import secrets
import unicodedata
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import PurePosixPath

import connectors
from base.errors import Conflict, NotFound, PayloadTooLarge, PlatformError, Unsupported
from models import DataSource, Project, Upload
from models.database import transaction
from models.rows import Compare, Eq, KeyIs, exists
from services import idempotency
from services.access import Viewer, find
from services.idempotency import Result
from services.platform import Platform

FILE_NAME_CHARS_MAX = 255
FILE_FIELD = "input.file"
NAMELESS = "upload"
_UNSAFE = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\ufffe\uffff]")  # they turn text round


@dataclass(frozen=True, slots=True)
class Uploaded:
    """A stored file. `sha256` in hex."""

    object_key: str
    file_name: str
    size_bytes: int
    sha256: str


async def receive(
    platform: Platform,
    viewer: Viewer,
    project_id: str,
    file_name: str | None,
    chunks: AsyncIterator[bytes],
    *,
    idempotency_key: str | None = None,
) -> Uploaded:
    """Stream a file into the store. Raises Unsupported for an unknown extension, PayloadTooLarge, StorageFull.

    The same file sent again with the same idempotency key is the one that is stored; Conflict where that was deleted,
    or the key came with another file.
    """
    project = await find(viewer, Project, project_id, field="input.projectId")
    name = shown_name(file_name)
    refuse_unreadable(name, FILE_FIELD)
    if idempotency_key is not None:
        idempotency.check_key(idempotency_key)
    key = f"uploads/{project.id}/{secrets.token_hex(16)}"
    try:
        info = await platform.store.put(key, chunks, bytes_max=platform.settings.upload_bytes_max)
    except PayloadTooLarge as error:
        error.field = FILE_FIELD
        raise
    assert info.sha256 is not None, "the store has just written it"
    file = Uploaded(key, name, info.size_bytes, info.sha256)
    # Should this fail otherwise, housekeeping removes the bytes: an object without a row is nobody's.
    try:
        kept = await _keep(platform, viewer, project, file, idempotency_key)
    except PlatformError:
        await platform.store.delete(key)
        raise
    if kept.object_key != key:  # it was here before
        await platform.store.delete(key)
    return kept


async def _keep(
    platform: Platform, viewer: Viewer, project: Project, file: Uploaded, key: str | None
) -> Uploaded:
    """The file with its row, or the same one that came with this idempotency key before."""

    async def prepare() -> None:
        return None

    async def commit(_: None) -> Result:
        await Upload.create(project_id=project.id, creator_id=viewer.user_id, **asdict(file))
        return {"object_key": file.object_key}

    given = [project.id, file.file_name, file.sha256]
    done = await idempotency.once(
        platform, viewer, "uploadFile", key, given, prepare=prepare, commit=commit
    )
    if not await Upload.filter(object_key=done["object_key"]).exists():
        raise Conflict(
            "The file that came with this idempotency key was deleted.",
            hint="Use a new key to upload it again.",
            field=idempotency.FIELD,
        )
    return replace(file, object_key=done["object_key"])


async def hold(project_pk: int, places: Mapping[str, str]) -> None:
    """Keep files from going until the caller's transaction ends, by when a source names them.

    `places` says for each object key where in the input it is. Raises NotFound for a file that is gone by now.
    """
    for key in sorted(places):  # one order, so no deadlock
        upload = Upload.filter(object_key=key, project_id=project_pk)
        if await upload.select_for_update(no_key=True).first() is None:
            raise NotFound(
                "The uploaded file was just removed with the last data source that read it.",
                hint="Upload it again.",
                field=places[key],
            )


async def drop(platform: Platform, source: DataSource, key: str) -> None:
    """Remove a file that this source reads no longer, unless another one of its project does; soft-deleted ones too."""
    async with transaction():
        is_last = await forget(source, key)
    if is_last:
        await platform.store.delete(key)


async def forget(source: DataSource, key: str) -> bool:
    """The rows' part of `drop`, in a transaction that takes the source from its file; whether the object is to go."""
    project_id: int = source.project_id  # type: ignore[attr-defined]
    others = (Eq("project_id", project_id), Compare("id", "!=", source.id))
    # Held, as in `hold`; and of two sources that leave it at once each would leave it to the other.
    await Upload.filter(object_key=key).select_for_update().first()
    if await exists(DataSource, *others, KeyIs("settings", "object_key", key)):
        return False
    await Upload.filter(object_key=key).delete()
    return True


def refuse_unreadable(name: str, field: str) -> None:
    """Raise Unsupported for a file that nothing here can read; `field` is the input path of its name."""
    try:
        connectors.kind_of_file(name)
    except Unsupported as error:
        error.field = field
        raise


def shown_name(file_name: str | None) -> str:
    """A user's file name as it is shown: without folders, control characters or tricks, and not too long.

    It never becomes a path of ours.
    """
    last = re.split(r"[/\\]", file_name or "")[-1]
    kept = "".join(sign for sign in last if unicodedata.category(sign) not in {"Cc", "Cs"})
    name = _UNSAFE.sub("", unicodedata.normalize("NFC", kept)).strip()
    if not name.strip("."):
        return NAMELESS
    if len(name) > FILE_NAME_CHARS_MAX:
        suffix = "".join(PurePosixPath(name).suffixes[-2:])[-FILE_NAME_CHARS_MAX // 4 :]
        name = name[: FILE_NAME_CHARS_MAX - len(suffix)] + suffix
    return name
