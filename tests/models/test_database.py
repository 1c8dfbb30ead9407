"""The open database: one clock, one connection of the moment, transactions that nest."""

import time

import pytest
from tortoise.exceptions import DBConnectionError, IntegrityError

from models import Role, Team, User
from models.database import Database, now_ms_sql, transaction
from models.database import open as open_database
from tests.databases import IDS_APART
from tests.factories import (
    make_job,
    make_snapshot,
    make_source,
    make_token,
    make_upload,
    make_user,
    make_viewer,
)


async def _make_team_and_user(team: str, username: str) -> None:
    async with transaction():
        await Team.create(name=team)
        await make_user(username)


async def test_the_clock_is_the_database_s_in_milliseconds(database: Database) -> None:
    before = time.time() * 1000

    rows = await database.connection.execute_query_dict(
        f"SELECT {now_ms_sql(database.dialect)} AS now"
    )

    assert type(rows[0]["now"]) is int
    assert before - 5 <= rows[0]["now"] <= time.time() * 1000 + 5


async def test_a_failed_statement_in_a_savepoint_leaves_the_transaction_usable(
    database: Database,
) -> None:
    await make_user("taken")

    async with transaction():
        await Team.create(name="kept")
        with pytest.raises(IntegrityError):
            await _make_team_and_user("lost", "taken")
        await make_user("free")

    assert [team.name for team in await Team.all()] == ["kept"]
    assert [user.username for user in await User.all().order_by("id")] == ["taken", "free"]


async def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    await make_user("taken")

    with pytest.raises(IntegrityError):
        await _make_team_and_user("lost", "taken")

    assert await Team.all().count() == 0


async def test_every_factory_makes_a_valid_row(database: Database) -> None:
    source = await make_source()

    job = await make_job(source)
    first, second = await make_snapshot(source, job=job), await make_snapshot(source)
    upload = await make_upload()

    viewer = await make_viewer(role=Role.READ)
    stranger = await make_viewer(role=None)
    token, secret = await make_token(role=Role.WRITE)

    assert list(viewer.teams.values()) == [Role.READ]
    assert stranger.teams == {}
    assert (token.role, secret[:3]) == (Role.WRITE, "hw_")
    assert (first.number, second.number) == (1, 2)
    assert job.active_key == f"sync:{source.id}"
    assert upload.size_bytes == 0


async def test_ids_of_different_tables_start_apart(database: Database) -> None:
    source = await make_source()

    ids = {source.id, source.project_id, source.dataset_id}  # type: ignore[attr-defined]

    assert len(ids) == 3
    assert all(number % IDS_APART == 0 for number in ids)


async def test_a_database_that_does_not_answer_is_said_at_once_and_can_be_tried_again(
    sqlite_url: str,
) -> None:
    for _ in range(2):
        with pytest.raises(DBConnectionError):
            await _open("postgresql://postgres@127.0.0.1:1/none")
    with pytest.raises(DBConnectionError, match="unable to open database file"):
        await _open("sqlite:////nowhere/at/all.db")

    await _open(sqlite_url)


async def _open(url: str) -> None:
    async with open_database(url):
        pass


@pytest.mark.parametrize(
    "url", ["mysql://root@127.0.0.1/x", "sqlite://", "sqlite:///:memory:", "sqlite:///", "x"]
)
async def test_an_address_of_no_database_of_ours_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="address"):
        await _open(url)
