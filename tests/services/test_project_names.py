"""Names that are to be the only ones of their team: refused where they are taken, also at the same moment."""

from __future__ import annotations

import asyncio
from typing import Any

from base.errors import Conflict, NotFound
from base.ids import public_id
from models import Dataset, Project, Role, User
from services import projects
from services.platform import Platform
from tests import factories
from tests.services.places import Place, everything, make_place, refused

AT_ONCE = 4


async def make(platform: Platform, place: Place, name: str, **options: Any) -> int:
    told: dict[str, Any] = {"unique_name": True} | options
    return await projects.create(platform, place.viewer, name, place.team_id, **told)


async def rename(place: Place, pk: int, *, unique_name: bool = True, **changes: Any) -> int:
    public = public_id("project", pk)
    return await projects.update(place.viewer, public, changes, unique_name=unique_name)


async def reinstate(place: Place, pk: int, *, unique_name: bool = True) -> int:
    public = public_id("project", pk)
    return await projects.reinstate(place.viewer, public, unique_name=unique_name)


async def names_of(place: Place) -> list[str]:
    there = Project.filter(team_id=place.team.id, deleted_at=None).exclude(id=place.project.id)
    return [project.name for project in await there.order_by("id")]


async def test_a_name_of_an_active_project_of_the_team_is_refused_on_request(
    platform: Platform,
) -> None:
    place, other = await make_place(Role.WRITE), await make_place()
    await make(platform, place, "Rivers")
    await make(platform, other, "Rivers")

    async with refused(Conflict, "input.name") as caught:
        await make(platform, place, " Rivers ")
    assert caught.value.message == "The team has an active project of this name already."
    await make(platform, place, "rivers")
    await make(platform, place, "Rivers", unique_name=False)

    assert await names_of(place) == ["Rivers", "rivers", "Rivers"]


async def test_what_is_deleted_holds_no_name_and_comes_back_only_to_a_free_one(
    platform: Platform,
) -> None:
    place = await make_place(Role.WRITE)
    first = await make(platform, place, "Rivers")
    await projects.delete(place.viewer, public_id("project", first))
    second = await make(platform, place, "Rivers")

    async with refused(Conflict, "input.name"):
        await reinstate(place, first)
    assert await reinstate(place, second) == second  # it is there: nothing to bring back
    await rename(place, second, name="Lakes")
    assert await reinstate(place, first) == first
    assert await reinstate(place, first) == first

    assert await names_of(place) == ["Rivers", "Lakes"]
    await rename(place, second, name="Rivers", unique_name=False)
    assert await reinstate(place, first) == first


async def test_a_renamed_or_moved_project_is_held_against_where_it_is_then(
    platform: Platform,
) -> None:
    place, other = await make_place(), await make_place()
    user = await User.get(id=place.viewer.user_id)
    viewer = await factories.make_viewer(other.team, user=user)
    place = Place(viewer.acting(Role.ADMIN), place.team, place.project, place.dataset)
    rivers, lakes = await make(platform, place, "Rivers"), await make(platform, place, "Lakes")
    await factories.make_project(other.team, "Lakes")

    async with refused(Conflict, "input.name"):
        await rename(place, lakes, name="Rivers")
    async with refused(Conflict, "input.name"):
        await rename(place, lakes, team_id=other.team_id)
    async with refused(Conflict, "input.name"):
        await rename(place, rivers, team_id=other.team_id, name="Lakes")
    await rename(place, lakes, name="Lakes", description="the same name is its own")
    await rename(place, lakes, team_id=other.team_id, name="Ponds")
    await rename(place, rivers, name="Lakes")

    assert await names_of(place) == ["Lakes"]
    twin = await factories.make_project(place.team, "Lakes")
    await rename(place, rivers, description="not asked", unique_name=False)
    async with refused(Conflict, "input.name"):
        await rename(place, twin.id)


async def test_of_many_at_once_one_gets_the_name(platform: Platform) -> None:
    place = await make_place()
    gone = [await make(platform, place, "Gone", unique_name=False) for _ in range(2)]
    for pk in gone:
        await projects.delete(place.viewer, public_id("project", pk))
    others = [await make(platform, place, f"{n}") for n in range(2)]

    done = await asyncio.gather(
        *(make(platform, place, "Rivers") for _ in range(AT_ONCE)),
        *(rename(place, pk, name="Rivers") for pk in others),
        *(reinstate(place, pk) for pk in gone),
        return_exceptions=True,
    )

    refusals = [each for each in done if not isinstance(each, int)]
    assert [type(each) for each in refusals] == [Conflict] * (AT_ONCE + 2)
    assert sorted(await names_of(place)).count("Rivers") == 1
    assert sorted(await names_of(place)).count("Gone") == 1


async def test_making_one_again_with_the_same_key_makes_nothing(platform: Platform) -> None:
    place = await make_place()
    first = await make(platform, place, "Rivers", idempotency_key="k")
    at_rest = await everything()

    again = await asyncio.gather(
        *(make(platform, place, "Rivers", idempotency_key="k") for _ in range(3))
    )

    assert again == [first] * 3
    assert await everything() == at_rest
    async with refused(Conflict, "input.idempotencyKey"):
        await make(platform, place, "Lakes", idempotency_key="k")
    async with refused(Conflict, "input.name"):
        await make(platform, place, "Rivers", idempotency_key="another")
    assert await Dataset.filter(project_id=first).count() == 1


async def test_what_was_made_with_a_key_and_is_out_of_sight_is_not_found(
    platform: Platform,
) -> None:
    place, other = await make_place(), await make_place()
    pk = await make(platform, place, "Rivers", idempotency_key="k")
    await Project.filter(id=pk).update(team_id=other.team.id)

    async with refused(NotFound, "input.idempotencyKey"):
        await make(platform, place, "Rivers", idempotency_key="k")
    await Project.filter(id=pk).delete()
    async with refused(NotFound, "input.idempotencyKey"):
        await make(platform, place, "Rivers", idempotency_key="k")
