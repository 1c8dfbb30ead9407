"""The `headwater` command with a queue of its own, killed or stopped at the points of its work that a test says.

`python -m tests.workers.faulty <queue> <folder> headwater worker`: a file `kill-committed` or `stop-checked` in the
folder, say, ends or stops the process that comes to that point next; then the file is `….done`.
"""

from __future__ import annotations

import functools
import os
import runpy
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from server import worker
from services import dispatch, leases
from workers import broker, publishing, scripts

ACTIONS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}
# Where, in the order in which an attempt gets there, and whether before or after what the function does.
POINTS: dict[str, tuple[ModuleType, str, bool]] = {
    "adopted": (scripts, "adopt", True),
    "checkpointed": (leases, "checkpoint", True),
    "checked": (publishing, "check_objects", True),
    "committing": (publishing, "commit_derived", True),
    "committed": (leases, "finish", True),
    "waking": (dispatch, "wake", False),
}


def main() -> None:
    """Run the command that is given."""
    queue, folder, command, *rest = sys.argv[1:]
    use_queue(queue)
    for point in POINTS:
        _watch(point, Path(folder))
    sys.argv = [command, *rest]
    runpy.run_path(command, run_name="__main__")


def use_queue(queue: str) -> None:
    """Wake-ups of this process travel by a queue that no other test has."""
    vars(worker)["QUEUE"] = queue
    assert broker.set_broker.__kwdefaults__ is not None
    broker.set_broker.__kwdefaults__["queue"] = queue


def _watch(point: str, folder: Path) -> None:
    module, name, is_after = POINTS[point]
    real: Callable[..., Awaitable[Any]] = getattr(module, name)

    @functools.wraps(real)
    async def watched(*args: Any, **kwargs: Any) -> Any:
        if not is_after:
            _act(point, folder)
        result = await real(*args, **kwargs)
        if is_after and kwargs.get("is_progress", True):  # no checkpoint that only says what begins
            _act(point, folder)
        return result

    setattr(module, name, watched)


def _act(point: str, folder: Path) -> None:
    for action, number in ACTIONS.items():
        path = folder / f"{action}-{point}"
        if path.exists():
            path.rename(path.with_suffix(".done"))
            os.kill(os.getpid(), number)


if __name__ == "__main__":
    main()
