"""Filters of projects: conditions joined by and, or and not, which never let in what one may not see."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import public_id
from graph.filters import FILTER_CONDITIONS_MAX, FILTER_LEVELS_MAX
from models import Project, Team
from models.database import Database
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker, statements

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
FILTERED = (
    "query ($filter: ProjectFilter) { projects(filter: $filter) { nodes { name } totalCount } }"
)
NAMES = "Alpha", "alpha two", "Beta", "Éclair", "éclat", "100%_!"


class Shelf:
    """Projects of two teams, the names of `NAMES` among them, and one who sees them all."""

    def __init__(self, asker: Asker, north: Team, south: Team) -> None:
        self.asker, self.north, self.south = asker, north, south

    async def names(self, **by: Any) -> list[str]:
        """The names of the projects that a filter lets in, by their age."""
        page = (await self.asker.data(FILTERED, filter=by))["projects"]
        assert page["totalCount"] == len(page["nodes"])
        return [node["name"] for node in page["nodes"]]


@pytest.fixture
async def shelf(platform: Platform) -> Shelf:
    reader = await factories.make_user("reader")
    ada = await factories.make_user("Ada")
    north, south = [await factories.make_team(name) for name in ("North", "South")]
    await Team.filter(id=south.id).update(created_at=AT)
    for team in (north, south):
        viewer = await factories.make_viewer(team, user=reader)
    for index, name in enumerate(NAMES):
        project = await factories.make_project(
            north if index % 2 else south, name, creator=ada if index < 2 else None
        )
        await Project.filter(id=project.id).update(created_at=AT + timedelta(seconds=index))
    gone = await factories.make_project(north, "gone", creator=reader, deleted_at=AT)
    await Project.filter(id=gone.id).update(created_at=AT + timedelta(hours=1))
    return Shelf(Asker(platform, viewer), north, south)


async def test_texts_are_compared_whole_in_part_and_by_code_points(shelf: Shelf) -> None:
    async def found(**name: Any) -> list[str]:
        return await shelf.names(name=name)

    assert await found(startsWith="Al") == ["Alpha"]
    assert await found(startsWith="Al", ignoreCase=True) == ["Alpha", "alpha two"]
    assert await found(startsWith="100%_") == ["100%_!"]
    assert await found(startsWith="100_") == []
    assert await found(startsWith="") == list(NAMES)
    assert await found(contains="ALPHA") == ["Alpha", "alpha two"]
    assert await found(contains="alpha", ignoreCase=False) == ["alpha two"]
    assert await found(contains="%_") == ["100%_!"]
    assert await found(eq="alpha") == []
    assert await found(eq="alpha", ignoreCase=True) == ["Alpha"]
    assert await found(**{"in": ["ALPHA", "BETA", "x"]}, ignoreCase=True) == ["Alpha", "Beta"]
    assert await found(**{"in": []}, ignoreCase=True) == []
    assert await found(lt="Beta") == ["Alpha", "100%_!"]
    assert await found(lte="Beta") == ["Alpha", "Beta", "100%_!"]
    assert await found(gt="alpha") == ["alpha two", "Éclair", "éclat"]
    assert await found(gte="Éclair", lt="éclat") == ["Éclair"]
    assert await found(lt="BETA", ignoreCase=True) == ["Alpha", "alpha two", "100%_!"]
    assert await found(isNull=True) == []
    assert await found(isNull=False, startsWith="B") == ["Beta"]


async def test_letters_beyond_ascii_have_a_case_too(shelf: Shelf, database: Database) -> None:
    if database.dialect == "postgresql":
        lower = await database.connection.execute_query_dict("SELECT lower('É') AS e")
        if lower[0]["e"] != "é":
            pytest.skip("the locale of this database knows no letters but those of ASCII")

    assert await shelf.names(name={"contains": "ÉCLA"}) == ["Éclair", "éclat"]
    assert await shelf.names(name={"startsWith": "éc", "ignoreCase": True}) == ["Éclair", "éclat"]
    assert await shelf.names(name={"eq": "ÉCLAT", "ignoreCase": True}) == ["éclat"]
    assert await shelf.names(name={"in": ["éclair"], "ignoreCase": True}) == ["Éclair"]
    assert await shelf.names(name={"gt": "ÉCLAIR", "ignoreCase": True}) == ["éclat"]


async def test_keys_are_compared(shelf: Shelf) -> None:
    keys = [each.id for each in await Project.filter(deleted_at=None).order_by("id")]

    assert await shelf.names(pk={"eq": keys[2]}) == ["Beta"]
    assert await shelf.names(pk={"in": [keys[0], keys[5], 1]}) == ["Alpha", "100%_!"]
    assert await shelf.names(pk={"in": []}) == []
    assert await shelf.names(pk={"lt": keys[1]}) == ["Alpha"]
    assert await shelf.names(pk={"lte": keys[1], "gte": keys[1]}) == ["alpha two"]
    assert await shelf.names(pk={"gt": keys[4]}) == ["100%_!"]
    assert await shelf.names(pk={"gt": 2**53 - 1}) == []


async def test_times_are_compared_as_they_are_shown_unless_given_to_the_microsecond(
    shelf: Shelf,
) -> None:
    async def found(**times: datetime) -> list[str]:
        given = {name: time.isoformat() for name, time in times.items()}
        return await shelf.names(createdAt=given, name={"in": list(NAMES[:2])})

    shown = AT.replace(microsecond=891_000)
    both, first, second = list(NAMES[:2]), [NAMES[0]], [NAMES[1]]
    assert await found(eq=shown) == await found(eq=AT) == first
    assert await found(eq=AT.replace(microsecond=891_233)) == []
    assert await found(lte=shown) == await found(lte=AT) == first
    assert await found(lt=shown) == await found(lt=AT) == []
    assert await found(gt=shown) == await found(gt=AT) == second
    assert await found(gte=shown) == await found(gte=AT) == both
    assert await found(gt=AT.replace(microsecond=891_233)) == both
    assert await found(lt=datetime(9999, 12, 31, 23, 59, 59, 999_000, UTC)) == both
    assert await found(gt=datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)) == []
    assert await found(gte=datetime(1, 1, 1, tzinfo=UTC)) == both


async def test_deleted_projects_are_let_in_by_the_list_alone(shelf: Shelf) -> None:
    (gone,) = await Project.exclude(deleted_at=None)
    everything = [*NAMES, "gone"]

    assert await shelf.names() == await shelf.names(deleted=False) == list(NAMES)
    assert await shelf.names(deleted=True) == ["gone"]
    assert await shelf.names(deleted=None) == everything
    assert await shelf.names(deleted=None, pk={"eq": gone.id}) == ["gone"]
    assert await shelf.names(pk={"eq": gone.id}) == []
    assert await shelf.names(deleted=None, deletedAt={"isNull": False}) == ["gone"]
    assert await shelf.names(deleted=None, deletedAt={"lte": AT.isoformat()}) == ["gone"]
    assert await shelf.names(deleted=None, deletedAt={"gt": AT.isoformat()}) == []
    assert await shelf.names(**{"or": [{"deleted": True}, {"name": {"eq": "Beta"}}]}) == ["Beta"]
    for inner in ({"deleted": False}, {"deletedAt": {"isNull": True}}):
        assert await shelf.names(deleted=None, **{"not": inner}) == ["gone"]
    assert await shelf.names(deleted=None, **{"and": [{}, {"deleted": None}]}) == everything


async def test_conditions_join_by_and_or_and_not(shelf: Shelf) -> None:
    alpha, beta = {"name": {"eq": "Alpha"}}, {"name": {"eq": "Beta"}}
    makers = [{"creator": {"username": {"eq": "Ada"}}}, {"name": {"startsWith": "A"}}]

    assert await shelf.names(**{"or": [alpha, beta]}) == ["Alpha", "Beta"]
    assert await shelf.names(**{"or": []}) == []
    assert await shelf.names(**{"and": []}) == list(NAMES)
    assert await shelf.names(**{"and": [alpha, beta]}) == []
    assert await shelf.names(**{"and": makers}) == ["Alpha"]
    assert await shelf.names(**{"not": {"or": [alpha, beta]}}) == [NAMES[1], *NAMES[3:]]
    assert await shelf.names(**{"not": {}}) == []
    assert await shelf.names(**{"not": {"not": alpha}}) == ["Alpha"]
    assert await shelf.names(**{"or": [alpha, beta]}, name={"contains": "b"}) == ["Beta"]
    # One condition stands for a list of one.
    assert await shelf.names(**{"or": alpha}) == ["Alpha"]


async def test_teams_and_creators_are_asked_for_and_nobody_is_somebody_to_not(shelf: Shelf) -> None:
    ada = (await Project.get(name="Alpha")).creator_id  # type: ignore[attr-defined]
    south, others = [NAMES[0], NAMES[2], NAMES[4]], list(NAMES[2:])

    assert await shelf.names(team={"name": {"eq": "South"}}) == south
    assert await shelf.names(team={"pk": {"eq": shelf.south.id}}) == south
    assert await shelf.names(team={"createdAt": {"eq": AT.isoformat()}}) == south
    assert await shelf.names(team={"pk": {"eq": shelf.south.id}, "name": {"eq": "North"}}) == []
    assert await shelf.names(team={}) == list(NAMES)
    assert await shelf.names(creator={"isNull": True}) == others
    assert await shelf.names(creator={"username": {"startsWith": "A"}}) == list(NAMES[:2])
    assert await shelf.names(creator={"pk": {"eq": ada}}) == list(NAMES[:2])
    assert await shelf.names(creator={"pk": {"gt": 0}}) == list(NAMES[:2])
    assert await shelf.names(creator={"isNull": False}) == list(NAMES[:2])
    for never in ({"pk": {"gt": 0}}, {"username": {"isNull": False}}, {"isNull": False}):
        assert await shelf.names(**{"not": {"creator": never}}) == others


async def test_no_filter_lets_in_what_one_may_not_see(platform: Platform, shelf: Shelf) -> None:
    secret = await factories.make_team("Secret")
    await factories.make_project(secret, "hidden", creator=await factories.make_user("Eve"))
    held = await factories.make_viewer(
        shelf.north, project_id=(await Project.get(name="Éclair")).id
    )
    widest: list[dict[str, Any]] = [
        {"or": [{}, {"name": {"eq": "hidden"}}]},
        {"not": {"name": {"eq": "Alpha"}}, "deleted": None},
        {"not": {"team": {"pk": {"eq": shelf.north.id}}}},
        {"team": {"name": {"eq": "Secret"}}},
        {"creator": {"username": {"eq": "Eve"}}},
        {"or": [{"team": {"name": {"startsWith": "S"}}}, {"creator": {"pk": {"gt": 0}}}]},
        {"teamId": public_id("team", secret.id), "deleted": None},
    ]

    for by in widest:
        assert "hidden" not in await shelf.names(**by)
        seen = (await Asker(platform, held).data(FILTERED, filter=by))["projects"]["nodes"]
        assert {node["name"] for node in seen} <= {"Éclair"}
    below = """query ($filter: ProjectFilter) {
      viewer { teams { team { name projects(filter: $filter) { nodes { name } } } } } }"""
    teams = (await shelf.asker.data(below, filter=widest[1]))["viewer"]["teams"]
    assert {each["team"]["name"]: len(each["team"]["projects"]["nodes"]) for each in teams} == {
        "North": 4,
        "South": 2,
    }


async def test_a_filter_of_everything_is_one_statement(shelf: Shelf, database: Database) -> None:
    either = [
        {"team": {"name": {"eq": "South"}}},
        {"not": {"creator": {"username": {"eq": "Ada"}}}},
    ]
    query = "query ($filter: ProjectFilter) { projects(filter: $filter) { nodes { name } } }"

    async with statements(database) as sent:
        await shelf.asker.data(query, filter={"or": either, "deleted": None})

    assert len(sent) == 1


def nested(levels: int) -> dict[str, Any]:
    return {"not": nested(levels - 1)} if levels else {"name": {"startsWith": "B"}}


async def test_a_filter_has_limits(shelf: Shelf) -> None:
    async def code(**by: Any) -> tuple[str, str | None]:
        return await shelf.asker.code(FILTERED, filter=by)

    one = {"pk": {"gt": 0}}
    assert await shelf.names(**nested(FILTER_LEVELS_MAX)) == ["Beta"]
    assert await code(**nested(FILTER_LEVELS_MAX + 1)) == (
        "INVALID_INPUT",
        "filter" + ".not" * (FILTER_LEVELS_MAX + 1),
    )
    literal = "{not: " * 190 + "{}" + "}" * 190
    assert await shelf.asker.code(f"{{ projects(filter: {literal}) {{ totalCount }} }}") == (
        "INVALID_INPUT",
        "filter" + ".not" * (FILTER_LEVELS_MAX + 1),
    )
    most = FILTER_CONDITIONS_MAX - 1  # the filter around them counts as one
    assert await shelf.names(**{"and": [one] * most}) == list(NAMES)
    refused = ("INVALID_INPUT", f"filter.or[{most}]")
    assert await code(**{"or": [one] * (most + 1)}) == refused
    assert await code(**{"or": [{}] * (most + 1)}) == refused
    pair = {"team": {"name": {"gt": "", "startsWith": "N"}}}
    assert await code(**{"or": [pair] * 100}) == ("INVALID_INPUT", "filter.or[99]")
    assert await code(pk={"in": [1] * 201}) == ("INVALID_INPUT", "filter.pk.in")
    for part in ("startsWith", "lt", "lte", "gt", "gte"):
        given = {"or": [{}, {"team": {"name": {part: "\x00"}}}]}
        assert await code(**given) == ("INVALID_INPUT", f"filter.or[1].team.name.{part}")
    username = {"username": {"in": ["x"] * 201}}
    assert await code(creator=username) == ("INVALID_INPUT", "filter.creator.username.in")
