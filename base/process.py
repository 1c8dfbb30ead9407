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
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from base import isolation as isolating
from base.answers import (
    FRAME_COST_BYTES,
    FRAMES_BYTES_MAX,
    PLAIN_FRAME_BYTES_MAX,
    read_pickled,
    read_plain,
)
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
    Work,
    no_memory,
    size,
)
from base.isolation import Isolation, Level, OpenFile, allow_limited

__all__ = [
    "Channel",
    "ChildDied",
    "ForkServer",
    "Isolation",
    "LimitExceeded",
    "Limits",
    "OnMessage",
    "OpenFile",
    "TookTooLong",
    "allow_limited",
    "run",
    "start",
    "stop",
]

_log = logging.getLogger(__name__)
_FRAME_BYTES_MAX = 64 * 1024**2
_READ_BYTES = 256 * 1024
_STOP_SECONDS = 5
_FOLDER_LOOK_SECONDS = 1
_NEAR_LIMIT = 0.75  # of the memory: what was asked for in vain is not in the peak
_BLOCK_BYTES = 512  # of `st_blocks`, whatever the file system
_REASONS = {
    signal.SIGKILL: (
        "as the system does when the memory of the machine or the container runs out",
        "Give it more, or have each worker run fewer jobs at once by HEADWATER_WORKER_THREADS.",
    ),
    signal.SIGSYS: ("for a system call that is not allowed it", None),
}
_CRASHES = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP}
_INHERITED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_FIXED = {
    "HOME": "/nonexistent",  # no driver reads a password file or certificate of the server's user
    "OPENBLAS_NUM_THREADS": "1",  # a fork server has to stay single-threaded
    "OMP_NUM_THREADS": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",  # Arrow's, which a child could not isolate
    "MALLOC_ARENA_MAX": "4",  # each arena reserves 64 MB of a limited address space
    "ARROW_DEFAULT_MEMORY_POOL": "system",  # Arrow's own keeps a third more of what was freed
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


def stop() -> None:
    """End this process's fork server, which is idle, until it is needed again: it takes 10 MiB. Blocking."""
    _zygote.stop()


async def run(
    function: Callable[..., Any] | str,
    *args: object,
    limits: Limits,
    on_message: OnMessage | None = None,
    secrets: Iterable[str] = (),
    isolation: Isolation | None = None,
    server: ForkServer | None = None,
    plain: bool = False,
) -> Any:
    """Call a top-level function in a limited child and return what it returned.

    `module:function` names one whose imports the parent can do without.
    With `on_message` the function's first argument is a `Channel`, whose messages are handled one after the other. With
    `isolation` the child isolates itself before the function is called, whose next argument is the tuple of descriptors
    if it `opens` files. A `plain` child, which may run anybody's code, answers in JSON, up to FRAMES_BYTES_MAX in all.
    The child is killed, and gone, when this returns or is cancelled. Files that the parent takes out of its folder
    meanwhile count no longer. Raises the function's PlatformError (of a plain child: the class of its code);
    `TookTooLong`, `LimitExceeded` or `ChildDied` when the child was stopped; `SandboxUnavailable` where it could not be
    isolated; `Internal` for any other exception, whose traceback goes to the log without `secrets`.
    """
    if isolation is not None:
        await _warn_of_limited()
    where = (
        function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    )
    is_limited_allowed = isolating.is_limited_allowed()
    talks = on_message is not None
    work = Work(where, args, limits, talks, isolation, is_limited_allowed, plain)
    child = (server or _zygote).fork(is_plain=plain)
    watch = asyncio.create_task(_watch(child, limits, isolation.folder if isolation else None))
    try:
        async with asyncio.timeout(limits.wall_seconds) as deadline:
            return await _converse(child, work, on_message, tuple(secrets))
    except TimeoutError as error:
        if not deadline.expired():
            raise
        message = f"The work took longer than its limit of {limits.wall_seconds:g} seconds."
        raise TookTooLong(message) from error
    except _Gone as error:
        raise child.excess or _death(await child.end(), limits) from error
    finally:
        watch.cancel()
        await asyncio.shield(asyncio.ensure_future(child.end()))


async def _warn_of_limited() -> None:
    """Say once, loudly, that children here are less isolated than they should be."""
    if _Warned.is_due and isolating.is_limited_allowed():
        _Warned.is_due = False
        if await asyncio.to_thread(isolating.level) is Level.LIMITED:
            told = isolating.describe()
            _log.warning("SANDBOX LIMITED: scripts and parsers are not fully isolated: %s", told)


class _Warned:
    is_due = True


async def _converse(
    child: _Child, work: Work, on_message: OnMessage | None, secrets: tuple[str, ...]
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


async def _watch(child: _Child, limits: Limits, folder: Path | None) -> None:
    """Kill a child whose folder holds more than it may: the limits of resources know single files only."""
    while folder is not None and limits.folder_bytes is not None and child.excess is None:
        await asyncio.sleep(_FOLDER_LOOK_SECONDS)
        if excess := await asyncio.to_thread(_excess, folder, limits.folder_bytes, limits):
            child.kill(excess)


def _excess(folder: Path, bytes_max: int, limits: Limits) -> LimitExceeded | None:
    """Blocking: which limit the files in a folder are over, if any."""
    files = used_bytes = 0
    try:
        for file_bytes in _files(folder):
            files, used_bytes = files + 1, used_bytes + file_bytes
            if files > limits.folder_files:
                told = f"The work keeps more than its limit of {limits.folder_files:,} files."
                return LimitExceeded(told)
            if used_bytes > bytes_max:
                told = f"The work keeps files of more than its limit of {size(bytes_max)} in all."
                return LimitExceeded(told)
    except OSError:  # too deep, or closed on purpose: what is in there could not be counted
        return LimitExceeded("The work made a folder that cannot be looked into.")
    return None


def _files(folder: Path) -> Iterator[int]:
    """The bytes on disk of each file and folder below; those that come and go meanwhile may be missing."""
    folders = [str(folder)]
    while folders:
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            os.scandir(folders.pop()) as entries,
        ):
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                with contextlib.suppress(FileNotFoundError):
                    yield entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES


class _End(NamedTuple):
    """How a child ended: its wait status, about how much memory it had at most, whether it said to get no more."""

    status: int
    peak_bytes: int
    got_none: bool
    cpu_seconds: float


def _death(end: _End | None, limits: Limits) -> PlatformError:
    if end is None:
        return ChildDied("The process that did the work ended, and so did its fork server.")
    code = os.waitstatus_to_exitcode(end.status)
    # Most libraries crash where they get no memory; only some say so first.
    is_near = end.peak_bytes > limits.memory_bytes * _NEAR_LIMIT
    if end.got_none or (is_near and (code > 0 or -code in _CRASHES)):
        return no_memory(limits)
    # Who does not heed SIGXCPU is killed a second later.
    is_spent = code == -signal.SIGKILL and end.cpu_seconds >= limits.effective_cpu_seconds
    if code == -signal.SIGXCPU or is_spent:
        spent = f"The work used more than its limit of {limits.effective_cpu_seconds} seconds of processor time."
        return LimitExceeded(spent)
    if code >= 0:
        return ChildDied(f"The process that did the work exited with code {code}.")
    if -code not in set(signal.Signals):  # a real-time one, which has no name
        return ChildDied(f"The process that did the work was ended by signal {-code}.")
    name = signal.Signals(-code)
    is_crash = name in {*_CRASHES, signal.SIGFPE}
    other = "a crash in a library" if is_crash else "which it or the system sent"
    reason, hint = _REASONS.get(name, (other, None))
    return ChildDied(
        f"The process that did the work was ended by {name.name}, {reason}.", hint=hint
    )


class _Child:
    """The parent's end of one child: the conversation, and a socket whose shutdown has the fork server kill it."""

    def __init__(self, connection: socket.socket, status: socket.socket, *, is_plain: bool) -> None:
        self._is_plain = is_plain
        self._said_bytes = 0
        self._connection = connection
        self._status = status
        self.excess: LimitExceeded | None = None
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
        bytes_max = PLAIN_FRAME_BYTES_MAX if self._is_plain else _FRAME_BYTES_MAX
        if length > bytes_max:
            raise LimitExceeded(f"The work gave an answer over {size(bytes_max)}.")
        if not self._is_plain:
            return kind, read_pickled(await self._exactly(length))
        self._said_bytes += length + FRAME_COST_BYTES
        if self._said_bytes > FRAMES_BYTES_MAX:
            raise LimitExceeded(f"The work said more than {size(FRAMES_BYTES_MAX)} in all.")
        await asyncio.sleep(0)  # a flood of frames that are here already is not to starve others
        return kind, read_plain(kind, await self._exactly(length))

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

    def kill(self, excess: LimitExceeded) -> None:
        """Kill the child for this reason; whoever converses with it learns of its end, and ends it."""
        self.excess = excess
        with contextlib.suppress(OSError):
            self._status.shutdown(socket.SHUT_WR)

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


class ForkServer:
    """The parent's end of a fork server; starts it when first needed, and again should it die. Thread-safe.

    `preload`: the modules that it imports once, for all its children.
    """

    def __init__(self, preload: Sequence[str] = ()) -> None:
        self._lock = threading.Lock()
        self._preload = tuple(preload)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        atexit.register(self.stop)

    def start(self, preload: Sequence[str] | None = None) -> None:
        """Start it ahead of its first use; anew if it runs with other modules than these."""
        with self._lock:
            preload = self._preload if preload is None else preload
            if self._preload != tuple(preload):
                self._preload = tuple(preload)
                self._stop()
            self._running()

    def fork(self, *, is_plain: bool = False) -> _Child:
        """A new child that waits for its work."""
        mine, theirs = socket.socketpair()
        status_mine, status_theirs = socket.socketpair()
        with contextlib.ExitStack() as unless_forked:
            unless_forked.enter_context(mine)
            unless_forked.enter_context(status_mine)
            with theirs, status_theirs, self._lock:
                fds = [theirs.fileno(), status_theirs.fileno()]
                try:
                    socket.send_fds(self._running(), [b"fork"], fds)
                except OSError:  # it died since it was looked at
                    self._stop()
                    socket.send_fds(self._running(), [b"fork"], fds)
            unless_forked.pop_all()  # they are the child's to close
        return _Child(mine, status_mine, is_plain=is_plain)

    def stop(self) -> None:
        """End it and its children; the next use starts it again."""
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


_zygote = ForkServer()
