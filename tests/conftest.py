"""Fixtures that more than one room's tests use."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck

import models.database
import storage
from base import process
from base.credentials import Keyring, generate_key
from base.net import Guard
from base.settings import Settings
from models import migrate
from models.database import Database
from services.platform import Platform
from tests import databases
from tests import http_server as http
from tests import s3_server as s3_servers

SQLITE = "sqlite"
POSTGRESQL = "postgresql"

# A property is tried with the same examples in every run, however long they take: the suite fails for a change, not by
# chance. `--hypothesis-profile=explore` looks for new ones.
_EXPLORE = hypothesis.settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis.settings.register_profile("explore", _EXPLORE)
hypothesis.settings.register_profile("repeat", _EXPLORE, derandomize=True, database=None)
hypothesis.settings.load_profile("repeat")


gc.disable()  # until all modules are imported


@pytest.hookimpl(trylast=True)  # after the order of tests was drawn
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that start processes come first: they take longest, and what begins last is what all others wait for."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Modules and tests live as long as the run: the collector need not walk them again and again."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_sessionfinish() -> None:
    """What is frozen would look like a leak to libraries that count theirs, and so would a process that runs."""
    gc.unfreeze()
    process.stop()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Every asynchronous test and fixture runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """The local PostgreSQL, as a superuser. Make a database of your own in it: `postgres_database`."""
    databases.need("PostgreSQL", databases.POSTGRES_PORT)
    return f"postgresql://postgres@127.0.0.1:{databases.POSTGRES_PORT}/postgres"


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """A new, empty PostgreSQL database."""
    with databases.postgres_database() as url:
        yield url


@pytest.fixture(scope="session")
def mariadb_url() -> str:
    """The local MariaDB, as root. Make a database of your own in it: `mariadb_database`."""
    databases.MARIADB.need()
    return databases.MARIADB.url


@pytest.fixture
def mariadb_database(mariadb_url: str) -> Iterator[str]:
    """A new, empty MariaDB database."""
    with databases.mariadb_database() as url:
        yield url


@pytest.fixture(scope="session", params=databases.MYSQL_SERVERS, ids=lambda server: server.name)
def mysql_server(request: pytest.FixtureRequest) -> databases.MysqlServer:
    """MariaDB, and each MySQL that `TEST_MYSQL_URLS` names."""
    server: databases.MysqlServer = request.param
    server.need()
    return server


@pytest.fixture(scope="session")
def redis_url() -> str:
    """The local Redis; prefix your keys."""
    databases.need("Redis", databases.REDIS_PORT)
    return f"redis://127.0.0.1:{databases.REDIS_PORT}/0"


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    """The local RabbitMQ; name your queues."""
    databases.need("RabbitMQ", databases.RABBITMQ_PORT)
    return f"amqp://guest:guest@127.0.0.1:{databases.RABBITMQ_PORT}/"


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3_servers.S3Server]:
    """A real S3 server, started once for all processes of a test run. Take a prefix of your own: `url`."""
    base = tmp_path_factory.getbasetemp()
    with s3_servers.shared(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the schema and nothing in it; copy it."""
    path = tmp_path_factory.mktemp("template") / "headwater.db"
    asyncio.run(migrate.upgrade(f"sqlite:///{path}"))
    databases.empty_sqlite(path)
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_url: str) -> Iterator[str]:
    """A PostgreSQL database with the schema; `database` empties it after each test."""
    with databases.postgres_database() as url:
        asyncio.run(migrate.upgrade(url))
        databases.empty_postgres(url)
        yield url


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The address of a SQLite database with the schema and no rows."""
    path = tmp_path / "headwater.db"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a database with the schema and no rows, in each dialect."""
    if request.param == SQLITE:
        yield request.getfixturevalue("sqlite_url")
    else:
        # Without the attempt at TLS, in which asyncpg forgets an exception when a statement is cancelled just then.
        url = f"{request.getfixturevalue('postgres_template')}?sslmode=disable"
        yield url
        databases.empty_postgres(url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open database with the schema and no rows; the test runs once for each dialect."""
    async with models.database.open(database_url, pool=5) as opened:
        yield opened


@pytest.fixture
async def platform(database: Database, tmp_path: Path) -> Platform:
    """What service verbs are handed: this database, a local store, a key, and a guard that lets loopback through."""
    settings = Settings(
        data_dir=tmp_path,
        database_url=database.url,
        storage_url=f"file://{tmp_path / 'objects'}",
        public_url="http://127.0.0.1:8000",
    )
    keyring = Keyring([generate_key()])
    store = storage.open(
        settings.effective_storage_url,
        signing_key=keyring.signing_key,
        public_url=settings.effective_public_url,
    )
    return Platform(
        settings=settings,
        keyring=keyring,
        store=store,
        guard=Guard(allow_networks=("127.0.0.0/8", "::1/128")),
    )


@pytest.fixture(scope="session")
def http_server() -> Iterator[http.HttpServer]:
    """A web server of ours in a process of its own; what it does, its paths say."""
    with http.serving() as server:
        yield server
