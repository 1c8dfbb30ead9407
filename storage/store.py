"""The contract of an object store: immutable objects by key, streamed, and links to them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from base.errors import PayloadTooLarge


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """A stored object. `sha256` is hex, known only right after writing."""

    key: str
    size_bytes: int
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class PartInfo:
    """A part of an unfinished upload, numbered from 1. `etag` without quotes, as the store answered the part's PUT."""

    number: int
    size_bytes: int
    etag: str


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part belongs: bytes `offset` to `offset + size_bytes` of the file."""

    number: int
    offset: int
    size_bytes: int


def file_too_large(bytes_max: int, field: str | None = None) -> PayloadTooLarge:
    """The error for a file over the limit."""
    return PayloadTooLarge(
        f"The file is larger than {bytes_max:,} bytes, the limit.",
        hint="Split or compress it, or raise HEADWATER_UPLOAD_BYTES_MAX.",
        field=field,
    )


def part_too_large(place: Place) -> PayloadTooLarge:
    """The error for more bytes than a part has."""
    return PayloadTooLarge(
        f"The part is larger than {place.size_bytes:,} bytes, its size.",
        hint="Send each part with exactly the bytes of its `sizeBytes`; the parts follow each other.",
    )


class ObjectStore(Protocol):
    """Keys are slash-separated names made by the server, never a user's file name.

    An object appears whole or not at all, and never changes.
    """

    @property
    def is_local(self) -> bool:
        """Whether what `local_path` gives stays as long as the object; else ask for it again before each use."""

    @property
    def link_seconds_max(self) -> int:
        """How long a link of `presign_get` may be good."""

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, bytes_max: int) -> ObjectInfo:
        """Stream an object in, never over another.

        Raises PayloadTooLarge over `bytes_max`, StorageFull, Conflict where the key is taken; nothing is left then.
        """

    def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Stream bytes `start` to `end` (exclusive); raises NotFound."""

    async def head(self, key: str) -> ObjectInfo | None:
        """Size of an object, or None where there is none."""

    async def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""

    def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Objects below a prefix, in no particular order."""

    def adopt(self, path: Path, key: str) -> None:
        """Blocking: make a finished local file an object, durably (fsync, rename, fsync of the folder).

        `path` is gone then. Raises Conflict where the key is taken, StorageFull.
        """

    async def local_path(self, key: str) -> Path:
        """A read-only local file with the object's bytes, for engines that need one; raises NotFound."""

    def scratch(self) -> Path:
        """A folder for temporary files, on the file system that `adopt` renames within."""

    def sweep(self, older_than_seconds: int) -> int:
        """Blocking: remove temporary files that a killed process left in `scratch`; how many."""

    def presign_get(
        self, key: str, *, expires_in: int, file_name: str, holder: str | None = None
    ) -> str:
        """A link that downloads the object as an attachment for `expires_in` seconds.

        `holder` is the public id of a data source: once that is deleted, a link that we serve ourselves is dead.
        """

    async def create_parts(self, key: str, *, size_bytes: int) -> str:
        """Begin an upload in parts of an object of this size; the store's own id for it."""

    def presign_part(self, key: str, upload_id: str, place: Place, *, expires_in: int) -> str:
        """A link that uploads one part, as often as needed until the upload is completed.

        The PUT answers an ETag. A part of another size than the place's is refused then, or when completing.
        """

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        """The parts that are there whole, by number; raises NotFound for an upload that is over."""

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[PartInfo], *, size_bytes: int
    ) -> ObjectInfo:
        """Make the parts an object, whole and with its SHA-256; repeated, it gives the same.

        Raises InvalidInput where these are not the parts that are there, NotFound for an upload that is over, Conflict
        while a part is received, StorageFull.
        """

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """Forget an unfinished upload and its parts; absent is fine."""
