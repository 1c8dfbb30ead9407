"""What is somebody else's looks exactly like what does not exist, by public id and by integer key."""

from __future__ import annotations

from typing import Any

import pytest

from base.ids import parse_id, public_id
from models.database import Database
from services import rates
from services.platform import Platform
from tests.factories import make_viewer
from tests.graph.asking import Asker, statements
from tests.graph.test_keys import by_keys
from tests.house.calls import CALLS
from tests.house.test_permissions import document
from tests.house.worlds import make_world

FAR = 10**12  # from any key that there is


def missing(value: Any) -> Any:
    """The same input with ids of the same kinds that nothing has."""
    if isinstance(value, dict):
        return {name: missing(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [missing(inner) for inner in value]
    parsed = parse_id(value) if isinstance(value, str) else None
    return public_id(parsed[0], parsed[1] + FAR) if parsed else value


@pytest.mark.parametrize("by", ["id", "key"])
async def test_nothing_tells_a_foreign_id_from_a_missing_one(
    platform: Platform, database: Database, by: str
) -> None:
    """Not the answer, word for word, and not the number of statements that it takes."""
    world, stranger = await make_world(platform), Asker(platform, await make_viewer())

    async def answer(name: str, variables: dict[str, Any]) -> tuple[dict[str, Any], int]:
        rates.forget()
        async with statements(database) as sent:
            said = await stranger.answer(
                document(name), **(by_keys(variables) if by == "key" else variables)
            )
        return said, len(sent)

    problems, looks = [], 0
    for name, call in CALLS.items():
        foreign = await answer(name, call(world))
        none = await answer(name, missing(call(world)))
        looks += foreign[1]
        if foreign != none:
            problems.append(f"{name}: {foreign} is not {none}")

    assert problems == []
    assert looks >= len(CALLS), "they did look"
