"""The children of syncs do without what is installed and they do not need."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pyarrow as pa

from base import process
from base.forks import Limits
from workers.messages import PRELOAD


def converted() -> tuple[list[int], bool]:
    """What Arrow and NumPy make of each other's values in a child, and whether that loaded pandas."""
    cells = pa.array(np.array([1, 2, 3])).take(pa.array([2, 0]))
    return cells.to_numpy(zero_copy_only=False).tolist(), "pandas" in sys.modules


def loaded() -> list[str]:
    """What a child of a sync was given of what it can do without."""
    import click  # noqa: F401, PLC0415 - is there for whoever asks

    return sorted({"pandas", "pyarrow._s3fs", "pyarrow._hdfs", "rich", "pygments"} & {*sys.modules})


def test_arrow_loads_no_pandas_in_a_child_of_a_sync() -> None:
    async def run() -> object:
        process.start(PRELOAD)
        return await process.run(converted, limits=Limits())

    assert asyncio.run(run()) == ([3, 1], False)


def test_a_child_of_a_sync_has_no_clients_of_stores_and_no_command_lines() -> None:
    async def run() -> object:
        process.start(PRELOAD)
        return await process.run(loaded, limits=Limits())

    assert asyncio.run(run()) == []
