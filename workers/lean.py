"""Imported first by the fork server of syncs: its children move data between Arrow and NumPy, without pandas.

Where pandas is installed, Arrow imports it to look whether a first value is one of its own: 0.2 s of CPU and 28 MiB in
each child. Arrow looks once; here it does so while there is no pandas to be found.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import numpy as np
import pyarrow as pa


class _NoPandas:
    """A finder that is asked before all others."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        """Nothing for others; raises ModuleNotFoundError for pandas."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)
        return None


def settle() -> None:
    """Have Arrow find out that there is no pandas."""
    finder = _NoPandas()
    sys.meta_path.insert(0, finder)
    try:
        pa.array(np.zeros(1, np.int64)).to_numpy(zero_copy_only=False)
    finally:
        sys.meta_path.remove(finder)


settle()
