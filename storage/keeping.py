"""Local files of objects for work that takes long: a cache drops what it handed out a while ago and nobody has open."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Protocol, Self

from base.errors import PlatformError
from storage.cache import USE_SECONDS

ASK_SECONDS = USE_SECONDS / 3


class Files(Protocol):
    """What gives local files of objects: a store, or `Kept`."""

    @property
    def is_local(self) -> bool:
        """See `ObjectStore.is_local`."""

    async def local_path(self, key: str) -> Path:
        """See `ObjectStore.local_path`."""


class Kept:
    """The local files of a store, which stay until the context ends: they are asked for again and again."""

    def __init__(self, store: Files) -> None:
        self._store = store
        self._keys: dict[str, None] = {}
        self._asking: asyncio.Task[None] | None = None

    @property
    def is_local(self) -> bool:
        """See `ObjectStore.is_local`."""
        return self._store.is_local

    async def local_path(self, key: str) -> Path:
        """See `ObjectStore.local_path`."""
        path = await self._store.local_path(key)
        self._keys[key] = None
        return path

    async def __aenter__(self) -> Self:
        if not self.is_local:
            self._asking = asyncio.create_task(self._ask(), name="kept-files")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait({self._asking})

    async def _ask(self) -> None:
        while True:
            await asyncio.sleep(ASK_SECONDS)
            for key in tuple(self._keys):
                with suppress(PlatformError, OSError):  # whoever works with the file will see
                    await self._store.local_path(key)
                await asyncio.sleep(0)  # a copy that is there is found without waiting
