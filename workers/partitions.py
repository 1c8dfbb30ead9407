"""Partitions of a script job: the same steps over parts of the table, on all workers that have room for them.

The job's own worker takes part: it works on one partition after the other until none is left, so that jobs that hold
all slots of all workers still come to an end. Then it waits for those that others have.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from base.errors import Internal, PlatformError
from models import JobStatus, JobStep
from services import dispatch, leases, partitions
from services.leases import CancelRequested, Lease
from services.partitions import Ended, Partition
from services.platform import Platform
from services.scripts.sharing import Share
from workers.engine import DatabaseFailure, Kind, steadily, until_ended, within
from workers.leavings import forget
from workers.steps import Steps, input_of, prefix_of_partition

LOOK_SECONDS = 0.5  # how soon the end of a partition is noticed

Told = Callable[[Sequence[Partition]], Awaitable[None]]


async def run(platform: Platform, lease: Lease) -> None:
    """Run the first steps of a job over one partition. Raises what went wrong."""
    await partitions.check_job(lease)
    source, snapshot = await input_of(lease)
    steps = await JobStep.filter(job_id=lease.parent_id).order_by("position")
    attempt = Steps(platform, lease, source, snapshot, steps[: lease.options["partitioned"]])
    await asyncio.to_thread(forget, platform.store.scratch(), lease)
    await leases.log(lease, "info", f"Attempt {lease.attempt} began on worker {lease.worker}.")
    await attempt.run_steps()
    await steadily(lease, lambda: leases.finish(lease, _nothing))
    await _remove(platform, lease, {piece.key for piece in attempt.state.outputs[-1].pieces})


async def discard(platform: Platform, lease: Lease) -> None:
    """Remove the objects of every attempt at a partition."""
    await _remove(platform, lease, frozenset())


async def work_off(
    platform: Platform, lease: Lease, shares: Sequence[Share], told: Told
) -> list[Ended]:
    """Have each share of the table's parts done once; what they left, once all have SUCCEEDED or one has FAILED.

    `told` is given all partitions, whenever something about them has changed.
    """
    if await partitions.queue(lease, shares):
        await dispatch.wake(len(shares) - 1)
    own: asyncio.Task[None] | None = None
    found: list[Partition] = []
    try:
        while not _are_over(now := await _look(lease, found)):
            if now != found:
                await told(now)
                found = now
            if own is not None and own.done():
                own.result()
                own = None
            is_any = any(each.status is JobStatus.QUEUED for each in now)
            if own is None and is_any:
                own = await _next(platform, lease)
            if own is None:
                await asyncio.sleep(LOOK_SECONDS)
            else:
                await asyncio.wait({own}, timeout=LOOK_SECONDS)
        await told(now)
    finally:
        if own is not None:
            own.cancel()
            await until_ended(own)  # what ends the job and what ends the partition may come at once
    return await partitions.ended(lease.job_id)


def failed(ended: Sequence[Ended]) -> tuple[Ended, PlatformError] | None:
    """The first partition that FAILED, and its error as that of the job, which does not try again; None for none."""
    for each in ended:
        if each.error is not None and each.status is JobStatus.FAILED:
            kinds = PlatformError.__subclasses__()
            kind = next((kind for kind in kinds if kind.code == each.error["code"]), Internal)
            what = f"Partition {each.number + 1} of {len(ended)}"
            error = kind(f"{what}: {each.error['message']}", hint=each.error["hint"])
            error.retryable = False
            return each, error
    return None


async def _look(lease: Lease, before: list[Partition]) -> list[Partition]:
    """How far all are; as far as `before` where the database does not answer."""
    try:
        return await partitions.look(lease.job_id)
    except DatabaseFailure:
        return before


def _are_over(found: Sequence[Partition]) -> bool:
    """Whether there is nothing more to wait for. Raises `CancelRequested` where one was cancelled."""
    statuses = {each.status for each in found}
    if JobStatus.FAILED in statuses:
        return True
    if statuses & {JobStatus.CANCELLING, JobStatus.CANCELLED}:
        raise CancelRequested
    return statuses == {JobStatus.SUCCEEDED}


async def _next(platform: Platform, lease: Lease) -> asyncio.Task[None] | None:
    """Work on a partition that nobody has, in this job's slot."""
    try:
        taken = await leases.claim_partition(lease)
    except DatabaseFailure:
        return None
    return None if taken is None else asyncio.create_task(within(platform, KIND, taken))


async def _nothing() -> None:
    """What a partition made is in its last checkpoint, and stays there."""


async def _remove(platform: Platform, lease: Lease, kept: frozenset[str] | set[str]) -> None:
    async for info in platform.store.list(prefix_of_partition(lease)):
        if info.key not in kept:
            await platform.store.delete(info.key)


KIND = Kind(run, discard)
