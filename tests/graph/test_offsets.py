"""Page numbers: any list can leave out its first items, at the root and below each parent in one statement."""

from typing import Any

import pytest

from models.database import Database
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker, statements

ROOT_LISTS = ("projects", "datasets", "dataSources", "jobs")
PAGE = """query ($first: Int, $offset: Int, $after: String, $before: String, $last: Int) {
  page: %s(first: $first, offset: $offset, after: $after, before: $before, last: $last) {
    nodes { pk } totalCount pageInfo { hasNextPage hasPreviousPage endCursor } } }"""


async def make_lists(platform: Platform, number: int) -> Asker:
    """So many of everything in each of two teams; one who is in both."""
    user = await factories.make_user()
    for _ in range(2):
        team = await factories.make_team()
        viewer = await factories.make_viewer(team, user=user)
        project = await factories.make_project(team)
        for _ in range(number - 1):
            await factories.make_project(team)
        for _ in range(number - 1):
            await factories.make_dataset(project)
        dataset = await factories.make_dataset(project)
        for _ in range(number):
            source = await factories.make_source(project, dataset)
        for key in range(number):
            await factories.make_job(source, active_key=f"{source.id}-{key}")
            await factories.make_schedule(source)
    return Asker(platform, viewer)


@pytest.mark.parametrize("name", ROOT_LISTS)
async def test_pages_by_number_are_those_of_the_whole_list(platform: Platform, name: str) -> None:
    asker = await make_lists(platform, 3)
    whole = [node["pk"] for node in (await asker.data(PAGE % name))["page"]["nodes"]]
    assert len(whole) == 6

    for offset, size in ((0, 4), (4, 4), (5, 1), (6, 4), (100_000, 1)):
        page = (await asker.data(PAGE % name, first=size, offset=offset))["page"]
        assert [node["pk"] for node in page["nodes"]] == whole[offset : offset + size]
        assert page["totalCount"] == 6
        assert page["pageInfo"]["hasNextPage"] is (offset + size < 6)
        assert page["pageInfo"]["hasPreviousPage"] is (offset > 0)
    page = (await asker.data(PAGE % name, first=2, offset=1))["page"]
    after = (await asker.data(PAGE % name, after=page["pageInfo"]["endCursor"]))["page"]
    assert [node["pk"] for node in after["nodes"]] == whole[3:]


BELOW = """query ($offset: Int) {
  viewer { teams { team { projects(first: 2, offset: $offset) {
    nodes { pk } totalCount pageInfo { hasNextPage hasPreviousPage } } } } }
  projects { nodes {
    datasets(first: 2, offset: $offset) { nodes { pk } }
    dataSources(first: 2, offset: $offset) { nodes { pk jobs(first: 2, offset: $offset) { nodes { pk } } } }
    jobs(first: 2, offset: $offset) { nodes { pk } } } }
  datasets { nodes { dataSources(first: 2, offset: $offset) { nodes { pk } } } }
  dataSources { nodes { jobs(first: 2, offset: $offset) { nodes { pk } } } }
  some: projects { nodes { schedules(first: 2, offset: $offset) { nodes { id } } } }
  schedules(first: 2, offset: $offset) { nodes { id } } }"""


async def test_each_parent_leaves_out_its_own_first_ones(
    platform: Platform, database: Database
) -> None:
    asker = await make_lists(platform, 3)

    async with statements(database) as sent:
        whole = await asker.data(BELOW)
    async with statements(database) as sent_with_offset:
        rest = await asker.data(BELOW, offset=1)

    assert len(sent_with_offset) == len(sent)
    teams, rest_teams = (
        [each["team"]["projects"] for each in data["viewer"]["teams"]] for data in (whole, rest)
    )
    for some, others in zip(teams, rest_teams, strict=True):
        assert (some["totalCount"], others["totalCount"]) == (3, 3)
        assert some["nodes"][1] == others["nodes"][0]
        assert len(others["nodes"]) == 2
        assert (some["pageInfo"]["hasNextPage"], others["pageInfo"]["hasNextPage"]) == (True, False)
        assert others["pageInfo"]["hasPreviousPage"]
    assert whole["schedules"]["nodes"][1:] == rest["schedules"]["nodes"][:1]
    for some, others in zip(whole["some"]["nodes"], rest["some"]["nodes"], strict=True):
        assert some["schedules"]["nodes"][1:] == others["schedules"]["nodes"][:1]
    for parents, lists in (
        ("projects", ("datasets", "dataSources", "jobs")),
        ("datasets", ("dataSources",)),
        ("dataSources", ("jobs",)),
    ):
        for some, others in zip(whole[parents]["nodes"], rest[parents]["nodes"], strict=True):
            for name in lists:
                seen, left = (
                    [node["pk"] for node in each[name]["nodes"]] for each in (some, others)
                )
                assert seen[1:] == left[:1]
                assert len(left) == len(seen)


@pytest.mark.parametrize(
    "arguments",
    [
        {"offset": -1},
        {"offset": 100_001},
        {"offset": 1, "last": 1},
        {"offset": 0, "after": "x"},
        {"offset": 1, "first": 1, "before": "x"},
    ],
)
async def test_offsets_that_make_no_sense_are_refused(
    platform: Platform, arguments: dict[str, Any]
) -> None:
    asker = Asker(platform, await factories.make_viewer())

    for name in ROOT_LISTS:
        assert await asker.code(PAGE % name, **arguments) == ("INVALID_INPUT", "offset")
