"""A request that is sent again has one effect and one answer, also when all come at once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest

from base.errors import Conflict, InvalidInput
from models import IdempotencyKey, Team
from services import idempotency
from services.access import Viewer
from services.platform import Platform
from tests import factories
from tests.services.places import refused


@dataclass
class Work:
    """Makes a team; `given` is its input."""

    platform: Platform
    viewer: Viewer
    prepared: int = 0
    fails: list[Exception] = field(default_factory=list)

    async def once(self, key: str | None, given: Any = "input", operation: str = "op") -> int:
        done = await idempotency.once(
            self.platform,
            self.viewer,
            operation,
            key,
            given,
            prepare=self._prepare,
            commit=self._commit,
        )
        team: int = done["team"]
        return team

    async def _prepare(self) -> str:
        self.prepared += 1
        return "a team"

    async def _commit(self, name: str) -> dict[str, Any]:
        team = await Team.create(name=name)
        if self.fails:
            raise self.fails.pop()
        return {"team": team.id}


@pytest.fixture
async def work(platform: Platform) -> Work:
    return Work(platform, await factories.make_viewer(role=None))


async def test_the_same_key_and_input_give_the_same_answer(work: Work) -> None:
    first = await work.once("k")

    assert await work.once("k") == first
    assert await work.once(" k ") == first
    assert (await Team.all().count(), work.prepared) == (1, 1)


async def test_twenty_at_once_have_one_effect(work: Work) -> None:
    answers = await asyncio.gather(*(work.once("k") for _ in range(20)))

    assert len(set(answers)) == 1
    assert await Team.all().count() == 1


async def test_without_a_key_every_request_counts(work: Work) -> None:
    assert await work.once(None) != await work.once(None)
    assert await IdempotencyKey.all().count() == 0


async def test_another_input_is_a_conflict(work: Work) -> None:
    await work.once("k", {"a": 1, "b": [2]})

    assert await work.once("k", {"b": [2], "a": 1})
    async with refused(Conflict, "input.idempotencyKey"):
        await work.once("k", {"a": 1, "b": [3]})


async def test_another_user_or_operation_has_keys_of_its_own(work: Work) -> None:
    first = await work.once("k")
    other = Work(work.platform, await factories.make_viewer(role=None))

    assert len({first, await work.once("k", operation="other"), await other.once("k")}) == 3


async def test_what_failed_is_not_remembered(work: Work) -> None:
    work.fails.append(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await work.once("k")
    assert (await Team.all().count(), await IdempotencyKey.all().count()) == (0, 0)

    await work.once("k", "another input")

    assert await Team.all().count() == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 201, "a\x00"])
async def test_a_bad_key_is_refused(work: Work, key: str) -> None:
    async with refused(InvalidInput, "input.idempotencyKey"):
        await work.once(key)


async def test_the_kept_fingerprint_is_no_plain_hash_of_the_input(work: Work) -> None:
    await work.once("k", {"password": "canary-password"})

    (row,) = await IdempotencyKey.all().values()
    assert "canary" not in str(row)
    other = Work(work.platform, await factories.make_viewer(role=None))
    other.platform = _with_another_key(work.platform)
    await other.once("k", {"password": "canary-password"})
    fingerprints = {each["fingerprint"] for each in await IdempotencyKey.all().values()}
    assert len(fingerprints) == 2


def _with_another_key(platform: Platform) -> Platform:
    return Platform(
        settings=platform.settings,
        keyring=type(platform.keyring)(["A" * 43 + "="]),
        store=platform.store,
        guard=platform.guard,
    )
