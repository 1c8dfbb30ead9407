"""Links that download a table of a snapshot, or the file that it came from."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

from tortoise.expressions import Q

from base.errors import Conflict, InvalidInput, NotFound, Unsupported
from base.ids import parse_id, public_id
from models import DataSource, Snapshot, Upload
from services.access import Viewer, find
from services.drafts import refuse_draft
from services.platform import Platform
from storage.signing import Signer
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, StoredFile, StoredTable

EXPIRES_SECONDS_MIN = 60
EXPIRES_SECONDS_MAX = 7 * 24 * 3600
FILE_NAME_LENGTH_MAX = 150
EXPORTS_PATH = "/exports"
_SUFFIXES = {
    ExportFormat.CSV: ".csv",
    ExportFormat.PARQUET: ".parquet",
    ExportFormat.JSONL: ".jsonl",
    ExportFormat.QUARANTINE: ".quarantine.ndjson",
}
_UNFIT_FOR_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|\ud800-\udfff]+')


@dataclass(frozen=True, slots=True)
class Link:
    """A presigned URL, and until when it is good."""

    url: str
    expires_at: datetime


async def presign(
    platform: Platform,
    viewer: Viewer | None,
    source_id: str,
    *,
    expires_in: int = 600,
    format: ExportFormat = ExportFormat.ORIGINAL,  # noqa: A002 - as the API calls it
    table: str | None = None,
    snapshot_id: str | None = None,
) -> Link:
    """A link that downloads a source's file (ORIGINAL) or a table of a snapshot, the current one unless told.

    Of QUARANTINE it is the rows of the table that its sync set aside. The snapshot stays as long as the link is good;
    the link is dead once the source is deleted. `expires_in` in seconds. Raises NotFound, InvalidInput, Unsupported,
    and Conflict where nothing was synced yet; `field` is the path in the mutation's input.
    """
    source = await find(viewer, DataSource, source_id, field="input.id")
    if not EXPIRES_SECONDS_MIN <= expires_in <= EXPIRES_SECONDS_MAX:
        raise InvalidInput(
            f"A link is good for {EXPIRES_SECONDS_MIN} to {EXPIRES_SECONDS_MAX} seconds.",
            field="input.expiresIn",
        )
    refuse_draft(source, "input.id")
    expires_at = datetime.fromtimestamp(int(time.time()) + expires_in, UTC)
    if format is ExportFormat.ORIGINAL:
        _refuse_with_original(table, snapshot_id)
        expires_in, expires_at = _of_store(platform, expires_in)
        return Link(await _original(platform, source, expires_in), expires_at)
    snapshot = await _snapshot(viewer, source, snapshot_id)
    manifest = Manifest.from_json(snapshot.manifest)
    index = _table_index(manifest, table, source)
    name = source.name if len(manifest.tables) == 1 else manifest.tables[index].table.name
    suffix = _SUFFIXES[format]
    file_name = _file_name(name).removesuffix(suffix) + suffix
    parts = manifest.tables[index].parts
    direct = None
    if format is ExportFormat.QUARANTINE:
        direct = _quarantine(manifest.tables[index]).key
    elif format is ExportFormat.PARQUET and len(parts) == 1 and parts[0].deletes is None:
        direct = parts[0].key
    if direct is not None:
        expires_in, expires_at = _of_store(platform, expires_in)
    await pin(snapshot, expires_at)
    if direct is not None:
        url = platform.store.presign_get(
            direct, expires_in=expires_in, file_name=file_name, holder=_public(source)
        )
        return Link(url, expires_at)
    path = f"{EXPORTS_PATH}/{public_id('snapshot', snapshot.id)}"
    fields = {"table": str(index), "format": format.value, "name": file_name}
    signed = Signer(platform.keyring.signing_key).query("GET", path, fields, expires_in=expires_in)
    return Link(f"{platform.settings.effective_public_url}{quote(path)}?{signed}", expires_at)


def _of_store(platform: Platform, expires_in: int) -> tuple[int, datetime]:
    """Seconds and end of a link to a stored object: S3's cannot be called back, so they are short."""
    seconds = min(expires_in, platform.store.link_seconds_max)
    return seconds, datetime.fromtimestamp(int(time.time()) + seconds, UTC)


async def is_alive(source_id: str) -> bool:
    """Whether a data source, and the project it is in, are there and not deleted."""
    parsed = parse_id(source_id)
    if parsed is None:
        return False
    return await DataSource.filter(
        id=parsed[1], deleted_at__isnull=True, project__deleted_at__isnull=True
    ).exists()


def _refuse_with_original(table: str | None, snapshot_id: str | None) -> None:
    for field, value in (("table", table), ("snapshotId", snapshot_id)):
        if value is not None:
            raise InvalidInput(
                f"ORIGINAL is the whole file as it was brought; it has no {field}.",
                hint="Ask for CSV, PARQUET or JSONL, or leave it out.",
                field=f"input.{field}",
            )


async def _original(platform: Platform, source: DataSource, expires_in: int) -> str:
    key = source.settings.get("object_key")
    if not key:
        raise Unsupported(
            f"{source.name!r} has no original file: it is read from where it lives.",
            hint="Ask for the format CSV, PARQUET or JSONL.",
            field="input.format",
        )
    upload = await Upload.get_or_none(object_key=key)
    if upload is None or await platform.store.head(key) is None:
        raise NotFound("The file of this data source is no longer stored.", field="input.id")
    return platform.store.presign_get(
        key,
        expires_in=expires_in,
        file_name=_file_name(upload.file_name),
        holder=_public(source),
    )


async def _snapshot(viewer: Viewer | None, source: DataSource, snapshot_id: str | None) -> Snapshot:
    if snapshot_id is not None:
        snapshot = await find(viewer, Snapshot, snapshot_id, field="input.snapshotId")
        if snapshot.data_source_id != source.id:  # type: ignore[attr-defined]
            raise NotFound(
                "There is no such snapshot of this data source.", field="input.snapshotId"
            )
        return snapshot
    current = source.current_snapshot_id
    found = None if current is None else await Snapshot.get_or_none(id=current)
    if found is None:
        raise Conflict(
            f"{source.name!r} has no snapshot yet.",
            hint="Sync it with `syncDataSources` first.",
            field="input.id",
        )
    return found


async def pin(snapshot: Snapshot, until: datetime) -> None:
    """Keep the snapshot from retention until then; the database decides between a link and a removal at once."""
    there = Snapshot.filter(id=snapshot.id, removed_at=None)
    if await there.filter(Q(pinned_until=None) | Q(pinned_until__lt=until)).update(
        pinned_until=until
    ):
        return
    if not await there.exists():
        raise NotFound("There is no such snapshot.", hint="It was just removed.", field="input.id")


def _quarantine(stored: StoredTable) -> StoredFile:
    if stored.quarantine is None:
        raise NotFound(
            f"The sync set aside no row of the table {stored.table.name!r}.",
            hint="`Table.quarantinedRows` tells where there are any.",
            field="input.format",
        )
    return stored.quarantine


def _table_index(manifest: Manifest, name: str | None, source: DataSource) -> int:
    tables = [stored.table for stored in manifest.tables]
    if name is None and len(tables) == 1:
        return 0
    fitting = [
        index for index, table in enumerate(tables) if name is not None and table.is_called(name)
    ]
    if len(fitting) == 1:
        return fitting[0]
    names = [table.qualified_name if len(fitting) > 1 else table.name for table in tables]
    if name is None:
        problem = f"{source.name!r} has {len(tables)} tables: say which in `table`."
    elif fitting:
        problem = f"{source.name!r} has several tables {name!r}: put the schema before the name."
    else:
        problem = f"{source.name!r} has no table {name!r}."
    raise InvalidInput(problem, hint=f"It has {', '.join(names)}.", field="input.table")


def _file_name(name: str) -> str:
    """A name that every system can store; links carry it in a header, escaped."""
    return _UNFIT_FOR_NAMES.sub("_", name)[:FILE_NAME_LENGTH_MAX].strip(" .") or "data"


def _public(source: DataSource) -> str:
    return public_id("datasource", source.id)
