"""Work in a limited child process: parsers of untrusted bytes and native drivers crash, leak or hang there, not here.

One fork server a process ("zygote") starts from a clean environment, imports the heavy modules once and forks a child
a call, so that a child costs milliseconds and inherits neither file descriptors nor secrets. A child's death is an
error of the call.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import inspect
import io
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import is_dataclass
from enum import Enum
from typing import Any, NamedTuple

from base.credentials import redact
from base.errors import Internal, PlatformError, TimedOut
from base.forks import (
    BUG,
    ERROR,
    FRAME,
    MESSAGE,
    RESULT,
    STATUS,
    Channel,
    ChildDied,
    LimitExceeded,
    Limits,
    no_memory,
    size,
)

__all__ = [
    "Channel",
    "ChildDied",
    "LimitExceeded",
    "Limits",
    "OnMessage",
    "TookTooLong",
    "run",
    "start",
]

_log = logging.getLogger(__name__)
_FRAME_BYTES_MAX = 64 * 1024**2
_READ_BYTES = 256 * 1024
_STOP_SECONDS = 5
_NEAR_LIMIT = 0.75  # of the memory: what was asked for in vain is not in the peak
_CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP}
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_FIXED = {
    "HOME": "/nonexistent",  # no driver reads a password file or certificate of the server's user
    "OPENBLAS_NUM_THREADS": "1",  # a fork server has to stay single-threaded
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "4",  # each arena reserves 64 MB of a limited address space
}
_BOOT = (
    "import sys; sys.path[:] = {path!r}; import base.forks as f; f.serve_forks({fd}, {preload!r})"
)


class TookTooLong(TimedOut):
    """A child process was stopped at its limit of time. It would take as long again."""

    retryable = False


OnMessage = Callable[[Any], Awaitable[None] | None]


class _Gone(Exception):
    """The child's end of the conversation is closed."""


def start(preload: Sequence[str]) -> None:
    """Start this process's fork server ahead of its first use, with these modules imported in it.

    One that runs already is only replaced where its modules were others.
    """
    _zygote.start(preload)


async def run(
    function: Callable[..., Any] | str,
    *args: object,
    limits: Limits,
    on_message: OnMessage | None = None,
    secrets: Iterable[str] = (),
) -> Any:
    """Call a top-level function in a limited child and return what it returned.

    `module:function` names one whose imports the parent can do without.
    With `on_message` the function's first argument is a `Channel`, whose messages are handled one after the other. The
    child is killed, and gone, when this returns or is cancelled. Raises the function's PlatformError; `TookTooLong`,
    `LimitExceeded` or `ChildDied` when the child was stopped; `Internal` for any other exception, whose traceback goes
    to the log without `secrets`.
    """
    child = _zygote.fork()
    where = (
        function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    )
    work = (where, args, limits, on_message is not None)
    try:
        async with asyncio.timeout(limits.wall_seconds) as deadline:
            return await _converse(child, work, on_message, tuple(secrets))
    except TimeoutError as error:
        if not deadline.expired():
            raise
        message = f"The work took longer than its limit of {limits.wall_seconds:g} seconds."
        raise TookTooLong(message) from error
    except _Gone as error:
        raise _death(await child.end(), limits) from error
    finally:
        await asyncio.shield(asyncio.ensure_future(child.end()))


async def _converse(
    child: _Child, work: object, on_message: OnMessage | None, secrets: tuple[str, ...]
) -> Any:
    await child.send(work)
    while True:
        kind, value = await child.receive()
        if kind == RESULT:
            return value
        if kind == ERROR:
            raise value
        if kind == BUG:
            summary, details = value
            _log.error("child process failed: %s", redact(details, secrets))
            message = f"An unexpected failure ({summary}); the log has the details."
            raise Internal(message)
        handled = on_message(value) if on_message else None
        if inspect.isawaitable(handled):
            await handled


class _End(NamedTuple):
    """How a child ended: its wait status, about how much memory it had at most, whether it said to get no more."""

    status: int
    peak_bytes: int
    got_none: bool


def _death(end: _End | None, limits: Limits) -> PlatformError:
    if end is None:
        return ChildDied("The process that did the work ended, and so did its fork server.")
    code = os.waitstatus_to_exitcode(end.status)
    # Most libraries crash where they get no memory; only some say so first.
    is_near = end.peak_bytes > limits.memory_bytes * _NEAR_LIMIT
    if end.got_none or (is_near and (code > 0 or -code in _CRASHES)):
        return no_memory(limits)
    if code == -signal.SIGXCPU:
        spent = f"The work used more than its limit of {limits.effective_cpu_seconds} seconds of processor time."
        return LimitExceeded(spent)
    if code >= 0:
        return ChildDied(f"The process that did the work exited with code {code}.")
    name = signal.Signals(-code)
    is_killed = name is signal.SIGKILL
    reason = "as the system does when memory runs out" if is_killed else "a crash in a library"
    return ChildDied(f"The process that did the work was ended by {name.name}, {reason}.")


class _Child:
    """The parent's end of one child: the conversation, and a socket whose shutdown has the fork server kill it."""

    def __init__(self, connection: socket.socket, status: socket.socket) -> None:
        self._connection = connection
        self._status = status
        self._buffer = bytearray()
        self._ended: asyncio.Task[_End | None] | None = None
        connection.setblocking(False)
        status.setblocking(False)

    async def send(self, value: object) -> None:
        body = pickle.dumps(value)
        frame = FRAME.pack(MESSAGE, len(body)) + body
        try:
            await asyncio.get_running_loop().sock_sendall(self._connection, frame)
        except ConnectionError as error:
            raise _Gone from error

    async def receive(self) -> tuple[int, Any]:
        """The next frame; `_Gone` when the child is gone."""
        kind, length = FRAME.unpack(await self._exactly(FRAME.size))
        if length > _FRAME_BYTES_MAX:
            raise LimitExceeded(f"The work gave an answer over {size(_FRAME_BYTES_MAX)}.")
        body = await self._exactly(length)
        try:
            return kind, _Unpickler(io.BytesIO(body)).load()
        except _UNREADABLE as error:
            raise ChildDied("The process that did the work gave an unreadable answer.") from error

    async def _exactly(self, count: int) -> bytes:
        loop = asyncio.get_running_loop()
        while len(self._buffer) < count:
            try:
                chunk = await loop.sock_recv(self._connection, _READ_BYTES)
            except ConnectionError as error:
                raise _Gone from error
            if not chunk:
                raise _Gone
            self._buffer += chunk
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    async def end(self) -> _End | None:
        """Kill the child if it lives and wait until it is gone; how it ended, None if nobody knows."""
        if self._ended is None:
            self._ended = asyncio.create_task(self._end())
        return await asyncio.shield(self._ended)

    async def _end(self) -> _End | None:
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_WR)
        try:
            answer = await asyncio.get_running_loop().sock_recv(self._status, STATUS.size)
        except ConnectionError:
            answer = b""
        finally:
            self._status.close()
            self._connection.close()
        return _End(*STATUS.unpack(answer)) if answer else None


_UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)


class _Unpickler(pickle.Unpickler):
    """Reads what a child sent, which its input may have taken over: plain values and our own data classes only."""

    _PACKAGES = frozenset({"base", "connectors", "storage", "workers"})
    _VALUES = frozenset(
        {
            *(("builtins", name) for name in ("set", "frozenset", "bytearray", "complex", "range")),
            *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
            ("decimal", "Decimal"),
            ("uuid", "UUID"),
            ("pathlib", "PosixPath"),
            ("pathlib", "PurePosixPath"),
            ("base.errors", "_rebuild"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._VALUES:
            return super().find_class(module, name)
        if module.partition(".")[0] in self._PACKAGES:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module and _is_data(found):
                return found
        raise pickle.UnpicklingError(f"a child sent a {module}.{name}")


def _is_data(found: type) -> bool:
    return is_dataclass(found) or issubclass(found, PlatformError | Enum)


class _Zygote:
    """The parent's end of its fork server; starts it when first needed, and again should it die."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._preload: tuple[str, ...] = ()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self, preload: Sequence[str]) -> None:
        with self._lock:
            if self._preload != tuple(preload):
                self._preload = tuple(preload)
                self._stop()
            self._running()

    def fork(self) -> _Child:
        mine, theirs = socket.socketpair()
        status_mine, status_theirs = socket.socketpair()
        with theirs, status_theirs, self._lock:
            fds = [theirs.fileno(), status_theirs.fileno()]
            try:
                socket.send_fds(self._running(), [b"fork"], fds)
            except OSError:  # it died since it was looked at
                self._stop()
                socket.send_fds(self._running(), [b"fork"], fds)
        return _Child(mine, status_mine)

    def stop(self) -> None:
        with self._lock:
            self._stop()

    def _running(self) -> socket.socket:
        if self._process and self._control and self._process.poll() is None:
            return self._control
        self._stop()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            boot = _BOOT.format(path=sys.path, fd=theirs.fileno(), preload=self._preload)
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [sys.executable, "-c", boot],
                env=_FIXED | {name: os.environ[name] for name in _INHERITED if name in os.environ},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # a terminal's Ctrl-C is the parent's to answer
            )
        return self._control

    def _stop(self) -> None:
        if self._control:
            self._control.close()  # on which it kills its children and ends
        if self._process:
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._process = self._control = None


_zygote = _Zygote()
atexit.register(_zygote.stop)
