"""Transactions under cancellation, under other tasks and under other processes."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from tortoise.exceptions import (
    DBConnectionError,
    IntegrityError,
    OperationalError,
    TransactionManagementError,
)

import models.database
from models import Project, Team, User
from models.database import Database, sqlite_path, transaction
from tests.factories import make_team, make_user

ROOT = Path(__file__).parents[2]
ROUNDS = 60
TASKS_PER_ROUND = 4
CANCEL_SECONDS_MAX = 0.006
PATIENCE_SECONDS = 120


async def _make_pair() -> None:
    async with transaction():
        await Team.create(name="left")
        await Team.create(name="right")


async def _make_many() -> None:
    await Team.bulk_create([Team(name="left"), Team(name="right")])


async def _cancel_at_random(work: list[asyncio.Task[None]], chance: random.Random) -> None:
    for task in work:
        await asyncio.sleep(chance.uniform(0, CANCEL_SECONDS_MAX / TASKS_PER_ROUND))
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)


async def test_cancelled_transactions_hold_no_lock_and_are_never_half_done(
    database: Database,
) -> None:
    chance = random.Random(1438)
    for _ in range(ROUNDS):
        work = [asyncio.ensure_future(_make_pair()) for _ in range(TASKS_PER_ROUND - 1)]
        work.append(asyncio.ensure_future(_make_many()))
        await _cancel_at_random(work, chance)

    async with asyncio.timeout(PATIENCE_SECONDS):
        await asyncio.gather(*(_make_pair() for _ in range(10)))  # twice the connections
    left = await Team.filter(name="left").count()
    assert left == await Team.filter(name="right").count()
    assert 10 <= left <= 10 + ROUNDS * TASKS_PER_ROUND


async def test_a_cancelled_transaction_is_over_when_its_task_is(database: Database) -> None:
    inside = asyncio.Event()

    async def wait_inside() -> None:
        async with transaction():
            await make_team()
            inside.set()
            await asyncio.sleep(PATIENCE_SECONDS)

    task = asyncio.ensure_future(wait_inside())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await make_team("next")
    assert [team.name for team in await Team.all()] == ["next"]


async def test_a_read_does_not_wait_for_another_task_s_transaction(database: Database) -> None:
    written, may_end = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        async with transaction():
            await make_team("new")
            written.set()
            await may_end.wait()

    writer = asyncio.ensure_future(write())
    await written.wait()
    async with asyncio.timeout(PATIENCE_SECONDS):
        seen_meanwhile = await Team.all().count()
    may_end.set()
    await writer

    assert seen_meanwhile == 0
    assert await Team.all().count() == 1


async def test_a_transaction_reads_its_own_writes(database: Database) -> None:
    async with transaction():
        await make_team()

        assert await Team.all().count() == 1
        rows = await database.connection.execute_query_dict("SELECT name FROM teams")
        assert len(rows) == 1


async def test_a_task_that_outlives_its_transaction_cannot_write_into_another(
    database: Database,
) -> None:
    may_write = asyncio.Event()

    async def write_late() -> None:
        await may_write.wait()
        await make_team("late")

    async with transaction():
        late = asyncio.ensure_future(write_late())
        await make_team("in time")
    may_write.set()

    with pytest.raises(TransactionManagementError, match="is over"):
        await late
    assert [team.name for team in await Team.all()] == ["in time"]


DEFER = {
    "sqlite": "PRAGMA defer_foreign_keys = ON",
    "postgresql": "ALTER TABLE projects ALTER CONSTRAINT projects_team_id_fkey DEFERRABLE INITIALLY DEFERRED",
}


async def test_a_commit_that_fails_undoes_the_transaction(database: Database) -> None:
    with pytest.raises(IntegrityError, match=r"(?i)foreign key"):
        await _commit_an_orphan(database)

    await make_team("after")
    assert [project.name for project in await Project.all()] == []


async def _commit_an_orphan(database: Database) -> None:
    async with transaction():
        await database.connection.execute_query(DEFER[database.dialect])
        await Project.create(name="orphan", team_id=1)


async def test_a_lock_that_another_process_keeps_is_an_error_and_then_forgotten(
    sqlite_url: str,
) -> None:
    async with models.database.open(sqlite_url) as database:
        await database.connection.execute_query("PRAGMA busy_timeout = 50")
        with closing(sqlite3.connect(sqlite_path(sqlite_url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(OperationalError, match="database is locked"):
                await _make_pair()

        await _make_pair()
        assert await Team.all().count() == 2


async def test_a_statement_over_its_time_is_ended_by_the_server(postgres_template: str) -> None:
    async with models.database.open(postgres_template) as database, transaction():
        await database.connection.execute_query("SET LOCAL statement_timeout = 50")
        with pytest.raises(OperationalError, match="statement timeout"):
            await database.connection.execute_query("SELECT pg_sleep(10)")


async def test_a_lost_connection_is_an_error_once(postgres_template: str) -> None:
    async with models.database.open(postgres_template, pool=1) as database:
        with pytest.raises(DBConnectionError):
            await database.connection.execute_query("SELECT pg_terminate_backend(pg_backend_pid())")

        assert await Team.all().count() == 0


async def test_a_connection_lost_in_a_transaction_is_replaced(postgres_template: str) -> None:
    async with models.database.open(postgres_template, pool=1) as database:
        with pytest.raises(DBConnectionError):
            await _lose_the_connection(database)

        assert await Team.all().count() == 0


async def _lose_the_connection(database: Database) -> None:
    async with transaction():
        await make_team("lost")
        await database.connection.execute_query("SELECT pg_terminate_backend(pg_backend_pid())")


async def test_a_server_that_takes_no_connection_is_out_of_reach_and_then_there(
    postgres_template: str,
) -> None:
    role = f"headwater_test_{secrets.token_hex(6)}"
    with psycopg.connect(postgres_template, autocommit=True) as server:
        server.execute(f'CREATE ROLE "{role}" LOGIN CONNECTION LIMIT 1')
        try:
            url = postgres_template.replace("postgres@", f"{role}@")
            async with models.database.open(url, pool=2) as database:
                server.execute(f'ALTER ROLE "{role}" CONNECTION LIMIT 0')
                server.execute(
                    "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = %s",
                    [role],
                )
                with pytest.raises(DBConnectionError):  # the connection that was lost
                    await database.connection.execute_query("SELECT 1")
                with pytest.raises(DBConnectionError, match="too many connections"):
                    await database.connection.execute_query("SELECT 1")
                with pytest.raises(DBConnectionError, match="too many connections"):
                    async with transaction():
                        pytest.fail("there is no connection for it")
                server.execute(f'ALTER ROLE "{role}" CONNECTION LIMIT 1')
                assert (await database.connection.execute_query("SELECT 1"))[0] == 1
        finally:
            server.execute(f'DROP ROLE "{role}"')


async def test_one_process_may_speak_both_dialects_in_turn(
    sqlite_url: str, postgres_template: str
) -> None:
    names = []
    for url in (sqlite_url, postgres_template, sqlite_url):
        async with models.database.open(url):
            user = await make_user()
            names.append((await User.get(id=user.id)).username == user.username)
            await user.delete()

    assert names == [True, True, True]


COUNT = """
import asyncio, sys
import models.database
from models import Team
from models.database import transaction

async def main(url):
    async with models.database.open(url):
        for _ in range(40):
            async with transaction():
                team = await Team.get()
                team.name = str(int(team.name) + 1)
                await team.save()

asyncio.run(main(sys.argv[1]))
"""


def _count(url: str) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.call([sys.executable, "-c", COUNT, url], env=environment)


async def test_three_processes_read_then_write_without_a_lost_update(sqlite_url: str) -> None:
    async with models.database.open(sqlite_url):
        await make_team("0")
        codes = await asyncio.gather(*(asyncio.to_thread(_count, sqlite_url) for _ in range(3)))

        assert codes == [0, 0, 0]
        assert (await Team.get()).name == "120"
