"""Users with their teams, and who may change those."""

import asyncio

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound
from base.ids import public_id
from models import Membership, Role, Team, User
from services import accounts
from services.access import Viewer
from services.authentication import viewer_of
from services.platform import Platform
from tests import factories
from tests.services.places import make_place, refused

pytestmark = pytest.mark.usefixtures("database")


async def roles(team: Team) -> dict[str, Role]:
    members = await Membership.filter(team=team).prefetch_related("user")
    return {each.user.username: each.role for each in members}


async def test_a_new_user_has_a_personal_team() -> None:
    user = await accounts.ensure_user("ada")

    (membership,) = await Membership.all().prefetch_related("team", "user")
    assert (membership.user.id, membership.role) == (user.id, Role.ADMIN)
    assert (membership.team.name, membership.team.creator_id) == ("ada's team", user.id)  # type: ignore[attr-defined]
    assert user.is_staff is False


async def test_the_first_user_is_staff_and_made_once() -> None:
    made = await asyncio.gather(*(accounts.ensure_user(accounts.FIRST_USER) for _ in range(8)))

    assert {user.id for user in made} == {made[0].id}
    assert made[0].is_staff is True
    assert (await User.all().count(), await Team.all().count()) == (1, 1)


async def test_who_makes_a_team_is_its_admin_and_creator(platform: Platform) -> None:
    viewer = (await factories.make_viewer(role=None)).acting(Role.ADMIN)

    pk = await accounts.create_team(platform, viewer, "  Rivers ")

    team = await Team.get(id=pk)
    assert (team.name, team.creator_id) == ("Rivers", viewer.user_id)  # type: ignore[attr-defined]
    assert await roles(team) == {viewer.username: Role.ADMIN}


async def test_a_team_is_made_once_for_its_key(platform: Platform) -> None:
    viewer = (await factories.make_viewer(role=None)).acting(Role.ADMIN)

    first = await accounts.create_team(platform, viewer, "Rivers", "k")

    assert await accounts.create_team(platform, viewer, "Rivers", "k") == first
    async with refused(Conflict, "input.idempotencyKey"):
        await accounts.create_team(platform, viewer, "Lakes", "k")
    assert await accounts.create_team(platform, viewer, "Rivers") != first


async def test_who_left_a_team_is_not_answered_about_it(platform: Platform) -> None:
    viewer = (await factories.make_viewer(role=None)).acting(Role.ADMIN)
    made = public_id("team", await accounts.create_team(platform, viewer, "Rivers", "k"))
    viewer = await accounts.refreshed(viewer)
    other = await factories.make_user("bob")
    await accounts.set_team_member(viewer, made, other.username, Role.ADMIN)
    await accounts.set_team_member(viewer, made, viewer.username, Role.READ)
    assert public_id("team", await accounts.create_team(platform, viewer, "Rivers", "k")) == made

    await Membership.filter(user_id=viewer.user_id).delete()

    async with refused(NotFound, "input.idempotencyKey"):
        await accounts.create_team(platform, viewer, "Rivers", "k")


async def test_a_team_stays_when_its_creator_goes() -> None:
    user = await accounts.ensure_user("ada")
    team = await Team.get(creator=user)

    await user.delete()

    assert (await Team.get(id=team.id)).creator_id is None  # type: ignore[attr-defined]


async def test_an_admin_renames_a_team() -> None:
    place = await make_place()

    assert await accounts.update_team(place.viewer, place.team_id, " Lakes ") == place.team.id
    assert (await Team.get(id=place.team.id)).name == "Lakes"
    async with refused(InvalidInput, "input.name"):
        await accounts.update_team(place.viewer, place.team_id, " ")


@pytest.mark.parametrize("role", [Role.READ, Role.EXECUTE, Role.WRITE])
async def test_nobody_else_renames_a_team(role: Role) -> None:
    place = await make_place(role)
    held = await factories.make_viewer(place.team, project_id=place.project.id, needs=Role.ADMIN)
    stranger = (await make_place()).viewer

    async with refused(Forbidden, "input.id"):
        await accounts.update_team(place.viewer.acting(Role.ADMIN), place.team_id, "Lakes")
    async with refused(NotFound, "input.id"):
        await accounts.update_team(stranger, place.team_id, "Lakes")
    async with refused(Forbidden):
        await accounts.update_team(held, place.team_id, "Lakes")


async def test_a_team_needs_a_name(platform: Platform) -> None:
    viewer = (await factories.make_viewer(role=None)).acting(Role.ADMIN)

    async with refused(InvalidInput, "input.name"):
        await accounts.create_team(platform, viewer, " ")


async def test_a_token_held_to_a_project_makes_no_team(platform: Platform) -> None:
    place = await make_place()
    held = await factories.make_viewer(place.team, project_id=place.project.id, needs=Role.ADMIN)

    async with refused(Forbidden):
        await accounts.create_team(platform, held, "Rivers")
    async with refused(Forbidden):
        await accounts.set_team_member(held, place.team_id, place.viewer.username, Role.READ)


async def test_members_come_change_and_go() -> None:
    place = await make_place()
    await factories.make_user("bob")
    expected: list[tuple[Role | None, dict[str, Role]]] = [
        (Role.READ, {"bob": Role.READ}),
        (Role.WRITE, {"bob": Role.WRITE}),
        (Role.WRITE, {"bob": Role.WRITE}),
        (None, {}),
        (None, {}),
    ]

    for role, others in expected:
        pk = await accounts.set_team_member(place.viewer, place.team_id, "bob", role)

        assert pk == place.team.id
        assert await roles(place.team) == {place.viewer.username: Role.ADMIN} | others


async def test_an_unknown_user_is_not_found() -> None:
    place = await make_place()

    async with refused(NotFound, "input.username"):
        await accounts.set_team_member(place.viewer, place.team_id, "nobody", Role.READ)


@pytest.mark.parametrize("role", [Role.READ, Role.EXECUTE, Role.WRITE])
async def test_only_an_admin_changes_members(role: Role) -> None:
    place = await make_place(role)
    bob = await factories.make_user("bob")

    async with refused(Forbidden, "input.teamId"):
        await accounts.set_team_member(
            place.viewer.acting(Role.ADMIN), place.team_id, bob.username, Role.READ
        )


async def test_a_stranger_does_not_find_the_team() -> None:
    place, stranger = await make_place(), (await make_place()).viewer

    async with refused(NotFound, "input.teamId"):
        await accounts.set_team_member(stranger, place.team_id, stranger.username, Role.ADMIN)


@pytest.mark.parametrize("role", [None, Role.READ])
async def test_a_team_keeps_an_admin(role: Role | None) -> None:
    place = await make_place()
    await place.member(Role.WRITE)

    async with refused(Conflict, "input.role"):
        await accounts.set_team_member(place.viewer, place.team_id, place.viewer.username, role)


async def test_two_admins_who_remove_each_other_at_once_leave_one() -> None:
    place = await make_place()
    other = (await place.member(Role.ADMIN)).acting(Role.ADMIN)

    async def remove(by: Viewer, whom: Viewer) -> bool:
        try:
            await accounts.set_team_member(by, place.team_id, whom.username, None)
        except (Conflict, NotFound, Forbidden):
            return False
        return True

    done = await asyncio.gather(remove(place.viewer, other), remove(other, place.viewer))

    assert sorted(done) == [False, True]
    assert list((await roles(place.team)).values()) == [Role.ADMIN]


async def test_the_viewer_of_a_user_has_the_user_s_teams() -> None:
    place = await make_place(Role.EXECUTE)
    user = await User.get(id=place.viewer.user_id)

    viewer = await viewer_of(user.id)

    assert viewer is not None
    assert viewer.teams == {place.team.id: Role.EXECUTE}
    assert (viewer.needs, viewer.project_id, public_id("user", viewer.user_id)) == (
        None, None, public_id("user", user.id),
    )  # fmt: skip
