"""What a child tells while a script runs: lines of its log and its progress, in few messages."""

from __future__ import annotations

import contextlib
import math
import re
import threading
import time
from types import TracebackType
from typing import Any, Protocol, Self

from workers.sandbox.messages import LOG_LINES_MAX

FLUSH_SECONDS = 0.1
FLUSH_LINES = 100
LINE_BYTES_MAX = 8 * 1024
CUT = " … (the line is cut)"
OWN_LINES_MAX = 200  # of ours, a traceback's, which come on top of what the script may log
MESSAGE_CHARS_MAX = 500
PROGRESS_SECONDS = 0.25  # between two tellings, and longer the longer the script runs:
PROGRESS_SHARE = 1e-4  # of the time so far, so that days are told of in some ten thousand messages

_UNSEEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # would move a terminal, or end a line


class Sender(Protocol):
    """Takes messages, as `base.process.Channel` does."""

    def send(self, message: object) -> None:
        """Send one message."""


class Reporter:
    """Collects lines and progress of any thread; a thread of its own sends them while the script is busy.

    A context manager: what is left is sent at its end. Lines over `log_bytes_max` bytes or `LOG_LINES_MAX` in total are
    left out, which one warning tells.
    """

    def __init__(self, channel: Sender, log_bytes_max: int) -> None:
        self._channel = channel
        self._room_bytes = log_bytes_max
        self._room_lines = LOG_LINES_MAX
        self._log_bytes_max = log_bytes_max
        # Reentrant: a `__del__` of the script's may print while its own thread is in here.
        self._lock = threading.RLock()
        self._sending = threading.RLock()
        self._lines: list[list[str]] = []
        self._progress: dict[str, Any] = dict.fromkeys(
            ("rows_in", "rows_out", "fraction", "message")
        )
        self._has_progress = False
        self._began = self._told = time.monotonic()
        self.is_full = False  # nothing more is taken
        self._is_over = False
        self._spoke = -math.inf  # when lines were last sent
        self._is_sending = False
        self._some = threading.Event()
        self._many = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._is_over = True
        self._many.set()
        self._some.set()
        self._thread.join()
        self.flush()

    def line(self, level: str, text: str) -> None:
        """Add a line of the script's."""
        if self.is_full:
            return
        shown = clean(text)
        size_bytes = len(shown.encode()) + 1
        with self._lock:
            self._room_bytes -= size_bytes
            self._room_lines -= 1
            if self._room_bytes >= 0 and self._room_lines >= 0:
                self._add(level, shown)
            elif not self.is_full:
                self.is_full = True
                is_long = self._room_lines < 0
                limit = f"{LOG_LINES_MAX:,} lines" if is_long else f"{self._log_bytes_max:,} bytes"
                self._add("warning", f"The rest of the log is left out: {limit} is its limit.")
        if not self._is_sending and time.monotonic() - self._spoke >= FLUSH_SECONDS:
            self.flush()  # at once: the script may end its process next

    def lines(self, level: str, text: str) -> None:
        """Add the lines of a text."""
        for each in text.splitlines() or [""]:
            self.line(level, each)

    def own(self, level: str, texts: list[str]) -> None:
        """Add lines of ours, which are there also where the log is full; the middle of many is left out."""
        if len(texts) > OWN_LINES_MAX:
            half = OWN_LINES_MAX // 2
            texts = [*texts[:half], "  …", *texts[-half:]]
        with self._lock:
            for each in texts:
                self._add(level, clean(each))

    def progress(self, **changes: Any) -> None:
        """Tell how far the script is: `rows_in`, `rows_out`, `fraction` of 0 to 1, `message`."""
        with self._lock:
            self._progress.update(changes)
            self._has_progress = True
            self._some.set()

    def started(self) -> None:
        """Tell that the script's first line comes next."""
        self.flush()
        self._channel.send({"started": True})

    def flush(self) -> None:
        """Send what there is. Blocks while the parent is busy; of those who add lines the first in a while does."""
        with self._sending:
            if self._is_sending:
                return  # a `__del__` prints while its own thread sends; what it said goes next time
            self._is_sending = True
            try:
                self._send()
            finally:
                self._is_sending = False

    def _send(self) -> None:
        with self._lock:
            lines, self._lines = self._lines, []
            progress = self._due_progress()
            self._many.clear()
            if not self._has_progress:
                self._some.clear()
        for first in range(0, len(lines), FLUSH_LINES):
            self._channel.send({"log": lines[first : first + FLUSH_LINES]})
        if lines:
            self._spoke = time.monotonic()
        if progress:
            self._channel.send({"progress": progress})

    def _due_progress(self) -> dict[str, Any] | None:
        """What to tell of it now, if anything."""
        now = time.monotonic()
        pause = max(PROGRESS_SECONDS, (now - self._began) * PROGRESS_SHARE)
        if not self._has_progress or (now - self._told < pause and not self._is_over):
            return None
        self._told, self._has_progress = now, False
        return dict(self._progress)

    def _add(self, level: str, text: str) -> None:
        self._lines.append([level, text])
        self._some.set()
        if len(self._lines) >= FLUSH_LINES:
            self._many.set()

    def _run(self) -> None:
        while not self._is_over:
            self._some.wait()
            self._many.wait(FLUSH_SECONDS)
            with contextlib.suppress(OSError):  # the parent is gone, and this process in a moment
                self.flush()


def clean(text: str) -> str:
    """One line as it may be stored and shown: no control characters, at most `LINE_BYTES_MAX` bytes and a mark."""
    data = text.encode("utf-8", "backslashreplace")
    shown = data[:LINE_BYTES_MAX].decode("utf-8", "ignore")
    if len(data) > LINE_BYTES_MAX:
        shown += CUT
    return _UNSEEN.sub(lambda found: f"\\x{ord(found[0]):02x}", shown)
