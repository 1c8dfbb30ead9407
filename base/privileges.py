"""What an isolated child gives up of its standing: its user, its capabilities, its view of network, IPC and names."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_KEEPCAPS, _PR_SET_NO_NEW_PRIVS = 1, 4, 8, 38
_CAP_SETGID, _CAP_SETUID, _CAP_KILL, _CAP_SYS_ADMIN = 6, 7, 5, 21
_CAPABILITIES = 0x20080522  # version 3 of the kernel's interface: two words of each set
_NEWUTS, _NEWIPC, _NEWUSER, _NEWNET = 0x04000000, 0x08000000, 0x10000000, 0x40000000
_OWN_USERS_FROM = 0x70000000  # a child's number is this and its process id: nobody else's
_NOBODY = 65534  # where a container has no such high numbers
_UNKNOWN = ctypes.c_uint32(-1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What came of it: the mechanisms in words, and whether this child's threads are counted apart from others'."""

    mechanisms: tuple[str, ...]
    is_counted_apart: bool


def give_up(
    reads: Sequence[Path], folder: Path | None, *, network: bool, parent: int | None
) -> Standing:
    """Give up what is not needed to read `reads` and to use `folder`; raises OSError where the rest cannot be dropped.

    A server of root's gives its children users of their own. Where root alone can read the interpreter or the files,
    such a child still opens files as root does (who without capabilities is only their owner), and is somebody else
    for signals, tracing and the count of its threads.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    held = _capabilities(libc)
    spaces, has_own_users = _unshare(libc, held, network=network)
    user = _change_user(libc, held, reads, folder)
    _set_capabilities(libc, 0, 0)
    _prctl(libc, _PR_SET_DUMPABLE, 0)  # nobody of the same user may look into it
    if parent is not None:
        _prctl(libc, _PR_SET_PDEATHSIG, signal.SIGKILL)  # which a change of user switches off
        if os.getppid() != parent:
            os._exit(0)
    mechanisms = ("no capabilities", *user, *spaces)
    return Standing(mechanisms, has_own_users or bool(user))


def forbid_new() -> None:
    """No program that is started ever gains privileges; what Landlock and seccomp ask for first."""
    _prctl(ctypes.CDLL(None, use_errno=True), _PR_SET_NO_NEW_PRIVS, 1)


def limit_threads(threads: int, *, is_counted_apart: bool) -> None:
    """Threads that it may have. Root's own are never refused; they cost address space, which is limited."""
    if not is_counted_apart:  # the kernel counts all that this user has, so there is room for those
        running = Path("/proc/loadavg").read_text(encoding="ascii").split()[3]
        threads += int(running.partition("/")[2])
    top = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    wanted = threads if top == resource.RLIM_INFINITY else min(threads, top)
    resource.setrlimit(resource.RLIMIT_NPROC, (wanted, wanted))


def _unshare(libc: ctypes.CDLL, held: int, *, network: bool) -> tuple[tuple[str, ...], bool]:
    """Own namespaces where that is allowed; nothing rests on them alone."""
    flags, names = _NEWIPC | _NEWUTS, ["ipc", "uts"]
    if not network:
        flags, names = flags | _NEWNET, [*names, "net"]
    if _has(held, _CAP_SYS_ADMIN):
        own_users = False
    elif os.geteuid() != 0:
        own_users, flags, names = True, flags | _NEWUSER, [*names, "user"]
    else:
        return (), False
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(flags) != 0:
        return (), False
    if own_users:
        # Without a mapping nothing could be created in the folder.
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            Path("/proc/self", name).write_text(text, encoding="ascii")
    return (f"namespaces {' '.join(sorted(names))}",), own_users


def _change_user(
    libc: ctypes.CDLL, held: int, reads: Sequence[Path], folder: Path | None
) -> tuple[str, ...]:
    # Without CAP_KILL the fork server could not end a child of another user.
    if not all(_has(held, each) for each in (_CAP_SETUID, _CAP_SETGID, _CAP_KILL)):
        return ()
    before = os.geteuid(), os.getegid()
    with contextlib.suppress(PermissionError):  # in a user namespace that forbids it
        os.setgroups([])
    _prctl(libc, _PR_SET_KEEPCAPS, 1)
    for own in (_OWN_USERS_FROM + os.getpid(), _NOBODY):
        try:
            os.setresgid(own, own, own)
            os.setresuid(own, own, own)
        except OSError:
            continue
        break
    else:
        return ()
    if _can_use(reads, folder):
        return ("own user",)
    _set_capabilities(libc, held, (1 << _CAP_SETUID) | (1 << _CAP_SETGID))
    libc.setfsgid(before[1])
    libc.setfsuid(before[0])
    if libc.setfsuid(_UNKNOWN) != before[0]:  # it answers what was and stays
        raise PermissionError("the user that files are opened as could not be set")
    return ("own user (files as the server's)",)


def _can_use(reads: Sequence[Path], folder: Path | None) -> bool:
    """Whether the user that this process is by now can open what it is to open."""
    readable = all(os.access(path, os.R_OK) for path in reads if _is_there(path))
    return readable and (folder is None or os.access(folder, os.R_OK | os.W_OK | os.X_OK))


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    return True


def _has(held: int, capability: int) -> bool:
    return bool(held >> capability & 1)


def _capabilities(libc: ctypes.CDLL) -> int:
    """Those in effect, a bit each."""
    words = ctypes.create_string_buffer(24)
    if libc.capget(struct.pack("@Ii", _CAPABILITIES, 0), words) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities could not be read")
    low, _, _, high, _, _ = struct.unpack("@6I", words.raw)
    return int(low | high << 32)


def _set_capabilities(libc: ctypes.CDLL, permitted: int, effective: int) -> None:
    word = 0xFFFFFFFF
    words = struct.pack(
        "@6I", effective & word, permitted & word, 0, effective >> 32, permitted >> 32, 0
    )
    if libc.capset(struct.pack("@Ii", _CAPABILITIES, 0), words) != 0:
        raise OSError(ctypes.get_errno(), "the capabilities could not be dropped")


def _prctl(libc: ctypes.CDLL, option: int, value: int) -> None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option} was refused")
