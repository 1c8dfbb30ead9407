"""The platform's own sockets on the test's event loop, and jobs that a test moves as a worker would."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute

from base.ids import public_id
from graph.operations import Engine
from graph.schema import schema
from graph.sockets import Sockets
from models import Job, JobStatus, Project, Role, User
from server.auth import ContextFactory
from server.middleware import RequestScope
from services import leases, progress
from services.leases import Lease
from services.platform import Platform
from tests import factories
from tests.sockets import serving

JOB = "subscription ($id: ID!) { job(id: $id) { id status progress { rowsDone } } }"
PROJECT = (
    "subscription ($id: ID!) { projectJobs(projectId: $id) { id status progress { rowsDone } } }"
)
FAR_MS = 1 << 52


@dataclass
class Live:
    """The address of the sockets, and what serves them."""

    url: str
    sockets: Sockets
    hub: progress.Hub


@asynccontextmanager
async def live(
    platform: Platform, *, settings: dict[str, Any] | None = None, **options: Any
) -> AsyncIterator[Live]:
    """Sockets of this platform while the block runs; whatever changes jobs here sends hints."""
    chosen = replace(platform.settings, **(settings or {}))
    hub = progress.Hub(progress.transport_of(chosen))
    sockets = Sockets(Engine(schema), hub, ContextFactory(platform).of, chosen, **options)
    app = Starlette(
        routes=[WebSocketRoute("/graphql", sockets)],
        middleware=[Middleware(RequestScope, is_https=False)],
    )
    progress.publish_by(chosen)
    try:
        async with serving(app) as url:
            try:
                yield Live(url, sockets, hub)
            finally:
                await sockets.stop()
    finally:
        await hub.close()
        progress.stop_publishing()


@dataclass
class Person:
    """A user of a team with a token, and a project of the team."""

    user: User
    project: Project
    secret: str

    @property
    def project_id(self) -> str:
        return public_id("project", self.project.id)


async def make_person(role: Role = Role.READ, project: Project | None = None) -> Person:
    """Somebody with this role in the team of the project, a new one where none is given."""
    project = project or await factories.make_project()
    user = await factories.make_user()
    team = await project.team
    await factories.make_membership(user, team, role)
    _, secret = await factories.make_token(user)
    return Person(user, project, secret)


async def running(project: Project, **values: Any) -> tuple[str, Lease]:
    """The id of a job that a worker has, and the lease by which it has it."""
    source = await factories.make_source(project)
    shape = {"status": JobStatus.RUNNING, "worker": "w1", "fence": 1, "lease_until_ms": FAR_MS}
    job = await factories.make_job(source, **shape | values)
    await leases.touch(job.id)
    return public_id("job", job.id), lease_of(job)


def lease_of(job: Job) -> Lease:
    """The lease of a job made by `running`."""
    project: Any = job.project_id  # type: ignore[attr-defined]
    source: Any = job.data_source_id  # type: ignore[attr-defined]
    return Lease(job.id, job.kind, project, source, "w1", 1, 1, 0, 30_000, None)


async def nothing() -> None:
    """The effects of a job that has none."""
