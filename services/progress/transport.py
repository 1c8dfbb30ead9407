"""What a way for hints between processes has to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

CONNECT_SECONDS_MAX = 3.0
CHECK_SECONDS = 10.0  # how often a connection that is silent is asked whether it is still there


class Transport(ABC):
    """Sends short texts to every process that listens. Any of them may be lost."""

    @abstractmethod
    async def send(self, message: str) -> None:
        """Give a message to whoever listens; raises what the driver raises. Connects when it has to."""

    @abstractmethod
    async def listen(self, take: Callable[[str], None], ready: Callable[[], None]) -> None:
        """Hand each message to `take` until cancelled, or raise once the connection is lost.

        `ready` is called when nothing more that is sent passes by unheard.
        """

    async def close(self) -> None:  # noqa: B027 - there may be nothing open
        """Let go of what `send` has open; a later one connects again."""
