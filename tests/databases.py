"""The services that tests use, at their standard ports on loopback, and databases of one's own in them."""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pymysql
import pytest

POSTGRES_PORT = 5432
_POSTGRES = f"postgresql://postgres@127.0.0.1:{POSTGRES_PORT}"
_used: list[str] = []  # databases of this process
MARIADB_PORT = 3306
REDIS_PORT = 6379
RABBITMQ_PORT = 5672
CONNECT_SECONDS_MAX = 20
IDS_APART = 1_000  # between the first ids of two tables, so that an id of the wrong kind is never one that exists


def need(service: str, port: int) -> None:
    """Skip the test with a reason where nothing listens; fail instead under CI, where everything has to be there."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=CONNECT_SECONDS_MAX).close()
    except OSError as error:
        reason = f"{service} does not answer on 127.0.0.1:{port}: {error}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)


@contextmanager
def postgres_database() -> Iterator[str]:
    """The address of a new, empty PostgreSQL database, whose users are sent away when the block ends.

    It goes with the process: each DROP DATABASE waits for a checkpoint of all that was written since the last one, but
    those that follow one upon another wait for little.
    """
    name = f"headwater_test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{_POSTGRES}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        if not _used:
            atexit.register(_drop_used, os.getpid())
        _used.append(name)
        try:
            yield f"{_POSTGRES}/{name}"
        finally:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
            )


def _drop_used(owner: int) -> None:
    if os.getpid() != owner:  # a fork of it ends
        return
    with psycopg.connect(f"{_POSTGRES}/postgres", autocommit=True) as connection:
        while _used:
            connection.execute(f'DROP DATABASE IF EXISTS "{_used.pop()}" WITH (FORCE)')


def mysql_connection(url: str) -> pymysql.Connection[pymysql.cursors.Cursor]:
    """A connection to MariaDB or MySQL at this address."""
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or MARIADB_PORT,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.removeprefix("/") or None,
    )


@contextmanager
def mysql_session(url: str) -> Iterator[pymysql.cursors.Cursor]:
    """A session of MariaDB or MySQL at this address that commits by itself."""
    with closing(mysql_connection(url)) as connection, connection.cursor() as cursor:
        connection.autocommit(True)
        yield cursor


@contextmanager
def mysql_database(url: str) -> Iterator[str]:
    """The address of a new, empty database of the server at this address, which goes when the block ends."""
    name = f"headwater_test_{secrets.token_hex(6)}"
    with mysql_session(url) as cursor:
        cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
        try:
            yield f"{url.rstrip('/')}/{name}"
        finally:
            cursor.execute(f"DROP DATABASE `{name}`")


def mariadb_database() -> AbstractContextManager[str]:
    """The address of a new, empty MariaDB database, which goes when the block ends."""
    return mysql_database(MARIADB.url)


def numbers(count: int) -> str:
    """A derived table of MariaDB and MySQL: its column `seq` counts from 1."""
    zeros = f"concat('[', repeat('0,', {count - 1}), '0]')"
    return f"(SELECT seq FROM json_table({zeros}, '$[*]' COLUMNS (seq FOR ORDINALITY)) AS j) AS numbers"


@dataclass(frozen=True)
class MysqlServer:
    """A server that speaks MySQL's protocol; `url` is its address as an administrator, without a database."""

    name: str
    url: str

    @cached_property
    def version(self) -> tuple[int, ...]:
        """Its first two numbers."""
        with mysql_session(self.url) as cursor:
            cursor.execute("SELECT version()")
            row = cursor.fetchone()
        assert row is not None
        return tuple(int(number) for number in row[0].split(".")[:2])

    @property
    def is_mariadb(self) -> bool:
        """Whether it is the one that is always tested."""
        return self.name == MARIADB.name

    def need(self) -> None:
        """Skip the test where there is no MariaDB; a server that somebody named has to be there."""
        if self.is_mariadb:
            need("MariaDB", MARIADB_PORT)


MARIADB = MysqlServer("mariadb", f"mysql://root@127.0.0.1:{MARIADB_PORT}/")
MYSQL_SERVERS = [MARIADB] + [
    MysqlServer(f"mysql@{urlsplit(url).netloc.rpartition('@')[2]}", url)
    for url in os.environ.get("TEST_MYSQL_URLS", "").split(",")
    if url
]


def _first_ids(tables: list[str]) -> dict[str, int]:
    return {table: place * IDS_APART for place, table in enumerate(sorted(tables), start=1)}


def empty_sqlite(path: Path) -> None:
    """Let the ids of each table of a database without rows start apart."""
    with closing(sqlite3.connect(path)) as connection, connection:
        rows = connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%' AND name <> 'tortoise_migrations'"
        )
        first_ids = _first_ids([name for (name,) in rows])
        connection.executemany(
            "INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)",
            [(table, first - 1) for table, first in first_ids.items()],
        )


def empty_postgres(url: str) -> None:
    """Remove every row but the record of migrations, and let the ids of each table start apart.

    By DELETE: TRUNCATE takes 70 times as long here, because it makes a new file for every table and index. Sessions
    that a test left behind (of a process it killed, of a statement it cancelled) end first: one of them could still
    commit, and its row would be in the next test.
    """
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        rows = connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'tortoise_migrations'"
        )
        first_ids = _first_ids([name for (name,) in rows.fetchall()])
        # As a replica, foreign keys are not checked, so the order does not matter.
        statements = ["SET lock_timeout = '60s'; SET session_replication_role = replica"]
        statements += [f'DELETE FROM "{table}"' for table in first_ids]
        statements += [
            f"SELECT setval('{table}_id_seq', {first}, false)" for table, first in first_ids.items()
        ]
        connection.execute("; ".join(statements).encode())
