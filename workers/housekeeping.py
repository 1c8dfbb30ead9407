"""Removing what nobody needs: old snapshots, jobs and keys, objects of failed attempts, unfinished uploads.

Objects are listed first and the database is asked afterwards, so that whatever is committed in between is kept.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta

import orjson

from models import IdempotencyKey, Job, PartUpload, Snapshot, Upload
from models.rows import Compare, Eq, In, Order, Pick, select
from services import job_retention, part_uploads
from services.platform import Platform
from services.snapshots import retention
from storage.snapshots.manifest import Manifest

SCRATCH_SECONDS_MAX = 24 * 3600
KEY_HOURS_MAX = 24  # how long a repeated request gets its first answer again
KEYS_AT_ONCE = 500
OBJECTS_AT_ONCE = 10_000  # of one source
MANIFESTS_AT_ONCE = 20

_log = logging.getLogger(__name__)


class Housekeeper:
    """Tidies up; remembers which uploads had no row at the last round, for an upload gets its row after its bytes."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._suspects: set[str] = set()

    async def tidy(self) -> None:
        """One round, which may run in several workers at once.

        What fails keeps nothing else from being done; raises an ExceptionGroup at the end then.
        """
        failures: list[Exception] = []
        for duty in (
            self._sweep_scratch,
            self._forget_keys,
            self._forget_snapshots,
            self._forget_jobs,
            self._sweep_uploads,
            self._remove_objects,
        ):
            try:
                await duty()
            except Exception as error:  # noqa: BLE001 - raised at the end
                failures.append(error)
        if failures:
            raise ExceptionGroup("not all could be tidied", failures)

    async def _sweep_scratch(self) -> None:
        await asyncio.to_thread(self._platform.store.sweep, SCRATCH_SECONDS_MAX)

    async def _forget_keys(self) -> None:
        oldest = datetime.now(UTC) - timedelta(hours=KEY_HOURS_MAX)
        await IdempotencyKey.filter(created_at__lt=oldest).delete()

    async def _forget_snapshots(self) -> None:
        retired = await retention.retain(self._platform)
        if retired:
            _log.info("retired %d snapshots", retired)
        await retention.forget()

    async def _forget_jobs(self) -> None:
        forgotten = await job_retention.forget(self._platform)
        if forgotten:
            _log.info("removed %d jobs that were over long ago", forgotten)

    async def _sweep_uploads(self) -> None:
        await part_uploads.sweep(self._platform)

    async def _remove_objects(self) -> None:
        removed = await self._remove_parts() + await self._remove_uploads()
        if removed:
            _log.info("removed %d objects that nobody referred to", removed)

    async def _remove_parts(self) -> int:
        """Objects of jobs that are over, or gone, and that no snapshot names."""
        removed, source_id, keys = 0, 0, dict[str, int]()
        async for info in self._platform.store.list("snapshots/"):
            place = _place(info.key)
            if place is None:
                continue
            if keys and (place[0] != source_id or len(keys) >= OBJECTS_AT_ONCE):
                removed += await self._remove_nobodys(source_id, keys)
                keys = {}
            source_id, keys[info.key] = place
        if keys:
            removed += await self._remove_nobodys(source_id, keys)
        return removed

    async def _remove_nobodys(self, source_id: int, keys: dict[str, int]) -> int:
        """Of these objects of one source, each with its job, those that nobody needs."""
        jobs = await select(Job, ("id", "status"), In("id", sorted(set(keys.values()))))
        active = {job.id for job in jobs if not job.status.is_terminal}
        doomed = {key for key, job_id in keys.items() if job_id not in active}
        last = 0
        while doomed:  # the jobs were looked at first: what they published since is named here
            named = await select(
                Snapshot,
                ("id", Pick("manifest", "manifest", str)),
                Eq("data_source_id", source_id),
                Compare("id", ">", last),
                order=Order(("id",)),
                limit=MANIFESTS_AT_ONCE,
            )
            if not named:
                break
            last = named[-1].id
            texts = [row.manifest for row in named]
            doomed -= await asyncio.to_thread(_named, texts)
        for key in doomed:
            await self._platform.store.delete(key)
        return len(doomed)

    async def _remove_uploads(self) -> int:
        """Bytes without a row at this round and the last."""
        orphans: set[str] = set()
        keys: list[str] = []
        async for info in self._platform.store.list("uploads/"):
            keys.append(info.key)
            if len(keys) >= KEYS_AT_ONCE:
                orphans |= await _without_row(keys)
                keys = []
        orphans |= await _without_row(keys)
        doomed, self._suspects = orphans & self._suspects, orphans - self._suspects
        for key in doomed:
            await self._platform.store.delete(key)
        return len(doomed)


async def _without_row(keys: list[str]) -> set[str]:
    """Those of the keys that no upload has."""
    rows = await select(Upload, ("object_key",), In("object_key", keys))
    begun = await select(PartUpload, ("object_key",), In("object_key", keys))
    return set(keys) - {row.object_key for row in (*rows, *begun)}


def _place(key: str) -> tuple[int, int] | None:
    """The source and the job of `snapshots/<source>/<job>-<fence>/<part>`."""
    try:
        _, source, job, _ = key.split("/", 3)
        return int(source), int(job.partition("-")[0])
    except ValueError:
        return None


def _named(manifests: list[str]) -> set[str]:
    """The keys of all objects that these snapshots need."""
    parsed = [Manifest.from_json(orjson.loads(text)) for text in manifests]
    return set[str]().union(*(manifest.keys() for manifest in parsed))
