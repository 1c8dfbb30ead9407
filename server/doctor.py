"""`headwater doctor`: tries each thing the server stands on, and says what to mend."""

from __future__ import annotations

import asyncio
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

from base import isolation, process
from base.settings import Settings
from models import database, migrate
from server.wiring import build_platform
from services.platform import Platform
from workers import broker

CLOCK_SKEW_SECONDS_MAX = 2.0
LINK_SECONDS = 60
FETCH_SECONDS_MAX = 10
PROBE = b"headwater doctor"
Say = Callable[[str], object]


class Unhealthy(Exception):
    """A check failed; the text says what and what to do."""


class Skipped(Exception):
    """A check could not be made; the text says why."""


async def examine(settings: Settings, say: Say) -> bool:
    """Run every check and say its outcome; True if none failed."""
    platform = build_platform(settings)
    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("database", lambda: check_database(settings)),
        ("clock", lambda: check_clock(settings)),
        ("storage", lambda: check_storage(platform)),
        ("broker", lambda: check_broker(settings)),
        ("sandbox", check_sandbox),
        ("download link", lambda: check_link(platform)),
    ]
    healthy = True
    for name, check in checks:
        started = time.perf_counter()
        try:
            outcome = f"ok    {await check()}"
        except Skipped as reason:
            outcome = f"skip  {reason}"
        except Exception as error:  # noqa: BLE001 - the doctor reports whatever it meets
            healthy = False
            outcome = f"FAIL  {error}"
        say(f"{name:<16}{outcome}  ({(time.perf_counter() - started) * 1000:.0f} ms)")
    say(f"script sandbox  {await asyncio.to_thread(isolation.describe)}")
    return healthy


async def check_database(settings: Settings) -> str:
    """Reach it and compare its migrations with this version's."""
    async with database.open(settings.effective_database_url) as opened:
        if not await migrate.is_current():
            raise Unhealthy("the tables are not at this version: run `headwater migrate`")
        return f"{opened.dialect}, tables at this version"


async def check_clock(settings: Settings) -> str:
    """Leases go by the database's clock, link expiry by this machine's."""
    async with database.open(settings.effective_database_url) as opened:
        rows = await opened.connection.execute_query_dict(
            f"SELECT {database.now_ms_sql(opened.dialect)} AS now"
        )
    skew = abs(time.time() - rows[0]["now"] / 1000)
    if skew > CLOCK_SKEW_SECONDS_MAX:
        raise Unhealthy(
            f"this machine and the database differ by {skew:.1f} s: run a time service on both"
        )
    return f"within {skew:.2f} s of the database"


async def check_storage(platform: Platform) -> str:
    """Write, read and remove an object."""
    key = f"doctor/{secrets.token_hex(8)}"

    async def chunks() -> AsyncIterator[bytes]:
        yield PROBE

    await platform.store.put(key, chunks(), bytes_max=len(PROBE))
    read = b"".join([chunk async for chunk in platform.store.open(key)])
    await platform.store.delete(key)
    if read != PROBE:
        raise Unhealthy("an object came back changed")
    return "an object was written, read and removed"


async def check_broker(settings: Settings) -> str:
    """Reach the broker; the embedded one is part of `headwater serve`."""
    if settings.is_embedded:
        return "embedded in `headwater serve`"
    await asyncio.to_thread(broker.ping, settings)
    return settings.broker_url.partition(":")[0]


async def check_sandbox() -> str:
    """Start what scripts run and files are parsed in: an isolated child process."""
    limits = process.Limits(wall_seconds=30, memory_bytes=1024**3, cpu_seconds=10, file_bytes=1)
    answer = await process.run(probe_child, limits=limits, isolation=process.Isolation())
    if answer != PROBE:
        raise Unhealthy("an isolated child process gave a wrong answer")
    return f"{isolation.level()} isolation of the children that run scripts and parse files"


def probe_child() -> bytes:
    """Runs in the child."""
    return PROBE


async def check_link(platform: Platform) -> str:
    """Presign a link and fetch it through the public URL, as a client would."""
    base = platform.settings.effective_public_url
    mend = "start `headwater serve` or set HEADWATER_PUBLIC_URL"
    if not platform.store.is_local:
        sample = urlsplit(platform.store.presign_get("doctor/x", expires_in=1, file_name="x"))
        base = f"{sample.scheme}://{sample.netloc}"
        mend = "set public_endpoint in HEADWATER_STORAGE_URL"
    key = f"doctor/{secrets.token_hex(8)}"

    async def chunks() -> AsyncIterator[bytes]:
        yield PROBE

    await platform.store.put(key, chunks(), bytes_max=len(PROBE))
    try:
        url = platform.store.presign_get(key, expires_in=LINK_SECONDS, file_name="doctor.txt")
        body = await asyncio.to_thread(_fetch, url)
    except urllib.error.HTTPError as error:
        raise Unhealthy(
            f"{base} answered {error.code} to a link signed here: same keys and clock?"
        ) from error
    except OSError as error:
        raise Skipped(f"nothing answers at {base}; {mend}") from error
    finally:
        await platform.store.delete(key)
    if body != PROBE:
        raise Unhealthy(f"{base} answered something else: another server, or another storage?")
    return f"fetched through {base}"


def _fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS_MAX) as response:  # noqa: S310 - our own URL
        content: bytes = response.read(len(PROBE) + 1)
        return content
