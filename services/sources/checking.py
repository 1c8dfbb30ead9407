"""Looking at a source while the user waits: does the connection work, and which tables are there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import connectors
from base.errors import (
    ConnectionFailed,
    InvalidInput,
    PayloadTooLarge,
    PlatformError,
    TimedOut,
    Unsupported,
)
from base.forks import ChildDied
from base.tables import TableSchema
from connectors.connector import Health
from models import DataSource, DataSourceType, Project
from models.database import transaction
from services import rates
from services.access import Viewer, find
from services.drafts import refuse_draft
from services.platform import Platform
from services.sources import fetching
from services.sources.connections import Checked, Given, check
from services.sources.dialing import (
    CHECK,
    SURVEY,
    TABLES,
    connection_of,
    connection_to,
    dial,
    interactive_limits,
    interactive_seconds,
)
from services.sources.holding import held

TABLES_MAX = 10_000  # of one source that are kept, or shown
TRIED_BYTES_MAX = 64 * 1024**2  # of a file at a URL that is looked into while the user waits
CONNECTION_FIELD = "input.connection"
# Answers about the source rather than about the request: they are data, not errors.
_NEGATIVE = (ConnectionFailed, ChildDied, TimedOut, PayloadTooLarge)


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test came to. `latency_ms` only for a success: how long a refusal takes says what is behind a firewall.

    `tables` are those of the source where they were asked for, and could be looked up.
    """

    ok: bool
    message: str
    server_version: str | None = None
    latency_ms: int | None = None
    error: PlatformError | None = None
    at: datetime | None = None
    tables: tuple[TableSchema, ...] = ()


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a look into a source that works gives."""

    health: Health
    tables: Sequence[TableSchema] = ()


async def test_connection(
    platform: Platform,
    viewer: Viewer,
    project_id: str,
    given: Given,
    *,
    tables: bool = False,  # noqa: PT028 - this is no test
) -> Tested:
    """Try a connection that is not stored, and look up its `tables` in the same go.

    A source that says no is an answer; settings that make no sense raise, and so do more than `TABLES_MAX` tables. A
    large file at a URL is not looked into: it has none here.
    """
    project = await find(viewer, Project, project_id, field="input.projectId")
    checked = await check(platform, project, given, CONNECTION_FIELD)
    rates.spend_dial(platform, viewer)
    began = time.monotonic()
    try:
        if checked.type is DataSourceType.FILE and "url" in checked.secrets:
            seen = await _try_url(platform, project, checked, tables=tables)
        else:
            seen = await _try(
                platform, checked.kind, checked.settings, checked.secrets, tables=tables
            )
    except (*_NEGATIVE, InvalidInput, Unsupported) as error:
        error.field = None
        return Tested(ok=False, message=error.message, error=error, at=datetime.now(UTC))
    latency_ms = round((time.monotonic() - began) * 1000)
    _refuse_too_many(seen.tables, CONNECTION_FIELD)
    return Tested(
        ok=True,
        message=seen.health.message,
        server_version=seen.health.server_version,
        latency_ms=latency_ms,
        tables=tuple(seen.tables),
    )


async def _try(
    platform: Platform,
    kind: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    *,
    tables: bool,
) -> _Seen:
    limits = interactive_limits(platform)
    connection = await connection_to(platform, kind, settings, secrets, limits)
    if tables:
        return _Seen(*await dial(platform, SURVEY, connection))
    return _Seen(await dial(platform, CHECK, connection))


async def _try_url(
    platform: Platform, project: Project, checked: Checked, *, tables: bool
) -> _Seen:
    """Fetch a file, if that does not take long, look into it, and forget it."""
    seconds = interactive_seconds(platform)
    most = min(TRIED_BYTES_MAX, platform.settings.upload_bytes_max)
    called = checked.settings.get(fetching.NAMED)
    url = checked.secrets["url"]
    try:
        got = await fetching.fetch(
            platform, project.id, url, seconds=seconds, bytes_max=most, called=called
        )
    except PayloadTooLarge:
        if most < TRIED_BYTES_MAX:
            raise
        said = "The URL answers with a large file, which is looked into when it is synced."
        return _Seen(Health(said))
    assert got is not None, "no condition was set"
    try:
        raw = fetching.plain(checked.settings) | {
            "object_key": got.object_key,
            "file_name": got.file_name,
        }
        settings, _ = connectors.parse(got.kind, raw)
        settings |= {} if got.charset is None else {"charset": got.charset}
        return await _try(platform, got.kind, settings, {}, tables=tables)
    finally:
        await platform.store.delete(got.object_key)


async def introspect(platform: Platform, viewer: Viewer, source_id: str) -> int:
    """Look up the tables of a source and keep them; its key. Raises why the source could not be read."""
    source = await find(viewer, DataSource, source_id, field="input.id")
    refuse_draft(source, "input.id")
    rates.spend_dial(platform, viewer)
    limits = interactive_limits(platform)
    tables: list[TableSchema] = await dial(
        platform,
        TABLES,
        await connection_of(
            platform,
            source,
            limits,
            refetch=False,
            fetch_seconds=interactive_seconds(platform),
        ),
    )
    _refuse_too_many(tables)
    source_pk: int = source.id
    async with transaction():
        now = await held(source_pk)
        # A source that was connected to something else meanwhile does not get these tables.
        if (now.kind, now.settings, now.secrets) == (source.kind, source.settings, source.secrets):
            found = [table.to_json() for table in tables]
            await DataSource.filter(id=source_pk).update(tables=found)
    return source_pk


def _refuse_too_many(tables: Sequence[TableSchema], field: str | None = None) -> None:
    if len(tables) > TABLES_MAX:
        raise PayloadTooLarge(
            f"The source has {len(tables):,} tables; up to {TABLES_MAX:,} are looked up.",
            hint="Connect with a user that sees fewer, or select tables.",
            field=field,
        )
