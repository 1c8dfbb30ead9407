"""Opening the database: addresses, limits, the connection of the moment, and transactions."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient
from tortoise.context import TortoiseContext
from tortoise.transactions import in_transaction

Dialect = Literal["sqlite", "postgresql"]

MODULES = (
    "models.access",
    "models.projects",
    "models.datasets",
    "models.sources",
    "models.jobs",
    "models.scripts",
    "models.snapshots",
    "models.schedules",
    "models.uploads",
    "models.idempotency",
)
MIGRATIONS = "models.migrations"
APP = "models"

LOCK_MS_MAX = 10_000  # wait for another process's lock
STATEMENT_MS_MAX = 30_000
IDLE_IN_TRANSACTION_MS_MAX = 60_000
WAL_BYTES_MAX = 64 * 1024**2
POOL_DEFAULT = 10  # PostgreSQL connections

_NOW_MS: dict[Dialect, str] = {
    "sqlite": "CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000 AS BIGINT)",
}


def now_ms_sql(dialect: Dialect) -> str:
    """SQL for the database's clock, in milliseconds since 1970; one value within a statement."""
    return _NOW_MS[dialect]


def dialect_of(url: str) -> Dialect:
    """The dialect that a database address speaks; raises ValueError for one that we do not."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        return "sqlite"
    if scheme in {"postgresql", "postgres"}:
        return "postgresql"
    raise ValueError(f"a database address starts with sqlite: or postgresql:, not {scheme}:")


def sqlite_path(url: str) -> str:
    """The file of `sqlite:///relative` or `sqlite:////absolute`; raises ValueError where there is none."""
    path = url.removeprefix("sqlite:///")
    if path in {"", url, ":memory:"}:
        raise ValueError("a SQLite address is sqlite:///path, and the path is a file's")
    return path


def config(
    url: str, *, pool: int = POOL_DEFAULT, migrating: bool = False, migrations: str = MIGRATIONS
) -> dict[str, Any]:
    """Tortoise's configuration for an address.

    The alias is the dialect: Tortoise keeps statements by alias for the whole process, and those of one dialect are
    errors in the other. `migrating` lifts the limits on statements, and SQLite's foreign keys, which would delete the
    children of a table that is being rebuilt.
    """
    dialect = dialect_of(url)
    connect = _sqlite if dialect == "sqlite" else _postgresql
    return {
        "connections": {dialect: connect(url, pool=pool, migrating=migrating)},
        "apps": {
            APP: {
                "models": list(MODULES),
                "default_connection": dialect,
                "migrations": migrations,
            }
        },
    }


def _sqlite(url: str, *, pool: int, migrating: bool) -> dict[str, Any]:  # noqa: ARG001 - one shape for both
    return {
        "engine": "models.engines.sqlite",
        "credentials": {
            "file_path": sqlite_path(url),
            "busy_timeout": LOCK_MS_MAX,  # first: the others may already have to wait
            "journal_mode": "WAL",
            "journal_size_limit": WAL_BYTES_MAX,
            "synchronous": "FULL",
            "foreign_keys": "OFF" if migrating else "ON",
        },
    }


def _postgresql(url: str, *, pool: int, migrating: bool) -> dict[str, Any]:
    limits = {
        "statement_timeout": str(STATEMENT_MS_MAX),
        "lock_timeout": str(LOCK_MS_MAX),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS_MAX),
    }
    settings = {"application_name": "headwater", "timezone": "UTC", "jit": "off"}
    return {
        "engine": "models.engines.asyncpg",
        "credentials": {
            "dsn": url,
            "minsize": 1,
            "maxsize": pool,
            "server_settings": settings if migrating else settings | limits,
        },
    }


@dataclass(frozen=True, slots=True)
class Database:
    """An open database. There is one in a process, on one event loop."""

    url: str
    dialect: Dialect
    context: TortoiseContext

    @property
    def connection(self) -> BaseDBAsyncClient:
        """What statements run on here and now: the transaction that the task is in, else the database itself."""
        return self.context.connections.get(self.dialect)


@asynccontextmanager
async def open(url: str, *, pool: int = POOL_DEFAULT) -> AsyncIterator[Database]:  # noqa: A001 - models.database.open
    """Open the database for the whole process, every task included.

    `pool` is the number of PostgreSQL connections. Raises `DBConnectionError` at once where the database cannot be
    reached. The schema has to be there (`models.migrate.upgrade`).
    """
    dialect = dialect_of(url)
    context = TortoiseContext()
    try:
        with context:
            await context.init(config=config(url, pool=pool), _enable_global_fallback=True)
            await context.connections.get(dialect).create_connection(with_db=True)
        yield Database(url=url, dialect=dialect, context=context)
    finally:
        await context.close_connections()


# What waits for the commit of the transaction that this context is in; None outside of one.
_WAITING: ContextVar[list[Callable[[], None]] | None] = ContextVar("waiting", default=None)


@asynccontextmanager
async def transaction() -> AsyncIterator[TransactionalDBClient]:
    """A transaction for everything within; inside another one, a savepoint.

    On PostgreSQL a failed statement ends its transaction: what may fail and be caught goes into a nested one.
    """
    outer = _WAITING.get()
    calls: list[Callable[[], None]] = []
    token = _WAITING.set(calls)
    try:
        async with in_transaction() as connection:
            yield connection
    finally:
        _WAITING.reset(token)
    if outer is not None:
        outer.extend(calls)
        return
    for call in calls:
        call()


def after_commit(call: Callable[[], None]) -> None:
    """Call this once the transaction around is committed, and never if it is not; at once outside of one.

    For what must not be known before: wake-ups, hints. It has to be quick and must not raise.
    """
    waiting = _WAITING.get()
    if waiting is None:
        call()
    else:
        waiting.append(call)
