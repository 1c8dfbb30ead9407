"""Cleanups: the objects and rows of deleted sources, removed for good. Every step may be repeated."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from base.errors import Conflict
from models import DataSource, Job, JobStatus
from models.database import transaction
from services import jobs, leases, uploads
from services.leases import Lease, Progress
from services.platform import Platform
from workers.engine import steadily

END_SECONDS_MAX = 30  # wait for a cancelled job to stop writing
END_PAUSE_SECONDS = 0.2
_ACTIVE = [JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING]


class StillWorking(Conflict):
    """A job of a deleted source has not stopped yet."""

    retryable = True


async def run(platform: Platform, lease: Lease) -> None:
    """Remove the soft-deleted sources among `options["data_source_ids"]`, one after the other."""
    ids: list[int] = lease.options["data_source_ids"]
    done = 0 if lease.checkpoint is None else int(lease.checkpoint["done"])
    for number, source_id in enumerate(ids[done:], done + 1):
        source = await DataSource.get_or_none(id=source_id, deleted_at__not_isnull=True)
        if source is not None:
            await _remove(platform, source)
        progress = Progress(number, 0, len(ids), f"Removed {number} of {len(ids)} sources")
        await steadily(lease, partial(leases.checkpoint, lease, {"done": number}, progress))
    await steadily(lease, lambda: leases.finish(lease, _nothing))


async def discard(_platform: Platform, _lease: Lease) -> None:
    """A cleanup leaves nothing behind that another one would not remove."""


async def _nothing() -> None:
    pass


async def _remove(platform: Platform, source: DataSource) -> None:
    await _end_work(source.id)
    async for info in platform.store.list(f"snapshots/{source.id}/"):
        await platform.store.delete(info.key)
    key = source.settings.get("object_key")
    async with transaction():
        await DataSource.filter(id=source.id).delete()  # its snapshots, jobs and logs go with it
        is_last = key is not None and await uploads.forget(source, key)
    if is_last:  # killed before it, the object is one without a row, which housekeeping removes
        await platform.store.delete(key)


async def _end_work(source_id: int) -> None:
    """Cancel what still runs or waits, and see it end: its last part must not come after the removal."""
    await jobs.cancel_work([source_id])
    until = time.monotonic() + END_SECONDS_MAX
    active = Job.filter(data_source_id=source_id, kind__in=jobs.OF_SOURCES, status__in=_ACTIVE)
    while await active.exists():
        if time.monotonic() > until:
            raise StillWorking("A job of the deleted source has not stopped yet.")
        await asyncio.sleep(END_PAUSE_SECONDS)
