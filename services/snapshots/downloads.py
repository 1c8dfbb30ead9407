"""Tables as downloads, made while they are sent: that may take much longer than their link is good."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta

from tortoise.exceptions import DBConnectionError, OperationalError

from base.errors import NotFound
from base.ids import parse_id, public_id
from models import Snapshot
from services.platform import Platform
from services.snapshots.links import is_alive, pin
from storage.keeping import Kept
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, StoredTable

PIN_SECONDS = 3600  # also of one whose process is killed
PIN_AGAIN_SECONDS = 300


async def export(
    platform: Platform,
    snapshot_id: str,
    table_index: int,
    format: ExportFormat,  # noqa: A002 - the API's name
) -> AsyncGenerator[bytes]:
    """What an export's link gives: the table's file, to be read or closed. The link stands for the permission.

    While it is read, retention leaves the snapshot alone. Raises NotFound where the snapshot or its source is deleted.
    """
    parsed = parse_id(snapshot_id)
    snapshot = await Snapshot.get_or_none(id=parsed[1], removed_at=None) if parsed else None
    if snapshot is None or not await is_alive(_source_of(snapshot)):
        raise NotFound("The data source of this link is deleted.")
    return _sent(
        platform, snapshot, Manifest.from_json(snapshot.manifest).tables[table_index], format
    )


async def _sent(
    platform: Platform, snapshot: Snapshot, stored: StoredTable, kind: ExportFormat
) -> AsyncGenerator[bytes]:
    async with Kept(platform.store) as kept:
        due = await _pinned(snapshot)
        parts = await platform.rows.local_parts(kept, stored.parts)
        async with aclosing(platform.rows.exports.stream(parts, stored.table, kind)) as chunks:
            async for chunk in chunks:
                if time.monotonic() >= due:
                    due = await _pinned(snapshot)
                yield chunk


async def _pinned(snapshot: Snapshot) -> float:
    """Keep the snapshot for a while; when to do so again. A database that is away for now breaks no download off."""
    until = datetime.now(UTC) + timedelta(seconds=PIN_SECONDS)
    with suppress(NotFound, DBConnectionError, OperationalError):
        await pin(snapshot, until)
    return time.monotonic() + PIN_AGAIN_SECONDS


def _source_of(snapshot: Snapshot) -> str:
    return public_id("datasource", snapshot.data_source_id)  # type: ignore[attr-defined]
