"""Running jobs: claim what is due, keep the lease while the work goes on, bring every attempt to its one right end."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from tortoise.exceptions import DBConnectionError, IntegrityError, OperationalError

from base.errors import Internal, PlatformError
from base.tracing import set_trace_id, trace_id
from models import JobKind
from services import leases
from services.leases import CancelRequested, Lease, LeaseLost
from services.platform import Platform

SLICE_SECONDS = 300  # a broker's message is held no longer, however long the job (RabbitMQ closes channels after 1,800)
WATCH_SECONDS = 1.0  # how soon a cancelled job is noticed
BACKOFF_SECONDS = 1.0
BACKOFF_SECONDS_MAX = 60.0
JITTER = 0.25
DATABASE_PAUSE_SECONDS = 0.5
DatabaseFailure = (DBConnectionError, OperationalError)

_log = logging.getLogger(__name__)


class Stopping(Exception):
    """This worker was told to stop; the job goes back as it is."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What one kind of job does.

    `run` ends with `leases.finish`, or raises. `discard` removes what an attempt without success left behind.
    """

    run: Callable[[Platform, Lease], Awaitable[None]]
    discard: Callable[[Platform, Lease], Awaitable[None]]


class Engine:
    """The jobs of one worker process, at most `settings.worker_threads` at once. All of it on one event loop."""

    def __init__(self, platform: Platform, worker: str, kinds: Mapping[JobKind, Kind]) -> None:
        self.platform = platform
        self.worker = worker
        self._kinds = kinds
        self._lease_ms = platform.settings.lease_seconds * 1000
        self._slots = asyncio.Semaphore(platform.settings.worker_threads)
        self._stopping = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()

    async def look(self) -> None:
        """Claim and run jobs until none is due. Returns early where a job takes long; the job goes on all the same."""
        until = time.monotonic() + SLICE_SECONDS
        while not self._stopping.is_set() and await self._slot(until - time.monotonic()):
            task = await self._start()
            if task is None:
                return
            await asyncio.wait({task}, timeout=max(until - time.monotonic(), 0))

    async def stop(self, seconds: float) -> None:
        """Claim no more, give back what is running, and wait for that at most `seconds`."""
        self._stopping.set()
        if self._running:
            await asyncio.wait(set(self._running), timeout=seconds)

    async def _slot(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(seconds, 0)):
                return await self._slots.acquire()
        except TimeoutError:
            return False

    async def _start(self) -> asyncio.Task[None] | None:
        """Run the next job in the slot that is held, or give the slot back."""
        lease = None
        try:
            if not self._stopping.is_set():
                lease = await leases.claim(self.worker, self._lease_ms)
        except DatabaseFailure as error:
            _log.warning("no job could be claimed: %s", type(error).__name__)
        finally:
            if lease is None:
                self._slots.release()
        if lease is None:
            return None
        task = asyncio.create_task(self._work(lease), name=f"job-{lease.job_id}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._slots.release()

    async def _work(self, lease: Lease) -> None:
        set_trace_id(lease.trace_id)
        await _Attempt(self.platform, self._kinds[lease.kind], lease, self._stopping).run()


async def within(platform: Platform, kind: Kind, lease: Lease) -> None:
    """Bring an attempt to its end in the slot of another job's; cancelled with that, it gives its job back first."""
    stopping = asyncio.Event()
    task = asyncio.create_task(_Attempt(platform, kind, lease, stopping).run())
    try:
        await asyncio.shield(task)
    finally:
        stopping.set()
        await until_ended(task)


async def until_ended(task: asyncio.Task[None]) -> None:
    """Wait until a task has ended, also where whoever waits is cancelled meanwhile; that is raised after it."""
    is_cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
    if is_cancelled:
        raise asyncio.CancelledError


class _Attempt:
    """One attempt at a job that is held, until its end is recorded. Once `stopping` is set, the job goes back."""

    def __init__(
        self, platform: Platform, kind: Kind, lease: Lease, stopping: asyncio.Event
    ) -> None:
        self._platform = platform
        self._kind = kind
        self._lease = lease
        self._stopping = stopping

    async def run(self) -> None:
        """All of it; raises nothing that was to be expected."""
        lease = self._lease
        try:
            outcome = await self._work()
            if outcome is not None:
                await self._settle(outcome)
        except LeaseLost:
            _log.warning("job %d went to another attempt", lease.job_id)
        except DatabaseFailure:
            _log.exception(
                "the end of job %d was not recorded; its lease will run out", lease.job_id
            )

    async def _work(self) -> BaseException | None:
        """Run the work beside its watch, whichever ends first ends the other; what was raised, None after success."""
        lease = self._lease
        _log.info("job %d: attempt %d", lease.job_id, lease.attempt)
        work = asyncio.ensure_future(self._kind.run(self._platform, lease))
        watch = asyncio.ensure_future(self._watch())
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        for task in (work, watch):
            task.cancel()
        await asyncio.wait({work, watch})
        stopped = asyncio.CancelledError() if watch.cancelled() else watch.exception()
        return stopped if work.cancelled() else work.exception()

    async def _watch(self) -> None:
        """Renew the lease each third of it; raises what the work has to stop for."""
        lease = self._lease
        lease_seconds = lease.lease_ms / 1000
        renewed = time.monotonic()
        while True:
            pause = min(WATCH_SECONDS, lease_seconds / 6)
            try:
                await asyncio.wait_for(self._stopping.wait(), pause)
            except TimeoutError:
                pass
            else:
                raise Stopping
            now = time.monotonic()
            try:
                if now - renewed >= lease_seconds / 3:
                    is_cancelled, renewed = await leases.heartbeat(lease), now
                else:
                    is_cancelled = await leases.is_cancelled(lease)
            except DatabaseFailure as error:
                _log.warning("job %d: no heartbeat: %s", lease.job_id, type(error).__name__)
                is_cancelled = False
            except LeaseLost:
                if not lease.is_ending:
                    raise
                # The job is over, most likely by this attempt's own commit: it still has to tidy up behind itself.
                await asyncio.get_running_loop().create_future()
            if is_cancelled:
                raise CancelRequested
            if time.monotonic() - renewed > lease_seconds * 5 / 6:
                raise LeaseLost  # stop before another attempt may start

    async def _settle(self, outcome: BaseException) -> None:
        """Record how an attempt ended that did not succeed."""
        lease = self._lease
        try:
            if isinstance(outcome, Stopping):
                await leases.log(lease, "info", "The worker stops; the job goes on with another.")
                await leases.release(lease)
                return
            if not isinstance(outcome, LeaseLost | CancelRequested):
                if await self._fail(outcome):
                    await self._kind.discard(self._platform, lease)
                return
            raise outcome
        except CancelRequested:
            await leases.cancelled(lease)
            await self._kind.discard(self._platform, lease)

    async def _fail(self, outcome: BaseException) -> bool:
        """Give the job back for another try, or end it; whether it is over."""
        lease = self._lease
        error = _explain(lease, outcome)
        if error.retryable and lease.failures + 1 < leases.FAILURES_MAX:
            delay = min(BACKOFF_SECONDS * 2**lease.failures, BACKOFF_SECONDS_MAX)
            delay *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
            reason = f"Trying again in {delay:.0f} seconds: {error.message}"
            await leases.log(lease, "warning", reason)
            await leases.retry(lease, int(delay * 1000), reason)
            return False
        await leases.log(lease, "error", error.message)
        await leases.fail(lease, error)
        _log.info("job %d failed: %s", lease.job_id, error.code)
        return True


class _DatabaseAway(Internal):
    """The metadata database did not answer."""

    retryable = True


def _explain(lease: Lease, outcome: BaseException) -> PlatformError:
    if isinstance(outcome, PlatformError):
        return outcome
    _log.error("job %d failed unexpectedly", lease.job_id, exc_info=outcome)
    if isinstance(outcome, DatabaseFailure):
        return _DatabaseAway("The server's own database did not answer.")
    return Internal(f"An unexpected failure; the log has the details under {trace_id()}.")


async def steadily(lease: Lease, write: Callable[[], Awaitable[None]]) -> None:
    """Repeat a fenced write until the database takes it, for no longer than a lease; the watch may end it sooner."""
    until = time.monotonic() + lease.lease_ms / 1000
    while True:
        try:
            return await write()
        except IntegrityError:
            raise
        except DatabaseFailure as error:
            if time.monotonic() > until:
                raise
            _log.warning(
                "job %d: the database did not answer: %s", lease.job_id, type(error).__name__
            )
            await asyncio.sleep(DATABASE_PAUSE_SECONDS)
