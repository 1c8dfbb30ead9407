"""Landlock: which files a process may still open, for good. The kernel's interface, without a library."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from enum import IntFlag
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls; the same numbers on every machine
_VERSION = 1  # the flag that asks for it
_PATH_BENEATH = 1
_NETWORK_SINCE, _SCOPES_SINCE = 4, 6


class Right(IntFlag):
    """What may be done below a path. No rule here gives EXECUTE, IOCTL_DEV, or the making of links and devices."""

    EXECUTE = 1 << 0
    WRITE_FILE = 1 << 1
    READ_FILE = 1 << 2
    READ_DIR = 1 << 3
    REMOVE_DIR = 1 << 4
    REMOVE_FILE = 1 << 5
    MAKE_CHAR = 1 << 6
    MAKE_DIR = 1 << 7
    MAKE_REG = 1 << 8
    MAKE_SOCK = 1 << 9
    MAKE_FIFO = 1 << 10
    MAKE_BLOCK = 1 << 11
    MAKE_SYM = 1 << 12
    REFER = 1 << 13
    TRUNCATE = 1 << 14
    IOCTL_DEV = 1 << 15


READ = Right.READ_FILE | Right.READ_DIR
USE = READ | Right.WRITE_FILE | Right.TRUNCATE | Right.REFER | Right.MAKE_REG | Right.MAKE_DIR
USE |= Right.REMOVE_FILE | Right.REMOVE_DIR
_OF_FILES = Right.WRITE_FILE | Right.READ_FILE | Right.TRUNCATE
_FIRST = Right(Right.REFER - 1)  # the rights of version 1
_SINCE = {2: Right.REFER, 3: Right.TRUNCATE, 5: Right.IOCTL_DEV}
_BIND_TCP, _CONNECT_TCP = 1, 2
_SCOPES = 3  # abstract sockets and signals end at the sandbox


def version() -> int:
    """The interface's version in this kernel; 0 where there is none, or it is switched off."""
    libc = ctypes.CDLL(None, use_errno=True)
    return max(0, int(libc.syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(_VERSION))))


class Ruleset:
    """Rules that are being gathered; nothing holds before `enforce`. Every method raises OSError."""

    def __init__(self, *, dials: bool) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        since = version()
        self._handled = _FIRST
        for each, right in _SINCE.items():
            if since >= each:
                self._handled |= right
        words = [int(self._handled)]
        if since >= _NETWORK_SINCE:
            words.append(_BIND_TCP if dials else _BIND_TCP | _CONNECT_TCP)
        if since >= _SCOPES_SINCE:
            words.append(_SCOPES)
        attributes = struct.pack(f"@{len(words)}Q", *words)
        self.descriptor = self._call(_CREATE, attributes, ctypes.c_size_t(len(attributes)))

    def allow(self, path: Path, rights: Right) -> None:
        """Allow this below a folder, or to a file. A path that this process could not open itself is no rule."""
        try:
            descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return
        try:
            is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
            wanted = rights & self._handled & (rights if is_folder else _OF_FILES)
            rule = struct.pack("=Qi", wanted, descriptor)
            self._call(_ADD, self.descriptor, _PATH_BENEATH, rule)
        finally:
            os.close(descriptor)

    def enforce(self) -> None:
        """Hold this thread, and all it starts, to the rules for good; needs no_new_privs."""
        self._call(_RESTRICT, self.descriptor)
        os.close(self.descriptor)

    def _call(self, number: int, *args: object) -> int:
        result = int(self._libc.syscall(number, *args, 0))
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"Landlock: {os.strerror(code)}")
        return result
