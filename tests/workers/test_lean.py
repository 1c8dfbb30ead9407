"""The children of syncs do without pandas, though it is installed."""

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


def test_arrow_loads_no_pandas_in_a_child_of_a_sync() -> None:
    async def run() -> object:
        process.start(PRELOAD)
        return await process.run(converted, limits=Limits())

    assert asyncio.run(run()) == ([3, 1], False)
