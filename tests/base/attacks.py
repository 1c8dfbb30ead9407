"""What hostile code tries from within a child. Each attack is harmless where it gets through; the tests see to that.

An attack returns what it got, or raises OSError. It uses the system directly wherever Python itself would refuse.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
IS_X86 = platform.machine() == "x86_64"
Attack = Callable[..., Any]


def attempt(name: str, *args: Any) -> dict[str, Any]:
    """Make one attack: `through` with what it got, or the name of the error that refused it."""
    try:
        return {"outcome": "through", "got": globals()[name](*args)}
    except OSError as error:
        return {"outcome": errno.errorcode.get(error.errno or 0, str(error))}


def attempt_with_files(descriptors: tuple[int, ...], name: str, *args: Any) -> dict[str, Any]:
    return attempt(name, list(descriptors), *args)


def system_call(x86: int, arm: int, *args: Any) -> int:
    """A raw system call, text as C strings; raises OSError."""
    number = x86 if IS_X86 else arm
    plain = [each.encode() if isinstance(each, str) else ctypes.c_long(each) for each in args]
    result = int(LIBC.syscall(ctypes.c_long(number), *plain))
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


# Files


def read(path: str) -> str:
    return Path(path).read_bytes()[:200].decode("utf-8", "replace")


def list_folder(path: str) -> int:
    return len(list(Path(path).iterdir()))


def create(path: str) -> None:
    Path(path).write_text("owned")


def append(path: str) -> None:
    with Path(path).open("ab") as file:
        file.write(b"owned")


def overwrite(path: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    os.write(descriptor, b"owned")
    os.close(descriptor)


def truncate(path: str) -> None:
    os.truncate(path, 0)


def truncate_while_opened_to_read(path: str) -> None:
    os.close(os.open(path, os.O_RDONLY | os.O_TRUNC))


def remove(path: str) -> None:
    Path(path).unlink()


def move(path: str, other: str) -> None:
    Path(path).rename(other)


def make_folder(path: str) -> None:
    Path(path).mkdir()


def make_symlink(path: str, to: str) -> None:
    Path(path).symlink_to(to)


def make_hard_link(path: str, to: str) -> None:
    Path(path).hardlink_to(to)


def make_fifo(path: str) -> None:
    os.mkfifo(path)


def make_socket_file(path: str) -> None:
    os.mknod(path, stat.S_IFSOCK | 0o600)


def make_device(path: str) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))


def open_nameless(folder: str) -> None:
    descriptor = os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600)
    os.write(descriptor, b"x")
    os.close(descriptor)


def change_mode(path: str) -> None:
    Path(path).chmod(0o4755)


def change_times(path: str) -> None:
    os.utime(path, (0, 0))


def set_attribute(path: str) -> None:
    os.setxattr(path, "user.owned", b"1")


def replace_by_symlink(descriptors: list[int], path: str, to: str) -> None:
    Path(path).unlink()
    Path(path).symlink_to(to)


def reopen_for_writing(descriptors: list[int]) -> None:
    descriptor = os.open(f"/proc/self/fd/{descriptors[0]}", os.O_WRONLY)
    os.write(descriptor, b"owned")
    os.close(descriptor)


def change_mode_of_opened(descriptors: list[int]) -> None:
    os.fchmod(descriptors[0], 0o666)


def write_to_opened(descriptors: list[int]) -> int:
    return os.write(descriptors[-1], b"result")


def fill_opened(descriptors: list[int], count: int) -> int:
    """The disk, by way of the output file."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    written = 0
    while written < count:
        written += os.write(descriptors[-1], b"x" * 65_536)
    return written


def fill_sparsely(descriptors: list[int], size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.ftruncate(descriptors[-1], size)


# Network


def connect_tcp(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"owned")


def send_udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"owned", ("127.0.0.1", port))


def connect_unix(path: str) -> None:
    """`@name` is an abstract one."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + path[1:] if path.startswith("@") else path)


def send_by_pair(path: str) -> None:
    """A datagram of a pair can be sent to anybody, not to the other end only."""
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"owned", path)


def listen_tcp() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()


# Processes


def fork() -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def start_program() -> int:
    return subprocess.run([sys.executable, "-c", ""], check=False).returncode


def execute() -> None:
    os.execv("/bin/true", ["true"])


def leave_daemon(path: str) -> None:
    between = os.fork()
    if between == 0:
        os.setsid()
        if os.fork() == 0:
            with contextlib.suppress(OSError):
                os.closerange(0, 512)
            Path(path).write_text("owned")
        os._exit(0)
    os.waitpid(between, 0)


def send_signal(pid: int) -> None:
    os.kill(pid, signal.SIGUSR1)


def send_signal_by_descriptor(pid: int) -> None:
    system_call(424, 424, system_call(434, 434, pid, 0), signal.SIGUSR1, 0, 0)


def own_by_signal(pid: int) -> None:
    """Have the kernel send a signal in our name when something can be read."""
    ours, _ = socket.socketpair()
    F_SETOWN = 8
    if LIBC.fcntl(ours.fileno(), F_SETOWN, pid) < 0:
        raise OSError(ctypes.get_errno(), "refused")


def trace(pid: int) -> None:
    PTRACE_SEIZE = 0x4206
    system_call(101, 117, PTRACE_SEIZE, pid, 0, 0)


def read_memory(pid: int, address: int) -> str:
    held = ctypes.create_string_buffer(8)
    mine = struct.pack("@QQ", ctypes.addressof(held), 8)
    theirs = struct.pack("@QQ", address, 8)
    done = LIBC.process_vm_readv(pid, mine, ctypes.c_ulong(1), theirs, ctypes.c_ulong(1), 0)
    if done < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return held.raw.decode("latin-1")


def set_limit() -> None:
    """To what it is: a call that raises one is the same. (Python takes the refusal for a wrong value.)"""
    core = struct.pack("@QQ", *resource.getrlimit(resource.RLIMIT_CORE))
    if LIBC.setrlimit(resource.RLIMIT_CORE, core) != 0:
        raise OSError(ctypes.get_errno(), "refused")


def limit_other(pid: int) -> None:
    resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))


def become_root() -> None:
    os.setresuid(0, 0, 0)


def standing() -> dict[str, Any]:
    """Who this child is; what it had open when it came to be."""
    descriptors = {}
    for number in range(1024):
        with contextlib.suppress(OSError):
            descriptors[str(number)] = stat.S_IFMT(os.fstat(number).st_mode)
    held = ctypes.create_string_buffer(24)
    LIBC.capget(struct.pack("@Ii", 0x20080522, 0), held)
    return {
        "users": os.getresuid(),
        "capabilities": held.raw == bytes(24),
        "descriptors": descriptors,
        "environment": dict(os.environ),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
    }


# Floods


def start_threads(count: int) -> int:
    done = threading.Event()
    started = []
    with contextlib.suppress(RuntimeError):
        for _ in range(count):
            thread = threading.Thread(target=done.wait, daemon=True)
            thread.start()
            started.append(thread)
    done.set()
    return len(started)


def start_processes(count: int) -> int:
    """Those that ended well are counted."""
    return sum(fork() == 0 for _ in range(count))


def fill_memory(count: int) -> int:
    return len(bytearray(count))


def fill_memory_by_mapping(count: int) -> None:
    held = []
    for _ in range(count // 1024**2):
        held.append(mmap.mmap(-1, 1024**2))


def print_much(count: int) -> int:
    for stream in (1, 2):
        for _ in range(count // 65_536):
            os.write(stream, b"x" * 65_536)
    return count


def create_many(folder: str) -> int:
    for number in range(100):
        Path(folder, f"flood-{number}").write_bytes(b"")
    return 100


def never_end() -> None:
    """As it would resist: every signal that can be ignored is."""
    for each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(each, signal.SIG_IGN)
    threading.Thread(target=_spin, daemon=True).start()
    _spin()


def _spin() -> None:
    while True:
        pass


# The kernel's back doors


def call_as_32_bit() -> int:
    """`getpid` by `int 0x80`, whose numbers are others: a filter that only looks at numbers is fooled."""
    return run_machine_code(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # mov eax, 20; int 0x80; ret


def call_as_x32() -> int:
    return system_call(0x40000000 | 39, 0)


def run_machine_code(code: bytes) -> int:
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    return int(ctypes.CFUNCTYPE(ctypes.c_int)(address)())


def own_process(signal_number: int) -> bool:
    """Signals to itself are its own affair: `abort` and `raise` work."""
    caught = []
    signal.signal(signal_number, lambda *_: caught.append(1))
    os.kill(os.getpid(), signal_number)
    signal.raise_signal(signal_number)
    return len(caught) == 2
