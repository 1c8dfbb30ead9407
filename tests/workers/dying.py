"""The children of a sync, killed by SIGKILL at the message that a test says, with parts of a few rows.

The test writes into the store's scratch folder: `kill-read` or `kill-finish` with the number of the message after which
the child dies. It dies once.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from base.process import Channel
from workers import finishing, reading
from workers.messages import FinishOrder, ReadOrder

PART_ROWS_MIN = 40
READ = "tests.workers.dying:read"
FINISH = "tests.workers.dying:finish"
KILL_READ = "kill-read"
KILL_FINISH = "kill-finish"


class _Dying(Channel):
    """Sends so many messages more, then the process is gone."""

    def __init__(self, channel: Channel, kill: Path) -> None:
        self._channel = channel
        self._left = int(kill.read_text()) if kill.exists() else None
        kill.unlink(missing_ok=True)

    def send(self, message: object) -> None:
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left = None if self._left is None else self._left - 1
        self._channel.send(message)


def read(channel: Channel, order: ReadOrder) -> None:
    """As `workers.reading.read`."""
    reading.PART_ROWS_MIN = PART_ROWS_MIN
    reading.read(_Dying(channel, order.folder.parent / KILL_READ), order)


def finish(channel: Channel, order: FinishOrder) -> None:
    """As `workers.finishing.finish`."""
    finishing.finish(_Dying(channel, order.folder.parent / KILL_FINISH), order)
