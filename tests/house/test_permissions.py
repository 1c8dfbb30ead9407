"""Every field that takes an id, called by everybody who must not: nobody gets anything, and nothing changes.

The walk over the schema decides what has to be in the tables here; a new field without an entry fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
)

from graph.permissions import NEEDS, Needs, Permission
from graph.schema import schema
from models import Role
from services import rates
from services.access import Viewer
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.house.worlds import World, make_world, new_file
from tests.services.places import everything

CORE = schema._schema
assert CORE.query_type is not None
assert CORE.mutation_type is not None
QUERIES, MUTATIONS = CORE.query_type.fields, CORE.mutation_type.fields
FIELDS: dict[str, GraphQLField] = {**QUERIES, **MUTATIONS}
assert CORE.subscription_type is not None
ROOTS = (CORE.query_type, CORE.mutation_type, CORE.subscription_type)
SUBSCRIPTIONS = (
    CORE.subscription_type.fields
)  # called by everybody who must not in tests/graph/test_live.py
ANONYMOUS, SIGNED_IN, STAFF = Permission.ANYONE, Permission.SIGNED_IN, Permission.STAFF

# What each root field needs. A change here is a change of who may do what.
NEEDED: dict[str, Needs] = {
    "viewer": SIGNED_IN,
    "serverInfo": ANONYMOUS,
    "node": SIGNED_IN,
    "nodes": SIGNED_IN,
    "team": Role.READ,
    "project": Role.READ,
    "projects": Role.READ,
    "dataset": Role.READ,
    "datasets": Role.READ,
    "dataSource": Role.READ,
    "dataSources": Role.READ,
    "snapshotDiff": Role.READ,
    "script": Role.READ,
    "predefinedScripts": Role.READ,
    "job": Role.READ,
    "jobs": Role.READ,
    "createTeam": Role.ADMIN,
    "setTeamMember": Role.ADMIN,
    "createApiToken": SIGNED_IN,
    "revokeApiToken": SIGNED_IN,
    "createProject": Role.WRITE,
    "updateProject": Role.WRITE,
    "deleteProject": Role.WRITE,
    "reinstateProject": Role.WRITE,
    "hardDeleteProject": STAFF,
    "createDataset": Role.WRITE,
    "updateDataset": Role.WRITE,
    "deleteDataset": Role.WRITE,
    "upload": Role.WRITE,
    "uploadFile": Role.WRITE,
    "createUpload": Role.WRITE,
    "completeUpload": Role.WRITE,
    "testConnection": Role.WRITE,
    "connectDataSources": Role.WRITE,
    "updateDataSource": Role.WRITE,
    "introspectDataSource": Role.EXECUTE,
    "syncDataSources": Role.EXECUTE,
    "cleanupDataSources": Role.WRITE,
    "presignDataSource": Role.READ,
    "restoreSnapshot": Role.WRITE,
    "releaseSnapshot": Role.WRITE,
    "discardSnapshot": Role.WRITE,
    "uploadScript": Role.WRITE,
    "deleteScript": Role.WRITE,
    "createJob": Role.EXECUTE,
    "cancelJob": Role.EXECUTE,
    "retryJob": Role.EXECUTE,
}

# A valid call of each root field that takes an id, with every id in it, by someone who may.
CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "node": lambda w: {"id": w.datasource},
    "nodes": lambda w: {
        "ids": [w.project, w.datasource, w.job, w.script, w.snapshot, w.token, w.team]
    },
    "team": lambda w: {"id": w.team},
    "project": lambda w: {"id": w.project},
    "projects": lambda w: {"filter": {"teamId": w.team}},
    "dataset": lambda w: {"id": w.dataset},
    "datasets": lambda w: {"filter": {"projectId": w.project}},
    "dataSource": lambda w: {"id": w.datasource},
    "dataSources": lambda w: {"filter": {"projectId": w.project}},
    "snapshotDiff": lambda w: {"from": w.snapshot, "to": w.held_snapshot},
    "script": lambda w: {"id": w.script},
    "job": lambda w: {"id": w.job},
    "jobs": lambda w: {"filter": {"projectId": w.project, "dataSourceId": w.datasource}},
    "setTeamMember": lambda w: {
        "input": {"teamId": w.team, "username": w.viewer.username, "role": "ADMIN"}
    },
    "createApiToken": lambda w: {"input": {"name": "t", "role": "READ", "projectId": w.project}},
    "revokeApiToken": lambda w: {"input": {"id": w.token}},
    "createProject": lambda w: {"input": {"name": "p", "teamId": w.team}},
    "updateProject": lambda w: {"input": {"id": w.project, "name": "p", "teamId": w.team}},
    "deleteProject": lambda w: {"input": {"id": w.project}},
    "reinstateProject": lambda w: {"input": {"id": w.project}},
    "hardDeleteProject": lambda w: {"input": {"id": w.project}},
    "createDataset": lambda w: {"input": {"projectId": w.project, "name": "d"}},
    "updateDataset": lambda w: {"input": {"id": w.dataset, "name": "d"}},
    "deleteDataset": lambda w: {"input": {"id": w.dataset}},
    "upload": lambda w: {"id": w.upload},
    "uploadFile": lambda w: {"input": {"projectId": w.project, "file": new_file()}},
    "createUpload": lambda w: {
        "input": {"projectId": w.project, "fileName": "a.csv", "sizeBytes": 8}
    },
    "completeUpload": lambda w: {"input": {"uploadId": w.upload, "parts": w.parts()}},
    "testConnection": lambda w: {"input": {"projectId": w.project, "connection": w.file()}},
    "connectDataSources": lambda w: {
        "input": {
            "projectId": w.project,
            "datasetId": w.dataset,
            "sources": [{"name": "s", "connection": w.file()}],
        }
    },
    "updateDataSource": lambda w: {"input": {"id": w.datasource, "connection": w.file()}},
    "introspectDataSource": lambda w: {"input": {"id": w.datasource}},
    "syncDataSources": lambda w: {
        "input": {"projectId": w.project, "dataSourceIds": [w.datasource]}
    },
    "cleanupDataSources": lambda w: {
        "input": {"projectId": w.project, "dataSourceIds": [w.datasource]}
    },
    "presignDataSource": lambda w: {"input": {"id": w.datasource}},
    "restoreSnapshot": lambda w: {"input": {"id": w.snapshot}},
    "releaseSnapshot": lambda w: {"input": {"id": w.held_snapshot}},
    "discardSnapshot": lambda w: {"input": {"id": w.held_snapshot}},
    "uploadScript": lambda w: {
        "input": {"dataSourceId": w.datasource, "key": w.script_key, "body": "df = df.head()"}
    },
    "deleteScript": lambda w: {"input": {"id": w.script}},
    "createJob": lambda w: {
        "input": {
            "dataSourceId": w.datasource,
            "snapshotId": w.snapshot,
            "steps": [{"key": w.script_key}],
        }
    },
    "cancelJob": lambda w: {"input": {"id": w.job}},
    "retryJob": lambda w: {"input": {"id": w.job}},
}

# Positions of ids that the calls above leave out, in calls that have them.
OTHER_CALLS: dict[str, Callable[[World], dict[str, Any]]] = {
    "dataSources.filter.datasetId": lambda w: {"filter": {"datasetId": w.dataset}},
    "presignDataSource.input.snapshotId": lambda w: {
        "input": {"id": w.datasource, "format": "CSV", "snapshotId": w.snapshot}
    },
}

# References that are no ids: keys of uploaded files.
KEYS: dict[str, Callable[[World, World], dict[str, Any]]] = {
    "testConnection": lambda own, foreign: {
        "input": {"projectId": own.project, "connection": foreign.file()}
    },
    "connectDataSources": lambda own, foreign: {
        "input": {
            "projectId": own.project,
            "sources": [{"name": "s", "connection": foreign.file()}],
        }
    },
    "updateDataSource": lambda own, foreign: {
        "input": {"id": own.datasource, "connection": foreign.file()}
    },
}

# What of a world an id in an argument is; what is not here is an id of the field's own kind of thing.
KIND_OF_ID = {
    "teamId": "team",
    "projectId": "project",
    "datasetId": "dataset",
    "dataSourceId": "datasource",
    "dataSourceIds": "datasource",
    "snapshotId": "snapshot",
    "from": "snapshot",
    "to": "snapshot",
    "uploadId": "upload",
}

# Queries of what lies between two objects: without one of them they are refused as a mutation is.
REFUSING_QUERIES = {"snapshotDiff"}

# What a token that is held to a project still sees: its team, its user's tokens, itself.
BESIDE_PROJECTS = {"node", "nodes", "team", "projects", "revokeApiToken"}


def ids_in(name: str, value: GraphQLArgument | GraphQLInputField) -> Iterator[str]:
    """The positions of ids in an argument."""
    kind = get_named_type(value.type)
    if kind.name == "ID":
        yield name
    elif isinstance(kind, GraphQLInputObjectType):
        for inner, field in kind.fields.items():
            yield from ids_in(f"{name}.{inner}", field)


def positions(field: GraphQLField) -> list[str]:
    return [place for name, value in field.args.items() for place in ids_in(name, value)]


def document(name: str) -> str:
    """An operation that calls a root field with all its arguments, and asks for little."""
    field = FIELDS[name]
    declared = ", ".join(f"${each}: {value.type}" for each, value in field.args.items())
    given = ", ".join(f"{each}: ${each}" for each in field.args)
    kind = get_named_type(field.type)
    fields = getattr(kind, "fields", {})
    asked = next((f"nodes {{ {each} }}" for each in ("id",) if "nodes" in fields), None) or (
        "id" if "id" in fields else "__typename"
    )
    word = "query" if name in QUERIES else "mutation"
    return f"{word} ({declared}) {{ {name}({given}) {{ {asked} }} }}"


async def call(
    platform: Platform, viewer: Viewer | None, name: str, variables: dict[str, Any]
) -> tuple[str | None, Any]:
    """The code of the error, if any, and the field's value."""
    rates.forget()
    answer = await Asker(platform, viewer).answer(document(name), **variables)
    errors = answer.get("errors")
    code = errors[0]["extensions"]["code"] if errors else None
    return code, (answer.get("data") or {}).get(name)


def is_nothing(value: Any) -> bool:
    """Null, an empty page, or a list of nulls."""
    if isinstance(value, dict) and "nodes" in value:
        return not value["nodes"]
    if isinstance(value, list):
        return all(item is None for item in value)
    return value is None


def needs(name: str) -> Needs:
    declared: Needs = FIELDS[name].extensions["strawberry-definition"].metadata[NEEDS]
    return declared


async def wrong(
    platform: Platform,
    viewer: Viewer | None,
    name: str,
    variables: dict[str, Any],
    codes: set[str | None],
) -> list[str]:
    """What is wrong with a call that has to come to nothing."""
    before = await everything()
    code, value = await call(platform, viewer, name, variables)
    problems = []
    if code not in codes:
        problems.append(f"{name}: {code}")
    if not is_nothing(value):
        problems.append(f"{name}: gave {value}")
    if await everything() != before:
        problems.append(f"{name}: changed something")
    return problems


def refusals(name: str, *codes: str) -> set[str | None]:
    """A query finds nothing, a mutation is refused, and so is a query that has nothing to give without its objects."""
    return {None} if name in QUERIES and name not in REFUSING_QUERIES else set(codes)


def test_the_table_of_needs_is_what_the_schema_declares() -> None:
    assert {name: needs(name) for name in FIELDS} == NEEDED


def test_whoever_may_read_may_subscribe() -> None:
    declared = {
        name: field.extensions["strawberry-definition"].metadata[NEEDS]
        for name, field in SUBSCRIPTIONS.items()
    }

    assert declared == {"job": Role.READ, "projectJobs": Role.READ}


def test_every_field_that_takes_an_id_is_called() -> None:
    assert {name for name, field in FIELDS.items() if positions(field)} == set(CALLS)


def fill(variables: Any, place: list[str], value: str) -> tuple[Any, bool]:
    """The variables with one position, if they have it, filled with another id."""
    if not place:
        return ([value] if isinstance(variables, list) else value), True
    key, *rest = place
    if not isinstance(variables, dict) or key not in variables:
        return variables, False
    inner, done = fill(variables[key], rest, value)
    return {**variables, key: inner}, done


def swapped(name: str, place: str, own: World, foreign: World) -> dict[str, Any] | None:
    """A valid call of one's own with a foreign id in this one position; None where no call has the position."""
    kind = KIND_OF_ID.get(place.rpartition(".")[2])
    if kind is None:
        return CALLS[name](foreign)
    make = OTHER_CALLS.get(f"{name}.{place}", CALLS[name])
    variables, done = fill(make(own), place.split("."), getattr(foreign, kind))
    return variables if done else None


async def test_every_position_of_an_id_is_in_a_call(platform: Platform) -> None:
    world = await make_world(platform)

    missing = [
        f"{name}.{place}"
        for name, field in FIELDS.items()
        for place in positions(field)
        if swapped(name, place, world, world) is None
    ]

    assert missing == []


async def test_the_anonymous_get_nothing(platform: Platform) -> None:
    world = await make_world(platform)

    problems = [
        problem
        for name, variables in CALLS.items()
        for problem in await wrong(platform, None, name, variables(world), {"UNAUTHENTICATED"})
    ]

    assert problems == []


async def test_strangers_get_nothing(platform: Platform) -> None:
    world, other = await make_world(platform), await make_world(platform)

    problems = [
        problem
        for name, variables in CALLS.items()
        for problem in await wrong(
            platform,
            other.viewer,
            name,
            variables(world),
            refusals(name, "FORBIDDEN" if needs(name) is STAFF else "NOT_FOUND"),
        )
    ]

    assert problems == []


async def test_a_foreign_id_in_any_one_place_gets_nothing(platform: Platform) -> None:
    foreign, own = await make_world(platform), await make_world(platform)
    problems = []
    for name, field in FIELDS.items():
        for place in positions(field):
            variables = swapped(name, place, own, foreign)
            assert variables is not None
            codes = refusals(name, "FORBIDDEN" if needs(name) is STAFF else "NOT_FOUND")
            problems += [
                f"{place}: {problem}"
                for problem in await wrong(platform, own.viewer, name, variables, codes)
            ]

    assert problems == []


async def test_a_foreign_file_is_not_found(platform: Platform) -> None:
    foreign, own = await make_world(platform), await make_world(platform)

    problems = [
        problem
        for name, variables in KEYS.items()
        for problem in await wrong(
            platform, own.viewer, name, variables(own, foreign), {"NOT_FOUND"}
        )
    ]

    assert problems == []


@pytest.mark.parametrize("role", [Role.READ, Role.EXECUTE, Role.WRITE, Role.ADMIN])
@pytest.mark.parametrize("by", ["membership", "token"])
async def test_a_lower_role_is_refused(platform: Platform, role: Role, by: str) -> None:
    """By the membership or by the token: the lower of the two counts."""
    world = await make_world(platform)
    if by == "membership":
        viewer = await world.member(role)
    else:
        viewer = await world.member(Role.ADMIN, role_max=role)
    problems = []
    for name, variables in CALLS.items():
        needed = needs(name)
        if needed is STAFF or (isinstance(needed, Role) and needed.rank > role.rank):
            problems += await wrong(platform, viewer, name, variables(world), {"FORBIDDEN"})

    assert problems == []


async def test_a_token_held_to_another_project_gets_nothing(platform: Platform) -> None:
    world = await make_world(platform)
    held = await world.held()

    problems = [
        problem
        for name, variables in CALLS.items()
        if name not in BESIDE_PROJECTS
        for problem in await wrong(
            platform, held, name, variables(world), refusals(name, "NOT_FOUND", "FORBIDDEN")
        )
    ]

    assert problems == []


@pytest.mark.parametrize("name", CALLS)
async def test_who_may_does(platform: Platform, name: str) -> None:
    """The same calls are valid: it is the caller that the tests above refuse."""
    world = await make_world(platform)
    viewer = world.viewer
    if needs(name) is STAFF:
        viewer = await factories.make_viewer(
            role=None, user=await factories.make_user(is_staff=True)
        )

    code, value = await call(platform, viewer, name, CALLS[name](world))

    assert code is None
    assert not is_nothing(value)


def below(kind: GraphQLObjectType, name: str, place: str, own: World, foreign: World) -> str:
    """A query that asks something of one's own for a field with a foreign id in its arguments."""
    what = KIND_OF_ID.get(place.rpartition(".")[2], name.lower())
    given = f'"{getattr(foreign, what)}"'
    for key in reversed(place.split(".")):
        given = f"{{ {key}: {given} }}"
    parent = getattr(own, kind.name.lower())
    fields = getattr(get_named_type(kind.fields[name].type), "fields", {})
    asked = "nodes { id }" if "nodes" in fields else "id"
    found = f"found: {name}({given[2:-2]}) {{ {asked} }}"
    return f'{{ node(id: "{parent}") {{ ... on {kind.name} {{ {found} }} }} }}'


async def test_fields_below_the_root_give_nothing_foreign(platform: Platform) -> None:
    foreign, own = await make_world(platform), await make_world(platform)
    asked = 0
    for kind in CORE.type_map.values():
        if not isinstance(kind, GraphQLObjectType) or kind in ROOTS:
            continue
        for name, field in kind.fields.items():
            for place in positions(field):
                query = below(kind, name, place, own, foreign)

                answer = await Asker(platform, own.viewer).answer(query)

                assert is_nothing(answer["data"]["node"]["found"]), query
                assert "errors" not in answer, query
                asked += 1
    assert asked >= 10


SET_BY_THE_SERVER = {
    "createdAt", "creator", "creatorId", "deletedAt", "fence", "isDefault", "isStaff", "ownerId", "pk", "secretHash",
    "status", "updatedAt", "userId",
}  # fmt: skip


def test_no_input_sets_what_the_server_sets() -> None:
    settable = {
        f"{kind.name}.{name}"
        for kind in CORE.type_map.values()
        if isinstance(kind, GraphQLInputObjectType) and kind.name.endswith("Input")
        for name in kind.fields
    }

    assert {each for each in settable if each.partition(".")[2] in SET_BY_THE_SERVER} == set()
