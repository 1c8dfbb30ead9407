"""What a process tree uses, read from /proc."""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

_TICKS = os.sysconf("SC_CLK_TCK")
_INTERVAL_SECONDS = 0.02


def tree(pid: int) -> list[int]:
    """A process and all its descendants, by what the kernel lists: to look through all processes is 50 times dearer."""
    found = [pid]
    for parent in found:
        with contextlib.suppress(OSError):  # it ended meanwhile, or one of its threads
            for thread in Path(f"/proc/{parent}/task").iterdir():
                with contextlib.suppress(OSError):
                    found += map(int, (thread / "children").read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads, and the children it has reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def memory_bytes(pids: list[int]) -> int:
    """Proportional set size: pages shared by forked processes count once."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
    return total


class PeakMemory:
    """Samples the memory of a process tree in a thread while the `with` block runs.

    `bytes` is the highest sum seen, `below_bytes` that of the process's descendants alone.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.bytes = 0
        self.below_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(_INTERVAL_SECONDS):
            below = memory_bytes(tree(self._pid)[1:])
            self.below_bytes = max(self.below_bytes, below)
            self.bytes = max(self.bytes, memory_bytes([self._pid]) + below)
