"""Hints on one machine: unix datagrams to each process that listens, by way of its socket in a folder they share."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from base.net import unix_address
from services.progress.transport import Transport

MESSAGE_BYTES_MAX = 8_192
CHECK_SECONDS = 2.0  # how soon a socket that was removed is made again
_BURST = 100  # messages read at once before the event loop's turn


class Datagrams(Transport):
    """Sends to every `*.sock` in `folder`. Where nobody listens, or a buffer is full, a message is dropped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, message: str) -> None:
        """Never waits: the sockets are not blocking."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            for path in self._sockets():
                try:
                    with unix_address(path) as address:
                        sender.sendto(message.encode(), address)
                except ConnectionRefusedError:  # of a process that was killed
                    path.unlink(missing_ok=True)
                except OSError:
                    continue  # its buffer is full, or it went just now: the poll finds what this was about

    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:
        """As in the contract; raises FileNotFoundError when the socket was removed."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.setblocking(False)
            with unix_address(path) as address:
                receiver.bind(address)
            try:
                path.chmod(0o600)
                loop.add_reader(receiver, _receive, receiver, take)
                ready()
                while path.exists():  # noqa: ASYNC110 - nothing tells when a file goes
                    await asyncio.sleep(CHECK_SECONDS)
                raise FileNotFoundError(path.name)
            finally:
                loop.remove_reader(receiver)
                path.unlink(missing_ok=True)

    def _sockets(self) -> list[Path]:
        with suppress(OSError):
            return [entry for entry in self._folder.iterdir() if entry.suffix == ".sock"]
        return []


def _receive(receiver: socket.socket, take: Callable[[str], None]) -> None:
    with suppress(OSError):
        for _ in range(_BURST):
            take(receiver.recv(MESSAGE_BYTES_MAX).decode(errors="replace"))
