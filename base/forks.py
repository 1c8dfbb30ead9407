"""The other side of `base.process`: the fork server, and a child's life from its limits to its answer."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import gc
import importlib
import json
import math
import os
import pickle
import re
import resource
import selectors
import signal
import socket
import struct
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from base import isolation
from base.errors import PlatformError, StorageFull
from base.isolation import Isolation

FRAME = struct.Struct("!BQ")  # kind, length of what follows
MESSAGE, RESULT, ERROR, BUG = range(4)
# As `os.wait4` gives it; peak of memory in bytes; whether it said to get none; seconds of processor time.
STATUS = struct.Struct("!iQ?d")
BUG_CHARACTERS_MAX = 20_000  # of a traceback that a child tells
_PR_SET_PDEATHSIG = 1
_SAID_BYTES = 4096  # the tail of what a child printed: only to tell why it died, never shown
_PIPE_BYTES = 1024**2  # more than a pipe holds
_NO_MEMORY = re.compile(
    rb"bad_alloc|memory allocation of \d+ bytes failed|[Cc](?:annot|ould not) allocate memory|[Oo]ut of memory"
)
_PEAK = re.compile(rb"VmPeak:\s*(\d+) kB")
_MADV_DONTNEED = 4
# Of `smaps`: the start and end of a file's pages that cannot be written to, and none of which ever was.
_MAPPING = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ [1-9]\d* .*\n(?:(?!Anonymous)\w+:.*\n)*Anonymous: +0 kB$",
    re.MULTILINE,
)
_FIRST_TO_GO = "1000"  # for the kernel where memory runs out, long before the server
_LOOK_SECONDS = (
    0.05  # between looks at how much memory children have; nobody can tell once one is dead
)


class ChildDied(PlatformError):
    """A child process ended without an answer; the message names the signal. May go better another time."""

    retryable = True


class LimitExceeded(ChildDied):
    """A child process ran into one of its limits; the message names it. It would again."""

    code = "PAYLOAD_TOO_LARGE"
    retryable = False


@dataclass(frozen=True, slots=True)
class Limits:
    """What one child may use. `memory_bytes` is address space, `file_bytes` the size of each file it writes.

    No `cpu_seconds`: as many as there are in `wall_seconds` on all processors. `threads` counts in an isolated child,
    where every thread but the first is a library's or a script's. `folder_bytes` is the disk space of all that lies in
    its isolation's folder at one time, looked at every second, and `folder_files` their number; no `folder_bytes`: as
    much as there is of both.
    """

    wall_seconds: float = 60
    memory_bytes: int = 4 * 1024**3
    cpu_seconds: int | None = None
    file_bytes: int = 16 * 1024**3
    open_files: int = 512
    threads: int = 256
    folder_bytes: int | None = None
    folder_files: int = 100_000

    @property
    def effective_cpu_seconds(self) -> int:
        """Seconds of processor time, the default filled in."""
        return self.cpu_seconds or math.ceil(self.wall_seconds) * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Work:
    """What a child is to do. `is_plain`: it answers in JSON, for what it runs may be hostile."""

    function: str
    args: tuple[object, ...]
    limits: Limits
    talks: bool
    isolation: Isolation | None = None
    is_limited_allowed: bool = False
    is_plain: bool = False


class Channel:
    """A child's way to tell its parent something before it ends. Thread-safe; blocks while the parent is busy."""

    def __init__(self, connection: socket.socket, *, is_plain: bool = False) -> None:
        self._connection = connection
        self._is_plain = is_plain
        self._lock = threading.Lock()

    def send(self, message: object) -> None:
        """Send one message: plain values, or instances of our own classes; of a plain child, what JSON knows."""
        self.answer(MESSAGE, message)

    def answer(self, kind: int, value: object) -> None:
        """Send one frame."""
        body = json.dumps(_plain(value)).encode() if self._is_plain else pickle.dumps(value)
        with self._lock:
            self._connection.sendall(FRAME.pack(kind, len(body)) + body)


def serve_forks(control_fd: int, preload: Sequence[str]) -> None:
    """What a fork server does: import, then fork a child for each request until the parent is gone."""
    for name in preload:
        with contextlib.suppress(ImportError):  # the child that needs it says so better
            importlib.import_module(name)
    isolation.runtime()  # found once, for all children
    gc.collect()
    gc.freeze()  # children share these pages
    let_go()  # a child maps those that it uses itself
    _ForkServer(socket.socket(fileno=control_fd)).serve()
    os._exit(0)  # libraries that tidy up at exit print, and are slow


def let_go() -> None:
    """Give back the pages of files; those that are used again, which are few, are mapped again.

    For a process that has loaded what it needs, and has no other thread that might load a library meanwhile. Most pages
    are touched only while a library is loaded: 5 MiB of what Python brings, 30 MiB of the data libraries.
    """
    libc = ctypes.CDLL(None)
    with contextlib.suppress(OSError):
        for found in _MAPPING.finditer(Path("/proc/self/smaps").read_text()):
            start, end = int(found[1], 16), int(found[2], 16)
            libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_DONTNEED)


class _Forked:
    """A child as its fork server knows it: whom to tell of its end, and the tail of what it prints as errors."""

    def __init__(self, status: socket.socket, errors: int) -> None:
        self.status = status
        self.errors = errors
        self._tail = b""
        self._peak_bytes = 0
        os.set_blocking(errors, False)

    def hear(self) -> bool:
        """Keep what was printed; False where no more will come."""
        try:
            heard = os.read(self.errors, _PIPE_BYTES)
        except BlockingIOError:
            return True
        self._tail = (self._tail + heard)[-_SAID_BYTES:]
        return bool(heard)

    def look(self, pid: int) -> None:
        """Note the most address space that it had so far."""
        with contextlib.suppress(OSError):
            found = _PEAK.search(Path(f"/proc/{pid}/status").read_bytes())
            if found:
                self._peak_bytes = int(found[1]) * 1024

    def tell(self, status: int, used: resource.struct_rusage) -> None:
        """Tell the parent of the end."""
        self.hear()
        peak_bytes = max(self._peak_bytes, used.ru_maxrss * 1024)
        got_none = _NO_MEMORY.search(self._tail) is not None
        cpu_seconds = used.ru_utime + used.ru_stime
        with contextlib.suppress(OSError):
            self.status.send(STATUS.pack(status, peak_bytes, got_none, cpu_seconds))

    def close(self) -> None:
        """Close both descriptors."""
        self.status.close()
        os.close(self.errors)


class _ForkServer:
    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, _Forked] = {}
        self._selector = selectors.DefaultSelector()
        self._woken, self._waker = os.pipe()
        self._libc = ctypes.CDLL(None)

    def serve(self) -> None:
        """Run until the parent closes its end, then kill what is left."""
        for fd in (self._woken, self._waker):
            os.set_blocking(fd, False)
        for name in (signal.SIGINT, signal.SIGTERM):
            signal.signal(name, signal.SIG_IGN)  # sent to a whole group: the parent decides
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._selector.register(self._control, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)
        while True:
            for pid, child in self._children.items():
                child.look(pid)
            for key, _ in self._selector.select(_LOOK_SECONDS if self._children else None):
                if key.fileobj is self._control:
                    if not self._fork():
                        return self._kill(*self._children)
                elif key.fileobj == self._woken:
                    self._reap()
                elif key.data in self._children:  # else it was reaped a moment ago
                    self._answer(key.data, self._children[key.data], key.fileobj)

    def _answer(self, pid: int, child: _Forked, end: object) -> None:
        """A child printed, or its parent has done with it."""
        is_said = end == child.errors
        if is_said and child.hear():
            return
        self._selector.unregister(child.errors if is_said else child.status)
        if not is_said:
            self._kill(pid)

    def _fork(self) -> bool:
        data, fds, _, _ = socket.recv_fds(self._control, 16, 2)
        if not data:
            return False
        connection, status = (socket.socket(fileno=fd) for fd in fds)
        errors, errors_end = os.pipe()
        child = _Forked(status, errors)
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(connection, child, errors_end, server)
        connection.close()
        os.close(errors_end)
        self._children[pid] = child
        self._selector.register(status, selectors.EVENT_READ, pid)
        self._selector.register(errors, selectors.EVENT_READ, pid)
        return True

    def _become_child(
        self, connection: socket.socket, itself: _Forked, errors_end: int, server: int
    ) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.setsid()
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            self._selector.close()
            self._control.close()
            for forked in (itself, *self._children.values()):
                forked.close()
            os.close(self._woken)
            os.close(self._waker)
            nothing = os.open(os.devnull, os.O_RDWR)
            for stream in (0, 1):  # a driver that prints might print a password
                os.dup2(nothing, stream)
            os.dup2(errors_end, 2)
            os.close(errors_end)
            if os.getppid() == server:
                _work(connection, server)
        finally:
            os._exit(0)

    def _kill(self, *pids: int) -> None:
        for pid in pids:
            for kill in (os.kill, os.killpg):
                with contextlib.suppress(ProcessLookupError):
                    kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, 4096)
        while self._children:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid)
            for watched in (child.status, child.errors):
                with contextlib.suppress(KeyError):
                    self._selector.unregister(watched)
            child.tell(status, used)
            child.close()


def _work(connection: socket.socket, server: int) -> None:
    """A child's life: read the work, take on the limits, do it, answer."""
    channel = Channel(connection)
    with connection.makefile("rb") as incoming:
        _, length = FRAME.unpack(incoming.read(FRAME.size))
        body = incoming.read(length)
    limits: Limits | None = None
    try:
        work: Work = pickle.loads(body)  # noqa: S301 - the parent's own
        limits = work.limits
        channel = Channel(connection, is_plain=work.is_plain)
        _limit(limits)
        module, _, name = work.function.partition(":")
        function = getattr(importlib.import_module(module), name)
        args = (*([channel] if work.talks else []), *_isolated(work, connection, server))
        channel.answer(RESULT, function(*args, *work.args))
    except BaseException as error:  # noqa: BLE001 - the edge of a process; a Rust panic is no Exception
        with contextlib.suppress(OSError):  # nobody listens any more
            channel.answer(*_failure(error, limits))


def _isolated(work: Work, connection: socket.socket, server: int) -> list[tuple[int, ...]]:
    """Isolate this child, if it is to be; the argument that this gives the function."""
    if work.isolation is None:
        return []
    done = isolation.isolate(
        work.isolation,
        keep=[connection.fileno()],
        threads=work.limits.threads,
        parent=server,
        is_limited_allowed=work.is_limited_allowed,
    )
    return [done.descriptors] if work.isolation.opens else []


def _plain(value: object) -> object:
    if isinstance(value, PlatformError):
        return {"code": value.code, "message": value.message, "hint": value.hint}
    return value


def _limit(limits: Limits) -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")
    for kind, value, grace in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_AS, limits.memory_bytes, 0),
        (
            resource.RLIMIT_CPU,
            limits.effective_cpu_seconds,
            1,
        ),  # SIGXCPU first, which names the limit
        (resource.RLIMIT_FSIZE, limits.file_bytes, 0),
        (resource.RLIMIT_NOFILE, limits.open_files, 0),
    ):
        top = resource.getrlimit(kind)[1]
        soft, hard = (
            wanted if top == resource.RLIM_INFINITY else min(wanted, top)
            for wanted in (value, value + grace)
        )
        resource.setrlimit(kind, (soft, hard))


def _failure(error: BaseException, limits: Limits | None) -> tuple[int, object]:
    """The frame that tells the parent of an exception."""
    if isinstance(error, PlatformError):
        return ERROR, error
    if isinstance(error, MemoryError) and limits:
        return ERROR, no_memory(limits)
    if isinstance(error, OSError) and error.errno == errno.EFBIG and limits:
        grown = f"The work wrote a file over its limit of {size(limits.file_bytes)}."
        return ERROR, LimitExceeded(grown)
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ERROR, StorageFull("There is no space left to write to.")
    told = "".join(traceback.format_exception(error))
    return BUG, (type(error).__name__, told[-BUG_CHARACTERS_MAX:])


def no_memory(limits: Limits) -> LimitExceeded:
    """The error of work that needs more memory than it may have."""
    return LimitExceeded(
        f"The work needs more memory than its limit of {size(limits.memory_bytes)}.",
        hint="Read less at once, or give HEADWATER_CHILD_MEMORY_BYTES_MAX more bytes.",
    )


def size(count: int) -> str:
    """A number of bytes in words."""
    return f"{count / 1024**3:.1f} GB" if count >= 1024**3 else f"{count / 1024**2:.0f} MB"
