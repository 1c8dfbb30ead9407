"""Every field that takes an id, called by everybody who must not: nobody gets anything, and nothing changes.

The walk over the schema decides what has to be in the tables of `tests.house.calls`; a new field without an entry fails.
"""

from __future__ import annotations

from collections.abc import Iterator
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

from graph.permissions import NEEDS, Needs
from graph.schema import schema
from models import Role
from services import rates
from services.access import Viewer
from services.platform import Platform
from tests import factories
from tests.graph.asking import Asker
from tests.house.calls import (
    ANONYMOUS,
    BESIDE_PROJECTS,
    CALLS,
    KEYS,
    KIND_OF_ID,
    NEEDED,
    OTHER_CALLS,
    PLAIN_CALLS,
    REFUSING_QUERIES,
    STAFF,
)
from tests.house.worlds import World, make_world
from tests.services.places import everything

CORE = schema._schema
assert CORE.query_type is not None
assert CORE.mutation_type is not None
QUERIES, MUTATIONS = CORE.query_type.fields, CORE.mutation_type.fields
FIELDS: dict[str, GraphQLField] = {**QUERIES, **MUTATIONS}
assert CORE.subscription_type is not None
ROOTS = (CORE.query_type, CORE.mutation_type, CORE.subscription_type)
SUBSCRIPTIONS = CORE.subscription_type.fields  # called by who must not in tests/graph/test_live.py


def ids_in(
    name: str, value: GraphQLArgument | GraphQLInputField, above: frozenset[str] = frozenset()
) -> Iterator[str]:
    """The positions of ids in an argument; of a filter that holds filters, those of the outer one."""
    kind = get_named_type(value.type)
    if kind.name == "ID":
        yield name
    elif isinstance(kind, GraphQLInputObjectType) and kind.name not in above:
        for inner, field in kind.fields.items():
            yield from ids_in(f"{name}.{inner}", field, above | {kind.name})


def positions(field: GraphQLField) -> list[str]:
    return [place for name, value in field.args.items() for place in ids_in(name, value)]


def document(name: str) -> str:
    """An operation that calls a root field with all its arguments, and asks for little."""
    field = FIELDS[name]
    declared = ", ".join(f"${each}: {value.type}" for each, value in field.args.items())
    given = ", ".join(f"{each}: ${each}" for each in field.args)
    declared, given = (f"({each})" if each else "" for each in (declared, given))
    kind = get_named_type(field.type)
    fields = getattr(kind, "fields", {})
    asked = next((f"nodes {{ {each} }}" for each in ("id",) if "nodes" in fields), None) or (
        "id" if "id" in fields else "__typename"
    )
    word = "query" if name in QUERIES else "mutation"
    return f"{word} {declared} {{ {name}{given} {{ {asked} }} }}"


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


def test_every_other_field_is_called_too() -> None:
    assert set(FIELDS) - set(CALLS) == set(PLAIN_CALLS)


def calls(world: World) -> dict[str, dict[str, Any]]:
    """A call of each root field."""
    return PLAIN_CALLS | {name: call(world) for name, call in CALLS.items()}


def fill(variables: Any, place: list[str], value: str) -> tuple[Any, bool]:
    """The variables with one position, if they have it, filled with another id."""
    if not place:
        return ([value] if isinstance(variables, list) else value), True
    key, *rest = place
    if not isinstance(variables, dict) or key not in variables:
        return variables, False
    inner, done = fill(variables[key], rest, value)
    return {**variables, key: inner}, done


def kind_of(name: str, place: str) -> str | None:
    """What of a world the id in this position is; None where the field finds its own kind of thing by it."""
    return KIND_OF_ID.get(f"{name}.{place}") or KIND_OF_ID.get(place.rpartition(".")[2])


def swapped(name: str, place: str, own: World, foreign: World) -> dict[str, Any] | None:
    """A valid call of one's own with a foreign id in this one position; None where no call has the position."""
    kind = kind_of(name, place)
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
        for name, variables in calls(world).items()
        if needs(name) is not ANONYMOUS
        for problem in await wrong(platform, None, name, variables, {"UNAUTHENTICATED"})
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
    for name, variables in calls(world).items():
        if by == "membership" and name in PLAIN_CALLS:  # what they do is in no team
            continue
        needed = needs(name)
        if needed is STAFF or (isinstance(needed, Role) and needed.rank > role.rank):
            problems += await wrong(platform, viewer, name, variables, {"FORBIDDEN"})

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
    given = f'"{getattr(foreign, kind_of(name, place) or name.lower())}"'
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
