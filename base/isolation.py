"""The isolation of a child process: what it may still touch of the machine, held by the kernel and not by Python.

Strict isolation is Landlock for files, seccomp for system calls, limits of resources, no privileges and none to be had;
besides, where the system allows it, a user and namespaces of its own. A language is no boundary: the code in the child
is taken to run any machine code it likes.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import zoneinfo
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path

from base import landlock, privileges, seccomp
from base.errors import SandboxUnavailable

_SYSTEM = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/lib", "/lib32", "/lib64")
_SYSTEM_FILES = (
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/dev/urandom", "/dev/random"),
    *("/dev/zero", "/sys/devices/system/cpu"),
)
# DuckDB sees that these exist, so it ends the process where it may not read how much memory it has.
_GROUPS, _GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Names of hosts, and the authorities that sign certificates.
_NETWORK = (
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/nsswitch.conf", "/etc/gai.conf"),
    *("/etc/services", "/etc/protocols", "/etc/ssl/certs", "/etc/ssl/cert.pem"),
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/certs", "/etc/pki/tls/openssl.cnf"),
    *("/etc/pki/ca-trust/extracted", "/etc/ca-certificates/extracted"),
    *("/usr/share/ca-certificates", "/usr/local/share/ca-certificates"),
)
_PROBE_SECONDS = 60
_PROBE = "import sys; sys.path[:] = {path!r}; import base.isolation as i; i.probe()"
_HINT = (
    "Headwater needs a Linux kernel with Landlock (5.13 or newer) and seccomp on x86-64 or 64-bit ARM, and a container "
    "that lets them through; `headwater doctor` tells what is missing. HEADWATER_SANDBOX=limited does without."
)


class Level(StrEnum):
    """How well children can be isolated here."""

    STRICT = "strict"
    LIMITED = "limited"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True)
class OpenFile:
    """A regular file that is opened for a child before it is isolated; a writable one is made where there is none."""

    path: Path
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Isolation:
    """What an isolated child may touch beside the Python runtime.

    `opens` come as descriptors. Below `folder`, where its temporary files go too, it may make, change and remove files
    and folders; without one it can create no file at all. `reads` are files and folders. With `network` it may connect
    to addresses of the internet.
    """

    opens: tuple[OpenFile, ...] = ()
    folder: Path | None = None
    reads: tuple[Path, ...] = ()
    network: bool = False


@dataclass(frozen=True, slots=True)
class Isolated:
    """What came of it: the descriptors of `opens`, the mechanisms that hold, and those that are missing."""

    descriptors: tuple[int, ...]
    mechanisms: tuple[str, ...]
    missing: tuple[str, ...]


class _Policy:
    """Whether this server does with less than strict isolation; set once at start."""

    is_limited_allowed = False


def allow_limited(is_allowed: bool) -> None:  # noqa: FBT001 - one setting, passed on
    """Say, once at start, whether children may run where strict isolation is not possible."""
    _Policy.is_limited_allowed = is_allowed


def is_limited_allowed() -> bool:
    """Whether children may run where strict isolation is not possible."""
    return _Policy.is_limited_allowed


def level() -> Level:
    """How well children are isolated by this server. Blocks for a moment the first time."""
    if not measured().missing:
        return Level.STRICT
    return Level.LIMITED if _Policy.is_limited_allowed else Level.UNAVAILABLE


def describe() -> str:
    """The level and its mechanisms, for an operator. Blocks for a moment the first time."""
    found = measured()
    told = f"{level()}: {', '.join(found.mechanisms) or 'nothing'}"
    return f"{told}; missing: {', '.join(found.missing)}" if found.missing else told


@cache
def measured() -> Isolated:
    """What isolation comes to on this machine, tried in a process of its own. Blocks for a moment the first time."""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", _PROBE.format(path=sys.path)],
        env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=_PROBE_SECONDS,
        check=False,
    )
    try:
        mechanisms, missing = json.loads(done.stdout)
    except ValueError:
        return Isolated((), (), (f"a probe that ends well (it ended with {done.returncode})",))
    return Isolated((), tuple(mechanisms), tuple(missing))


def probe() -> None:
    """What the process of `measured` does: isolate itself, then try what has to fail and what has to work."""
    found = isolate(Isolation(), keep=(), threads=64, parent=None, is_limited_allowed=True)
    missing = list(found.missing)
    if not missing:
        with contextlib.suppress(PermissionError):
            Path("/etc/passwd").read_bytes()
            missing.append("Landlock that holds")
        with contextlib.suppress(PermissionError):
            socket.socket().close()
            missing.append("seccomp that holds")
        thread = threading.Thread(target=str)
        thread.start()
        thread.join()
    os.write(1, json.dumps([found.mechanisms, missing]).encode())
    os._exit(0)


def isolate(
    isolation: Isolation,
    *,
    keep: Collection[int],
    threads: int,
    parent: int | None,
    is_limited_allowed: bool,
) -> Isolated:
    """Isolate this process, which has one thread, for good; of its descriptors 0 to 2 and `keep` stay open.

    `parent`: the process with which it is to die. Raises SandboxUnavailable where it cannot be strict and need be.
    """
    missing: list[str] = []
    descriptors = tuple(_open(each) for each in isolation.opens)
    _close_all_but({0, 1, 2, *keep, *descriptors})
    machine = seccomp.this_machine()
    reads = (*runtime(), *isolation.reads, *(map(Path, _NETWORK) if isolation.network else ()))
    rules = None
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - names are enough
        missing.append("a single thread to isolate")
    if landlock.version() == 0:
        missing.append("Landlock")
    else:
        rules = _rules(isolation, reads)
    if machine is None:
        missing.append("seccomp on this processor")
    try:
        standing = privileges.give_up(
            (*runtime(), *isolation.reads),
            isolation.folder,
            network=isolation.network,
            parent=parent,
        )
    except OSError as error:  # half of them may be gone: there is no way back or on
        raise SandboxUnavailable(
            f"This machine cannot isolate the work: {error}.", hint=_HINT
        ) from error
    if isolation.folder is not None:
        os.environ["TMPDIR"] = tempfile.tempdir = str(isolation.folder.absolute())
    privileges.limit_threads(threads, is_counted_apart=standing.is_counted_apart)
    privileges.forbid_new()
    mechanisms = ["limits", "no new privileges", *standing.mechanisms]
    if rules is not None:
        rules.enforce()
        mechanisms.append(f"Landlock {landlock.version()}")
    if machine is not None:
        try:
            _filter(machine, isolation)
            mechanisms.append("seccomp")
        except OSError as error:
            missing.append(f"seccomp ({error.strerror})")
    if missing and not is_limited_allowed:
        message = f"This machine cannot isolate the work: {', '.join(missing)} missing."
        raise SandboxUnavailable(message, hint=_HINT)
    return Isolated(descriptors, tuple(mechanisms), tuple(missing))


def _rules(isolation: Isolation, reads: Sequence[Path]) -> landlock.Ruleset:
    rules = landlock.Ruleset(dials=isolation.network)
    for path in reads:
        rules.allow(path, landlock.READ)
    rules.allow(Path(os.devnull), landlock.READ | landlock.Right.WRITE_FILE)
    rules.allow(_GROUPS, landlock.Right.READ_FILE)
    if _is_readable(_GROUP):
        rules.allow(_GROUP, landlock.Right.READ_FILE)
        os.open(
            _GROUP, os.O_PATH | os.O_CLOEXEC
        )  # or the kernel might forget the file, and the rule
    if isolation.folder is not None:
        rules.allow(isolation.folder, landlock.USE)
    return rules


def _filter(machine: seccomp.Machine, isolation: Isolation) -> None:
    creates, dials = isolation.folder is not None, isolation.network
    allowed = seccomp.rules(os.getpid(), creates=creates, dials=dials)
    pretended = seccomp.pretended(creates=creates)
    seccomp.install(seccomp.compile_filter(machine, allowed, pretended))


@cache
def runtime() -> tuple[Path, ...]:
    """What Python reads while it runs: the standard library, installed packages, the system's libraries, time zones.

    Of other folders on Python's path only the packages in them, never the whole: the data folder may lie beside.
    """
    found = {
        *(Path(path) for path in (*_SYSTEM, *_SYSTEM_FILES, *zoneinfo.TZPATH)),
        *(Path(path) for path in sysconfig.get_paths().values() if "site-packages" in path),
        Path(sysconfig.get_path("stdlib")),
        Path(sysconfig.get_path("platstdlib")),
    }
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        found |= {Path(prefix, name) for name in ("lib", "lib64", "pyvenv.cfg")}
    whole = {path.resolve() for path in found if _is_readable(path)}
    for entry in {Path(__file__).parents[1], *(Path(path) for path in sys.path if path)}:
        folder = entry.resolve()
        if _is_readable(folder) and not any(folder.is_relative_to(path) for path in whole):
            found |= _packages(folder)
    return tuple(sorted(path for path in found if _is_readable(path)))


def _is_readable(path: Path) -> bool:
    return os.access(path, os.R_OK)


def _packages(folder: Path) -> set[Path]:
    if not folder.is_dir():
        return {folder} if folder.suffix == ".zip" else set()
    if any(folder.glob("*.dist-info")):  # packages are installed here
        return {folder}
    return {each.parent for each in folder.glob("*/__init__.py")}


def _open(file: OpenFile) -> int:
    """Open without following a link or waiting for a FIFO; raises OSError for what is no regular file."""
    how = os.O_RDWR | os.O_CREAT if file.writable else os.O_RDONLY
    how |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    descriptor = os.open(file.path, how, 0o600)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        raise OSError(f"not a regular file: {file.path.name}")
    return descriptor


def _close_all_but(kept: Collection[int]) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are enough
        if int(name) not in kept:
            with contextlib.suppress(OSError):  # the listing's own
                os.close(int(name))
