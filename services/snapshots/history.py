"""A source's history in its owner's hands: older snapshots restored, held ones released or discarded."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from tortoise.expressions import F
from tortoise.functions import Max

from base.errors import Conflict, NotFound
from models import DataSource, Job, Snapshot, SnapshotStatus
from models.database import transaction
from services import jobs
from services.access import Viewer, find
from services.sources.holding import held
from storage.snapshots.manifest import Manifest, Part

FIELD = "input.id"


async def restore(viewer: Viewer | None, snapshot_id: str) -> int:
    """Publish an older snapshot again, as a new one with the same objects, cursors and all; the new one's key.

    Raises NotFound, and Conflict for a snapshot that was never published or that a script made, for the current one,
    and during a sync.
    """
    chosen = await find(viewer, Snapshot, snapshot_id, field=FIELD)
    async with transaction():
        source, chosen = await _held(chosen)
        if chosen.is_derived:
            raise Conflict(
                "The snapshot was made by a script; it cannot become the current one.",
                hint="Read it by its id, or restore the snapshot that it was made of.",
                field=FIELD,
            )
        if chosen.status is not SnapshotStatus.PUBLISHED:
            raise Conflict(
                "The snapshot is held; only one that was published can be restored.",
                hint="Publish it with `releaseSnapshot`.",
                field=FIELD,
            )
        if chosen.id == source.current_snapshot_id:
            raise Conflict("The snapshot is the current one already.", field=FIELD)
        await _refuse_while_syncing(source)
        current = await Snapshot.get_or_none(id=source.current_snapshot_id)
        restored = await Snapshot.create(
            data_source_id=source.id,
            number=await next_number(source.id),
            base_id=source.current_snapshot_id,
            restored_id=chosen.id,
            generation=chosen.generation,
            row_count=chosen.row_count,
            size_bytes=chosen.size_bytes,
            manifest=chosen.manifest,
            receipt=_books(chosen, current),
        )
        await _make_current(source, restored, snapshot_count=F("snapshot_count") + 1)
    restored_pk: int = restored.id
    return restored_pk


async def release(viewer: Viewer | None, snapshot_id: str) -> int:
    """Publish the held snapshot; its key.

    Raises NotFound, and Conflict where it is not held, where another one than its base is current by now, and during a
    sync.
    """
    chosen = await find(viewer, Snapshot, snapshot_id, field=FIELD)
    async with transaction():
        source, chosen = await _held(chosen)
        _refuse_not_held(source, chosen)
        if chosen.base_id != source.current_snapshot_id:
            raise Conflict(
                "The snapshot was made from one that is not the current one any more.",
                hint="Drop it with `discardSnapshot`, and sync again.",
                field=FIELD,
            )
        await _refuse_while_syncing(source)
        await Snapshot.filter(id=chosen.id).update(
            status=SnapshotStatus.PUBLISHED, published_at=datetime.now(UTC)
        )
        await _make_current(source, chosen, held_snapshot_id=None, last_synced_at=chosen.created_at)
    return int(chosen.id)


async def discard(viewer: Viewer | None, snapshot_id: str) -> int:
    """Drop the held snapshot, and some time after all that only it holds; the key of its source.

    Raises NotFound, and Conflict where it is not held.
    """
    chosen = await find(viewer, Snapshot, snapshot_id, field=FIELD)
    async with transaction():
        source, chosen = await _held(chosen)
        _refuse_not_held(source, chosen)
        await Snapshot.filter(id=chosen.id).update(
            status=SnapshotStatus.DISCARDED, removed_at=datetime.now(UTC)
        )
        await DataSource.filter(id=source.id).update(
            held_snapshot_id=None, updated_at=datetime.now(UTC)
        )
    return int(source.id)


async def next_number(source_pk: int) -> int:
    """The number of a source's next snapshot, in the transaction that makes it; one is never given twice.

    The snapshot with the largest one may be gone, as held ones are that were discarded: so all that were made count.
    """
    source = await DataSource.filter(id=source_pk).only("snapshot_count").get()
    found = await Snapshot.filter(data_source_id=source_pk).annotate(n=Max("number")).values("n")
    return max(int(found[0]["n"] or 0), int(source.snapshot_count)) + 1


async def _held(chosen: Snapshot) -> tuple[DataSource, Snapshot]:
    """The snapshot's source, and the snapshot as it is now: both stay so until the transaction ends."""
    source = await held(chosen.data_source_id, FIELD)  # type: ignore[attr-defined]
    now = await Snapshot.get_or_none(id=chosen.id, removed_at=None)
    if now is None:
        raise NotFound("There is no such snapshot.", hint="It was just removed.", field=FIELD)
    return source, now


def _refuse_not_held(source: DataSource, chosen: Snapshot) -> None:
    if chosen.status is not SnapshotStatus.HELD or source.held_snapshot_id != chosen.id:
        raise Conflict(
            "The snapshot is not held; it waits for no decision.",
            hint="`DataSource.heldSnapshot` is the one that does.",
            field=FIELD,
        )


async def _refuse_while_syncing(source: DataSource) -> None:
    """A sync goes on from the snapshot that was the current one when it began."""
    if await Job.filter(active_key=jobs.sync_key(source.id)).exists():
        raise Conflict(
            "The data source is being synced.",
            hint="Wait for the sync to end, or cancel it.",
            field=FIELD,
        )


async def _make_current(source: DataSource, snapshot: Snapshot, **changes: Any) -> None:
    manifest = Manifest.from_json(snapshot.manifest)
    await DataSource.filter(id=source.id).update(
        current_snapshot_id=snapshot.id,
        tables=[stored.table.to_json() for stored in manifest.tables],
        updated_at=datetime.now(UTC),
        **changes,
    )


def _books(chosen: Snapshot, current: Snapshot | None) -> dict[str, Any]:
    """The receipt of a restore: rows of the parts that both snapshots have are unchanged, the others come or go.

    What is read is the restored snapshot, not the source.
    """
    manifest = Manifest.from_json(chosen.manifest)
    before = Manifest.from_json(current.manifest) if current else Manifest(())
    shared = _parts(manifest) & _parts(before)
    unchanged = sum(part.live_rows * times for (_, part), times in shared.items())
    return {
        "rows_read": manifest.row_count,
        "inserted": manifest.row_count - unchanged,
        "updated": 0,
        "unchanged": unchanged,
        "deleted": before.row_count - unchanged,
        "quarantined": 0,
        "balanced": True,
        "cursor_from": None,
        "cursor_to": chosen.receipt.get("cursor_to"),
        "files": chosen.receipt.get("files", []),
    }


def _parts(manifest: Manifest) -> Counter[tuple[tuple[str | None, str], Part]]:
    return Counter(
        ((stored.table.schema, stored.table.name), part)
        for stored in manifest.tables
        for part in stored.parts
    )
