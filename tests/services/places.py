"""Where service tests take place: a team with a project, and proof that a refused call changed nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

import models
from base.errors import PlatformError
from base.ids import public_id
from models import Dataset, PartUpload, Project, Role, Team, Upload
from services import part_uploads
from services.access import Viewer
from services.part_uploads import Begun
from services.platform import Platform
from storage.local import LocalStore
from storage.store import PartInfo
from storage.store import Place as PartPlace
from tests import factories

MODELS = [each for name in models.__all__ if hasattr(each := getattr(models, name), "_meta")]


@dataclass(frozen=True)
class Place:
    """A project with its default dataset, and a member of its team who acts with the own role."""

    viewer: Viewer
    team: Team
    project: Project
    dataset: Dataset

    @property
    def project_id(self) -> str:
        return public_id("project", self.project.id)

    @property
    def team_id(self) -> str:
        return public_id("team", self.team.id)

    async def member(self, role: Role, **values: Any) -> Viewer:
        """Another member of the team."""
        viewer = await factories.make_viewer(self.team, role, **values)
        return viewer.acting(Role.READ)


async def make_place(role: Role = Role.ADMIN) -> Place:
    """A place of its own team; the viewer acts with this role."""
    team = await factories.make_team()
    viewer = (await factories.make_viewer(team, role)).acting(role)
    project = await factories.make_project(team)
    dataset = await factories.make_dataset(project, is_default=True)
    return Place(viewer, team, project, dataset)


async def everything() -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables."""
    return {model.__name__: await model.all().order_by("id").values() for model in MODELS}


@asynccontextmanager
async def refused(
    kind: type[PlatformError], field: str | None = None
) -> AsyncIterator[pytest.ExceptionInfo[Any]]:
    """The block raises this error, about this input, and changes no row."""
    before = await everything()
    with pytest.raises(kind) as caught:
        yield caught
    assert caught.value.field == field
    assert await everything() == before


async def put_upload(
    platform: Platform, project: Project, name: str = "data.csv", content: bytes = b"a,b\n1,2\n"
) -> Upload:
    """A stored file of a project, with its row."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    upload = await factories.make_upload(project, file_name=name, size_bytes=len(content))
    await platform.store.put(upload.object_key, chunks(), bytes_max=len(content) + 1)
    return upload


async def put_parts(
    platform: Platform, place: Place, content: bytes = b"a,b\n1,2\n"
) -> tuple[Begun, PartInfo]:
    """A small upload in parts, with its one part sent."""
    begun = await part_uploads.begin(
        platform, place.viewer, place.project_id, "parts.csv", len(content)
    )

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    row = await PartUpload.get(object_key=begun.object_key)
    assert isinstance(platform.store, LocalStore)
    assert row.store_id is not None
    part = await platform.store.put_part(row.store_id, PartPlace(1, 0, len(content)), chunks())
    return begun, part
