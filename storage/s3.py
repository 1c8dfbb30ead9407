"""The object store on S3 and what speaks like it: SeaweedFS, MinIO, R2 and others.

Small objects go by one conditional PUT, larger ones by a multipart upload that is completed on the same condition, so
that nothing is ever overwritten. Links are S3's own. A local cache serves what needs files.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    UnauthenticatedError,
)
from obstore.store import S3Store as Bucket

from base.errors import Conflict, Internal, InvalidInput, NotFound, PlatformError
from storage import attachments, errors, scratch
from storage.cache import Cache
from storage.errors import StoreUnavailable
from storage.keys import check_key
from storage.location import Location
from storage.multipart import Multipart
from storage.parts import PARTS_SECONDS_MAX, check
from storage.sigv4 import Credentials, QuerySigner
from storage.store import ObjectInfo, PartInfo, Place, file_too_large

if TYPE_CHECKING:
    from obstore.store import S3Config

BUFFER_BYTES = 1024**2
PART_BYTES = 8 * 1024**2  # above it objects go in parts of this size
PART_BYTES_FILE = 32 * 1024**2
PARTS_AT_ONCE = 3
LINK_SECONDS_MAX = 3600  # a link of S3's cannot be called back when its source is deleted
_OURS = ("uploads/", "snapshots/")
_SCRATCH = ".scratch"
_WRITER = "writer"
_BYTES_TYPE = "application/octet-stream"
_PARQUET_TYPE = "application/vnd.apache.parquet"


class S3Store:
    """Objects in a bucket; `folder` is for temporary files and the cache."""

    is_local = False
    link_seconds_max = LINK_SECONDS_MAX

    def __init__(
        self, location: Location, credentials: Credentials, folder: Path, cache_bytes_max: int
    ) -> None:
        self._location = location
        self._scratch = folder / _SCRATCH
        self._scratch.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._cache = Cache(folder, self._scratch, cache_bytes_max)
        self._signer = QuerySigner(credentials, location.region)
        base = location.base(location.endpoint)
        self._multipart = Multipart(self._signer, base, location.path, location.prefix)
        config: S3Config = {
            "access_key_id": credentials.key_id,
            "secret_access_key": credentials.secret,
        }
        if credentials.session_token:
            config["session_token"] = credentials.session_token
        self._bucket = Bucket(
            location.bucket,
            config=config,
            endpoint=base,
            region=location.region,
            virtual_hosted_style_request=not location.path_style,
            client_options={
                "allow_http": base.startswith("http://"),
                "connect_timeout": "5s",
                "read_timeout": "60s",
                "timeout": "12h",  # of a whole download
            },
            retry_config={"max_retries": 4, "retry_timeout": timedelta(seconds=30)},
        )

    async def put(self, key: str, chunks: AsyncIterator[bytes], *, bytes_max: int) -> ObjectInfo:
        """See `ObjectStore.put`."""
        check_key(key)
        digest, buffer, size = hashlib.sha256(), bytearray(), 0
        sending: _Sending | None = None
        try:
            async for chunk in _within(chunks, bytes_max):
                size += len(chunk)
                digest.update(chunk)
                buffer += chunk
                while len(buffer) > PART_BYTES:
                    if sending is None:
                        await self._refuse_taken(key)
                        sending = await _Sending.begin(self._multipart, key)
                    await sending.send(bytes(buffer[:PART_BYTES]))
                    del buffer[:PART_BYTES]
            if sending is None:
                await asyncio.to_thread(self._create, key, bytes(buffer))
            else:
                await sending.send(bytes(buffer))
                await sending.complete(self._is_of)
        except BaseException:
            if sending is not None:
                await sending.abort()
            raise
        return ObjectInfo(key, size, digest.hexdigest())

    async def open(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """See `ObjectStore.open`; raises Internal where the store gives less than there is."""
        info = await self.head(key)
        if info is None:
            raise errors.missing()
        end = info.size_bytes if end is None else min(end, info.size_bytes)
        if start >= end:
            return
        got = 0
        with _translated():
            result = await obstore.get_async(
                self._bucket, self._name(key), options={"range": (start, end)}
            )
            async for chunk in result.stream(min_chunk_size=BUFFER_BYTES):
                got += len(chunk)
                yield bytes(chunk)
        if got != end - start:
            raise Internal(f"The object store gave {got} bytes of {end - start}.")

    async def head(self, key: str) -> ObjectInfo | None:
        """See `ObjectStore.head`."""
        check_key(key)
        try:
            with _translated():
                meta = await obstore.head_async(self._bucket, self._name(key))
        except NotFound:
            return None
        return ObjectInfo(key, meta["size"])

    async def delete(self, key: str) -> None:
        """See `ObjectStore.delete`."""
        check_key(key)
        with _translated():
            await obstore.delete_async(self._bucket, self._name(key))
        await asyncio.to_thread(self._cache.drop, key)

    async def list(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """See `ObjectStore.list`; `prefix` may end within a name."""
        folder = (self._location.prefix + prefix).rpartition("/")[0]
        start = len(self._location.prefix)
        with _translated():
            async for batch in obstore.list(self._bucket, folder or None):
                for meta in batch:
                    key = meta["path"][start:]
                    if key.startswith(prefix):
                        yield ObjectInfo(key, meta["size"])

    def adopt(self, path: Path, key: str) -> None:
        """See `ObjectStore.adopt`: uploads the file; it is in the cache then."""
        check_key(key)
        size = path.stat().st_size
        if size <= PART_BYTES:
            self._create(key, path.read_bytes())
        else:
            self._send_file(path, key, size)
        if self._size(key) != size:
            raise Internal("The object store holds another size than was sent.")
        self._cache.keep(path, key)

    async def local_path(self, key: str) -> Path:
        """See `ObjectStore.local_path`: downloaded once, and kept while there is room."""
        check_key(key)
        found = self._cache.find(key)
        if found is not None:
            return found
        info = await self.head(key)
        if info is None:
            raise errors.missing()
        return await self._cache.fetch(key, info.size_bytes, lambda: self.open(key))

    def scratch(self) -> Path:
        """See `ObjectStore.scratch`."""
        return self._scratch

    def sweep(self, older_than_seconds: int) -> int:
        """See `ObjectStore.sweep`; multipart uploads that nobody came back for are aborted too."""
        removed = scratch.sweep(self._scratch, older_than_seconds)
        return removed + sum(self._multipart.sweep(below, PARTS_SECONDS_MAX) for below in _OURS)

    def presign_get(
        self, key: str, *, expires_in: int, file_name: str, holder: str | None = None
    ) -> str:
        """See `ObjectStore.presign_get`. S3 cannot ask for the holder: the link lives until it expires."""
        del holder
        query = {
            "response-content-disposition": attachments.disposition(file_name),
            "response-content-type": _PARQUET_TYPE if key.endswith(".parquet") else _BYTES_TYPE,
        }
        return self._link("GET", key, query, expires_in)

    async def create_parts(self, key: str, *, size_bytes: int) -> str:
        """See `ObjectStore.create_parts`."""
        del size_bytes
        check_key(key)
        return await asyncio.to_thread(self._multipart.create, key)

    def presign_part(self, key: str, upload_id: str, place: Place, *, expires_in: int) -> str:
        """See `ObjectStore.presign_part`; the length is part of the signature."""
        query = {"partNumber": str(place.number), "uploadId": upload_id}
        length = {"content-length": str(place.size_bytes)}
        return self._link("PUT", key, query, expires_in, length)

    async def list_parts(self, key: str, upload_id: str) -> Sequence[PartInfo]:
        """See `ObjectStore.list_parts`."""
        check_key(key)
        return await asyncio.to_thread(self._multipart.parts, key, upload_id)

    async def complete_parts(
        self, key: str, upload_id: str, parts: Sequence[PartInfo], *, size_bytes: int
    ) -> ObjectInfo:
        """See `ObjectStore.complete_parts`. S3 knows no SHA-256 of a whole, so the object is read once for it."""
        check_key(key)
        try:
            check(parts, await self.list_parts(key, upload_id), size_bytes)
            await asyncio.to_thread(
                self._multipart.complete, key, upload_id, [(p.number, p.etag) for p in parts]
            )
        except (NotFound, Conflict):
            # Of an earlier attempt whose answer was lost: the object is there, and only it ever takes the key.
            info = await self.head(key)
            if info is None or info.size_bytes != size_bytes:
                raise
        digest, size = hashlib.sha256(), 0
        async for chunk in self.open(key):
            size += len(chunk)
            await asyncio.to_thread(digest.update, chunk)
        if size != size_bytes:
            raise InvalidInput(f"The parts make up {size} bytes instead of {size_bytes}.")
        return ObjectInfo(key, size, digest.hexdigest())

    async def abort_parts(self, key: str, upload_id: str) -> None:
        """See `ObjectStore.abort_parts`."""
        check_key(key)
        await asyncio.to_thread(self._multipart.abort, key, upload_id)

    def _name(self, key: str) -> str:
        return self._location.prefix + key

    def _link(
        self,
        method: str,
        key: str,
        query: dict[str, str],
        expires_in: int,
        headers: dict[str, str] | None = None,
    ) -> str:
        check_key(key)
        where = self._location
        return self._signer.url(
            method,
            where.base(where.public_endpoint),
            f"{where.path}/{self._name(key)}",
            query,
            expires_in=expires_in,
            headers=headers,
        )

    def _create(self, key: str, body: bytes) -> None:
        """Blocking: one conditional PUT; where its answer was lost, the writer's mark tells whose object it is."""
        writer = secrets.token_hex(16)
        try:
            with _translated():
                obstore.put(
                    self._bucket,
                    self._name(key),
                    body,
                    mode="create",
                    use_multipart=False,
                    attributes={_WRITER: writer},
                )
        except (Conflict, StoreUnavailable):
            if not self._is_of(key, writer):
                raise

    def _is_of(self, key: str, writer: str) -> bool:
        """Blocking: whether the object is there and carries this writer's mark."""
        try:
            with _translated():
                found = obstore.get(self._bucket, self._name(key), options={"head": True})
        except NotFound:
            return False
        return found.attributes.get(_WRITER) == writer

    async def _refuse_taken(self, key: str) -> None:
        if await self.head(key) is not None:
            raise errors.taken()

    def _size(self, key: str) -> int | None:
        with _translated():
            return obstore.head(self._bucket, self._name(key))["size"]

    def _send_file(self, path: Path, key: str, size: int) -> None:
        """Blocking: a large file in parts, some at once."""
        writer = secrets.token_hex(16)
        upload_id = self._multipart.create(key, {_WRITER: writer})
        numbers = range(1, -(-size // PART_BYTES_FILE) + 1)

        def send(number: int) -> str:
            with path.open("rb") as file:
                file.seek((number - 1) * PART_BYTES_FILE)
                return self._multipart.put(key, upload_id, number, file.read(PART_BYTES_FILE))

        try:
            with ThreadPoolExecutor(PARTS_AT_ONCE) as pool:
                etags = list(pool.map(send, numbers))
            _complete(self._multipart, key, upload_id, etags, lambda: self._is_of(key, writer))
        except BaseException:
            _abort(self._multipart, key, upload_id)
            raise


class _Sending:
    """A multipart upload under way, a few parts at once."""

    def __init__(self, multipart: Multipart, key: str, upload_id: str, writer: str) -> None:
        self._multipart = multipart
        self._key = key
        self._upload_id = upload_id
        self._writer = writer
        self._running: list[asyncio.Task[str]] = []
        self._etags: list[str] = []

    @classmethod
    async def begin(cls, multipart: Multipart, key: str) -> _Sending:
        """Begin an upload."""
        writer = secrets.token_hex(16)
        upload_id = await asyncio.to_thread(multipart.create, key, {_WRITER: writer})
        return cls(multipart, key, upload_id, writer)

    async def send(self, body: bytes) -> None:
        """Send the next part, once there is room."""
        if len(self._running) >= PARTS_AT_ONCE:
            await self._finish_first()
        number = len(self._etags) + len(self._running) + 1
        work = asyncio.to_thread(self._multipart.put, self._key, self._upload_id, number, body)
        self._running.append(asyncio.create_task(work))

    async def complete(self, is_of: Callable[[str, str], bool]) -> None:
        """Make the parts an object."""
        while self._running:
            await self._finish_first()
        await asyncio.to_thread(
            _complete,
            self._multipart,
            self._key,
            self._upload_id,
            self._etags,
            lambda: is_of(self._key, self._writer),
        )

    async def abort(self) -> None:
        """Leave nothing behind, also where the caller is cancelled."""
        await asyncio.gather(*self._running, return_exceptions=True)
        aborting = asyncio.to_thread(_abort, self._multipart, self._key, self._upload_id)
        await asyncio.shield(asyncio.ensure_future(aborting))

    async def _finish_first(self) -> None:
        """Wait for the oldest part. It is known as running until it has ended: none may come after the abort."""
        self._etags.append(await asyncio.shield(self._running[0]))
        del self._running[0]


def _complete(
    multipart: Multipart,
    key: str,
    upload_id: str,
    etags: Sequence[str],
    is_ours: Callable[[], bool],
) -> None:
    """Blocking: complete an upload of ours; where the answer was lost, the writer's mark tells whether it took."""
    try:
        multipart.complete(key, upload_id, list(enumerate(etags, 1)))
    except (Conflict, NotFound, StoreUnavailable):
        if not is_ours():
            raise


def _abort(multipart: Multipart, key: str, upload_id: str) -> None:
    """Blocking: forget an upload of ours, for a reason that is told; what the store keeps is swept later."""
    with suppress(PlatformError):
        multipart.abort(key, upload_id)


async def _within(chunks: AsyncIterator[bytes], bytes_max: int) -> AsyncIterator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > bytes_max:
            raise file_too_large(bytes_max)
        yield chunk


_FULL = re.compile(r"\b507\b|InsufficientStorage|QuotaExceeded|XMinioStorageFull")


@contextmanager
def _translated() -> Iterator[None]:
    """Say what the store's errors mean here, without its addresses."""
    try:
        yield
    except FileNotFoundError as error:
        raise errors.missing() from error
    except AlreadyExistsError as error:
        raise errors.taken() from error
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise errors.refused() from error
    except BaseError as error:
        if _FULL.search(str(error)):
            raise errors.bucket_full() from error
        raise StoreUnavailable("The object store cannot be used.") from error
