"""What an attempt at a job has on the disk of its machine, and what one whose worker was killed left there."""

from __future__ import annotations

import shutil
from pathlib import Path

from services.leases import Lease

_FILES = "script"  # the output of a step
_FOLDERS = ("sync", "finish", "derive")  # what the children of syncs and of script jobs work in


def forget(scratch: Path, lease: Lease) -> None:
    """Blocking: remove what earlier attempts at the same job left here, which may be as large as its tables."""
    for kind in (_FILES, *_FOLDERS):
        for path in scratch.glob(f"{kind}-{lease.job_id}-*"):
            if int(path.name.split("-")[2]) >= lease.fence:
                continue
            if kind in _FOLDERS:
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
