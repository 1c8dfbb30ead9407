"""The system calls that an isolated child may make: a list of those allowed, as a filter that the kernel runs.

Everything that is not named here is refused with EPERM, so that a call which a later kernel brings is refused too. A
call that comes another way than this machine's own (32-bit calls, x32) ends the process.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LOW_WORD = 0xFFFFFFFF
_PR_SET_SECCOMP = 22
_MODE_FILTER = 2
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_LOAD, _AND, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_NUMBER_AT, _MACHINE_AT, _ARGS_AT = 0, 4, 16  # in the kernel's struct seccomp_data
_X32 = 0x40000000
_INSTRUCTIONS_MAX = 4096  # of the kernel's

# As the kernel's headers give them: the name, its number on x86-64, its number on 64-bit ARM (`-`: there is none).
_TABLE = """
read 0 63, write 1 64, readv 19 65, writev 20 66, pread64 17 67, pwrite64 18 68, preadv 295 69,
pwritev 296 70, preadv2 327 286, pwritev2 328 287, lseek 8 62, close 3 57, close_range 436 436,
fstat 5 80, newfstatat 262 79, stat 4 -, lstat 6 -, statx 332 291, access 21 -, faccessat 269 48,
faccessat2 439 439, readlink 89 -, readlinkat 267 78, getdents64 217 61, getcwd 79 17,
statfs 137 43, fstatfs 138 44, open 2 -, openat 257 56, dup 32 23, dup2 33 -, dup3 292 24,
fcntl 72 25, flock 73 32, ioctl 16 29, pipe 22 -, pipe2 293 59, ftruncate 77 46, fallocate 285 47,
fsync 74 82, fdatasync 75 83, fadvise64 221 223, readahead 187 213, sync_file_range 277 84,
sendfile 40 71, copy_file_range 326 285, mmap 9 222, mprotect 10 226, munmap 11 215, mremap 25 216,
madvise 28 233, brk 12 214, msync 26 227, mincore 27 232, futex 202 98, futex_waitv 449 449,
set_robust_list 273 99, get_robust_list 274 100, set_tid_address 218 96, rseq 334 293,
arch_prctl 158 -, clone 56 220, clone3 435 435, exit 60 93, exit_group 231 94,
rt_sigaction 13 134, rt_sigprocmask 14 135, rt_sigreturn 15 139, rt_sigtimedwait 128 137,
rt_sigsuspend 130 133, rt_sigpending 127 136, sigaltstack 131 132, restart_syscall 219 128,
pause 34 -, kill 62 129, tgkill 234 131, sched_yield 24 124, sched_getaffinity 204 123,
sched_getparam 143 121, sched_getscheduler 145 120, getcpu 309 168, getpriority 140 141,
nanosleep 35 101, clock_nanosleep 230 115, clock_gettime 228 113, clock_getres 229 114,
gettimeofday 96 169, time 201 -, times 100 153, getitimer 36 102, setitimer 38 103, alarm 37 -,
getpid 39 172, getppid 110 173, gettid 186 178, getuid 102 174, geteuid 107 175, getgid 104 176,
getegid 108 177, getresuid 118 148, getresgid 120 150, getgroups 115 158, getpgrp 111 -,
getpgid 121 155, getsid 124 156, getrandom 318 278, uname 63 160, sysinfo 99 179, getrusage 98 165,
getrlimit 97 163, prlimit64 302 261, prctl 157 167, select 23 -, pselect6 270 72, poll 7 -,
ppoll 271 73, epoll_create 213 -, epoll_create1 291 20, epoll_ctl 233 21, epoll_wait 232 -,
epoll_pwait 281 22, epoll_pwait2 441 441, eventfd 284 -, eventfd2 290 19, timerfd_create 283 85,
timerfd_settime 286 86, timerfd_gettime 287 87, socketpair 53 199, sendto 44 206, recvfrom 45 207,
sendmsg 46 211, recvmsg 47 212, getsockopt 55 209, setsockopt 54 208, getsockname 51 204,
getpeername 52 205, shutdown 48 210, mkdir 83 -, mkdirat 258 34, unlink 87 -, unlinkat 263 35,
rmdir 84 -, rename 82 -, renameat 264 38, renameat2 316 276, truncate 76 45, socket 41 198,
connect 42 203, sendmmsg 307 269, recvmmsg 299 243, openat2 437 437, chmod 90 -, fchmod 91 52, fchmodat 268 53
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor architecture: how the kernel's audit names it, and its numbers of system calls by name."""

    audit: int
    calls: Mapping[str, int]
    has_x32: bool


@dataclass(frozen=True, slots=True)
class Check:
    """What has to hold for an argument: its low word under `mask` is one of `values`; `is_long`: its high word is 0.

    The kernel reads an `int` of the low word only, so its high word says nothing.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = LOW_WORD
    is_long: bool = False


def _calls(column: int) -> dict[str, int]:
    rows = (row.split() for row in _TABLE.split(","))
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(0xC000003E, _calls(1), has_x32=True),
    "aarch64": Machine(0xC00000B7, _calls(2), has_x32=False),
}

_ANY: tuple[Check, ...] = ()
_THREAD = 0x3D0F00  # what the C library asks for when it starts a thread: all is shared
_OLD_DETACHED = 0x400000  # without a meaning today; musl still sets it
_READING = (0o100 | 0o1000 | 0o20000000, (0,))  # neither O_CREAT nor O_TRUNC nor O_TMPFILE
_FCNTL = (
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    36,
    37,
    38,
    1030,
)  # copies, flags and locks; no owner, signal, lease
_IOCTL = (0x5401, 0x5421, 0x541B, 0x5450, 0x5451)  # is it a terminal, what waits, does it block
_PRCTL = (15, 16, 0x53564D41)  # a thread's name, a memory range's
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_STREAM, _DATAGRAM, _SOCKET_TYPE = 1, 2, 0xF

# Frequent ones first. What is missing here on purpose: starting programs, other processes, sockets, mounts, links,
# modes and owners of files, anonymous files, rings of calls, extended attributes, keys, namespaces, tracing.
_EVERYWHERE = """
read write futex mmap munmap mprotect madvise brk close fstat newfstatat lseek pread64 pwrite64
clock_gettime gettimeofday time rt_sigprocmask rt_sigaction rt_sigreturn sched_yield epoll_wait
epoll_pwait epoll_pwait2 poll ppoll select pselect6 readv writev preadv pwritev preadv2 pwritev2
close_range stat lstat statx access faccessat faccessat2 readlink readlinkat getdents64 getcwd
statfs fstatfs dup dup2 dup3 pipe pipe2 ftruncate fallocate fsync fdatasync fadvise64
readahead sync_file_range sendfile copy_file_range mremap msync mincore futex_waitv
set_robust_list get_robust_list set_tid_address rseq arch_prctl exit exit_group rt_sigtimedwait
rt_sigsuspend rt_sigpending sigaltstack restart_syscall pause sched_getaffinity sched_getparam
sched_getscheduler getcpu getpriority nanosleep clock_nanosleep clock_getres times getitimer
setitimer alarm getpid getppid gettid getuid geteuid getgid getegid getresuid getresgid getgroups
getpgrp getpgid getsid getrandom uname sysinfo getrusage getrlimit epoll_create epoll_create1
epoll_ctl eventfd eventfd2 timerfd_create timerfd_settime timerfd_gettime recvfrom getsockopt
getsockname getpeername shutdown
"""
_WITH_A_FOLDER = "mkdir mkdirat unlink unlinkat rmdir rename renameat renameat2 truncate flock"
_WITH_A_NETWORK = "connect sendto sendmsg sendmmsg recvmsg recvmmsg setsockopt"
# What unpacks a library of its own sets the file's mode first. It is told that this worked, and nothing is changed:
# Landlock asks nobody who sets a mode, so that the call itself would reach every file of the server's user.
_PRETENDED = ("chmod", "fchmod", "fchmodat")
_UNKNOWN = ("clone3", "openat2")  # the C library then takes `clone` and `openat`, whose flags show


def this_machine() -> Machine | None:
    """What this process runs on; None where the calls' numbers are not known here."""
    is_64_bit = struct.calcsize("P") == 8  # noqa: PLR2004 - bytes
    return MACHINES.get(platform.machine()) if is_64_bit else None


def rules(pid: int, *, creates: bool, dials: bool) -> dict[str, tuple[Check, ...]]:
    """Each allowed call with what has to hold for its arguments.

    `creates`: it may make and remove files (where Landlock lets it). `dials`: it may connect to internet addresses.
    """
    found = dict.fromkeys(_EVERYWHERE.split(), _ANY)
    found |= {
        "clone": (Check(0, (_THREAD,), LOW_WORD & ~_OLD_DETACHED),),
        "kill": (Check(0, (pid,)),),
        "tgkill": (Check(0, (pid,)),),
        "fcntl": (Check(1, _FCNTL),),
        "ioctl": (Check(1, _IOCTL),),
        "prctl": (Check(0, _PRCTL),),
        "prlimit64": (Check(0, (0, pid)), Check(2, (0,), is_long=True)),  # it reads, and sets none
        # To itself; a datagram's could be sent to anybody's address.
        "socketpair": (Check(0, (_AF_UNIX,)), Check(1, (_STREAM,), _SOCKET_TYPE)),
        "sendto": (Check(4, (0,), is_long=True),),  # to no address but the other end
    }
    mask, none = _READING
    found["open"] = _ANY if creates else (Check(1, none, mask),)
    found["openat"] = _ANY if creates else (Check(2, none, mask),)
    if creates:
        found |= dict.fromkeys(_WITH_A_FOLDER.split(), _ANY)
    if dials:
        found |= dict.fromkeys(_WITH_A_NETWORK.split(), _ANY)
        families, kinds = (_AF_INET, _AF_INET6), (_STREAM, _DATAGRAM)
        found["socket"] = (Check(0, families), Check(1, kinds, _SOCKET_TYPE))
    return found


def pretended(*, creates: bool) -> tuple[str, ...]:
    """The calls that are told they worked, and did nothing."""
    return _PRETENDED if creates else ()


def compile_filter(
    machine: Machine, allowed: Mapping[str, tuple[Check, ...]], pretended: Sequence[str] = ()
) -> bytes:
    """The kernel's program for these rules; `pretended` calls do nothing and answer that they worked."""
    program = [
        _step(_LOAD, _MACHINE_AT),
        _step(_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    if machine.has_x32:
        program += [_step(_AT_LEAST, _X32, 0, 1), _step(_RETURN, _KILL)]
    for name, checks in allowed.items():
        if name in machine.calls:
            body = _checked(checks)
            program += [_step(_EQUAL, machine.calls[name], 0, len(body)), *body]
    for names, answer in ((_UNKNOWN, errno.ENOSYS), (pretended, 0)):
        for name in names:
            if name in machine.calls:
                program += [
                    _step(_EQUAL, machine.calls[name], 0, 1),
                    _step(_RETURN, _ERRNO | answer),
                ]
    program.append(_step(_RETURN, _ERRNO | errno.EPERM))
    assert len(program) <= _INSTRUCTIONS_MAX
    return b"".join(program)


def install(program: bytes) -> None:
    """Put this thread, and all it starts, under the filter for good; needs no_new_privs. Raises OSError."""
    held = ctypes.create_string_buffer(program, len(program))
    count = len(program) // 8
    described = struct.pack("@HxxxxxxQ", count, ctypes.addressof(held))
    libc = ctypes.CDLL(None, use_errno=True)
    pointer = ctypes.create_string_buffer(described, len(described))
    if libc.prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), pointer, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the filter of system calls was refused")


def _checked(checks: Iterable[Check]) -> list[bytes]:
    """Allow if every check holds, else refuse; the loaded word is lost, so nothing may follow."""
    refuse = [_step(_RETURN, _ERRNO | errno.EPERM)]
    program = [_step(_RETURN, _ALLOW)]
    for check in reversed(tuple(checks)):
        program = [*_step_through(check, passes=program), *refuse]
    return program


def _step_through(check: Check, passes: list[bytes]) -> list[bytes]:
    """The steps that fall through to the one behind `passes` where the check fails."""
    at = _ARGS_AT + 8 * check.argument  # both machines are little-endian
    program = [_step(_LOAD, at)]
    if check.mask != LOW_WORD:
        program.append(_step(_AND, check.mask))
    high = [_step(_LOAD, at + 4), _step(_EQUAL, 0, 0, len(passes))] if check.is_long else []
    for index, value in enumerate(check.values):
        left = len(check.values) - index - 1
        beyond = 0 if left else len(high) + len(passes)
        program.append(_step(_EQUAL, value, left, beyond))
    return [*program, *high, *passes]


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("@HBBI", code, if_true, if_false, operand)
