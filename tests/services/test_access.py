"""Who sees what: the one door to a row, and the scopes of lists."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tortoise.models import Model

from base.errors import Forbidden, NotFound, PlatformError, Unauthenticated
from base.ids import public_id
from models import (
    ApiToken,
    Dataset,
    DataSource,
    Job,
    Membership,
    Project,
    Role,
    Snapshot,
    Team,
    Upload,
    User,
    rows,
)
from services.access import KINDS, Viewer, find, visible
from tests import factories

pytestmark = pytest.mark.usefixtures("database")


class House:
    """A team with one of everything below its project."""

    team: Team
    project: Project
    rows: dict[type[Model], Any]


async def build() -> House:
    house = House()
    house.team = await factories.make_team()
    house.project = project = await factories.make_project(house.team)
    dataset = await factories.make_dataset(project)
    source = await factories.make_source(project, dataset)
    house.rows = {
        Team: house.team,
        Project: project,
        Dataset: dataset,
        DataSource: source,
        Job: await factories.make_job(source),
        Snapshot: await factories.make_snapshot(source),
        Upload: await factories.make_upload(project),
    }
    return house


def id_of(row: Any) -> str:
    return public_id(KINDS[type(row)], row.id)


async def sees(viewer: Viewer, model: type[Model]) -> list[int]:
    found = await rows.select(model, ("id",), *visible(viewer, model), order=rows.Order(("id",)))
    return [row.id for row in found]


async def outcome(viewer: Viewer | None, row: Any, **options: Any) -> Any:
    try:
        found = await find(viewer, type(row), id_of(row), **options)
    except PlatformError as error:
        return type(error)
    return found.pk


async def test_a_member_finds_and_lists_everything_of_the_team() -> None:
    house = await build()
    member = (await factories.make_viewer(house.team, Role.READ)).acting(Role.READ)

    for model, row in house.rows.items():
        assert await outcome(member, row) == row.id, model
        assert await sees(member, model) == [row.id], model


async def test_a_stranger_and_another_team_find_nothing_and_cannot_tell_why() -> None:
    house, other = await build(), await build()
    stranger = (await factories.make_viewer(role=None)).acting(Role.READ)
    neighbour = (await factories.make_viewer(other.team)).acting(Role.READ)

    for model, row in house.rows.items():
        foreign = id_of(row)
        missing = public_id(KINDS[model], 999_999)
        for viewer in (stranger, neighbour):
            messages = set()
            for public in (foreign, missing, "nonsense", "", public_id("script", row.id)):
                with pytest.raises(NotFound) as refused:
                    await find(viewer, model, public, field="input.id")
                messages.add((refused.value.message, refused.value.hint, refused.value.field))
            assert len(messages) == 1, model
        assert await sees(stranger, model) == []
        assert await sees(neighbour, model) == [other.rows[model].id]


async def test_nobody_is_unauthenticated() -> None:
    house = await build()

    assert await outcome(None, house.project) is Unauthenticated


async def test_an_operation_that_declares_no_role_gets_no_row() -> None:
    house = await build()
    member = await factories.make_viewer(house.team)

    with pytest.raises(RuntimeError):
        await find(member, Project, id_of(house.project))


@pytest.mark.parametrize("role", list(Role))
async def test_a_role_includes_the_ones_before_it_and_no_more(role: Role) -> None:
    house = await build()
    member = await factories.make_viewer(house.team, role)

    for needed in Role:
        expected = house.project.id if role.rank >= needed.rank else Forbidden
        assert await outcome(member.acting(needed), house.project) == expected


async def test_a_high_role_elsewhere_gives_no_right_here() -> None:
    house, other = await build(), await build()
    viewer = await factories.make_viewer(house.team, Role.READ)
    await factories.make_membership(await User.get(id=viewer.user_id), other.team, Role.ADMIN)
    viewer = await factories.make_viewer(role=None, user=await User.get(id=viewer.user_id))

    assert await outcome(viewer.acting(Role.WRITE), house.rows[DataSource]) is Forbidden
    assert (
        await outcome(viewer.acting(Role.WRITE), other.rows[DataSource])
        == other.rows[DataSource].id
    )


async def test_a_token_is_capped_by_its_own_role() -> None:
    house = await build()
    reader = await factories.make_viewer(house.team, Role.ADMIN, role_max=Role.READ)

    assert reader.role_in(house.team.id) is Role.READ
    assert await outcome(reader.acting(Role.READ), house.project) == house.project.id
    with pytest.raises(Forbidden):
        reader.acting(Role.EXECUTE)


async def test_a_token_held_to_a_project_reaches_that_project_alone() -> None:
    house = await build()
    sibling = await factories.make_project(house.team)
    other_source = await factories.make_source(sibling)
    for is_staff in (False, True):
        user = await factories.make_user(is_staff=is_staff)
        viewer = await factories.make_viewer(house.team, user=user, project_id=house.project.id)
        viewer = viewer.acting(Role.WRITE)

        for model, row in house.rows.items():
            assert await outcome(viewer, row) == row.id, model
            assert await sees(viewer, model) == [row.id], model
        assert await outcome(viewer, sibling) is NotFound
        assert await outcome(viewer, other_source) is NotFound


async def test_staff_reach_every_team_but_only_with_a_staff_token_role() -> None:
    house = await build()
    user = await factories.make_user(is_staff=True)
    staff = await factories.make_viewer(role=None, user=user)
    reader = await factories.make_viewer(role=None, user=user, role_max=Role.READ)

    assert staff.role_in(house.team.id) is Role.ADMIN
    assert reader.role_in(house.team.id) is Role.READ
    for row in house.rows.values():
        assert await outcome(staff.acting(Role.ADMIN), row) == row.id


async def test_a_deleted_project_hides_all_that_is_below_it() -> None:
    house = await build()
    member = (await factories.make_viewer(house.team)).acting(Role.WRITE)
    await Project.filter(id=house.project.id).update(deleted_at=datetime.now(UTC))

    for model, row in house.rows.items():
        expected = row.id if model is Team else NotFound
        assert await outcome(member, row) == expected, model
        assert await outcome(member, row, deleted=True) == row.id, model
        assert await sees(member, model) == ([row.id] if model is Team else []), model


async def test_a_deleted_source_hides_its_snapshots() -> None:
    house = await build()
    member = (await factories.make_viewer(house.team)).acting(Role.READ)
    source = house.rows[DataSource]
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))

    assert await outcome(member, source) is NotFound
    assert await outcome(member, source, deleted=True) == source.id
    assert await outcome(member, house.rows[Snapshot]) is NotFound
    assert await sees(member, DataSource) == []


async def test_users_see_themselves_and_their_colleagues() -> None:
    house = await build()
    one = await factories.make_viewer(house.team)
    two = await factories.make_viewer(house.team)
    stranger = await factories.make_viewer()

    assert await sees(one, User) == sorted([one.user_id, two.user_id])
    assert await sees(stranger, User) == [stranger.user_id]
    assert len(await sees(one, Membership)) == 2
    assert len(await sees(stranger, Membership)) == 1


async def test_tokens_are_their_owners_alone() -> None:
    house = await build()
    owner = await factories.make_viewer(house.team)
    colleague = await factories.make_viewer(house.team)
    user = await User.get(id=owner.user_id)
    token, _ = await factories.make_token(user)
    bound, _ = await factories.make_token(user, project=house.project)
    held = await factories.make_viewer(role=None, user=user, project_id=house.project.id)

    assert await sees(owner, ApiToken) == [token.id, bound.id]
    assert await sees(held, ApiToken) == [bound.id]
    assert await sees(colleague, ApiToken) == []
    assert await outcome(owner.acting(Role.READ), token) == token.id
    assert await outcome(colleague.acting(Role.ADMIN), token) is NotFound
