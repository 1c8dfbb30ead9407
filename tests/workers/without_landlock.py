"""Preloaded into a fork server: from then on the kernel says there that it knows no Landlock, as older ones do."""

from __future__ import annotations

import ctypes
import errno
import struct

_LANDLOCK_CREATE_RULESET = 444  # on every processor
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


_PROGRAM = b"".join(
    (
        _instruction(_LOAD, 0),  # the number of the system call
        _instruction(_JUMP_IF_EQUAL, _LANDLOCK_CREATE_RULESET, 0, 1),
        _instruction(_RETURN, _ERRNO | errno.ENOSYS),
        _instruction(_RETURN, _ALLOW),
    )
)


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_char_p))


def _install() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    program = _Filter(len(_PROGRAM) // 8, _PROGRAM)
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "no filter")


_install()
