"""Files that are opened in a thread."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from storage.opened import opened


async def test_a_file_that_is_opened_after_its_task_was_cancelled_is_closed(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # opened when somebody writes to it, and not before

    async def read() -> None:
        async with opened(pipe, "rb"):
            pytest.fail("it was cancelled")

    task = asyncio.create_task(read())
    for _ in range(3):  # until a thread was asked
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    writer = await asyncio.to_thread(os.open, pipe, os.O_WRONLY)
    with pytest.raises(asyncio.CancelledError):
        await task

    os.set_blocking(writer, False)
    with pytest.raises(BrokenPipeError):  # nobody has it open
        os.write(writer, b"x")
    os.close(writer)


async def test_a_file_is_closed_behind_the_block_and_what_cannot_be_opened_is_said(
    tmp_path: Path,
) -> None:
    path = tmp_path / "file"
    async with opened(path, "xb") as file:
        await file.write(b"text")
    assert file.closed
    assert path.read_bytes() == b"text"

    with pytest.raises(FileExistsError):
        async with opened(path, "xb"):
            pass
