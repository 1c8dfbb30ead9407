"""A server under attack, as a process of its own: it runs attacks in children, on the word of the tests.

Started as root with `ordinary` it first becomes an ordinary user, for whom root's interpreter is made readable in a view
of the file system of its own. It reads a line of JSON for each attack, and writes one.
"""

import asyncio
import ctypes
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

from base import process
from base.errors import PlatformError
from base.process import ForkServer, Isolation, Limits, OpenFile

USER = 65_534
CANARY = b"canary-8"
_NEWNS, _BIND_ALL, _PRIVATE = 0x20000, 0x1000 | 0x4000, 0x40000 | 0x4000
_SIGNALS: list[int] = []


def become_ordinary() -> None:
    """Never to be root again: this process begins anew as another user."""
    libc = ctypes.CDLL(None, use_errno=True)
    paths = [Path(each) for each in (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]))]
    closed = {each for path in paths for each in path.parents if not _can_enter(each)}
    hidden = {each for each in closed if not closed & set(each.parents)}
    if hidden:
        _mount(libc.unshare(_NEWNS))
        _mount(libc.mount(b"none", b"/", None, ctypes.c_ulong(_PRIVATE), None))
        held = [(path, os.open(path, os.O_PATH)) for path in paths if hidden & set(path.parents)]
        for folder in hidden:
            _mount(libc.mount(b"none", bytes(folder), b"tmpfs", ctypes.c_ulong(0), b"mode=755"))
        for path, descriptor in held:
            path.mkdir(parents=True, exist_ok=True)
            source = f"/proc/self/fd/{descriptor}".encode()
            _mount(libc.mount(source, bytes(path), None, ctypes.c_ulong(_BIND_ALL), None))
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    os.execv(sys.executable, [sys.executable, "-m", __spec__.name])


def _can_enter(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _mount(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), "no view of one's own")


async def attack(servers: dict[bool, ForkServer], order: dict[str, Any]) -> dict[str, Any]:
    given = order.get("isolation")
    isolation = None
    if given is not None:
        opens = tuple(OpenFile(Path(path), writable) for path, writable in given.pop("opens", []))
        folder = Path(given["folder"]) if given.get("folder") else None
        reads = tuple(Path(each) for each in given.get("reads", []))
        isolation = Isolation(opens, folder, reads, bool(given.get("network")))
    has_files = isolation is not None and isolation.opens
    try:
        answer = await process.run(
            f"tests.base.attacks:attempt{'_with_files' if has_files else ''}",
            order["attack"],
            *order["args"],
            limits=Limits(**({"wall_seconds": 100} | order.get("limits", {}))),
            isolation=isolation,
            server=servers[isolation is not None],
            plain=True,
        )
    except PlatformError as error:
        answer = {"outcome": type(error).__name__, "message": error.message}
    return dict(answer)


async def serve() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: _SIGNALS.append(1))
    canary = ctypes.create_string_buffer(CANARY)
    servers = {each: ForkServer(("tests.base.attacks",)) for each in (True, False)}
    about = {"pid": os.getpid(), "uid": os.getuid(), "address": ctypes.addressof(canary)}
    sys.stdout.write(json.dumps(about) + "\n")
    sys.stdout.flush()
    while line := await asyncio.to_thread(sys.stdin.readline):
        before = len(_SIGNALS)
        answer = await attack(servers, json.loads(line))
        sys.stdout.write(json.dumps(answer | {"signals": len(_SIGNALS) - before}) + "\n")
        sys.stdout.flush()
    for server in servers.values():
        server.stop()


def start(*, ordinary: bool, log: Path) -> "subprocess.Popen[str]":
    """Start one; its first line says who it is."""
    with log.open("ab") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.base.attacked", *(["ordinary"] if ordinary else [])],
            cwd=Path(__file__).parents[2],
            env=os.environ | {"HEADWATER_SECRET_KEYS": "canary-key"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )


if __name__ == "__main__":
    if "ordinary" in sys.argv:
        become_ordinary()
    asyncio.run(serve())
