"""The object store on a local folder: whole files, written aside and linked into place."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from base.errors import Conflict, NotFound, StorageFull
from storage import errors, scratch
from storage.keys import KEY_FORM, check_key
from storage.opened import opened
from storage.parts import LocalParts, hash_of
from storage.signing import Signer
from storage.store import ObjectInfo, PartInfo, Place, file_too_large

BUFFER_BYTES = 1024**2  # 2.4 times faster than 64 KB chunks through a thread
PARTS_PATH = "/parts"
_SCRATCH = ".scratch"
_PARTS = ".parts"
_LIST_BATCH = 1000
LINK_SECONDS_MAX = 7 * 24 * 3600
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LINK_ATTEMPTS_MAX = 20


def is_full(error: OSError) -> bool:
    """Whether the system refused a write for lack of space, quota or an allowed file size."""
    return error.errno in _FULL


def storage_full() -> StorageFull:
    """The one error for a disk that is full."""
    return StorageFull(
        "The object store has no space left.", hint="Free space on its disk, or raise its quota."
    )


class LocalStore:
    """Objects as read-only files below one folder.

    A key cannot leave the folder: it is made of plain names (no `..`, no leading dot, no NUL, not absolute), and a
    symbolic link on its way is refused. An object is never overwritten: a second write of a key is a Conflict.
    """

    is_local = True
    link_seconds_max = LINK_SECONDS_MAX

    def __init__(self, root: Path, signer: Signer, public_url: str) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self._root = root.resolve()
        self._scratch = self._root / _SCRATCH
        self._scratch.mkdir(mode=0o700, exist_ok=True)
        self._parts = LocalParts(self._root / _PARTS)
        self._signer = signer
        self._public_url = public_url.rstrip("/")

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, bytes_max: int) -> ObjectInfo:
        """See `ObjectStore.put`; raises Conflict where the object exists."""
        target = self._path(key)
        if await asyncio.to_thread(target.exists):
            raise errors.taken()
        part = self._scratch / f"{secrets.token_hex(16)}.part"
        digest = hashlib.sha256()
        try:
            with _saying_full():
                size = await _spool(part, chunks, digest, bytes_max)
            await asyncio.to_thread(self.adopt, part, key)
        finally:
            part.unlink(missing_ok=True)
        return ObjectInfo(key, size, digest.hexdigest())

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `ObjectStore.open`; chunks of up to a mebibyte."""
        path = await self.local_path(key)
        left = None if end is None else max(end - start, 0)
        async with opened(path, "rb") as file:
            await file.seek(start)
            while left is None or left > 0:
                chunk = await file.read(BUFFER_BYTES if left is None else min(BUFFER_BYTES, left))
                if not chunk:
                    return
                left = None if left is None else left - len(chunk)
                yield chunk

    async def head(self, key: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        try:
            path = await self.local_path(key)
            return ObjectInfo(key, (await asyncio.to_thread(path.stat)).st_size)
        except (NotFound, FileNotFoundError):
            return None

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`; folders left empty go too."""
        await asyncio.to_thread(self._delete, self._path(key))

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """See `ObjectStore.list`; `prefix` may end within a name."""
        walk = self._walk(prefix)
        while batch := await asyncio.to_thread(_take, walk, _LIST_BATCH):
            for info in batch:
                yield info

    def adopt(self, path: Path, key: str) -> None:
        """See `ObjectStore.adopt`; raises Conflict where the object exists, StorageFull."""
        target = self._path(key)
        with _saying_full():
            _sync(path)
            path.chmod(0o444)
            self._link(path, target)
        path.unlink()

    async def local_path(self, key: str) -> Path:
        """See `ObjectStore.local_path`."""
        path = self._path(key)
        if not await asyncio.to_thread(path.is_file):
            raise errors.missing()
        return path

    def scratch(self) -> Path:
        """See `ObjectStore.scratch`."""
        return self._scratch

    def sweep(self, older_than_seconds: int) -> int:
        """See `ObjectStore.sweep`."""
        return scratch.sweep(self._scratch, older_than_seconds) + self._parts.sweep()

    def presign_get(
        self, key: str, *, expires_in: int, file_name: str, holder: str | None = None
    ) -> str:
        """See `ObjectStore.presign_get`."""
        self._path(key)
        fields = {"name": file_name} | ({"holder": holder} if holder else {})
        return self._signed("GET", f"/files/{key}", fields, expires_in)

    async def create_parts(self, key: str, *, size_bytes: int) -> str:
        """See `ObjectStore.create_parts`."""
        self._path(key)
        with _saying_full():
            return await asyncio.to_thread(self._parts.create, size_bytes)

    def presign_part(self, key: str, upload_id: str, place: Place, *, expires_in: int) -> str:
        """See `ObjectStore.presign_part`; for `put_part`."""
        self._path(key)
        path = f"{PARTS_PATH}/{upload_id}/{place.number}"
        fields = {"offset": str(place.offset), "size": str(place.size_bytes)}
        return self._signed("PUT", path, fields, expires_in)

    async def put_part(
        self, upload_id: str, place: Place, chunks: AsyncIterator[bytes]
    ) -> PartInfo:
        """What a part's link does. Raises NotFound, Conflict, PayloadTooLarge, InvalidInput and StorageFull."""
        with _saying_full():
            return await self._parts.put(upload_id, place, chunks)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        """See `ObjectStore.list_parts`."""
        self._path(key)
        return await asyncio.to_thread(self._parts.there, upload_id)

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[PartInfo], *, size_bytes: int
    ) -> ObjectInfo:
        """See `ObjectStore.complete_parts`."""
        return await asyncio.to_thread(self._complete, key, upload_id, parts, size_bytes)

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """See `ObjectStore.abort_parts`."""
        self._path(key)
        await asyncio.to_thread(self._parts.abort, upload_id)

    def _complete(
        self, key: str, upload_id: str, parts: Sequence[PartInfo], size_bytes: int
    ) -> ObjectInfo:
        target = self._path(key)
        try:
            sha256 = self._parts.complete(upload_id, parts, lambda path: self.adopt(path, key))
        except (NotFound, Conflict):
            # Of an earlier attempt whose answer was lost: the object is there, and only it ever takes the key.
            if not target.is_file() or target.stat().st_size != size_bytes:
                raise
            self._parts.abort(upload_id)
            with target.open("rb") as file:
                sha256 = hash_of(file.fileno())
        return ObjectInfo(key, size_bytes, sha256)

    def _signed(self, method: str, path: str, fields: dict[str, str], expires_in: int) -> str:
        query = self._signer.query(method, path, fields, expires_in=expires_in)
        return f"{self._public_url}{quote(path)}?{query}"

    def _path(self, key: str) -> Path:
        check_key(key)
        path = self._root / key
        if path.resolve() != path:
            msg = f"the way to object {key!r} leads through a symbolic link"
            raise ValueError(msg)
        return path

    def _link(self, path: Path, target: Path) -> None:
        """Give the file its final name, never over another, and make the name durable."""
        for attempt in range(1, _LINK_ATTEMPTS_MAX + 1):
            try:
                made = self._make_folder(target.parent)
            except (FileNotFoundError, FileExistsError):  # `delete` removed one of them in between
                if attempt == _LINK_ATTEMPTS_MAX:
                    raise
                continue
            try:
                os.link(path, target)
            except FileExistsError as error:
                raise errors.taken() from error
            except FileNotFoundError:
                # `delete` of the last neighbour removed the folder in between.
                if attempt == _LINK_ATTEMPTS_MAX or not path.exists():
                    raise
                continue
            for folder in (target.parent, *made):
                _sync(folder)
            return

    def _make_folder(self, folder: Path) -> tuple[Path, ...]:
        """Make the folder and give the parents whose listing changed."""
        missing = [
            f for f in (folder, *folder.parents) if self._root in f.parents and not f.exists()
        ]
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(f.parent for f in missing)

    def _delete(self, path: Path) -> None:
        with suppress(FileNotFoundError):
            path.unlink()
            _sync(path.parent)
        for folder in path.parents:
            if folder == self._root:
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return

    def _walk(self, prefix: str) -> Iterator[ObjectInfo]:
        top = self._root / prefix.rpartition("/")[0]
        if top.resolve() != top:
            msg = f"not a prefix of object keys: {prefix[:80]!r}"
            raise ValueError(msg)
        for folder, names, files in os.walk(top):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in files:
                path = Path(folder, name)
                key = path.relative_to(self._root).as_posix()
                if key.startswith(prefix) and KEY_FORM.fullmatch(key):
                    with suppress(FileNotFoundError):
                        yield ObjectInfo(key, path.stat().st_size)


@contextmanager
def _saying_full() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise storage_full() from error
        raise


async def _spool(
    part: Path, chunks: AsyncIterator[bytes], digest: hashlib._Hash, bytes_max: int
) -> int:
    """Write the chunks to a new file, hashing them on the way; the number of bytes."""
    size = 0
    buffer = bytearray()
    async with opened(part, "xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            if size > bytes_max:
                raise file_too_large(bytes_max)
            buffer += chunk
            if len(buffer) >= BUFFER_BYTES:
                full, buffer = buffer, bytearray()
                await asyncio.to_thread(digest.update, full)
                await file.write(full)
        await asyncio.to_thread(digest.update, buffer)
        await file.write(buffer)
    return size


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _take(infos: Iterator[ObjectInfo], count: int) -> list[ObjectInfo]:
    return [info for _, info in zip(range(count), infos, strict=False)]
