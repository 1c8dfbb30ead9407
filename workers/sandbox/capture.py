"""Makes what a script prints, warns and logs lines of its job's log."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workers.sandbox import tracebacks
from workers.sandbox.reporting import LINE_BYTES_MAX, Reporter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

LOGGER = "script"  # of `context.logger`
MODULE = "__script__"


@contextmanager
def captured(reporter: Reporter, name: str) -> Iterator[None]:
    """While it is open, prints are lines of level info, those to stderr and warnings of level warning.

    `name` is the script's. Lines of a logger have the level of the record.
    """
    out, err = _Lines(reporter, "info"), _Lines(reporter, "warning")
    before = sys.stdout, sys.stderr, threading.excepthook, sys.unraisablehook
    handler = _Handler(reporter, name)
    root = logging.getLogger()
    sys.stdout, sys.stderr = _stream(out), _stream(err)
    threading.excepthook = lambda failed: _unheard(reporter, name, failed.exc_value)
    sys.unraisablehook = lambda failed: _unheard(reporter, name, failed.exc_value)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger(LOGGER).setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("default", module=MODULE)
            warnings.showwarning = lambda *told, **_: _warn(reporter, name, told)
            yield
    finally:
        root.removeHandler(handler)
        out.finish()
        err.finish()
        sys.stdout, sys.stderr, threading.excepthook, sys.unraisablehook = before


class _Lines(io.RawIOBase):
    """Bytes in, lines out. Of what carriage returns overwrite, as of a progress bar, the last is kept."""

    def __init__(self, reporter: Reporter, level: str) -> None:
        self._reporter = reporter
        self._level = level
        self._lock = threading.RLock()
        self._rest = b""

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        taken = bytes(data)
        if self._reporter.is_full:
            return len(taken)
        with self._lock:
            *whole, rest = (self._rest + taken).split(b"\n")
            self._rest = _last(rest)[: LINE_BYTES_MAX + 1]  # one more: it is cut, and says so
            for each in whole:
                self._take(each)
        return len(taken)

    def finish(self) -> None:
        """Give a last line that has no end."""
        if self._rest:
            self._take(self._rest)
            self._rest = b""

    def _take(self, line: bytes) -> None:
        self._reporter.line(self._level, _last(line).rstrip(b"\r").decode("utf-8", "replace"))


def _last(line: bytes) -> bytes:
    """What of a line is seen once carriage returns have moved back over it."""
    end = len(line.rstrip(b"\r"))
    return line[line.rfind(b"\r", 0, end) + 1 :]


def _stream(lines: _Lines) -> io.TextIOWrapper:
    raw: Any = lines  # as unbuffered streams of Python's own are
    return io.TextIOWrapper(raw, "utf-8", "backslashreplace", newline="", write_through=True)


class _Handler(logging.Handler):
    def __init__(self, reporter: Reporter, name: str) -> None:
        super().__init__()
        self._reporter = reporter
        self._name = name

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as wrong:  # noqa: BLE001 - a script's wrong call must not fail it, as everywhere in logging
            where = f"{_place(record.pathname, self._name)}, line {record.lineno}"
            text = f"A call of a logger is wrong: {wrong} ({where})"
        if record.name not in {LOGGER, "root"}:
            text = f"{record.name}: {text}"
        level = _level(record.levelno)
        self._reporter.lines(level, text)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            for line in tracebacks.lines(error, self._name):
                self._reporter.line(level, line)


def _level(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"


def _warn(reporter: Reporter, name: str, told: tuple[Any, ...]) -> None:
    message, category, filename, line = told[:4]
    where = f"{_place(filename, name)}, line {line}"
    reporter.lines("warning", f"{category.__name__}: {message} ({where})")


def _place(filename: str, name: str) -> str:
    """A file without where the server keeps it."""
    return name if filename == name else Path(filename).stem


def _unheard(reporter: Reporter, name: str, error: BaseException | None) -> None:
    """An exception in a thread or a destructor, which nobody catches."""
    if error is not None and not isinstance(error, SystemExit):
        for line in tracebacks.lines(error, name):
            reporter.line("warning", line)
