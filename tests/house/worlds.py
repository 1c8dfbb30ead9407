"""One of everything that has an id, in a team of its own, for tests of who may touch what."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import UploadFile

from base.ids import public_id
from base.tables import TableSchema
from models import ApiToken, DataSource, JobStatus, Role, SnapshotStatus, Team, User
from services.access import Viewer
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories
from tests.services.places import make_place, put_parts, put_upload


@dataclass(frozen=True)
class World:
    """Public ids by kind; `viewer` is the team's admin and owns the token."""

    viewer: Viewer
    team_row: Team
    user: str
    team: str
    project: str
    dataset: str
    source_dataset: str
    datasource: str
    snapshot: str
    held_snapshot: str
    job: str
    schedule: str
    script: str
    script_key: str
    token: str
    object_key: str
    upload: str
    upload_etag: str

    def file(self) -> dict[str, Any]:
        """A connection to the uploaded file."""
        return {"file": {"objectKey": self.object_key}}

    def parts(self) -> list[dict[str, Any]]:
        """The parts of the upload, all of them sent."""
        return [{"number": 1, "etag": self.upload_etag}]

    async def member(self, role: Role, **values: Any) -> Viewer:
        """A colleague."""
        return await factories.make_viewer(self.team_row, role, **values)

    async def held(self) -> Viewer:
        """The team's admin, by a token that is held to another project of the team."""
        other = await factories.make_project(self.team_row)
        await factories.make_dataset(other, is_default=True)
        return await self.member(Role.ADMIN, project_id=other.id)


async def make_world(platform: Platform) -> World:
    """A world with a synced file, a script for it, a failed job, a held snapshot, and a second dataset without sources."""
    place = await make_place()
    stored = await put_upload(platform, place.project)
    source = await factories.make_source(
        place.project,
        place.dataset,
        settings={"object_key": stored.object_key, "file_name": stored.file_name},
    )
    job = await factories.make_job(source, status=JobStatus.FAILED)
    tables = Manifest((StoredTable(TableSchema("rain", ()), ()),)).to_json()
    snapshot = await factories.make_snapshot(source, job=job, manifest=tables)
    script = await factories.make_script(source)
    waiting = await factories.make_snapshot(
        source, status=SnapshotStatus.HELD, manifest={"tables": []}
    )
    await DataSource.filter(id=source.id).update(held_snapshot_id=waiting.id)
    schedule = await factories.make_schedule(source)
    empty = await factories.make_dataset(place.project)
    token: ApiToken
    token, _ = await factories.make_token(await User.get(id=place.viewer.user_id))
    upload, part = await put_parts(platform, place)
    return World(
        viewer=place.viewer,
        team_row=place.team,
        user=public_id("user", place.viewer.user_id),
        team=place.team_id,
        project=place.project_id,
        dataset=public_id("dataset", empty.id),
        source_dataset=public_id("dataset", place.dataset.id),
        datasource=public_id("datasource", source.id),
        snapshot=public_id("snapshot", snapshot.id),
        held_snapshot=public_id("snapshot", waiting.id),
        job=public_id("job", job.id),
        schedule=public_id("schedule", schedule.id),
        script=public_id("script", script.id),
        script_key=script.key,
        token=public_id("token", token.id),
        object_key=stored.object_key,
        upload=upload.id,
        upload_etag=part.etag,
    )


def new_file() -> UploadFile:
    """A small CSV file as the multipart parser hands it over."""
    return UploadFile(io.BytesIO(b"a,b\n1,2\n"), filename="new.csv")
