"""Trying a connection and looking up tables: real sources, in a child, without a secret in what comes back."""

import socket
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from base.errors import ConnectionFailed, Forbidden, NotFound, PayloadTooLarge, RateLimited
from base.ids import public_id
from models import DataSource, DataSourceType, Role
from services import rates, sources
from services.platform import Platform
from services.sources import DatabaseEngine, DatabaseGiven, FileGiven, checking, sealing
from tests import factories
from tests.databases import POSTGRES_PORT
from tests.services.places import everything, make_place, put_upload, refused

CANARY = "canary-of-checking"


@pytest.fixture(autouse=True)
def _start_counting_anew() -> None:
    rates.forget()


def local(url: str, **values: object) -> DatabaseGiven:
    """The local PostgreSQL database of a URL."""
    given = DatabaseGiven(
        engine=DatabaseEngine.POSTGRESQL,
        host="127.0.0.1",
        port=POSTGRES_PORT,
        database=url.rpartition("/")[2],
        username="postgres",
    )
    return replace(given, **values)  # type: ignore[arg-type]


@pytest.fixture
async def silent_port() -> AsyncIterator[int]:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield probe.getsockname()[1]


async def test_a_connection_that_works(platform: Platform, postgres_database: str) -> None:
    place = await make_place(Role.WRITE)

    tested = await sources.test_connection(
        platform, place.viewer, place.project_id, local(postgres_database)
    )

    assert (tested.ok, tested.error) == (True, None)
    assert tested.message
    assert "15" in str(tested.server_version) or "PostgreSQL" in str(tested.server_version)
    assert tested.latency_ms is not None
    assert 0 < tested.latency_ms < 10_000


async def test_a_closed_port_is_an_answer(platform: Platform, silent_port: int) -> None:
    place = await make_place()
    given = local("postgres", port=silent_port, password=CANARY)

    tested = await sources.test_connection(platform, place.viewer, place.project_id, given)

    assert (tested.ok, tested.latency_ms, tested.server_version) == (False, None, None)
    assert tested.error is not None
    assert tested.error.code == "CONNECTION_FAILED"
    assert tested.message == tested.error.message
    assert CANARY not in f"{tested} {tested.error.message} {tested.error.hint}"


async def test_an_address_that_is_not_allowed_is_an_answer(platform: Platform) -> None:
    place = await make_place()

    tested = await sources.test_connection(
        platform, place.viewer, place.project_id, local("postgres", host="169.254.169.254")
    )

    assert tested.error is not None
    assert (tested.ok, tested.error.code) == (False, "CONNECTION_FAILED")


async def test_a_file_is_tried_too(platform: Platform) -> None:
    place = await make_place()
    good = await put_upload(platform, place.project, "a.csv", b"a,b\n1,2\n")
    bad = await put_upload(platform, place.project, "b.csv", b"")

    yes = await sources.test_connection(
        platform, place.viewer, place.project_id, FileGiven(good.object_key)
    )
    no = await sources.test_connection(
        platform, place.viewer, place.project_id, FileGiven(bad.object_key)
    )

    assert (yes.ok, yes.error) == (True, None)
    assert no.error is not None
    assert (no.ok, no.error.code) == (False, "INVALID_INPUT")
    assert "empty" in no.message


async def test_nothing_is_kept_of_a_test(platform: Platform, postgres_database: str) -> None:
    place = await make_place()

    await sources.test_connection(
        platform, place.viewer, place.project_id, local(postgres_database, password=CANARY)
    )

    assert await DataSource.all().count() == 0


async def test_tests_are_limited_for_each_user(platform: Platform, silent_port: int) -> None:
    place = await make_place()
    other = (await place.member(Role.ADMIN)).acting(Role.WRITE)
    two = replace(platform, settings=replace(platform.settings, connection_checks_per_minute_max=2))
    given = local("postgres", port=silent_port)

    for _ in range(2):
        await sources.test_connection(two, place.viewer, place.project_id, given)

    async with refused(RateLimited):
        await sources.test_connection(two, place.viewer, place.project_id, given)
    source = await factories.make_source(place.project)
    async with refused(RateLimited):
        await sources.introspect(two, place.viewer, public_id("datasource", source.id))
    tested = await sources.test_connection(two, other, place.project_id, given)
    assert tested.ok is False


async def test_strangers_and_lower_roles_dial_nothing(platform: Platform) -> None:
    place = await make_place()
    stranger = (await make_place()).viewer
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)
    reader = (await place.member(Role.READ)).acting(Role.EXECUTE)
    source = await factories.make_source(place.project)
    source_id = public_id("datasource", source.id)

    async with refused(NotFound, "input.projectId"):
        await sources.test_connection(platform, stranger, place.project_id, local("x"))
    async with refused(Forbidden, "input.projectId"):
        await sources.test_connection(platform, low, place.project_id, local("x"))
    async with refused(NotFound, "input.id"):
        await sources.introspect(platform, stranger, source_id)
    async with refused(Forbidden, "input.id"):
        await sources.introspect(platform, reader, source_id)


async def test_the_tables_of_a_database_are_looked_up(
    platform: Platform, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE rain (id bigint PRIMARY KEY, mm numeric(6,2))")
    place = await make_place(Role.EXECUTE)
    settings = {
        "host": "127.0.0.1",
        "port": POSTGRES_PORT,
        "database": postgres_database.rpartition("/")[2],
        "username": "postgres",
        "ssl_mode": "prefer",
        "options": {},
    }
    source = await factories.make_source(
        place.project, type=DataSourceType.DATABASE, kind="postgresql", settings=settings
    )

    pk = await sources.introspect(platform, place.viewer, public_id("datasource", source.id))

    (table,) = (await DataSource.get(id=pk)).tables
    assert (table["schema"], table["name"]) == ("public", "rain")
    assert [(c["name"], c["type"], c["primary_key"]) for c in table["columns"]] == [
        ("id", "integer", True),
        ("mm", "decimal", False),
    ]


async def test_the_tables_of_a_sqlite_file_are_looked_up(
    platform: Platform, tmp_path: Path
) -> None:
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        connection.execute("CREATE TABLE rain (id INTEGER PRIMARY KEY, mm REAL)")
    connection.close()
    place = await make_place()
    upload = await put_upload(
        platform, place.project, "shop.db", (tmp_path / "shop.db").read_bytes()
    )
    settings = {"object_key": upload.object_key, "file_name": "shop.db"}
    source = await factories.make_source(
        place.project, type=DataSourceType.DATABASE, kind="sqlite", settings=settings
    )

    pk = await sources.introspect(platform, place.viewer, public_id("datasource", source.id))

    assert [table["name"] for table in (await DataSource.get(id=pk)).tables] == ["rain"]


async def test_a_source_that_does_not_answer_keeps_its_tables(
    platform: Platform, silent_port: int
) -> None:
    place = await make_place()
    source = await factories.make_source(
        place.project,
        type=DataSourceType.DATABASE,
        kind="postgresql",
        settings={
            "host": "127.0.0.1",
            "port": silent_port,
            "database": "x",
            "username": "y",
            "ssl_mode": "prefer",
            "options": {},
        },
        tables=[{"name": "old", "columns": []}],
    )
    sealed = sealing.seal(platform.keyring, source.id, {"password": CANARY})
    await DataSource.filter(id=source.id).update(secrets=sealed)

    async with refused(ConnectionFailed) as caught:
        await sources.introspect(platform, place.viewer, public_id("datasource", source.id))

    assert CANARY not in f"{caught.value!r} {caught.value.message} {caught.value.hint}"


def a_shop(path: Path) -> bytes:
    """A SQLite file of two tables."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            """CREATE TABLE rain (id INTEGER PRIMARY KEY, mm REAL);
               CREATE TABLE snow (at TEXT, cm INTEGER);
               INSERT INTO rain VALUES (1, 0.5), (2, 1.5);"""
        )
    return path.read_bytes()


async def test_a_test_looks_up_tables_where_it_is_asked_to(
    platform: Platform, tmp_path: Path
) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project, "shop.db", a_shop(tmp_path / "shop.db"))
    given = DatabaseGiven(DatabaseEngine.SQLITE, object_key=upload.object_key)
    before = await everything()

    without = await sources.test_connection(platform, place.viewer, place.project_id, given)
    tested = await sources.test_connection(
        platform, place.viewer, place.project_id, given, tables=True
    )

    assert (without.ok, without.tables) == (True, ())
    assert (tested.ok, tested.message) == (True, without.message)
    assert [(each.name, each.primary_key) for each in tested.tables] == [
        ("rain", ("id",)), ("snow", ()),
    ]  # fmt: skip
    assert [column.name for column in tested.tables[1].columns] == ["at", "cm"]
    assert await everything() == before


async def test_tables_of_a_database_server_come_with_their_estimates(
    platform: Platform, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE rain AS SELECT n FROM generate_series(1, 300) AS n")
        connection.execute("ANALYZE rain")
    place = await make_place()

    tested = await sources.test_connection(
        platform, place.viewer, place.project_id, local(postgres_database), tables=True
    )

    (table,) = tested.tables
    assert (table.schema, table.name, table.row_estimate) == ("public", "rain", 300)


async def test_a_source_that_says_no_has_no_tables(platform: Platform, silent_port: int) -> None:
    place = await make_place()
    given = local("postgres", port=silent_port, password=CANARY)

    tested = await sources.test_connection(
        platform, place.viewer, place.project_id, given, tables=True
    )

    assert (tested.ok, tested.tables) == (False, ())
    assert tested.error is not None
    assert tested.error.code == "CONNECTION_FAILED"
    assert CANARY not in f"{tested} {tested.error.message} {tested.error.hint}"


async def test_looking_up_tables_counts_and_is_refused_as_any_test(
    platform: Platform, silent_port: int
) -> None:
    place = await make_place()
    one = replace(platform, settings=replace(platform.settings, connection_checks_per_minute_max=1))
    stranger = (await make_place()).viewer
    given = local("postgres", port=silent_port)

    async with refused(NotFound, "input.projectId"):
        await sources.test_connection(one, stranger, place.project_id, given, tables=True)
    await sources.test_connection(one, place.viewer, place.project_id, given, tables=True)
    async with refused(RateLimited):
        await sources.test_connection(one, place.viewer, place.project_id, given, tables=True)


async def test_more_tables_than_are_shown_are_refused(
    platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project, "shop.db", a_shop(tmp_path / "shop.db"))
    given = DatabaseGiven(DatabaseEngine.SQLITE, object_key=upload.object_key)
    monkeypatch.setattr(checking, "TABLES_MAX", 1)

    async with refused(PayloadTooLarge, "input.connection"):
        await sources.test_connection(platform, place.viewer, place.project_id, given, tables=True)
    tested = await sources.test_connection(platform, place.viewer, place.project_id, given)
    assert tested.ok
