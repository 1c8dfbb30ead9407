"""Connections: every row once, whatever the page size and direction; clear refusals of what makes no sense."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from base.ids import public_id
from models import DataSource, DataSourceStatus, Team
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.services.places import Place

PAGE = """query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: DataSourceOrder, $filter: DataSourceFilter) {
  dataSources(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy, filter: $filter) {
    nodes { pk } edges { cursor node { pk } } totalCount
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""


async def make_sources(number: int) -> tuple[Team, list[int]]:
    """Sources with many ties in time, name and status; their keys."""
    team = await factories.make_team()
    project = await factories.make_project(team)
    dataset = await factories.make_dataset(project)
    start = datetime(2026, 1, 1, tzinfo=UTC)
    statuses = list(DataSourceStatus)
    keys = []
    for index in range(number):
        source = await factories.make_source(
            project, dataset, name=f"name {index % 3}", status=statuses[index % 4]
        )
        moment = start + timedelta(microseconds=(index * 7) % 5)
        await DataSource.filter(id=source.id).update(created_at=moment)
        keys.append(source.id)
    return team, keys


async def walk(asker: Asker, size: int, *, backward: bool, **variables: Any) -> list[list[int]]:
    """The pages of a whole list, each as its keys."""
    pages: list[list[int]] = []
    cursor = None
    while True:
        at = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        page = (await asker.data(PAGE, **variables, **at))["dataSources"]
        pages.append([node["pk"] for node in page["nodes"]])
        assert [edge["node"]["pk"] for edge in page["edges"]] == pages[-1]
        info = page["pageInfo"]
        assert info["startCursor"] == (page["edges"][0]["cursor"] if page["edges"] else None)
        assert info["endCursor"] == (page["edges"][-1]["cursor"] if page["edges"] else None)
        assert info["hasPreviousPage" if not backward else "hasNextPage"] is (cursor is not None)
        cursor = info["startCursor" if backward else "endCursor"]
        if not info["hasPreviousPage" if backward else "hasNextPage"]:
            return pages


ORDERS = [None] + [
    {"field": field, "direction": direction}
    for field in ("CREATED_AT", "NAME", "STATUS")
    for direction in ("ASC", "DESC")
]


@pytest.mark.parametrize("order", ORDERS)
async def test_pages_in_both_directions_give_every_row_once_in_one_order(
    platform: Platform, order: Any
) -> None:
    team, keys = await make_sources(11)
    asker = Asker(platform, await factories.make_viewer(team))
    whole = await asker.data(PAGE, first=200, orderBy=order)
    expected = [node["pk"] for node in whole["dataSources"]["nodes"]]

    for size in (1, 4, 11, 12):
        forward = await walk(asker, size, backward=False, orderBy=order)
        backward = await walk(asker, size, backward=True, orderBy=order)
        assert [key for page in forward for key in page] == expected
        assert [key for page in reversed(backward) for key in page] == expected
        assert max(map(len, forward + backward)) == min(size, 11)
    assert sorted(expected) == sorted(keys)
    assert whole["dataSources"]["totalCount"] == 11


async def test_orders_sort_by_what_they_name_then_by_key(platform: Platform) -> None:
    team, keys = await make_sources(9)
    asker = Asker(platform, await factories.make_viewer(team))
    rows = {row.id: row for row in await DataSource.all()}

    async def ordered(field: str, direction: str) -> list[int]:
        order = {"field": field, "direction": direction}
        page = await asker.data(PAGE, orderBy=order)
        return [node["pk"] for node in page["dataSources"]["nodes"]]

    for field, column in (("CREATED_AT", "created_at"), ("NAME", "name"), ("STATUS", "status")):
        expected = sorted(keys, key=lambda key: (getattr(rows[key], column), key))
        assert await ordered(field, "ASC") == expected
        assert await ordered(field, "DESC") == expected[::-1]


async def test_a_list_between_two_cursors_excludes_both(platform: Platform) -> None:
    team, _ = await make_sources(7)
    asker = Asker(platform, await factories.make_viewer(team))
    edges = (await asker.data(PAGE))["dataSources"]["edges"]
    between = {"after": edges[1]["cursor"], "before": edges[5]["cursor"]}

    forward = (await asker.data(PAGE, first=2, **between))["dataSources"]
    backward = (await asker.data(PAGE, last=2, **between))["dataSources"]

    assert [node["pk"] for node in forward["nodes"]] == [
        edges[2]["node"]["pk"],
        edges[3]["node"]["pk"],
    ]
    assert [node["pk"] for node in backward["nodes"]] == [
        edges[3]["node"]["pk"],
        edges[4]["node"]["pk"],
    ]
    assert forward["totalCount"] == backward["totalCount"] == 7


async def test_a_page_is_of_twenty_unless_told_otherwise(platform: Platform) -> None:
    team, _ = await make_sources(21)
    asker = Asker(platform, await factories.make_viewer(team))

    page = (await asker.data(PAGE))["dataSources"]
    empty = (await asker.data(PAGE, first=0))["dataSources"]

    assert (len(page["nodes"]), page["pageInfo"]["hasNextPage"]) == (20, True)
    assert (empty["nodes"], empty["pageInfo"]["hasNextPage"]) == ([], True)
    assert (empty["pageInfo"]["startCursor"], empty["pageInfo"]["endCursor"]) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"first": 201}, "first"),
        ({"last": 201}, "last"),
        ({"first": -1}, "first"),
        ({"last": -1}, "last"),
        ({"first": 1, "last": 1}, "last"),
    ],
)
async def test_sizes_that_make_no_sense_are_refused(
    platform: Platform, arguments: dict[str, int], field: str
) -> None:
    asker = Asker(platform, await factories.make_viewer())

    assert await asker.code(PAGE, **arguments) == ("INVALID_INPUT", field)


def encode(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


ORDER = "sources:created_at:asc"
MOMENT = "2026-01-01T00:00:00+00:00"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "nonsense",
        "%%%",
        "ÿ",
        "x" * 3000,
        encode({}),
        encode([]),
        encode([ORDER]),
        encode([ORDER, MOMENT]),
        encode([ORDER, MOMENT, 1, 2]),
        encode([ORDER, "yesterday", 1]),
        encode([ORDER, "2026-01-01T00:00:00", 1]),
        encode([ORDER, "0001-01-01T00:00:00+23:59", 1]),
        encode([ORDER, "9999-12-31T23:59:59-23:59", 1]),
        encode([ORDER, 5, 1]),
        encode([ORDER, MOMENT, "1"]),
        encode([ORDER, MOMENT, True]),
        encode([ORDER, MOMENT, 2**63]),
        encode([ORDER, MOMENT, 1.5]),
        encode(["sources:name:asc", "a", 1]),
        encode(["projects:created_at:asc", MOMENT, 1]),
        encode(["sources:created_at:desc", MOMENT, 1]),
    ],
)
async def test_cursors_that_this_order_did_not_make_are_refused(
    platform: Platform, cursor: str
) -> None:
    asker = Asker(platform, await factories.make_viewer())

    assert await asker.code(PAGE, after=cursor) == ("INVALID_INPUT", "after")
    assert await asker.code(PAGE, before=cursor) == ("INVALID_INPUT", "before")


async def test_a_forged_cursor_is_data_not_sql(platform: Platform) -> None:
    team, _ = await make_sources(3)
    asker = Asker(platform, await factories.make_viewer(team))
    order = {"field": "NAME"}

    forged = encode(["sources:name:asc", "') OR 1=1 --", 0])
    nul = encode(["sources:name:asc", "a\x00b", 0])
    page = (await asker.data(PAGE, after=forged, orderBy=order))["dataSources"]

    assert len(page["nodes"]) == 3
    assert await asker.code(PAGE, after=nul, orderBy=order) == ("INVALID_INPUT", "after")


NESTED = """query ($size: Int!, $after: String, $before: String) {
  projects { nodes { pk
    forward: datasets(first: $size, after: $after) { nodes { name } totalCount pageInfo { hasNextPage endCursor } }
    backward: datasets(last: $size, before: $before, orderBy: {field: NAME, direction: DESC}) { edges { node { name } } }
  } } }"""


async def test_each_parent_has_its_own_page(platform: Platform) -> None:
    team = await factories.make_team()
    sizes = (4, 1, 0)
    for size in sizes:
        project = await factories.make_project(team)
        for index in range(size):
            await factories.make_dataset(project, name=f"{index}")
    asker = Asker(platform, await factories.make_viewer(team))

    projects = (await asker.data(NESTED, size=2))["projects"]["nodes"]

    forward = [[node["name"] for node in each["forward"]["nodes"]] for each in projects]
    backward = [[edge["node"]["name"] for edge in each["backward"]["edges"]] for each in projects]
    assert forward == [["0", "1"], ["0"], []]
    assert backward == [["1", "0"], ["0"], []]
    assert [each["forward"]["totalCount"] for each in projects] == [4, 1, 0]
    assert [each["forward"]["pageInfo"]["hasNextPage"] for each in projects] == [True, False, False]

    cursor = projects[0]["forward"]["pageInfo"]["endCursor"]
    again = (await asker.data(NESTED, size=2, after=cursor))["projects"]["nodes"]
    assert [node["name"] for node in again[0]["forward"]["nodes"]] == ["2", "3"]


async def test_only_what_is_selected_is_answered_through_fragments_aliases_and_directives(
    platform: Platform,
) -> None:
    team = await factories.make_team()
    project = await factories.make_project(team, name="p", description="d")
    await factories.make_dataset(project, name="one")
    asker = Asker(platform, await factories.make_viewer(team))
    query = """query ($id: ID!, $yes: Boolean!, $no: Boolean!) {
      project(id: $id) { __typename ...Name again: name description @include(if: $no)
        team @skip(if: $no) { ...Team } ... @include(if: $yes) { team { id } }
        datasets { ...Page } other: datasets(first: 0) { ...Page } } }
      fragment Name on Project { name title: description }
      fragment Team on Team { name }
      fragment Page on DatasetConnection { totalCount @include(if: $yes) nodes { ... on Dataset { name } } }"""

    data = await asker.data(query, id=public_id("project", project.id), yes=True, no=False)

    assert data["project"] == {
        "__typename": "Project",
        "name": "p",
        "title": "d",
        "again": "p",
        "team": {"name": team.name, "id": public_id("team", team.id)},
        "datasets": {"totalCount": 1, "nodes": [{"name": "one"}]},
        "other": {"totalCount": 1, "nodes": []},
    }


async def test_lists_of_one_type_below_two_kinds_of_parents_are_not_mixed_up(
    asker: Asker, place: Place
) -> None:
    source = await factories.make_source(place.project, place.dataset)
    await factories.make_job(source)
    query = """{ dataSources { nodes { jobs { nodes { kind } } } }
      projects { nodes { jobs { nodes { kind } } } } }"""

    shown = await asker.data(query)

    jobs = {"nodes": [{"jobs": {"nodes": [{"kind": "SYNC"}]}}]}
    assert shown == {"dataSources": jobs, "projects": jobs}
