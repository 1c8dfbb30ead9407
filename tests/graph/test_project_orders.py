"""Orders of projects: by several columns, in either direction, with nulls at either end, page by page without a gap."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from models import Project
from models.database import Database
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker, statements

AT = datetime(2026, 3, 4, 5, 6, 7, 891_234, tzinfo=UTC)
PAGE = """query ($first: Int, $after: String, $last: Int, $before: String, $orderBy: [ProjectOrder!]) {
  projects(first: $first, after: $after, last: $last, before: $before, orderBy: $orderBy, filter: {deleted: null}) {
    nodes { pk } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } } }"""
FIELDS = [
    "CREATED_AT",
    "NAME",
    "PK",
    "DELETED_AT",
    "TEAM",
    "TEAM_NAME",
    "CREATOR",
    "CREATOR_USERNAME",
]
Row = dict[str, Any]


@pytest.fixture
async def shelf(platform: Platform) -> tuple[Asker, list[Row]]:
    """Who sees all projects, and what they are sorted by: with many ties, and nulls in three columns."""
    reader = await factories.make_user("reader")
    users = [None, await factories.make_user("zoe"), await factories.make_user("ada")]
    teams = [await factories.make_team(name) for name in ("two", "one")]
    for team in teams:
        viewer = await factories.make_viewer(team, user=reader)
    rows = []
    for index in range(13):
        team, user = teams[index % 2], users[index * 5 % 3]
        created = AT + timedelta(microseconds=index * 7 % 4)
        deleted = None if index % 3 else AT + timedelta(seconds=index % 2)
        project = await factories.make_project(
            team, f"name {index * 3 % 4}", creator=user, deleted_at=deleted
        )
        await Project.filter(id=project.id).update(created_at=created)
        values = (
            created, project.name, project.id, deleted, team.id, team.name,
            user and user.id, user and user.username,
        )  # fmt: skip
        rows.append(dict(zip(FIELDS, values, strict=True)))
    return Asker(platform, viewer), rows


def in_order(rows: list[Row], orders: list[dict[str, str]]) -> list[int]:
    """The keys of the rows as these orders ask for them, by Python's own stable sort."""
    found = list(rows)
    for order in reversed([*orders, {**orders[-1], "field": "PK"}]):
        name, descends = order["field"], order.get("direction") == "DESC"
        nulls = [row for row in found if row[name] is None]
        found = [row for row in found if row[name] is not None]
        found.sort(key=lambda row: row[name], reverse=descends)
        first = order.get("nulls", "FIRST" if descends else "LAST") == "FIRST"
        found = [*nulls, *found] if first else [*found, *nulls]
    return [row["PK"] for row in found]


async def walk(asker: Asker, orders: Any, size: int, *, backward: bool) -> list[int]:
    """The keys of the whole list, read page by page."""
    keys: list[int] = []
    cursor = None
    while True:
        at = {"last": size, "before": cursor} if backward else {"first": size, "after": cursor}
        page = (await asker.data(PAGE, orderBy=orders, **at))["projects"]
        found = [node["pk"] for node in page["nodes"]]
        keys = [*found, *keys] if backward else [*keys, *found]
        cursor = page["pageInfo"]["startCursor" if backward else "endCursor"]
        if not page["pageInfo"]["hasPreviousPage" if backward else "hasNextPage"]:
            return keys


def some_orders() -> list[list[dict[str, str]]]:
    """Every field in both directions and with nulls at both ends, and some orders of several of them."""
    singles = [
        {"field": field, "direction": direction} | nulls
        for field in FIELDS
        for direction in ("ASC", "DESC")
        for nulls in ({}, {"nulls": "FIRST"}, {"nulls": "LAST"})
    ]
    chance = random.Random(5)
    several = [chance.sample(singles, chance.randint(2, 5)) for _ in range(24)]
    return [[order] for order in singles] + several


async def test_every_order_is_pythons_and_is_read_page_by_page_from_both_ends(
    shelf: tuple[Asker, list[Row]],
) -> None:
    asker, rows = shelf

    for orders in some_orders():
        expected = in_order(rows, orders)
        assert await walk(asker, orders, 4, backward=False) == expected, orders
        assert await walk(asker, orders, 5, backward=True) == expected, orders


async def test_a_list_between_two_cursors_of_several_columns_excludes_both(
    shelf: tuple[Asker, list[Row]],
) -> None:
    asker, rows = shelf
    orders = [
        {"field": "CREATOR_USERNAME", "nulls": "FIRST"},
        {"field": "NAME", "direction": "DESC"},
    ]
    expected = in_order(rows, orders)
    cursors = []
    for size in (2, 7):
        page = (await asker.data(PAGE, orderBy=orders, first=size))["projects"]
        cursors.append(page["pageInfo"]["endCursor"])

    between = await asker.data(PAGE, orderBy=orders, after=cursors[0], before=cursors[1])

    assert [node["pk"] for node in between["projects"]["nodes"]] == expected[2:6]


async def test_one_order_stands_for_a_list_and_none_for_the_order_of_making(
    shelf: tuple[Asker, list[Row]],
) -> None:
    asker, rows = shelf
    literal = "{ projects(orderBy: {field: NAME}, filter: {deleted: null}) { nodes { pk } } }"

    one = (await asker.data(literal))["projects"]["nodes"]
    none = (await asker.data(PAGE, orderBy=[]))["projects"]["nodes"]

    assert [node["pk"] for node in one] == in_order(rows, [{"field": "NAME"}])
    assert [node["pk"] for node in none] == in_order(rows, [{"field": "CREATED_AT"}])


async def test_each_team_has_its_projects_in_that_order(
    shelf: tuple[Asker, list[Row]], database: Database
) -> None:
    asker, rows = shelf
    query = """query ($orderBy: [ProjectOrder!]) { viewer { teams { team { name
      projects(first: 5, filter: {deleted: null}, orderBy: $orderBy) { nodes { pk } } } } } }"""
    orders = [
        {"field": "TEAM_NAME"},
        {"field": "CREATOR_USERNAME", "direction": "DESC", "nulls": "LAST"},
        {"field": "DELETED_AT", "nulls": "FIRST"},
    ]

    async with statements(database) as sent:
        teams = (await asker.data(query, orderBy=orders))["viewer"]["teams"]

    for team in (each["team"] for each in teams):
        own = [row for row in rows if row["TEAM_NAME"] == team["name"]]
        assert [node["pk"] for node in team["projects"]["nodes"]] == in_order(own, orders)[:5]
    assert len(sent) == 4  # the viewer, the memberships, the teams, and all their projects


async def test_too_many_orders_and_cursors_of_others_are_refused(
    shelf: tuple[Asker, list[Row]],
) -> None:
    asker, _ = shelf
    orders = [{"field": field} for field in FIELDS]

    assert await asker.code(PAGE, orderBy=orders[:6]) == ("INVALID_INPUT", "orderBy")
    page = (await asker.data(PAGE, orderBy=orders[:5]))["projects"]
    cursor = page["pageInfo"]["endCursor"]
    others = [orders[:4], orders[1:5], [*orders[:4], {**orders[4], "direction": "DESC"}]]
    others.append([*orders[:4], {**orders[4], "nulls": "LAST"}])
    for other in others:
        assert await asker.code(PAGE, orderBy=other, after=cursor) == ("INVALID_INPUT", "after")


async def test_the_longest_cursor_is_taken_back(platform: Platform) -> None:
    team = await factories.make_team("\x01" * 200)
    user = await factories.make_user("\x02" * 150)
    viewer = await factories.make_viewer(team, user=user)
    for name in ("\x03" * 200, "\x04" * 200):
        await factories.make_project(team, name, creator=user)
    orders = [{"field": field} for field in ("NAME", "TEAM_NAME", "CREATOR_USERNAME")]
    asker = Asker(platform, viewer)

    keys = await walk(asker, orders, 1, backward=False)

    assert keys == sorted(keys)
    assert len(keys) == 2
