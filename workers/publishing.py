"""Making what a job made visible: snapshot, source and the job's end in one transaction, or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime

from tortoise.expressions import F

from base.errors import Conflict, Internal
from models import (
    DataSource,
    DataSourceStatus,
    DriftPolicy,
    Job,
    JobStatus,
    JobStep,
    Project,
    Snapshot,
    SnapshotStatus,
)
from services.leases import CancelRequested, Lease
from services.snapshots.history import next_number
from storage.snapshots.manifest import Manifest, Part, StoredFile
from storage.store import ObjectStore
from workers.completing import Completed
from workers.planning import Base
from workers.receipts import Receipt
from workers.state import SyncState

HEADS_AT_ONCE = 8


class BaseChanged(Conflict):
    """Another snapshot became the current one while the sync was at work; it goes on with that one."""

    retryable = True


async def check_objects(store: ObjectStore, files: Iterable[StoredFile | Part]) -> None:
    """Every one is in the store with its size; a snapshot never names what is not there."""
    new = list(files)
    for start in range(0, len(new), HEADS_AT_ONCE):
        some = new[start : start + HEADS_AT_ONCE]
        found = await asyncio.gather(*(store.head(file.key) for file in some))
        for file, info in zip(some, found, strict=True):
            if info is None or info.size_bytes != file.size_bytes:
                raise Internal("A part of the snapshot is missing from the object store.")


async def commit(
    lease: Lease, source: DataSource, base: Base, state: SyncState, done: Completed
) -> None:
    """Write it; in the transaction that ends the job. Raises `BaseChanged`, or `CancelRequested` where all is gone."""
    is_held = bool(done.drift) and source.drift_policy is DriftPolicy.HOLD
    now = datetime.now(UTC)
    await Snapshot.filter(data_source_id=source.id, status=SnapshotStatus.HELD).update(
        status=SnapshotStatus.DISCARDED, removed_at=now
    )
    snapshot = await Snapshot.create(
        data_source_id=source.id,
        job_id=lease.job_id,
        number=await next_number(source.id),
        status=SnapshotStatus.HELD if is_held else SnapshotStatus.PUBLISHED,
        base_id=base.id,
        drift=done.drift,
        generation=state.generation,
        row_count=done.manifest.row_count,
        size_bytes=done.manifest.size_bytes,
        manifest=done.manifest.to_json(),
        receipt=done.receipt.to_json(),
    )
    changes: dict[str, object] = {
        "status": DataSourceStatus.SYNCED,
        "error": None,
        "held_snapshot_id": snapshot.id if is_held else None,
        "snapshot_count": F("snapshot_count") + 1,
    }
    if not is_held:
        changes |= {
            "current_snapshot_id": snapshot.id,
            "last_synced_at": snapshot.created_at,
            "tables": [stored.table.to_json() for stored in done.manifest.tables],
        }
    await _change(source.id, base, changes)
    if not await Project.filter(id=lease.project_id, deleted_at=None).exists():
        raise CancelRequested
    rows = state.rows_read
    await Job.filter(id=lease.job_id).update(
        snapshot_id=snapshot.id, rows_done=rows, rows_total=rows
    )


async def commit_derived(
    lease: Lease, base: Snapshot, manifest: Manifest, receipt: Receipt, rows_read: int
) -> None:
    """Write what scripts made of `base`; in the transaction that ends the job. Raises `CancelRequested` as `commit`.

    The source's current snapshot stays what it is. `rows_read` is what all steps have read.
    """
    source_id: int = base.data_source_id  # type: ignore[attr-defined]
    snapshot = await Snapshot.create(
        data_source_id=source_id,
        job_id=lease.job_id,
        number=await next_number(source_id),
        base_id=base.id,
        is_derived=True,
        generation=base.generation,
        row_count=manifest.row_count,
        size_bytes=manifest.size_bytes,
        manifest=manifest.to_json(),
        receipt=receipt.to_json(),
    )
    there = DataSource.filter(id=source_id, deleted_at=None)
    changes = {"derived_snapshot_id": snapshot.id, "snapshot_count": F("snapshot_count") + 1}
    is_there = await there.update(**changes)
    if not is_there or not await Project.filter(id=lease.project_id, deleted_at=None).exists():
        raise CancelRequested
    await JobStep.filter(job_id=lease.job_id, status=JobStatus.RUNNING).update(
        status=JobStatus.SUCCEEDED, rows_out=manifest.row_count, finished_at=snapshot.created_at
    )
    await Job.filter(id=lease.job_id).update(
        snapshot_id=snapshot.id, rows_done=rows_read, rows_total=rows_read
    )


async def _change(source_id: int, base: Base, changes: dict[str, object]) -> None:
    there = DataSource.filter(id=source_id, deleted_at=None)
    if await there.filter(current_snapshot_id=base.id).update(**changes):
        return
    if not await there.exists():
        raise CancelRequested
    raise BaseChanged(
        "Another snapshot became the current one during the sync.",
        hint="The sync goes on with that one.",
    )
