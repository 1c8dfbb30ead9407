"""Imported first by the fork server of syncs: its children do without what libraries load only because it is there.

Each library is made to find out that there is none of it, which it does once, before anybody else asks for it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec

import numpy as np
import pyarrow as pa

STORES = ("pyarrow._azurefs", "pyarrow._gcsfs", "pyarrow._hdfs", "pyarrow._s3fs")


class _Hidden:
    """A finder that is asked before all others."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Nothing for others; raises ModuleNotFoundError for these."""
        if name in self._names:
            raise ModuleNotFoundError(name=name)
        return None


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Modules that are not there for a while."""
    finder = _Hidden(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def settle() -> None:
    """Load what children have in common."""
    # Arrow imports pandas, where it can, to look whether a first value is one of its own: 0.2 s of CPU and 28 MiB in
    # each child.
    with without("pandas"):
        pa.array(np.zeros(1, np.int64)).to_numpy(zero_copy_only=False)
    with without(*STORES):  # clients of object stores, 4 MiB
        importlib.import_module("pyarrow.fs")
    with without("click"):  # its command line, 5 MiB with what that draws with
        importlib.import_module("httpx")


settle()
