"""Reaching out to a source: always in a limited child process, and never with a secret in what comes back."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

from base import process
from base.credentials import redact
from base.errors import PlatformError
from connectors.connector import Connection, ReadLimits
from models import DataSource, DataSourceType
from services.platform import Platform
from services.sources import fetching
from services.sources.sealing import unseal

CHECK = "connectors:check"
TABLES = "connectors:tables"
SURVEY = "connectors:survey"
CONNECT_SECONDS_MAX = 5
DEADLINE_MARGIN_SECONDS = 1  # of an operation, left for everything but the dialling
ANSWER_MARGIN_SECONDS = 3  # of an operation, left for what is done with a server's answer
FILE_BYTES_MAX = 1024**3  # of what an engine spills to disk while it looks at a file
FOLDER_BYTES_MAX = 4 * FILE_BYTES_MAX  # of all that a child keeps at one time


async def connection_to(
    platform: Platform,
    kind: str,
    settings: Mapping[str, Any],
    secrets: Mapping[str, str],
    limits: ReadLimits | None = None,
) -> Connection:
    """What opens a source, with the local copy of its file where it has one; raises NotFound where that is gone."""
    key = settings.get("object_key")
    path: Path | None = await platform.store.local_path(key) if key else None
    limits = limits or ReadLimits(cell_bytes_max=platform.settings.cell_bytes_max)
    return Connection(kind, dict(settings), dict(secrets), path, platform.guard, limits)


async def connection_of(
    platform: Platform,
    source: DataSource,
    limits: ReadLimits | None = None,
    *,
    refetch: bool = True,
    fetch_seconds: float = fetching.FETCH_SECONDS_MAX,
) -> Connection:
    """What opens a stored source; a file at a URL is fetched first, if it is another one by now.

    Without `refetch` the file of the last fetch will do. Raises ConnectionFailed where the secret cannot be read,
    NotFound as above, and what fetching raises.
    """
    secrets = unseal(platform.keyring, source)
    if source.type is DataSourceType.FILE and "url" in secrets:
        url = secrets.pop("url")  # opening the file does not need it
        key = source.settings.get("object_key")
        if refetch or key is None or await platform.store.head(key) is None:
            await fetching.refresh(platform, source, url, seconds=fetch_seconds)
    return await connection_to(platform, source.kind, source.settings, secrets, limits)


async def dial(platform: Platform, work: str, connection: Connection) -> Any:
    """Call `CHECK`, `TABLES` or `SURVEY` in a child, within an operation's deadline; errors come without secrets."""
    settings = platform.settings
    limits = process.Limits(
        wall_seconds=max(settings.query_seconds_max - DEADLINE_MARGIN_SECONDS, 1),
        memory_bytes=settings.child_memory_bytes_max,
        file_bytes=FILE_BYTES_MAX,
        folder_bytes=FOLDER_BYTES_MAX,
    )
    secrets = tuple(connection.secrets.values())
    folder = platform.store.scratch() / f"look-{token_hex(8)}"
    await asyncio.to_thread(folder.mkdir, mode=0o700)
    try:
        isolation = isolation_of(connection, folder)
        return await process.run(
            work, connection, limits=limits, secrets=secrets, isolation=isolation
        )
    except PlatformError as error:
        error.message = redact(error.message, secrets)
        error.hint = redact(error.hint, secrets) if error.hint else None
        error.args = (error.message,)
        error.field = None  # a setting of the connection, which need not be in this request's input
        raise
    finally:
        await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))


def isolation_of(
    connection: Connection, folder: Path, stored: Sequence[Path] = ()
) -> process.Isolation:
    """What a child that opens a source may touch: its file or the network, never both, and a folder to work in.

    `stored`: files of the source's snapshots, which it reads too.
    """
    path = connection.path
    reads = (*stored, *([path] if path is not None else []))
    return process.Isolation(folder=folder, reads=reads, network=path is None)


def interactive_limits(platform: Platform) -> ReadLimits:
    """Limits for a look while somebody waits."""
    return ReadLimits(
        cell_bytes_max=platform.settings.cell_bytes_max,
        connect_seconds=CONNECT_SECONDS_MAX,
        answer_seconds=interactive_seconds(platform),
    )


def interactive_seconds(platform: Platform) -> int:
    """What a server is given to answer while somebody waits, so that its silence is told before the deadline."""
    return max(platform.settings.query_seconds_max - ANSWER_MARGIN_SECONDS, 1)
