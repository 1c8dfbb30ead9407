"""Nothing of another team is ever shown: by id, in lists, by relations, or by the difference of two answers."""

from datetime import UTC, datetime
from typing import Any

import pytest

from base.ids import public_id
from graph.fields import NODES
from models import ApiToken, DataSource, Job, Project, Role, Snapshot, Team, User
from services.access import KINDS, Viewer
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker

BY_ID = ("team", "project", "dataset", "dataSource", "job", "script", "schedule")
LISTS = ("projects", "datasets", "dataSources", "jobs", "schedules")


class House:
    """One of everything in a team, and its public ids by kind."""

    team: Team
    project: Project
    ids: dict[str, str]


async def build() -> House:
    house = House()
    house.team = await factories.make_team()
    house.project = await factories.make_project(house.team)
    dataset = await factories.make_dataset(house.project)
    source = await factories.make_source(house.project, dataset)
    job = await factories.make_job(source)
    snapshot = await factories.make_snapshot(source)
    script, schedule = await factories.make_script(source), await factories.make_schedule(source)
    user = await factories.make_user()
    await factories.make_membership(user, house.team, Role.READ)
    token, _ = await factories.make_token(user, project=house.project)
    below: list[Any] = [source, job, snapshot, script, schedule]
    rows: list[Any] = [house.team, house.project, dataset, *below, user, token]
    house.ids = {KINDS[type(row)]: public_id(KINDS[type(row)], row.id) for row in rows}
    return house


async def found_by_id(platform: Platform, viewer: Viewer, house: House) -> set[str]:
    """The kinds of this house that a viewer finds by id."""
    asker = Asker(platform, viewer)
    found = set()
    for name in BY_ID:
        kind = name.lower()
        query = f"query ($id: ID!) {{ {name}(id: $id) {{ id }} }}"
        shown = (await asker.data(query, id=house.ids[kind]))[name]
        if shown is not None:
            assert shown == {"id": house.ids[kind]}
            found.add(kind)
    ids = list(house.ids.values())
    nodes = (await asker.data("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids))["nodes"]
    assert all(node is None or node["id"] == id_ for node, id_ in zip(nodes, ids, strict=True))
    by_node = {kind for kind, node in zip(house.ids, nodes, strict=True) if node is not None}
    for kind, public in house.ids.items():
        one = (await asker.data("query ($id: ID!) { node(id: $id) { id } }", id=public))["node"]
        assert (one is not None) is (kind in by_node)
    assert found == by_node & {name.lower() for name in BY_ID}
    return by_node


async def listed(platform: Platform, viewer: Viewer) -> dict[str, int]:
    query = "{" + " ".join(f"{name} {{ totalCount nodes {{ id }} }}" for name in LISTS) + "}"
    data = await Asker(platform, viewer).data(query)
    assert all(data[name]["totalCount"] == len(data[name]["nodes"]) for name in LISTS)
    return {name: data[name]["totalCount"] for name in LISTS}


EVERYTHING = {
    "team",
    "project",
    "dataset",
    "datasource",
    "job",
    "snapshot",
    "script",
    "schedule",
    "user",
}


async def test_members_of_any_role_see_all_but_others_tokens(platform: Platform) -> None:
    house = await build()
    await build()

    for role in Role:
        viewer = await factories.make_viewer(house.team, role)
        assert await found_by_id(platform, viewer, house) == EVERYTHING
        assert await listed(platform, viewer) == dict.fromkeys(LISTS, 1)


async def test_strangers_and_other_teams_see_nothing(platform: Platform) -> None:
    house, other = await build(), await build()
    stranger = await factories.make_viewer(role=None)
    neighbour = await factories.make_viewer(other.team)

    assert await found_by_id(platform, stranger, house) == set()
    assert await found_by_id(platform, neighbour, house) == set()
    assert await listed(platform, stranger) == dict.fromkeys(LISTS, 0)
    assert await listed(platform, neighbour) == dict.fromkeys(LISTS, 1)


async def test_a_token_held_to_a_project_sees_that_project(platform: Platform) -> None:
    house = await build()
    sibling = await factories.make_project(house.team)
    await factories.make_job(await factories.make_source(sibling))
    viewer = await factories.make_viewer(house.team, project_id=house.project.id)
    query = "{ viewer { teams { team { projects { totalCount } } } } }"

    assert await found_by_id(platform, viewer, house) == EVERYTHING
    assert await listed(platform, viewer) == dict.fromkeys(LISTS, 1)
    shown = await Asker(platform, viewer).data(query)
    assert shown["viewer"]["teams"] == [{"team": {"projects": {"totalCount": 1}}}]


async def test_staff_see_every_team(platform: Platform) -> None:
    houses = [await build(), await build()]
    user = await factories.make_user(is_staff=True)
    staff = await factories.make_viewer(role=None, user=user)

    for house in houses:
        assert await found_by_id(platform, staff, house) == EVERYTHING
    assert await listed(platform, staff) == dict.fromkeys(LISTS, 2)


async def test_a_deleted_project_is_only_in_the_list_of_the_deleted(platform: Platform) -> None:
    house = await build()
    viewer = await factories.make_viewer(house.team)
    await Project.filter(id=house.project.id).update(deleted_at=datetime.now(UTC))
    query = """{ projects(filter: {deleted: true}) { nodes { id deletedAt
      datasets { totalCount nodes { id } } dataSources { totalCount } jobs { totalCount }
      schedules { totalCount } } } }"""

    (shown,) = (await Asker(platform, viewer).data(query))["projects"]["nodes"]

    assert await found_by_id(platform, viewer, house) == {"team", "user"}
    assert await listed(platform, viewer) == dict.fromkeys(LISTS, 0)
    assert shown["id"] == house.ids["project"]
    assert shown["deletedAt"] is not None
    assert shown["datasets"] == {"totalCount": 0, "nodes": []}
    assert [shown[name] for name in ("dataSources", "jobs", "schedules")] == [{"totalCount": 0}] * 3


async def test_a_deleted_source_is_gone_from_every_list_and_relation(platform: Platform) -> None:
    house = await build()
    viewer = await factories.make_viewer(house.team)
    await DataSource.all().update(deleted_at=datetime.now(UTC))
    query = """{ jobs { nodes { dataSource { id } } } dataSources { totalCount } schedules { totalCount }
      projects { nodes { dataSources { totalCount } schedules { totalCount } datasets { nodes { dataSources { totalCount } } } } } }"""

    shown = await Asker(platform, viewer).data(query)

    none = {"totalCount": 0}
    assert shown == {
        "jobs": {"nodes": [{"dataSource": None}]},
        "dataSources": none,
        "schedules": none,
        "projects": {
            "nodes": [
                {
                    "dataSources": none,
                    "schedules": none,
                    "datasets": {"nodes": [{"dataSources": none}]},
                }
            ]
        },
    }


async def test_a_shared_colleague_does_not_show_the_other_team(platform: Platform) -> None:
    house, other = await build(), await build()
    shared = await factories.make_user()
    for team in (house.team, other.team):
        await factories.make_membership(shared, team, Role.ADMIN)
    viewer = await factories.make_viewer(house.team)
    query = "query ($id: ID!) { node(id: $id) { ... on User { teams { team { id } } } } }"

    shown = await Asker(platform, viewer).data(query, id=public_id("user", shared.id))

    assert shown["node"]["teams"] == [{"team": {"id": house.ids["team"]}}]


async def test_a_token_for_a_project_that_one_may_no_longer_see_does_not_show_it(
    platform: Platform,
) -> None:
    house = await build()
    user = await factories.make_user()
    await factories.make_token(user, project=house.project)
    viewer = await factories.make_viewer(role=None, user=user)

    shown = await Asker(platform, viewer).data("{ viewer { tokens { project { name } } } }")

    assert shown["viewer"]["tokens"] == [{"project": None}]


@pytest.mark.parametrize(
    "public", ["", "project", "project-", "project-!!", "script-kR3UVw8hZB", "x" * 500]
)
async def test_malformed_ids_are_like_missing_ones(platform: Platform, public: str) -> None:
    viewer = await factories.make_viewer()
    query = (
        "query ($id: ID!) { node(id: $id) { id } nodes(ids: [$id]) { id } project(id: $id) { id } }"
    )

    shown = await Asker(platform, viewer).data(query, id=public)

    assert shown == {"node": None, "nodes": [None], "project": None}


async def test_an_id_of_another_kind_finds_nothing(platform: Platform) -> None:
    house = await build()
    viewer = await factories.make_viewer(house.team)
    query = "query ($id: ID!) { dataset(id: $id) { id } }"

    assert await Asker(platform, viewer).data(query, id=house.ids["project"]) == {"dataset": None}


async def test_nodes_keeps_order_and_repeats_and_is_bounded(platform: Platform) -> None:
    house = await build()
    viewer = await factories.make_viewer(house.team)
    query = """query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id
      ... on Project { name } ... on Dataset { project { id } } ...Job } }
      fragment Job on Job { kind }"""
    project, dataset, job = (house.ids[kind] for kind in ("project", "dataset", "job"))
    asker = Asker(platform, viewer)

    shown = (await asker.data(query, ids=[job, project, "nope", dataset, project]))["nodes"]

    own = {"__typename": "Project", "id": project, "name": house.project.name}
    assert shown == [
        {"__typename": "Job", "id": job, "kind": "SYNC"},
        own,
        None,
        {"__typename": "Dataset", "id": dataset, "project": {"id": project}},
        own,
    ]
    assert await asker.code(query, ids=[project] * 201) == ("INVALID_INPUT", "ids")


ROOTS = [
    "viewer { id }",
    'node(id: "x") { id }',
    'nodes(ids: ["x"]) { id }',
    *(f'{name}(id: "x") {{ id }}' for name in BY_ID),
    *(f"{name} {{ totalCount }}" for name in LISTS),
]


@pytest.mark.parametrize("root", ROOTS)
async def test_without_a_token_nothing_is_answered(platform: Platform, root: str) -> None:
    assert await Asker(platform, None).code(f"{{ {root} }}") == ("UNAUTHENTICATED", None)


def test_every_kind_with_a_public_id_that_is_a_node_is_found_by_node() -> None:
    assert set(NODES) == set(KINDS) - {model for model, kind in KINDS.items() if kind == "upload"}
    assert {Team, Project, Job, Snapshot, User, ApiToken} <= set(NODES)
