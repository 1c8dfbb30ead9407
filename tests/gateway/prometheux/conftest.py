"""A user of one's own on the shared server, and databases and an API for it to connect."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pymysql
import pytest

from tests import databases, http_server
from tests.conftest import POSTGRESQL
from tests.gateway.places import Place

USER = "prometheux"
TABLES = (
    "CREATE TABLE customers (id int PRIMARY KEY, name varchar(20), changed int)",
    "INSERT INTO customers VALUES (1, 'Ada', 1), (2, 'Bo', 2), (3, 'Cy', 3)",
    "CREATE TABLE orders (id int PRIMARY KEY, total int)",
    "INSERT INTO orders VALUES (1, 10), (2, 20)",
    "CREATE TABLE notes (id int PRIMARY KEY, body varchar(20))",
)


@dataclass(frozen=True)
class Database:
    """A database server's database of a test's own: `customers` with 3 rows, `orders` with 2, `notes` with none."""

    kind: str
    host: str
    port: int
    name: str
    username: str
    run: Callable[[str], None]

    @property
    def config(self) -> dict[str, Any]:
        """As `connection_config` says it."""
        return {
            "type": self.kind,
            "host": self.host,
            "port": self.port,
            "database": self.name,
            "username": self.username,
        }

    def body(self, **more: Any) -> dict[str, Any]:
        """As the published clients say it: every key, many of them null."""
        keys = "password options schema catalog query selectedColumns ignoreColumns ignoreTables selectedTables"
        return (
            dict.fromkeys(keys.split())
            | {
                "databaseType": self.kind,
                "username": self.username,
                "host": self.host,
                "port": self.port,
                "databaseName": self.name,
            }
            | more
        )


@pytest.fixture(scope="session")
def database(server: Place) -> Iterator[Database]:
    """A database that no test changes."""
    with _databases(server) as made:
        yield made


@pytest.fixture
def own_database(server: Place) -> Iterator[Database]:
    """A database of a test's own."""
    with _databases(server) as made:
        yield made


@contextmanager
def _databases(server: Place) -> Iterator[Database]:
    """MariaDB for a server that is itself on PostgreSQL, for a server's own services are no sources; else PostgreSQL."""
    if "HEADWATER_DATABASE_URL" in server.env:
        databases.need("MariaDB", databases.MARIADB_PORT)
        with databases.mariadb_database() as url:
            yield _database("mariadb", url, _mariadb(url))
        return
    databases.need(POSTGRESQL, databases.POSTGRES_PORT)
    with databases.postgres_database() as url:
        yield _database("postgresql", url, _postgres(url))


def _database(kind: str, url: str, run: Callable[[str], None]) -> Database:
    parts = urlsplit(url)
    assert parts.hostname, "databases are at addresses"
    for statement in TABLES:
        run(statement)
    name = parts.path.removeprefix("/")
    return Database(kind, parts.hostname, parts.port or 0, name, parts.username or "", run)


def _postgres(url: str) -> Callable[[str], None]:
    def run(statement: str) -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())

    return run


def _mariadb(url: str) -> Callable[[str], None]:
    parts = urlsplit(url)

    def run(statement: str) -> None:
        connection = pymysql.connect(
            host=parts.hostname, port=parts.port or 0, user=parts.username,
            database=parts.path.removeprefix("/"), autocommit=True,
        )  # fmt: skip
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
        finally:
            connection.close()

    return run


@pytest.fixture(scope="session")
def api() -> Iterator[http_server.HttpServer]:
    """A web API."""
    with http_server.serving() as running:
        yield running


class Data:
    """The Data API of one workspace, by a user of one's own."""

    def __init__(self, rest: httpx.Client, workspace: str) -> None:
        self.rest = rest
        self.workspace = workspace

    def post(
        self, verb: str, body: Any, status: int = 200, key: str | None = None
    ) -> dict[str, Any]:
        """The envelope of a POST, which has this status; `key` is its idempotency key."""
        path = f"/api/v1/data/{self.workspace}/{verb}"
        headers = {} if key is None else {"idempotency-key": key}
        return _envelope(self.rest.post(path, json=body, headers=headers), status)

    def get(self, verb: str, status: int = 200, **query: str) -> dict[str, Any]:
        """The envelope of a GET, which has this status."""
        path = f"/api/v1/data/{self.workspace}/{verb}"
        return _envelope(self.rest.get(path, params=query), status)

    @property
    def names(self) -> list[str]:
        """The names of the workspace's data sources."""
        return [row["name"] for row in self.get("list")["data"]]


def _envelope(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    assert set(body) == {"data", "message", "status"}
    return body


@pytest.fixture
def data(server: Place) -> Data:
    """A workspace of one's own."""
    server.enrol(USER)
    return Data(server.rest(USER), server.project(USER)["id"])
