"""Bringing a database's schema up to the code: all or nothing, once, however many processes try.

Tortoise plans and writes the migrations. What surrounds them is ours, because its own runner loses rows on SQLite,
crashes when two processes start together, and records a migration outside the transaction that made it.
"""
# ruff: noqa: SLF001 - the protocol between Tortoise's own classes is underscored

import asyncio
import contextlib
import fcntl
import os
import pkgutil
import sys
from collections.abc import AsyncIterator, Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.connection import get_connection
from tortoise.context import TortoiseContext, require_context
from tortoise.exceptions import DBConnectionError, OperationalError
from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.graph import MigrationKey
from tortoise.migrations.loader import MigrationLoader
from tortoise.migrations.recorder import MigrationRecorder
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.writer import format_migration_name
from tortoise.transactions import in_transaction

from models.database import APP, MIGRATIONS, config, dialect_of, sqlite_path
from models.editors import PostgresEditor, SqliteEditor

LOCK_POLL_SECONDS = 0.05
_LOCK_KEY = 0x48454144_57415445  # "HEADWATE": the advisory lock of a migration, within its database

Progress = Callable[[str], None]


class SchemaTooNew(Exception):
    """The database was migrated by a newer release; this one would read it wrongly."""


class ForeignKeysBroken(Exception):
    """A migration would leave rows that point nowhere; it was rolled back."""


async def upgrade(
    url: str, on_progress: Progress | None = None, *, migrations: str = MIGRATIONS
) -> list[str]:
    """Apply what is missing, in one transaction, and return its names.

    Waits while another process migrates the same database, and finds nothing left to do then. `on_progress` is told, in
    words, what is going on. Raises `SchemaTooNew`, `DBConnectionError` where there is no such database, or whatever a
    migration raised; the database is as it was then.
    """
    report = on_progress or (lambda _message: None)
    lock = _file_lock if dialect_of(url) == "sqlite" else _advisory_lock
    settings = config(url, pool=1, migrating=True, migrations=migrations)
    async with lock(url, report), TortoiseContext() as context:
        # Connections only: migrations bring their own models, and ours may be in use on another database.
        await context.connections._init(settings["connections"], create_db=False)
        async with in_transaction() as transaction:
            return await _apply(transaction, settings["apps"], report)


async def _apply(
    transaction: BaseDBAsyncClient, apps: dict[str, Any], report: Progress
) -> list[str]:
    executor = _Executor(transaction, apps)
    await executor.recorder.ensure_schema(executor._schema_editor())
    known = migration_names(apps[APP]["migrations"])
    if unknown := sorted(await _applied(executor.recorder) - known):
        raise SchemaTooNew(
            f"the database holds the migration {unknown[-1]}, which this release does not know: "
            "run the release that made it, or restore a backup from before"
        )
    names = [step.migration.name for step in await executor.plan()]
    await executor.migrate(
        direction="forward",
        progress=lambda event, _app, name: (
            report(f"applying {name}") if event == "apply_start" else None
        ),
    )
    if transaction.capabilities.dialect == "sqlite":
        await _check_foreign_keys(transaction)
    return names


async def is_current() -> bool:
    """Whether the open database has exactly the migrations of this code; for readiness probes."""
    alias = require_context().default_connection or ""
    try:
        applied = await _applied(_Recorder(get_connection(alias)))
    except OperationalError:  # not even the table of migrations
        return False
    return applied == migration_names()


def migration_names(package: str = MIGRATIONS) -> frozenset[str]:
    """The migrations that come with this code."""
    modules = pkgutil.iter_modules(import_module(package).__path__)
    return frozenset(module.name for module in modules if module.name[0] not in "_~")


async def _applied(recorder: MigrationRecorder) -> set[str]:
    return {key.name for key in await recorder.applied_migrations() if key.app_label == APP}


async def _check_foreign_keys(transaction: BaseDBAsyncClient) -> None:
    broken = await transaction.execute_query_dict("PRAGMA foreign_key_check")
    if broken:
        tables = ", ".join(sorted({f"{row['table']} → {row['parent']}" for row in broken}))
        raise ForeignKeysBroken(f"{len(broken)} rows would point nowhere: {tables}")


class _Recorder(MigrationRecorder):
    """The record of applied migrations, kept in the caller's transaction; an error is not taken for "none applied"."""

    async def ensure_schema(self, schema_editor: BaseSchemaEditor) -> None:
        statement = schema_editor._get_model_sql_data(self.model).table_sql
        await schema_editor._run_sql(
            statement.replace("CREATE TABLE", "CREATE TABLE IF NOT EXISTS", 1)
        )

    async def applied_migrations(self) -> list[MigrationKey]:
        rows = await self.connection.execute_query_dict(
            f'SELECT app, name FROM "{self.table_name}" ORDER BY id'  # noqa: S608 - our own constant
        )
        return [MigrationKey(app_label=row["app"], name=row["name"]) for row in rows]


class _Executor(MigrationExecutor):
    """Tortoise's executor with our recorder and editors."""

    def __init__(self, connection: BaseDBAsyncClient, apps: dict[str, Any]) -> None:
        super().__init__(connection, apps)
        self.recorder = _Recorder(connection)
        self.loader = MigrationLoader(apps, self.recorder)

    def _schema_editor(
        self,
        atomic: bool = True,  # noqa: ARG002, FBT001, FBT002 - always within the one transaction
        collect_sql: bool = False,  # noqa: FBT001, FBT002 - Tortoise's signature
    ) -> BaseSchemaEditor:
        is_sqlite = self.connection.capabilities.dialect == "sqlite"
        editor = SqliteEditor if is_sqlite else PostgresEditor
        return editor(self.connection, atomic=True, collect_sql=collect_sql)


@contextlib.asynccontextmanager
async def _advisory_lock(url: str, report: Progress) -> AsyncIterator[None]:
    """Hold PostgreSQL's lock on a connection of its own; it goes with the connection, whatever becomes of us."""
    import asyncpg  # noqa: PLC0415 - 2 MiB that SQLite does not need

    try:
        connection = await asyncpg.connect(url)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise DBConnectionError(error) from error
    try:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK_KEY):
            report("waiting for another process that migrates this database")
            await connection.execute("SELECT pg_advisory_lock($1)", _LOCK_KEY)
        yield
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def _file_lock(url: str, report: Progress) -> AsyncIterator[None]:
    """Hold a lock file beside the database; the kernel lets go of it, whatever becomes of us."""
    path = Path(sqlite_path(url))
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(f"{path}.migrate.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        waited = False
        while not _try_lock(descriptor):
            if not waited:
                report("waiting for another process that migrates this database")
            waited = True
            await asyncio.sleep(LOCK_POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def make(name: str | None = None, *, migrations: str = MIGRATIONS) -> list[Path]:
    """For developers: write a migration for what changed in the models; none when nothing did. Then read it.

    A column that is added to a table with rows needs `null=True` or `db_default=`, whatever its `default`.
    """
    settings = config("sqlite:///unused", migrations=migrations)
    async with TortoiseContext() as context:
        await context.init(config=settings, init_connections=False)
        assert context.apps is not None
        writers = await MigrationAutodetector(context.apps, settings["apps"]).changes()
    for writer in writers:
        if name and not writer.initial:
            writer.name = format_migration_name(int(writer.name.partition("_")[0]), name)
    return [writer.write() for writer in writers]


def main(arguments: list[str]) -> int:
    """`python -m models.migrate make [name]`."""
    match arguments:
        case ["make", *names] if len(names) <= 1:
            paths = asyncio.run(make(names[0] if names else None))
            sys.stdout.write("".join(f"{path}\n" for path in paths) or "nothing changed\n")
            return 0
        case _:
            sys.stderr.write("usage: python -m models.migrate make [name]\n")
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
