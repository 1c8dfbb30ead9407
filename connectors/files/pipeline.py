"""Work on the pieces of a file by several threads, a few pieces ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from base.errors import PlatformError

READERS = 2  # threads; what they do is in native code that runs side by side
_AHEAD = READERS + 1  # pieces that wait for them

C = TypeVar("C")
T = TypeVar("T")


def in_order(pieces: Iterator[C], work: Callable[[C], T]) -> Iterator[tuple[C, T]]:
    """Pieces with the work done on them by threads, in order; what is wrong first in the file is raised first."""
    pending: deque[tuple[C, Future[T]]] = deque()
    pool = ThreadPoolExecutor(READERS)
    broken: Exception | None = None
    try:
        while True:
            try:
                piece = next(pieces, None)
            except PlatformError as error:
                broken, piece = error, None
            if piece is None:
                break
            pending.append((piece, pool.submit(work, piece)))
            if len(pending) > _AHEAD:
                first, done = pending.popleft()
                yield first, done.result()
        for first, done in pending:
            yield first, done.result()
        if broken:
            raise broken
    finally:
        pool.shutdown(cancel_futures=True)
