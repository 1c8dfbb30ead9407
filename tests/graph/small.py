"""A small schema of its own for tests of the HTTP face: nothing of the platform is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, NamedTuple

import httpx
import strawberry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from strawberry.file_uploads import Upload

from base.errors import NotFound
from base.settings import Settings
from graph.http import GraphQLEndpoint
from graph.serialized import Serialized

CANARY = "hunter2-canary"


@dataclass
class Context:
    viewer: str | None


@strawberry.enum
class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@strawberry.input
class Credentials:
    username: str
    password: str
    port: int | None = None
    colour: Colour | None = None


@strawberry.input(one_of=True)
class Connection:
    file: strawberry.Maybe[str]
    database: strawberry.Maybe[Credentials]


@strawberry.type
class Item:
    id: strawberry.ID
    name: str | None
    size: int
    colour: Colour

    @strawberry.field
    async def owner(self) -> Owner:
        return Owner(name=f"owner of {self.id}")

    @strawberry.field
    def parts(self, first: int = 20) -> list[Item]:
        return [item(number) for number in range(first)]


@strawberry.type
class Owner:
    name: str

    @strawberry.field
    def items(self) -> list[Item]:
        return [item(1)]


class ItemRow(NamedTuple):
    id: str
    name: str | None
    size: int
    colour: Colour


def item(number: int) -> Item:
    return Item(
        id=strawberry.ID(f"item-{number}"), name=f"n{number}", size=number, colour=Colour.RED
    )


@strawberry.type
class ItemPage:
    nodes: list[Item]
    total: int


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def items(self, first: int = 20, last: int | None = None) -> ItemPage:
        return ItemPage(nodes=[item(number) for number in range(last or first)], total=1_000)

    @strawberry.field
    def nodes(self, ids: list[strawberry.ID]) -> list[Item]:
        return [item(number) for number in range(len(ids))]

    @strawberry.field
    def login(self, credentials: Credentials) -> str:
        return credentials.username

    @strawberry.field
    def missing(self) -> str | None:
        raise NotFound("There is no such thing.", hint="Look elsewhere.", field="id")

    @strawberry.field
    def broken(self, secret: str = "") -> str | None:
        raise RuntimeError(f"the driver said {secret} and host db.internal")

    @strawberry.field
    def many_broken(self) -> list[BrokenItem]:
        return [BrokenItem() for _ in range(50)]

    @strawberry.field
    async def slow(self) -> str:
        await asyncio.sleep(60)
        return "late"

    @strawberry.field(graphql_type=list[list[str | None]])  # type: ignore[untyped-decorator]
    async def rows(self) -> Any:
        return Serialized(b'[[1,"a"],[9007199254740993,null]]')


@strawberry.type
class BrokenItem:
    @strawberry.field
    def name(self) -> str | None:
        raise RuntimeError("no")


@strawberry.type
class Mutation:
    @strawberry.mutation
    def connect(self, connection: Connection) -> str:
        return "by file" if connection.file else "by database"

    @strawberry.mutation
    def test_connection(self) -> bool:
        return True

    @strawberry.mutation
    async def keep(self, file: Upload, note: str | None = None) -> str:
        content = await file.read()  # type: ignore[attr-defined]
        return f"{file.filename}:{len(content)}:{note}"  # type: ignore[attr-defined]


schema = strawberry.Schema(Query, Mutation)
SETTINGS = Settings(
    query_seconds_max=1, body_bytes_max=256 * 1024, upload_bytes_max=4 * 1024 * 1024
)


async def context_factory(request: Request) -> Context:
    return Context(viewer="ada" if request.headers.get("authorization") == "Bearer good" else None)


def app(**changes: Any) -> Starlette:
    endpoint = GraphQLEndpoint(schema, context_factory, replace(SETTINGS, **changes))
    return Starlette(routes=[Route("/graphql", endpoint)])


@asynccontextmanager
async def client(**changes: Any) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app(**changes))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as session:
        yield session


async def ask(session: httpx.AsyncClient, query: str, **variables: Any) -> dict[str, Any]:
    response = await session.post("/graphql", json={"query": query, "variables": variables})
    answer: dict[str, Any] = response.json()
    return answer
