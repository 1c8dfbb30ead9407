"""Batches: asked for together, fetched together; nothing is kept, no failure is lost."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from graph.loaders import Loaders


class Source:
    """Answers with the square of each key, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    async def squares(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.asked.append(list(keys))
        await asyncio.sleep(0)
        return {key: key * key for key in keys if key < 10}


async def test_what_is_asked_for_together_is_fetched_at_once_and_each_key_once() -> None:
    loaders, source = Loaders(), Source()

    async def one(key: int) -> Any:
        return await loaders.load("squares", key, source.squares)

    answers = await asyncio.gather(*(one(key) for key in (1, 2, 1, 11)))

    assert answers == [1, 4, 1, None]
    assert source.asked == [[1, 2, 11]]


async def test_batches_of_different_names_are_apart_and_nothing_is_kept() -> None:
    loaders, source = Loaders(), Source()

    first = await asyncio.gather(
        loaders.load("a", 1, source.squares), loaders.load("b", 2, source.squares)
    )
    second = await loaders.load("a", 1, source.squares)

    assert [*first, second] == [1, 4, 1]
    assert source.asked == [[1], [2], [1]]


async def test_a_failure_reaches_everyone_who_waits() -> None:
    loaders = Loaders()

    async def fail(keys: Sequence[int]) -> Mapping[int, int]:
        raise OSError(f"{len(keys)} keys")

    outcomes = await asyncio.gather(
        loaders.load("x", 1, fail), loaders.load("x", 2, fail), return_exceptions=True
    )

    assert [str(outcome) for outcome in outcomes] == ["2 keys", "2 keys"]


async def test_one_who_stops_waiting_does_not_disturb_the_others() -> None:
    loaders, source = Loaders(), Source()
    gone = loaders.load("squares", 1, source.squares)
    stays = loaders.load("squares", 2, source.squares)

    gone.cancel()

    assert await stays == 4
    with pytest.raises(asyncio.CancelledError):
        await gone
