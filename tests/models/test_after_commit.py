"""What waits for a commit."""

from __future__ import annotations

import asyncio

import pytest

from models import Team
from models.database import Database, after_commit, transaction


def test_outside_of_a_transaction_nothing_waits() -> None:
    calls: list[str] = []

    after_commit(lambda: calls.append("a"))

    assert calls == ["a"]


async def test_it_is_called_once_the_outermost_transaction_is_committed(database: Database) -> None:
    assert database
    calls: list[str] = []
    async with transaction():
        after_commit(lambda: calls.append("a"))
        async with transaction():
            await Team.create(name="team")
            after_commit(lambda: calls.append("b"))
        after_commit(lambda: calls.append("c"))
        assert calls == []

    assert calls == ["a", "b", "c"]
    assert await Team.all().count() == 1


async def test_what_is_rolled_back_is_never_called(database: Database) -> None:
    assert database
    calls: list[str] = []

    async def fail(name: str) -> None:
        async with transaction():
            after_commit(lambda: calls.append(name))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail("a")
    async with transaction():
        after_commit(lambda: calls.append("b"))
        with pytest.raises(ZeroDivisionError):
            await fail("c")

    assert calls == ["b"]


async def test_transactions_of_two_tasks_do_not_mix(database: Database) -> None:
    assert database
    calls: list[str] = []

    async def one(name: str, *, fails: bool) -> None:
        async with transaction():
            after_commit(lambda: calls.append(name))
            await Team.create(name=name)
            if fails:
                raise ZeroDivisionError

    done = await asyncio.gather(
        one("a", fails=False), one("b", fails=True), one("c", fails=False), return_exceptions=True
    )

    assert [type(each) for each in done] == [type(None), ZeroDivisionError, type(None)]
    assert sorted(calls) == ["a", "c"]
