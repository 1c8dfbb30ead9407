"""Who one is, whom and which project one means: users, the token in use, the default project, members of a team."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from base.ids import public_id
from graph.scalars import rfc3339
from models import Membership, Project, Role, User
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.services.places import Place, make_place

USER = "query ($id: ID, $username: String) { user(id: $id, username: $username) { id pk } }"
PROJECT = "{ defaultProject { pk } }"
DAY = timedelta(days=1)


async def default(platform: Platform, viewer: Any) -> int | None:
    found = (await Asker(platform, viewer).data(PROJECT))["defaultProject"]
    return None if found is None else int(found["pk"])


async def test_teams_users_and_tokens_tell_their_keys(platform: Platform, place: Place) -> None:
    token, _ = await factories.make_token(await User.get(id=place.viewer.user_id))
    query = "{ viewer { pk tokens { pk } teams { team { pk } } } }"

    found = await Asker(platform, place.viewer).data(query)

    assert found == {
        "viewer": {
            "pk": place.viewer.user_id,
            "tokens": [{"pk": token.id}],
            "teams": [{"team": {"pk": place.team.id}}],
        }
    }


async def test_a_user_is_found_by_id_key_or_name(platform: Platform, place: Place) -> None:
    asker, bob = Asker(platform, place.viewer), await place.member(Role.READ)
    shown = {"user": {"id": public_id("user", bob.user_id), "pk": bob.user_id}}

    assert await asker.data(USER, id=public_id("user", bob.user_id)) == shown
    assert await asker.data(USER, id=bob.user_id) == shown
    assert await asker.data(USER, username=bob.username) == shown


async def test_a_stranger_looks_as_one_who_does_not_exist(platform: Platform, place: Place) -> None:
    asker, stranger = Asker(platform, place.viewer), (await make_place()).viewer

    for by in (
        {"username": stranger.username},
        {"id": public_id("user", stranger.user_id)},
        {"username": "nobody"},
        {"username": ""},
        {"id": place.team_id},
    ):
        assert await asker.data(USER, **by) == {"user": None}


async def test_a_user_is_asked_for_in_one_way(platform: Platform, place: Place) -> None:
    asker = Asker(platform, place.viewer)

    assert await asker.code(USER) == ("INVALID_INPUT", "username")
    assert await asker.code(USER, id="1", username="ada") == ("INVALID_INPUT", "username")
    assert await asker.code(USER, username="a\0") == ("INVALID_INPUT", "username")
    assert (await Asker(platform, None).code(USER, id="1"))[0] == "UNAUTHENTICATED"


async def test_the_token_in_use_is_shown(platform: Platform, place: Place) -> None:
    token, _ = await factories.make_token(await User.get(id=place.viewer.user_id), name="robot")
    query = "{ viewerToken { pk name } }"

    used = await place.member(Role.READ)
    mine = await factories.make_viewer(
        role=None, user=await User.get(id=place.viewer.user_id), token_id=token.id
    )

    assert await Asker(platform, mine).data(query) == {
        "viewerToken": {"pk": token.id, "name": "robot"}
    }
    assert await Asker(platform, used).data(query) == {"viewerToken": None}
    assert (await Asker(platform, None).code(query))[0] == "UNAUTHENTICATED"


async def test_the_default_project_is_the_oldest_active_one(
    platform: Platform, place: Place
) -> None:
    older = await factories.make_project(place.team)
    gone = await factories.make_project(place.team, deleted_at=datetime.now(UTC))
    foreign = await factories.make_project()
    for project, days in ((older, 1), (gone, 2), (foreign, 3)):
        created_at = datetime.now(UTC) - days * DAY
        await Project.filter(id=project.id).update(created_at=created_at)

    assert await default(platform, place.viewer) == older.id
    await Project.filter(id=older.id).update(deleted_at=datetime.now(UTC))
    assert await default(platform, place.viewer) == place.project.id


async def test_the_default_project_of_a_held_token_is_its_own(
    platform: Platform, place: Place
) -> None:
    newer = await factories.make_project(place.team)
    held = await place.member(Role.READ, project_id=newer.id)

    assert await default(platform, held) == newer.id
    await Project.filter(id=newer.id).update(deleted_at=datetime.now(UTC))
    assert await default(platform, held) is None


async def test_staff_and_newcomers_have_no_default_project(
    platform: Platform, place: Place
) -> None:
    staff = await factories.make_user(is_staff=True)

    assert await default(platform, await factories.make_viewer(role=None, user=staff)) is None
    assert await default(platform, await factories.make_viewer()) is None
    await Membership.create(user=staff, team=place.team, role=Role.READ)
    member = await factories.make_viewer(role=None, user=staff)
    assert await default(platform, member) == place.project.id


async def test_a_team_tells_its_creator_and_one_member(platform: Platform, place: Place) -> None:
    asker, bob = Asker(platform, place.viewer), await place.member(Role.EXECUTE)
    query = """mutation ($input: CreateTeamInput!) {
        createTeam(input: $input) { team { id creator { username } } }
    }"""
    member = """query ($id: ID!, $a: String!, $b: String!) {
        team(id: $id) { creator { id } a: member(username: $a) { role } b: member(username: $b) { role } }
    }"""

    made = (await asker.data(query, input={"name": "n", "idempotencyKey": "k"}))["createTeam"]
    again = (await asker.data(query, input={"name": "n", "idempotencyKey": "k"}))["createTeam"]
    found = await asker.data(member, id=place.team_id, a=bob.username, b="nobody")

    assert made["team"]["creator"] == {"username": place.viewer.username}
    assert again == made
    assert found == {"team": {"creator": None, "a": {"role": "EXECUTE"}, "b": None}}


async def test_a_membership_tells_since_when(platform: Platform, place: Place) -> None:
    joined = (await Membership.get(team=place.team, user_id=place.viewer.user_id)).created_at

    found = await Asker(platform, place.viewer).data("{ viewer { teams { createdAt } } }")

    assert found == {"viewer": {"teams": [{"createdAt": rfc3339(joined)}]}}


async def test_a_member_of_another_team_is_no_member(platform: Platform, place: Place) -> None:
    other = await make_place()
    query = "query ($name: String!) { projects { nodes { team { member(username: $name) { role } } } } }"
    both = await factories.make_viewer(
        place.team, user=await User.get(id=other.viewer.user_id), role=Role.READ
    )

    found = await Asker(platform, both).data(query, name=place.viewer.username)

    members = [node["team"]["member"] for node in found["projects"]["nodes"]]
    assert members == [{"role": "ADMIN"}, None]


async def test_a_team_is_renamed_by_its_admin(platform: Platform, place: Place) -> None:
    query = (
        """mutation ($input: UpdateTeamInput!) { updateTeam(input: $input) { team { name } } }"""
    )
    given = {"id": place.team_id, "name": " Lakes "}

    renamed = await Asker(platform, place.viewer).data(query, input=given)

    assert renamed == {"updateTeam": {"team": {"name": "Lakes"}}}
    writer = await place.member(Role.WRITE)
    assert await Asker(platform, writer).code(query, input=given) == ("FORBIDDEN", "input.id")


async def test_teams_and_users_are_those_that_one_sees(platform: Platform, place: Place) -> None:
    query = "{ teams { totalCount nodes { pk } } users { totalCount nodes { pk } } }"
    bob, other = await place.member(Role.READ), await make_place()
    held = await factories.make_viewer(
        other.team,
        user=await User.get(id=place.viewer.user_id),
        role=Role.READ,
        project_id=other.project.id,
    )
    staff = await factories.make_viewer(role=None, user=await factories.make_user(is_staff=True))

    def shown(data: Any) -> tuple[list[int], list[int]]:
        both = [[node["pk"] for node in data[name]["nodes"]] for name in ("teams", "users")]
        assert [data[name]["totalCount"] for name in ("teams", "users")] == [*map(len, both)]
        return both[0], both[1]

    me, stranger = place.viewer.user_id, other.viewer.user_id
    teams, users = shown(await Asker(platform, staff).data(query))
    assert {place.team.id, other.team.id} <= set(teams)
    assert {me, bob.user_id, stranger, staff.user_id} <= set(users)
    assert shown(await Asker(platform, bob).data(query)) == ([place.team.id], [me, bob.user_id])
    assert shown(await Asker(platform, held).data(query)) == ([other.team.id], [me, stranger])
    assert (await Asker(platform, None).code("{ users { totalCount } }"))[0] == "UNAUTHENTICATED"
    assert (await Asker(platform, None).code("{ teams { totalCount } }"))[0] == "UNAUTHENTICATED"


async def test_teams_and_users_are_found_among_those_that_one_sees(
    platform: Platform, place: Place
) -> None:
    other, bob = await make_place(), await place.member(Role.READ)
    query = """query ($team: TeamFilter, $user: UserFilter) {
        teams(filter: $team) { nodes { pk } } users(filter: $user) { totalCount nodes { pk } }
    }"""
    asker = Asker(platform, bob)

    async def found(team: Any, user: Any) -> tuple[list[int], list[int]]:
        data = await asker.data(query, team=team, user=user)
        assert data["users"]["totalCount"] == len(data["users"]["nodes"])
        teams, users = ([node["pk"] for node in data[name]["nodes"]] for name in ("teams", "users"))
        return teams, users

    mine, me = place.team.id, place.viewer.user_id
    name, username = {"eq": place.team.name}, {"eq": place.viewer.username}
    assert await found({"name": name}, {"username": username}) == ([mine], [me])
    assert await found({"pk": {"eq": mine}}, {"pk": {"gt": me}}) == ([mine], [bob.user_id])
    assert await found({"pk": {"gt": mine}}, {"isNull": True}) == ([], [])
    later = {"createdAt": {"gt": "2999-01-01T00:00:00Z"}}
    assert await found(later, {"isNull": False}) == ([], [me, bob.user_id])
    stranger = {"username": {"eq": other.viewer.username}}
    assert await found({"pk": {"eq": other.team.id}}, stranger) == ([], [])


async def test_teams_and_users_come_in_pages(platform: Platform, place: Place) -> None:
    bob = await place.member(Role.READ)
    query = """query ($after: String) {
        users(first: 1, after: $after) { nodes { pk } pageInfo { hasNextPage endCursor } }
    }"""
    asker = Asker(platform, bob)

    first = (await asker.data(query))["users"]
    second = (await asker.data(query, after=first["pageInfo"]["endCursor"]))["users"]

    assert (first["nodes"], first["pageInfo"]["hasNextPage"]) == (
        [{"pk": place.viewer.user_id}],
        True,
    )
    assert (second["nodes"], second["pageInfo"]["hasNextPage"]) == ([{"pk": bob.user_id}], False)
    wrong = "query ($after: String) { teams(first: 1, after: $after) { totalCount } }"
    assert await asker.code(wrong, after=first["pageInfo"]["endCursor"]) == (
        "INVALID_INPUT",
        "after",
    )
