"""Every route of every dialect, called by who must not: nobody gets anything, and nothing changes.

What has to be in the tables of `tests.gateway.routes` are the routes themselves; a new one without an entry fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from base.credentials import Keyring, generate_key
from gateway import DIALECTS, Gateway
from gateway.dialect import Route
from gateway.requests import Limits
from graph.operations import Engine
from graph.schema import export, schema
from models import ApiToken, User
from server.auth import ContextFactory
from server.gateway import InProcess
from services import rates
from services.access import Viewer
from services.platform import Platform
from tests import factories
from tests.gateway.routes import ABOUT, OWN, Ask
from tests.house.worlds import World, make_world
from tests.services.places import everything

ENGINE = Engine(schema)
pytestmark = pytest.mark.anyio
dialects = pytest.mark.parametrize("name", list(DIALECTS))
SERVED = 300


@pytest.fixture
async def rest(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway to the platform of this test, in which no worker runs."""
    gateway = Gateway(
        list(DIALECTS.values()),
        InProcess(ENGINE, ContextFactory(platform)),
        keyring=Keyring([generate_key()]),
        public_url="http://gateway",
        limits=Limits(1_000_000, 1_000_000),
        wait_seconds=0,
        sdl=export,
    )
    transport = httpx.ASGITransport(gateway)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


async def token_of(viewer: Viewer, **values: Any) -> str:
    """A token of a user, that was used already: using it writes down when."""
    token, secret = await factories.make_token(await User.get(id=viewer.user_id), **values)
    await ApiToken.filter(id=token.id).update(last_used_at=datetime.now(UTC) + timedelta(days=1))
    return secret


async def send(rest: httpx.AsyncClient, route: str, ask: Ask, token: str | None) -> httpx.Response:
    rates.forget()
    method, _, path = route.partition(" ")
    for name, value in ask.path.items():
        path = path.replace(f"{{{name}:int}}", str(value)).replace(f"{{{name}}}", str(value))
    given: dict[str, Any] = {}
    if ask.form is not None or ask.files is not None:
        fields = {name: (None, text) for name, text in (ask.form or {}).items()}
        given = {"files": {**fields, **(ask.files or {})}}
    elif ask.json is not None:
        given = {"json": ask.json}
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return await rest.request(method, path, params=ask.query, headers=headers, **given)


def is_refused(name: str, response: httpx.Response) -> bool:
    """Whether a reply says no, in its dialect."""
    if response.status_code >= SERVED + 200:
        return False  # that is no answer of ours
    if name == "maxir":
        return bool(response.json()["code"] != 0)
    if name == "prometheux":
        return bool(response.json()["status"] == "error")
    return response.status_code >= SERVED + 100


Asked = tuple[str, Ask, str | None]  # a route, what is sent to it, and the token


async def wrongs(rest: httpx.AsyncClient, name: str, asked: Iterable[Asked]) -> list[str]:
    """What is wrong with requests that have to come to nothing."""
    before = await everything()
    problems = []
    for route, ask, token in asked:
        response = await send(rest, route, ask, token)
        if not is_refused(name, response):
            problems.append(f"{route}: {response.status_code} {response.text[:300]}")
    return problems if await everything() == before else [*problems, "something was changed"]


@dialects
def test_every_route_is_in_the_tables(name: str) -> None:
    routes = {named(route) for route in DIALECTS[name].routes}

    assert routes == set(ABOUT[name]) | OWN[name]


@dialects
async def test_strangers_get_nothing(
    platform: Platform, rest: httpx.AsyncClient, name: str
) -> None:
    world, other = await make_world(platform), await make_world(platform)
    token = await token_of(other.viewer)

    asked = [(route, as_user(ask(world), other), token) for route, ask in ABOUT[name].items()]

    assert await wrongs(rest, name, asked) == []


@dialects
async def test_a_token_of_another_project_gets_nothing(
    platform: Platform, rest: httpx.AsyncClient, name: str
) -> None:
    world = await make_world(platform)
    held = await world.held()
    token = await token_of(held, project_id=held.project_id)
    of_the_team = {route for route in ABOUT[name] if "/teams" in route or "/users" in route}

    asked = [
        (route, ABOUT[name][route](world), token) for route in ABOUT[name].keys() - of_the_team
    ]

    assert await wrongs(rest, name, asked) == []


@dialects
async def test_nobody_gets_anything_without_a_credential(
    platform: Platform, rest: httpx.AsyncClient, name: str
) -> None:
    world = await make_world(platform)
    closed = [route for route in DIALECTS[name].routes if not route.is_open]

    asked: list[Asked] = []
    for route in closed:
        make = ABOUT[name].get(named(route))
        ask = make(world) if make else Ask(dict.fromkeys(("id", "verb", "workspace_id"), "x"))
        asked += [(named(route), ask, token) for token in (None, "hw_wrong")]

    assert await wrongs(rest, name, asked) == []


@dialects
async def test_whoever_they_belong_to_gets_it(
    platform: Platform, rest: httpx.AsyncClient, name: str
) -> None:
    """Else the requests above could be refused for any reason."""
    problems = []
    shared = await make_world(platform)
    for route, make in ABOUT[name].items():
        world = shared if route.startswith("GET ") else await make_world(platform)
        ask = make(world)
        response = await send(rest, route, ask, await token_of(world.viewer))
        if is_refused(name, response) == ask.owner:
            problems.append(f"{route}: {response.status_code} {response.text[:300]}")

    assert problems == []


@dialects
async def test_lists_have_nothing_of_others(
    platform: Platform, rest: httpx.AsyncClient, name: str
) -> None:
    world, other = await make_world(platform), await make_world(platform)
    token = await token_of(other.viewer)
    ask = Ask(query={"user_id": other.user})
    foreign = (world.project, world.dataset, world.datasource, world.team, world.user, world.token)

    told = []
    for route in OWN[name]:
        response = await send(rest, route, ask, token)
        told += [f"{route}: {each}" for each in foreign if each in response.text]

    assert told == []


def as_user(ask: Ask, world: World) -> Ask:
    """The request with the caller's own user, where it names one."""
    return (
        replace(ask, query=ask.query | {"user_id": world.user}) if "user_id" in ask.query else ask
    )
