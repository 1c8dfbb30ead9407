"""The services that tests use, at their standard ports on loopback, and databases of one's own in them."""

from __future__ import annotations

import os
import secrets
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg
import pymysql
import pytest

POSTGRES_PORT = 5432
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
    """The address of a new, empty PostgreSQL database, which goes when the block ends."""
    server = f"postgresql://postgres@127.0.0.1:{POSTGRES_PORT}"
    name = f"headwater_test_{secrets.token_hex(6)}"
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield f"{server}/{name}"
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def mariadb_database() -> Iterator[str]:
    """The address of a new, empty MariaDB database, which goes when the block ends."""
    name = f"headwater_test_{secrets.token_hex(6)}"
    connection = pymysql.connect(host="127.0.0.1", port=MARIADB_PORT, user="root", autocommit=True)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4")
            try:
                yield f"mysql://root@127.0.0.1:{MARIADB_PORT}/{name}"
            finally:
                cursor.execute(f"DROP DATABASE `{name}`")
    finally:
        connection.close()


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
