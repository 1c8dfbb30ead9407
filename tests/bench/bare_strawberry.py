"""What `graphql` is measured against: the same data by plain Strawberry over Tortoise, written as its guides show.

One resolver a relation, one query a resolver, model instances copied into types; `strawberry.asgi.GraphQL` as it comes.
There are no users, permissions, limits or log: it answers anybody, which is less work than ours.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import strawberry
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route
from strawberry.asgi import GraphQL
from strawberry.scalars import JSON

import models
from models import database


@strawberry.type
class ConnectionInfo:
    kind: str
    has_secret: bool


@strawberry.type
class DataSource:
    id: strawberry.ID
    pk: int
    name: str
    type: str
    status: str
    scope: str
    metadata: JSON
    created_at: datetime
    updated_at: datetime
    last_synced_at: datetime | None
    connection: ConnectionInfo

    @classmethod
    def of(cls, row: models.DataSource) -> DataSource:
        return cls(
            id=strawberry.ID(str(row.id)),
            pk=row.id,
            name=row.name,
            type=row.type,
            status=row.status,
            scope=row.scope,
            metadata=row.metadata,
            created_at=row.created_at,
            updated_at=row.updated_at,
            last_synced_at=row.last_synced_at,
            connection=ConnectionInfo(kind=row.kind, has_secret=row.secrets is not None),
        )


@strawberry.type
class Dataset:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def data_sources(self, first: int = 20) -> list[DataSource]:
        rows = await models.DataSource.filter(dataset_id=int(self.id)).order_by("id").limit(first)
        return [DataSource.of(row) for row in rows]


@strawberry.type
class Project:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def datasets(self, first: int = 20) -> list[Dataset]:
        rows = await models.Dataset.filter(project_id=int(self.id)).order_by("id").limit(first)
        return [Dataset(id=strawberry.ID(str(row.id)), name=row.name) for row in rows]


@strawberry.type
class Query:
    @strawberry.field
    async def data_source(self, id: strawberry.ID) -> DataSource | None:  # noqa: A002 - as in the contract
        row = await models.DataSource.get_or_none(id=int(id))
        return DataSource.of(row) if row else None

    @strawberry.field
    async def data_sources(self, first: int = 20) -> list[DataSource]:
        rows = await models.DataSource.all().order_by("-created_at", "-id").limit(first)
        return [DataSource.of(row) for row in rows]

    @strawberry.field
    async def projects(self, first: int = 20) -> list[Project]:
        rows = await models.Project.all().order_by("-created_at", "-id").limit(first)
        return [Project(id=strawberry.ID(str(row.id)), name=row.name) for row in rows]


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    async with database.open(os.environ["DATABASE_URL"]):
        yield


app = Starlette(
    routes=[Route("/graphql", GraphQL(strawberry.Schema(Query)), methods=["GET", "POST"])],
    lifespan=lifespan,
)

if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
