"""Uploads in parts on a local folder: each part is written to its place in a sparse file, which becomes the object.

Nothing is copied to put them together, so a finished upload costs one read of it, for its hash.

A folder holds the file and an empty receipt for each part that is there whole: `<number>-<bytes>-<sha256>`. Whoever
writes holds a shared lock of the file; whoever completes it the exclusive one, so that nobody is writing then or later.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from base.errors import Conflict, InvalidInput
from storage import errors
from storage.store import PartInfo, Place, part_too_large

BUFFER_BYTES = 1024**2
PARTS_SECONDS_MAX = 48 * 3600  # after which a folder that nobody asked for again is swept
_DATA = "data"
_ID_FORM = re.compile(r"[0-9a-f]{32}")
_RECEIPT_FORM = re.compile(r"([0-9]+)-([0-9]+)-([0-9a-f]{64})")
_WRITABLE = 0o222


class LocalParts:
    """Unfinished uploads below one folder, by ids that it makes."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def create(self, size_bytes: int) -> str:
        """Blocking: make room for a file; the upload's id."""
        upload_id = secrets.token_hex(16)
        folder = self._root / upload_id
        folder.mkdir(parents=True, mode=0o700)
        with (folder / _DATA).open("xb") as file:
            file.truncate(size_bytes)  # sparse: takes no space before the bytes come
        return upload_id

    async def put(self, upload_id: str, place: Place, chunks: AsyncIterator[bytes]) -> PartInfo:
        """Write a part to its place, over what an earlier attempt left there.

        Raises NotFound for an unknown, aborted or finished upload, Conflict while it is completed or the same part is
        written, PayloadTooLarge and InvalidInput where the part has another size. OSError is the caller's.
        """
        folder = self._folder(upload_id)
        with _locked(folder / _DATA, fcntl.LOCK_SH, os.O_RDWR) as file, _held(folder, place.number):
            if not os.fstat(file).st_mode & _WRITABLE:
                raise errors.ended()
            await _uninterrupted(_forget, folder, place.number)
            sha256 = await _write(file, place, chunks)
            receipt = folder / f"{place.number}-{place.size_bytes}-{sha256}"
            await _uninterrupted(_receipt, file, receipt)
        return PartInfo(place.number, place.size_bytes, sha256)

    def there(self, upload_id: str) -> list[PartInfo]:
        """Blocking: the parts that are there whole, by number; raises NotFound."""
        try:
            names = [path.name for path in self._folder(upload_id).iterdir()]
        except FileNotFoundError as error:
            raise errors.ended() from error
        found = [receipt.groups() for name in names if (receipt := _RECEIPT_FORM.fullmatch(name))]
        return sorted(
            (PartInfo(int(number), int(size), etag) for number, size, etag in found),
            key=lambda part: part.number,
        )

    def complete(
        self, upload_id: str, parts: Sequence[PartInfo], adopt: Callable[[Path], None]
    ) -> str:
        """Blocking: have the file adopted as an object; its SHA-256 in hex.

        Raises NotFound for an unknown upload, InvalidInput where these are not the parts that are there, Conflict while
        one of them is written.
        """
        folder = self._folder(upload_id)
        data = folder / _DATA
        with _locked(data, fcntl.LOCK_EX, os.O_RDONLY) as file:
            check(parts, self.there(upload_id), os.fstat(file).st_size)
            sha256 = hash_of(file)
            adopt(data)
        self.abort(upload_id)
        return sha256

    def abort(self, upload_id: str) -> None:
        """Blocking: remove an upload; absent is fine."""
        shutil.rmtree(self._folder(upload_id), ignore_errors=True)

    def sweep(self) -> int:
        """Blocking: remove what has not been touched for `PARTS_SECONDS_MAX`; how many uploads."""
        limit, removed = time.time() - PARTS_SECONDS_MAX, 0
        for folder in self._root.iterdir() if self._root.exists() else ():
            with suppress(OSError):
                # Without its file it is of a process that was killed as it made the upload, or as it completed it.
                files = [each for each in (folder, folder / _DATA) if each.exists()]
                if all(each.stat().st_mtime < limit for each in files):
                    shutil.rmtree(folder)
                    removed += 1
        return removed

    def _folder(self, upload_id: str) -> Path:
        if not _ID_FORM.fullmatch(upload_id):
            raise errors.ended()
        return self._root / upload_id


def check(given: Sequence[PartInfo], there: Sequence[PartInfo], size_bytes: int) -> None:
    """InvalidInput unless the given parts are exactly those that are there, in order, and make up the whole."""
    numbers = [part.number for part in given]
    if numbers != list(range(1, len(numbers) + 1)):
        raise InvalidInput("The parts have to be named in order, each once, from 1 on.")
    # Some servers list each attempt at a part: the ETag then says which one counts.
    numbers_there = {part.number for part in there}
    stored = {(part.number, part.etag): part for part in there}
    for part in given:
        if part.number not in numbers_there:
            raise InvalidInput(
                f"Part {part.number} has not been stored.", hint="PUT it to its URL, then complete."
            )
        found = stored.get((part.number, part.etag))
        if found is None:
            raise InvalidInput(
                f"Part {part.number} is stored with another ETag.",
                hint="Name the ETag that the last PUT of the part answered.",
            )
        if found.size_bytes != part.size_bytes:
            raise InvalidInput(
                f"Part {part.number} has {found.size_bytes} bytes instead of {part.size_bytes}.",
                hint="PUT it again.",
            )
    if sum(part.size_bytes for part in given) != size_bytes:
        raise InvalidInput(f"The {len(given)} parts do not make up the {size_bytes} bytes.")


def hash_of(file: int) -> str:
    """Blocking: the SHA-256 in hex of a whole file, in bounded memory."""
    digest, buffer, at = hashlib.sha256(), bytearray(BUFFER_BYTES), 0
    view = memoryview(buffer)
    while count := os.preadv(file, [view], at):
        digest.update(view[:count])
        at += count
    return digest.hexdigest()


async def _write(file: int, place: Place, chunks: AsyncIterator[bytes]) -> str:
    """Write exactly the part's bytes; their SHA-256 in hex."""
    digest, buffer, written, size = hashlib.sha256(), bytearray(), 0, 0
    async for chunk in chunks:
        size += len(chunk)
        if size > place.size_bytes:
            raise part_too_large(place)
        buffer += chunk
        if len(buffer) >= BUFFER_BYTES:
            full, buffer = buffer, bytearray()
            await _uninterrupted(_write_at, file, full, place.offset + written, digest)
            written += len(full)
    if size < place.size_bytes:
        raise InvalidInput(
            f"The part has {size} bytes instead of {place.size_bytes}.", hint="PUT it whole."
        )
    await _uninterrupted(_write_at, file, buffer, place.offset + written, digest)
    return digest.hexdigest()


async def _uninterrupted(work: Callable[..., None], *given: object) -> None:
    """Run blocking work to its end even where the caller is cancelled, for the file is closed after that."""
    running = asyncio.ensure_future(asyncio.to_thread(work, *given))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait({running})
        raise


def _write_at(file: int, data: bytearray, offset: int, digest: hashlib._Hash) -> None:
    digest.update(data)
    view, done = memoryview(data), 0
    while done < len(data):
        done += os.pwrite(file, view[done:], offset + done)


def _receipt(file: int, receipt: Path) -> None:
    """Say that a part is there, once its bytes are durable; raises NotFound where the upload was aborted meanwhile."""
    os.fdatasync(file)
    try:
        receipt.touch(mode=0o600)
    except FileNotFoundError as error:
        raise errors.ended() from error


def _forget(folder: Path, number: int) -> None:
    """From the first byte of another attempt on, the part is no longer there."""
    for receipt in folder.glob(f"{number}-*"):
        receipt.unlink(missing_ok=True)


@contextmanager
def _locked(path: Path, kind: int, access: int) -> Iterator[int]:
    """The file, open and locked; raises NotFound, and Conflict where another holds a lock that forbids it."""
    try:
        file = os.open(path, access | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError) as error:  # nobody writes to what is complete
        raise errors.ended() from error
    try:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                "The upload is being completed, or a part of it is still being received.",
                hint="Try again in a moment.",
            ) from error
        if not path.exists():  # completed between the opening and the locking
            raise errors.ended()
        yield file
    finally:
        os.close(file)


@contextmanager
def _held(folder: Path, number: int) -> Iterator[None]:
    """Keep other writers of the same part away."""
    file = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"Part {number} is just being received.", hint="Try again in a moment."
            ) from error
        yield
    finally:
        os.close(file)
