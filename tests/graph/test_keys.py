"""Integer keys: wherever an id has a type, its key does as well, as a number or in digits."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import get_named_type

from base.ids import PK_MAX, parse_id, public_id
from graph.schema import schema
from models import Role
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.graph.live import JOB, PROJECT, live, make_person, running
from tests.house.calls import CALLS
from tests.house.worlds import World, make_world
from tests.services.places import Place, everything
from tests.sockets import signed_in

CORE = schema._schema
assert CORE.mutation_type is not None
MUTATIONS = CORE.mutation_type.fields


def key(public: str) -> int:
    parsed = parse_id(public)
    assert parsed is not None
    return parsed[1]


def by_keys(value: Any) -> Any:
    """The same input with each public id as its integer key."""
    if isinstance(value, dict):
        return {name: by_keys(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [by_keys(inner) for inner in value]
    return key(value) if isinstance(value, str) and parse_id(value) else value


@pytest.fixture
async def world(platform: Platform) -> World:
    return await make_world(platform)


@pytest.mark.parametrize("name", ["team", "project", "dataset", "dataSource", "job", "schedule"])
async def test_one_thing_is_found_by_its_key(platform: Platform, world: World, name: str) -> None:
    asker, public = Asker(platform, world.viewer), getattr(world, name.lower())
    by_variable = f"query ($id: ID!) {{ {name}(id: $id) {{ id }} }}"

    found = [
        await asker.data(f"{{ {name}(id: {key(public)}) {{ id }} }}"),
        await asker.data(by_variable, id=key(public)),
        await asker.data(by_variable, id=str(key(public))),
        await asker.data(by_variable, id=public),
    ]

    assert found == [{name: {"id": public}}] * 4
    for other in (f"0{key(public)}", f"-{key(public)}", str(PK_MAX), str(PK_MAX + 1), "1.0"):
        assert await asker.data(by_variable, id=other) == {name: None}


@pytest.mark.parametrize("name", ["projects", "datasets", "dataSources", "jobs", "schedules"])
async def test_lists_are_filtered_by_keys(platform: Platform, world: World, name: str) -> None:
    other = await make_world(platform)
    user = await factories.make_user(is_staff=True)
    asker = Asker(platform, await factories.make_viewer(role=None, user=user))

    async def ids(variables: dict[str, Any]) -> list[str]:
        ((argument, value),) = variables.items()
        kind = f"{name[0].upper()}{name[1:-1]}Filter" if argument == "filter" else "ID"
        query = f"query ($by: {kind}) {{ {name}({argument}: $by) {{ nodes {{ id }} }} }}"
        return [node["id"] for node in (await asker.data(query, by=value))[name]["nodes"]]

    found = await ids(by_keys(CALLS[name](world)))

    assert found == await ids(CALLS[name](world)) != []
    assert set(found).isdisjoint(await ids(by_keys(CALLS[name](other))))


async def test_mutations_take_keys_and_answer_with_ids(platform: Platform, world: World) -> None:
    asker = Asker(platform, world.viewer)

    async def do(name: str, asked: str) -> Any:
        query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {asked} }} }}"
        return (await asker.data(query, **by_keys(CALLS[name](world))))[name]

    assert await do("updateProject", "project { id name }") == {
        "project": {"id": world.project, "name": "p"}
    }
    assert await do("deleteSchedule", "id") == {"id": world.schedule}
    assert await do("deleteScript", "id") == {"id": world.script}
    assert await do("deleteDataset", "id") == {"id": world.dataset}
    assert await do("revokeApiToken", "id") == {"id": world.token}
    assert await do("cleanupDataSources", "deletedIds") == {"deletedIds": [world.datasource]}


REPEATABLE = [
    name
    for name in CALLS
    if name in MUTATIONS
    and "idempotencyKey" in get_named_type(MUTATIONS[name].args["input"].type).fields
]


@pytest.mark.parametrize("name", REPEATABLE)
async def test_a_request_that_is_repeated_with_keys_for_ids_is_the_same(
    platform: Platform, world: World, name: str
) -> None:
    asker = Asker(platform, world.viewer)
    asked = "objectKey" if name == "uploadFile" else "__typename"
    query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ {asked} }} }}"

    async def do(call: dict[str, Any]) -> Any:
        return await asker.data(query, input=call["input"] | {"idempotencyKey": "k"})

    first = await do(CALLS[name](world))
    before = await everything()

    assert await do(by_keys(CALLS[name](world))) == first
    assert await everything() == before


async def test_a_snapshot_of_a_source_is_found_by_its_key(platform: Platform, world: World) -> None:
    asker = Asker(platform, world.viewer)
    query = "query ($id: ID!, $one: ID) { dataSource(id: $id) { snapshot(id: $one) { id } } }"

    found = await asker.data(query, id=world.datasource, one=key(world.snapshot))

    assert found == {"dataSource": {"snapshot": {"id": world.snapshot}}}


async def test_a_key_does_not_say_of_what_it_is_so_node_takes_none(
    platform: Platform, world: World
) -> None:
    asker = Asker(platform, world.viewer)

    found = await asker.data(
        f"{{ node(id: {key(world.project)}) {{ id }} nodes(ids: [1]) {{ id }} }}"
    )

    assert found == {"node": None, "nodes": [None]}


async def test_subscriptions_take_keys(platform: Platform) -> None:
    person = await make_person()
    job, _ = await running(person.project)
    async with live(platform) as here, signed_in(here.url, person.secret) as client:
        await client.subscribe("1", JOB, id=key(job))
        await client.subscribe("2", PROJECT, id=str(person.project.id))

        events = [await client.receive(), await client.receive()]

    shown = {(event["id"], next(iter(event["payload"]["data"].values()))["id"]) for event in events}
    assert shown == {("1", job), ("2", job)}


async def test_strangers_get_nothing_by_keys_either(platform: Platform, world: World) -> None:
    stranger = Asker(platform, await factories.make_viewer())
    before = await everything()

    for name in ("team", "project", "dataset", "dataSource", "job", "schedule", "script"):
        query = f"query ($id: ID!) {{ {name}(id: $id) {{ id }} }}"
        assert await stranger.data(query, id=key(getattr(world, name.lower()))) == {name: None}
    for name in (
        "updateProject",
        "deleteSchedule",
        "cancelJob",
        "syncDataSources",
        "setTeamMember",
    ):
        query = f"mutation ($input: {name[0].upper()}{name[1:]}Input!) {{ {name}(input: $input) {{ __typename }} }}"
        code, _ = await stranger.code(query, **by_keys(CALLS[name](world)))
        assert code == "NOT_FOUND"
    assert await everything() == before


async def test_a_token_held_to_a_project_reaches_no_other_by_key(
    platform: Platform, place: Place
) -> None:
    other = await factories.make_project(place.team)
    held = await place.member(Role.ADMIN, project_id=place.project.id)
    query = "query ($id: ID!) { project(id: $id) { id } }"

    found = [
        (await Asker(platform, held).data(query, id=each))["project"]
        for each in (place.project.id, other.id)
    ]

    assert found == [{"id": public_id("project", place.project.id)}, None]
