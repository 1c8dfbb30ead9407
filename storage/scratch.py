"""Temporary files: removing what killed processes left."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def sweep(scratch: Path, older_than_seconds: int) -> int:
    """Blocking: remove files below `scratch` that are older, and empty folders that are; how many files.

    A folder that is empty but not old is somebody's: a sync's is, between two of its parts.
    """
    limit = time.time() - older_than_seconds
    removed = 0
    found = [(Path(folder), names) for folder, _, names in os.walk(scratch)]
    # Looked at before anything goes, for what is removed from a folder makes it young again.
    old = {folder for folder, _ in found if folder != scratch and _is_older(folder, limit)}
    for folder, names in reversed(found):
        for name in names:
            path = folder / name
            if _is_older(path, limit):
                path.unlink(missing_ok=True)
                removed += 1
        if folder in old:
            with suppress(OSError):  # not empty, or gone already
                folder.rmdir()
    return removed


def _is_older(path: Path, limit: float) -> bool:
    try:
        return path.lstat().st_mtime < limit
    except FileNotFoundError:
        return False
