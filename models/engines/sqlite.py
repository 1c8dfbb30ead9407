"""SQLite: transactions take the write lock at once, reads never wait, and a cancelled task leaves nothing held."""
# ruff: noqa: SLF001 - the protocol between Tortoise's own classes is underscored

import sqlite3
from collections.abc import Sequence
from types import TracebackType
from typing import Any

import aiosqlite
from tortoise.backends.base.client import (
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
)
from tortoise.backends.sqlite.client import (
    SqliteClient,
    SqliteTransactionContext,
    SqliteTransactionWrapper,
    translate_exceptions,
)
from tortoise.connection import get_connections
from tortoise.exceptions import (
    DBConnectionError,
    IntegrityError,
    OperationalError,
    TransactionManagementError,
)

from models.engines.finishing import finish
from models.letters import small_letters


async def _install(connection: aiosqlite.Connection) -> None:
    """Give SQL the small letters beyond ASCII, which SQLite's own `lower` does not know."""
    await connection.create_function("small_letters", 1, _small_letters, deterministic=True)


def _small_letters(text: str | None) -> str | None:
    return None if text is None else small_letters(text)


class Transaction(SqliteTransactionWrapper):
    """A transaction that holds SQLite's write lock from its first statement on.

    SQLite's own default takes the lock at the first write. If another process wrote since the first read, that fails
    at once, whatever the busy timeout: in three processes, more than half of all read-then-write transactions.
    """

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(Transaction(self))

    def acquire_connection(self) -> ConnectionWrapper[aiosqlite.Connection]:
        """The transaction's connection; refused to tasks that outlive the transaction they were started in."""
        if self._finalized:
            raise TransactionManagementError("the transaction of this task is over")
        return super().acquire_connection()

    async def begin(self) -> None:
        """Take the write lock, waiting for it as long as the connection's busy timeout."""
        try:
            await self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error


class _Context(SqliteTransactionContext):
    async def __aenter__(self) -> TransactionalDBClient:
        await self._trxlock.acquire()
        try:
            await self.ensure_connection()
            await self.connection.begin()
        except BaseException:
            await finish(self._undo())
            raise
        self.token = get_connections().set(self.connection_name, self.connection)
        transaction: TransactionalDBClient = self.connection
        return transaction

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        get_connections().reset(self.token)
        if exc_type is None and not self.connection._finalized:
            await finish(self._commit())
        else:
            await finish(self._undo())

    async def _commit(self) -> None:
        try:
            await self.connection.commit()
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error
        except sqlite3.OperationalError as error:
            raise OperationalError(error) from error
        finally:
            await self._undo()  # does nothing after a commit that worked

    async def _undo(self) -> None:
        self.connection._finalized = True
        try:
            if self.connection._connection:
                await self.connection._connection.rollback()
        finally:
            self._trxlock.release()


class Client(SqliteClient):
    """One connection that writes and one that only reads.

    Each has a thread of its own, so a read outside a transaction waits neither for this process's transactions nor,
    thanks to the write-ahead log, for another's. It sees everything committed before it began.
    """

    _reader: aiosqlite.Connection | None = None

    async def create_connection(self, with_db: bool) -> None:  # noqa: FBT001 - Tortoise's signature
        """Open both connections; raises `DBConnectionError` where the file cannot be opened or is no database."""
        try:
            await super().create_connection(with_db)
            await self._open_reader()
        except sqlite3.Error as error:
            raise DBConnectionError(f"cannot open the database {self.filename}: {error}") from error

    async def _post_connect(self) -> None:
        await super()._post_connect()
        assert self._connection is not None
        await _install(self._connection)

    async def _open_reader(self) -> None:
        if self._reader is None:
            self._reader = await aiosqlite.connect(self.filename, isolation_level=None)
            await _install(self._reader)
            self._reader.row_factory = sqlite3.Row
            for pragma in (f"busy_timeout={self.pragmas['busy_timeout']}", "query_only=ON"):
                await self._reader.execute_fetchall(f"PRAGMA {pragma}")

    async def close(self) -> None:
        """Close both connections, after what is queued on them."""
        reader, self._reader = self._reader, None
        try:
            if reader is not None:
                await reader.close()
        finally:
            await super().close()

    def _in_transaction(self) -> TransactionContext:
        return _Context(Transaction(self), self._lock)

    @translate_exceptions
    async def execute_query(
        self, query: str, values: list[Any] | None = None
    ) -> tuple[int, Sequence[Any]]:
        """Run a statement: rows changed (or read), and the rows."""
        if self._reader is not None and query.startswith("SELECT"):
            rows = list(await self._reader.execute_fetchall(query, values))
            return len(rows), rows
        result: tuple[int, Sequence[Any]] = await super().execute_query(query, values)
        return result

    @translate_exceptions
    async def execute_query_dict(
        self, query: str, values: list[Any] | None = None
    ) -> list[dict[str, Any]]:
        """Run a statement and return its rows as dicts."""
        return [dict(row) for row in (await self.execute_query(query, values))[1]]

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement for each list of values, all or nothing, also when cancelled."""
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)


client_class = Client
