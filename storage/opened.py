"""Files that are opened in a thread, and closed whatever becomes of whoever waits for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import aiofiles

Mode = Literal["rb", "xb"]


@asynccontextmanager
async def opened(path: Path, mode: Mode) -> AsyncIterator[Any]:
    """As `aiofiles.open` of a file that is read, or made.

    That one forgets the file where it is cancelled while the thread opens it: nobody closes it, and one that is made so
    may appear after whoever cancelled has tidied up.
    """
    opening = asyncio.ensure_future(_open(path, mode))
    try:
        file = await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(OSError):
            await (await opening).close()
        raise
    try:
        yield file
    finally:
        await file.close()


async def _open(path: Path, mode: Mode) -> Any:
    return await aiofiles.open(path, mode)
