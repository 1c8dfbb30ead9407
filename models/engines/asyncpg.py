"""PostgreSQL over asyncpg: a pool that leaks no connection when a task is cancelled, with limits on every statement."""
# ruff: noqa: SLF001 - the protocol between Tortoise's own classes is underscored

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Any

import asyncpg
from tortoise.backends.asyncpg.client import AsyncpgDBClient, TransactionWrapper
from tortoise.backends.base.client import (
    ConnectionWrapper,
    NestedTransactionContext,
    TransactionalDBClient,
    TransactionContext,
    TransactionContextPooled,
)
from tortoise.connection import get_connections
from tortoise.exceptions import DBConnectionError, OperationalError, TransactionManagementError

from models.engines.finishing import finish

CONNECT_SECONDS_MAX = 10
CLOSE_SECONDS_MAX = 10
CACHED_STATEMENTS_MAX = 512


class _Translated(AsyncpgDBClient):
    async def _translate_exceptions(
        self, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        try:
            return await super()._translate_exceptions(func, *args, **kwargs)
        except DBConnectionError:
            raise
        except (
            asyncpg.OperatorInterventionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.LockNotAvailableError,
            asyncpg.TransactionRollbackError,
        ) as error:
            raise OperationalError(error) from error
        except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, OSError) as error:
            raise DBConnectionError(error) from error


class Transaction(_Translated, TransactionWrapper):
    """A transaction on one connection of the pool."""

    def _in_transaction(self) -> TransactionContext:
        return NestedTransactionContext(Transaction(self))

    def acquire_connection(self) -> ConnectionWrapper[asyncpg.Connection]:
        """The transaction's connection; refused to tasks that outlive the transaction they were started in."""
        if self._finalized:
            raise TransactionManagementError("the transaction of this task is over")
        return TransactionWrapper.acquire_connection(self)

    async def commit(self) -> None:
        """Commit; raises what statements raise, because deferred constraints are checked only now."""
        await self._translate_exceptions(TransactionWrapper.commit)


class _Context(TransactionContextPooled):
    async def __aenter__(self) -> TransactionalDBClient:
        await self.ensure_connection()
        self.client._connection = await self.client._parent._pool.acquire()
        try:
            await self.client.begin()
        except BaseException:
            await finish(self._release(broken=True))
            raise
        self.token = get_connections().set(self.connection_name, self.client)
        return self.client

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        get_connections().reset(self.token)
        await finish(self._end(failed=exc_type is not None))

    async def _end(self, *, failed: bool) -> None:
        broken = True
        try:
            if not self.client._finalized:
                await (self.client.rollback() if failed else self.client.commit())
            broken = False
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            if not failed:
                raise
            # The error that led here is on its way, and says more than a rollback that failed after it.
        finally:
            await self._release(broken=broken)

    async def _release(self, *, broken: bool) -> None:
        # Nobody knows where a connection stands whose BEGIN, COMMIT or ROLLBACK was cut short: the pool gets a new one.
        self.client._finalized = True
        connection = self.client._connection
        if broken:
            # Not terminate(): the server is still being told of the cancelled statement, on another connection.
            with contextlib.suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                await connection.close(timeout=CLOSE_SECONDS_MAX)
        await self.client._parent._pool.release(connection)


class Client(_Translated):
    """A pool made from a `postgresql://` address and all that may stand in one (`sslmode`, sockets, several hosts)."""

    def __init__(self, dsn: str, **options: Any) -> None:
        super().__init__(**options)
        self._dsn = dsn

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002, FBT001 - Tortoise's signature
        """Fill the pool; raises `DBConnectionError` where the server does not answer or refuses."""
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=self.pool_minsize,
                max_size=self.pool_maxsize,
                server_settings=self.server_settings,
                timeout=CONNECT_SECONDS_MAX,
                statement_cache_size=CACHED_STATEMENTS_MAX,
                connect=_connect,
                reset=_keep_session,
                **self.extra,
            )
        except asyncpg.InterfaceError as error:
            raise DBConnectionError(error) from error
        await self._post_connect()

    def _in_transaction(self) -> TransactionContext:
        return _Context(Transaction(self), self._pool_init_lock)

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement for each list of values, all or nothing, also when cancelled."""
        async with self._in_transaction() as transaction:
            await transaction.execute_many(query, values)


async def _connect(*args: Any, **options: Any) -> asyncpg.Connection:
    """A connection; raises `DBConnectionError` where the server does not answer, is starting, is full or refuses.

    The pool also connects for a transaction, where Tortoise translates nothing.
    """
    try:
        return await asyncpg.connect(*args, **options)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        raise DBConnectionError(error) from error


async def _keep_session(_connection: asyncpg.Connection) -> None:
    """Send nothing when a connection returns to the pool.

    asyncpg's default is a round trip that resets what we never change on pooled connections: settings, LISTEN, advisory
    locks, open cursors. An open transaction is rolled back by asyncpg all the same.
    """


client_class = Client
