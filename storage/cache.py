"""Local copies of immutable objects: downloaded once, kept as long as there is room, dropped by last use.

Any number of processes share one folder. A file is not dropped while somebody has it open, nor soon after it was handed
out, so the limit may be passed for a while when everything is in use.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from base.errors import Internal
from storage.opened import opened

USE_SECONDS = 600  # between handing a path out and opening it
_LOCKS = ".locks"
_SHARDS = 2  # hex digits of a lock's name: 256 files
_POLL_SECONDS = 0.02
_KEEP_ATTEMPTS_MAX = 20


class Cache:
    """A folder of at most about `bytes_max` bytes. `scratch` is on the same file system."""

    def __init__(self, folder: Path, scratch: Path, bytes_max: int) -> None:
        self._folder = folder
        self._scratch = scratch
        self._locks = folder / _LOCKS
        self._locks.mkdir(parents=True, mode=0o700, exist_ok=True)
        self._bytes_max = bytes_max

    def find(self, key: str) -> Path | None:
        """The file of an object, in use from now on; None where it is not here. Takes microseconds."""
        path = self._folder / key
        with self._lock("use", key, fcntl.LOCK_SH):
            try:
                os.utime(path)
            except FileNotFoundError:
                return None
        return path

    async def fetch(
        self, key: str, size_bytes: int, open_object: Callable[[], AsyncIterator[bytes]]
    ) -> Path:
        """The file of an object, downloaded unless somebody else has or does; raises Internal for another size."""
        async with _Turn(self._lock_path("get", key)):
            found = self.find(key)
            if found is not None:
                return found
            part = self._scratch / f"{secrets.token_hex(16)}.part"
            try:
                await _download(part, size_bytes, open_object())
                return await asyncio.to_thread(self.keep, part, key)
            finally:
                part.unlink(missing_ok=True)

    def keep(self, part: Path, key: str) -> Path:
        """Blocking: make a finished file of `scratch` the copy of an object."""
        target = self._folder / key
        part.chmod(0o444)
        with part.open("rb") as file:
            os.fsync(file.fileno())  # or, when the machine stops, its name may outlive its bytes
        os.utime(part)
        for attempt in range(1, _KEEP_ATTEMPTS_MAX + 1):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                part.replace(target)
                break
            except FileNotFoundError:  # one of the folders was just left empty and removed
                if attempt == _KEEP_ATTEMPTS_MAX:
                    raise
        self._evict(spare=target)
        return target

    def drop(self, key: str) -> None:
        """Blocking: forget an object; absent is fine."""
        self._remove(self._folder / key)

    def _evict(self, spare: Path) -> None:
        """Drop what was used longest ago until the rest fits."""
        files = []
        for folder, names, found in os.walk(self._folder):
            names[:] = [name for name in names if not name.startswith(".")]
            for name in found:
                path = Path(folder, name)
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    files.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._bytes_max:
                return
            if path != spare and self._drop_unused(path):
                total -= size

    def _drop_unused(self, path: Path) -> bool:
        key = path.relative_to(self._folder).as_posix()
        with self._lock("use", key, fcntl.LOCK_EX), suppress(FileNotFoundError):
            if path.stat().st_mtime > time.time() - USE_SECONDS or _is_open(path):
                return False
            self._remove(path)
        return True

    def _remove(self, path: Path) -> None:
        """Remove a file, if it is there, and the folders that are empty then."""
        path.unlink(missing_ok=True)
        for folder in path.relative_to(self._folder).parents[:-1]:
            try:
                (self._folder / folder).rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # not empty
                return

    def _lock_path(self, kind: str, key: str) -> Path:
        shard = hashlib.sha256(key.encode()).hexdigest()[:_SHARDS]
        return self._locks / f"{kind}-{shard}"

    @contextmanager
    def _lock(self, kind: str, key: str, how: int) -> Iterator[None]:
        """Held for a few system calls only."""
        file = os.open(self._lock_path(kind, key), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, how)
            yield
        finally:
            os.close(file)


class _Turn:
    """Wait for one's turn at a lock file without taking a thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    async def __aenter__(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            while True:
                with suppress(BlockingIOError):
                    fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                await asyncio.sleep(_POLL_SECONDS)
        except BaseException:
            os.close(self._file)
            raise

    async def __aexit__(self, *_: object) -> None:
        os.close(self._file)


async def _download(part: Path, size_bytes: int, chunks: AsyncIterator[bytes]) -> None:
    size = 0
    async with opened(part, "xb") as file:
        async for chunk in chunks:
            size += len(chunk)
            await file.write(chunk)
    if size != size_bytes:
        raise Internal(f"The object store gave {size} bytes of an object of {size_bytes}.")


def _is_open(path: Path) -> bool:
    """Whether any process has the file open: Linux gives a write lease only where nobody has."""
    setlease, unlock = getattr(fcntl, "F_SETLEASE", None), fcntl.F_UNLCK
    if setlease is None:
        return False
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.fcntl(file, setlease, fcntl.F_WRLCK)
        fcntl.fcntl(file, setlease, unlock)
    except BlockingIOError:
        return True
    except OSError:  # a file system without leases: an open file survives its name all the same
        return False
    finally:
        os.close(file)
    return False
