"""Who watches what in this process: one listening connection and one poll for all of them, while there are any.

The poll asks every two seconds for the jobs that changed lately, in one statement. It goes back further than its last
answer, for a change is stamped when it is written and seen when it is committed.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tortoise.exceptions import DBConnectionError, OperationalError

from models import Job, rows
from models.database import STATEMENT_MS_MAX
from models.rows import Compare, IsNull, Order
from services.progress.hints import unpack
from services.progress.transport import Transport

POLL_SECONDS = 2.0
MARGIN_MS = STATEMENT_MS_MAX  # between the stamp of a change and its commit
CHANGES_MAX = 10_000  # of one poll, the newest
LINGER_SECONDS = 10.0  # how long a process listens on when nobody watches any more
PAUSE_SECONDS = 0.5  # before it connects again
PAUSE_SECONDS_MAX = 15.0
NEWS_MAX = 1_000  # jobs that one watcher has not looked at yet

_NEWEST = Order(("changed_ms", "id"), descending=True)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class News:
    """A job may have changed. `revision` is the one that the poll saw; a hint knows none."""

    job_id: int
    revision: int | None = None


class FellBehind(Exception):
    """A watcher was so slow that news were left out; whoever watches has to start again."""


class Watch:
    """What one watcher has not looked at yet: jobs, each once however often it changed. A context manager."""

    __slots__ = ("_hub", "_is_behind", "_news", "_woken", "job_id", "project_id")

    def __init__(self, hub: Hub, job_id: int | None, project_id: int | None) -> None:
        self._hub = hub
        self._news: dict[int, int | None] = {}
        self._woken = asyncio.Event()
        self._is_behind = False
        self.job_id = job_id
        self.project_id = project_id

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._hub._leave(self)  # noqa: SLF001 - the two are one

    def add(self, job_id: int, revision: int | None = None) -> None:
        """Note a job. A hint counts more than a revision: the job may have one that nobody has seen."""
        if job_id in self._news:
            known = self._news[job_id]
            revision = None if known is None or revision is None else max(known, revision)
        elif len(self._news) >= NEWS_MAX:
            self._is_behind = True
            return
        self._news[job_id] = revision
        self._woken.set()

    async def begun(self) -> None:
        """Wait until whatever changes from now on is told. Read what is watched after this: so nothing passes by."""
        await self._hub._begun.wait()  # noqa: SLF001 - as above

    async def take(self) -> News:
        """The next job to look at, as soon as there is one. Raises `FellBehind`."""
        if self._is_behind:
            raise FellBehind
        while not self._news:
            self._woken.clear()
            await self._woken.wait()
        job_id = next(iter(self._news))
        return News(job_id, self._news.pop(job_id))


class Hub:
    """The watchers of one process, all on one event loop."""

    def __init__(
        self,
        transport: Transport,
        *,
        poll_seconds: float = POLL_SECONDS,
        linger_seconds: float = LINGER_SECONDS,
    ) -> None:
        self._transport = transport
        self._linger_seconds = linger_seconds
        self._poll_seconds = poll_seconds
        self._jobs: dict[int, set[Watch]] = {}
        self._projects: dict[int, set[Watch]] = {}
        self._task: asyncio.Task[None] | None = None
        self._begun = asyncio.Event()
        self._due = asyncio.Event()  # a poll, now
        self._since_ms: int | None = None
        self._seen: dict[int, int] = {}

    def watch_job(self, job_id: int) -> Watch:
        """Watch one job."""
        return self._join(Watch(self, job_id, None))

    def watch_project(self, project_id: int) -> Watch:
        """Watch all jobs of a project."""
        return self._join(Watch(self, None, project_id))

    async def close(self) -> None:
        """Stop listening."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def _join(self, watch: Watch) -> Watch:
        if watch.job_id is not None:
            self._jobs.setdefault(watch.job_id, set()).add(watch)
        if watch.project_id is not None:
            self._projects.setdefault(watch.project_id, set()).add(watch)
        if self._task is None:
            self._begun.clear()
            # In a context of its own: it outlives the request that it starts in.
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return watch

    def _leave(self, watch: Watch) -> None:
        for watches, key in ((self._jobs, watch.job_id), (self._projects, watch.project_id)):
            if key is not None and key in watches:
                watches[key].discard(watch)
                if not watches[key]:
                    del watches[key]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        listening = loop.create_task(self._listen())
        watched_at = loop.time()
        self._since_ms, self._seen = None, {}
        try:
            while True:
                if self._jobs or self._projects:
                    watched_at = loop.time()
                    await self._poll()
                    self._begun.set()
                elif loop.time() - watched_at > self._linger_seconds:
                    self._task = None  # at once: whoever watches from now on starts another
                    return
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), self._poll_seconds)
                self._due.clear()
        finally:
            listening.cancel()
            await asyncio.wait({listening})

    async def _listen(self) -> None:
        pause = PAUSE_SECONDS

        def ready() -> None:
            nonlocal pause
            pause = PAUSE_SECONDS
            self._due.set()  # what changed while nobody listened

        while True:
            try:
                await self._transport.listen(self._take, ready)
            except Exception as error:  # noqa: BLE001 - the drivers share no base; the poll goes on meanwhile
                _log.warning("hints are not heard just now: %s", type(error).__name__)
            await asyncio.sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def _take(self, message: str) -> None:
        for job_id, project_id in unpack(message):
            self._tell(job_id, project_id, None)

    def _tell(self, job_id: int, project_id: int, revision: int | None) -> None:
        for watch in (*self._jobs.get(job_id, ()), *self._projects.get(project_id, ())):
            watch.add(job_id, revision)

    async def _poll(self) -> None:
        try:
            await self._look()
        except (DBConnectionError, OperationalError) as error:
            _log.warning("changed jobs could not be read: %s", type(error).__name__)
        except Exception:  # noqa: BLE001 - who watches would wait for a poll that never comes again
            _log.exception("changed jobs could not be read")

    async def _look(self) -> None:
        """Tell of every job that has another revision than at the last look, from the second look on.

        What the first one sees, every watcher reads after it.
        """
        columns = ("id", "project_id", "revision", "changed_ms")
        if self._since_ms is None:
            newest = await rows.select(Job, columns, order=_NEWEST, limit=1)
            self._since_ms = newest[0].changed_ms if newest else 0
        recent = Compare("changed_ms", ">=", self._since_ms - MARGIN_MS)
        whole = IsNull("parent_id")  # of partitions nobody is told
        found = await rows.select(Job, columns, recent, whole, order=_NEWEST, limit=CHANGES_MAX)
        seen = {job.id: job.revision for job in found}
        for job in reversed(found):
            if self._begun.is_set() and self._seen.get(job.id) != job.revision:
                self._tell(job.id, job.project_id, job.revision)
        self._seen = seen
        if found:
            self._since_ms = max(self._since_ms, found[0].changed_ms)
