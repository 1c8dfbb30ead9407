"""Functions that the tests of `base.process` run in children."""

import contextlib
import ctypes
import os
import re
import resource
import signal
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from base.errors import InvalidInput
from base.process import Channel
from base.tables import Column, ColumnType, TableSchema


def add(a: int, b: int) -> int:
    return a + b


def table() -> TableSchema:
    return TableSchema("t", (Column("c", ColumnType.DECIMAL),), details={"d": Decimal("1.50")})


def refuse() -> None:
    raise InvalidInput("no", hint="say yes", field="input.answer")


def fail(text: str) -> None:
    raise RuntimeError(f"cannot open {text}")


def crash() -> None:
    ctypes.string_at(0)


def end_by(number: int) -> None:
    """Die of a signal."""
    os.kill(os.getpid(), number)


def exit_with(code: int) -> None:
    os._exit(code)


def kept_kilobytes(library: str) -> list[int]:
    """What is in memory of a library for this child's fork server, one number a mapping that was never written to."""
    maps = Path(f"/proc/{os.getppid()}/smaps").read_text(encoding="utf-8")
    found = re.findall(
        rf"r-[-x]p .*{library}.*\n(?:.*\n){{2,5}}?Rss: +(\d+) kB\n(?:.*\n)+?Anonymous: +(\d+) kB",
        maps,
    )
    return [int(kept) for kept, written in found if written == "0"]


def nap() -> None:
    time.sleep(3_600)


def spin() -> None:
    while True:
        pass


def spin_on() -> None:
    """As a script does that does not heed the signal of its limit."""
    signal.signal(signal.SIGXCPU, signal.SIG_IGN)
    spin()


def eat_memory() -> int:
    return len(bytearray(8 * 1024**3))


def abort_without_memory(said: bytes) -> None:
    """As a library does: it says so, and aborts."""
    os.write(2, b"x" * 200_000 + said + b"\n")
    os.abort()


def crash_without_memory() -> None:
    """As a library does that gets no more memory, and does not look."""
    held = []
    with contextlib.suppress(MemoryError):
        while True:
            held.append(bytearray(b"x") * (16 * 1024**2))
    time.sleep(0.3)
    ctypes.string_at(0)


def exit_without_memory() -> None:
    """As the system's linker does."""
    os.write(2, b"cannot allocate memory for thread-local data: ABORT\n")
    os._exit(127)


def write(path: str, count: int) -> None:
    with Path(path).open("wb") as file:
        file.write(b"x" * count)


def fill(folder: str, count: int, size: int) -> None:
    """Many files of a size, some of them in folders below, and then nothing more."""
    for number in range(count):
        below = Path(folder, str(number % 10))
        below.mkdir(exist_ok=True)
        (below / f"{number}.dat").write_bytes(b"x" * size)
    nap()


def dig(folder: str, depth: int) -> None:
    """A tree whose paths are longer than a path may be."""
    below = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d" * 200, dir_fd=below)
        below = os.open("d" * 200, os.O_RDONLY, dir_fd=below)
    nap()


def hand_over(channel: Channel, folder: str, count: int, size: int) -> int:
    """Files that the parent takes away as they come."""
    for number in range(count):
        Path(folder, f"{number}.dat").write_bytes(b"x" * size)
        channel.send(number)
        while Path(folder, f"{number}.dat").exists():
            time.sleep(0.01)
        time.sleep(0.05)
    return count


def chatter(channel: Channel, count: int, size: int) -> int:
    for number in range(count):
        channel.send((number, b"x" * size))
    return count


def stay(channel: Channel) -> None:
    channel.send(os.getpid())
    time.sleep(3_600)


def surroundings() -> dict[str, Any]:
    return {
        "env": dict(os.environ),
        "environ": Path("/proc/self/environ").read_text(),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "fds": len(list(Path("/proc/self/fd").iterdir())),
        "int": signal.getsignal(signal.SIGINT) == signal.SIG_IGN,
        "modules": "duckdb" in sys.modules,
        "oom": Path("/proc/self/oom_score_adj").read_text().strip(),
    }


def shout() -> None:
    os.write(1, b"stdout hunter2")
    os.write(2, b"stderr hunter2")


class Trojan:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (os.system, (f"touch {self.path}",))


def trojan(path: str) -> Trojan:
    return Trojan(path)
