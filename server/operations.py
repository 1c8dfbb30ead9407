"""What the command does with the database when no server has to run."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from urllib.parse import urlsplit

from tortoise.exceptions import DBConnectionError

from base.errors import Conflict, ConnectionFailed
from base.forks import let_go
from base.settings import Settings
from models import Role, database, migrate
from server.wiring import build_platform
from services import tokens
from services.sources import sealing


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[None]:
    """The database, open and at this version; raises Conflict where it is at another."""
    with reachable(settings):
        async with database.open(settings.effective_database_url):
            if not await migrate.is_current():
                raise Conflict(
                    "The database is not at this version.", hint="Run `headwater migrate`."
                )
            yield


@contextmanager
def reachable(settings: Settings) -> Iterator[None]:
    """Say in words, and without its password, which database cannot be reached."""
    try:
        yield
    except DBConnectionError as error:
        address = urlsplit(settings.effective_database_url)
        where = f"{address.scheme}://{address.hostname or ''}{address.path}"
        raise ConnectionFailed(
            f"The database {where} cannot be reached.", hint="Check HEADWATER_DATABASE_URL."
        ) from error


async def make_ready(settings: Settings, *, migrating: bool) -> None:
    """Migrate the database, or make sure that somebody has."""
    if migrating:
        await upgrade(settings, lambda _: None)
        return
    async with opened(settings):
        pass


def upgrade_apart(settings: Settings) -> None:
    """Migrate in a process that ends with it; blocking, for a process that has no other thread yet.

    What it takes to make a first database stays with a process: 26 MiB. A failure is not told here: whoever opens the
    database next meets it again.
    """
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            logging.disable()
            asyncio.run(upgrade(settings, lambda _: None))
        os._exit(0)
    let_go()  # takes 13 ms, and the child longer
    os.waitpid(child, 0)


async def upgrade(settings: Settings, say: Callable[[str], None]) -> list[str]:
    """Apply the migrations that are missing; their names."""
    with reachable(settings):
        return await migrate.upgrade(settings.effective_database_url, on_progress=say)


async def create_token(
    settings: Settings,
    username: str,
    name: str,
    role: str,
    project_id: str | None,
    expires_at: datetime | None,
) -> str:
    """The secret of a new token of a user, who is made where there is none."""
    async with opened(settings):
        made = await tokens.create_for(
            username, name=name, role=Role[role], project_id=project_id, expires_at=expires_at
        )
        return made.secret


async def rotate_keys(settings: Settings, say: Callable[[str], object]) -> int:
    """Encrypt every secret with the newest key; how many were not yet."""

    def report(done: int) -> None:
        say(f"{done} re-encrypted so far")

    async with opened(settings):
        return await sealing.rotate_secrets(build_platform(settings), report)
