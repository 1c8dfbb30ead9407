"""Drafts: data sources whose file comes later; until then there is nothing to read, and each call says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from base.errors import Conflict, InvalidInput
from base.ids import public_id
from models import (
    DataSource,
    DataSourceStatus,
    DataSourceType,
    Job,
    JobStatus,
    Role,
    Schedule,
    Snapshot,
)
from services import schedules, scripts, snapshots, sources
from services.platform import Platform
from services.scripts import StepGiven
from services.sources import DatabaseEngine, DatabaseGiven, FileGiven, SourceGiven, TableGiven
from storage.snapshots.formats import ExportFormat
from tests import factories
from tests.services.places import Place, make_place, put_upload, refused
from tests.services.test_updating import change
from tests.workers.syncing import rows_of, worked

NO_FILE = "no file yet"


async def make_draft(platform: Platform, place: Place, **said: Any) -> DataSource:
    """A draft, as it is made by connecting: it has no job though a sync was asked for."""
    given = [SourceGiven("later", FileGiven(**said))]
    done = await sources.connect(platform, place.viewer, given, project_id=place.project_id)
    assert done.job_pks == []
    return await DataSource.get(id=done.source_pks[0])


async def test_a_file_without_a_place_is_a_draft_beside_real_ones(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project)
    given = [SourceGiven("later", FileGiven()), SourceGiven("now", FileGiven(upload.object_key))]

    done = await sources.connect(platform, place.viewer, given, project_id=place.project_id)

    draft, real = [await DataSource.get(id=pk) for pk in done.source_pks]
    assert (draft.status, draft.type, draft.kind) == (
        DataSourceStatus.DRAFT, DataSourceType.FILE, "file",
    )  # fmt: skip
    assert draft.settings == {}
    assert draft.secrets is None
    assert real.status is DataSourceStatus.SYNCING
    assert await Job.all().values_list("data_source_id", flat=True) == [real.id]


CALLS: dict[str, tuple[str | None, Callable[[Platform, Place, str], Awaitable[Any]]]] = {
    "sync": (
        "input.dataSourceIds[0]",
        lambda p, at, id_: sources.start_sync(p, at.viewer, source_ids=[id_]),
    ),
    "introspect": ("input.id", lambda p, at, id_: sources.introspect(p, at.viewer, id_)),
    "presign": ("input.id", lambda p, at, id_: snapshots.presign(p, at.viewer, id_, expires_in=60)),
    "export": (
        "input.id",
        lambda p, at, id_: snapshots.presign(
            p, at.viewer, id_, expires_in=60, format=ExportFormat.CSV
        ),
    ),
    "script": (
        "input.dataSourceId",
        lambda p, at, id_: scripts.create(p, at.viewer, id_, [StepGiven("local:same")]),
    ),
}


@pytest.mark.parametrize("name", CALLS)
async def test_what_needs_a_file_says_that_there_is_none(platform: Platform, name: str) -> None:
    place = await make_place()
    await factories.make_predefined()
    draft = await make_draft(platform, place)
    field, call = CALLS[name]

    async with refused(Conflict, field) as caught:
        await call(platform, place, public_id("datasource", draft.id))

    assert NO_FILE in caught.value.message


async def test_a_sync_of_the_project_leaves_drafts_out(platform: Platform) -> None:
    place = await make_place(Role.EXECUTE)
    maker = (await place.member(Role.WRITE)).acting(Role.WRITE)
    await make_draft(platform, Place(maker, place.team, place.project, place.dataset))
    real = await factories.make_source(place.project, place.dataset)

    (job_pk,) = await sources.start_sync(platform, place.viewer, project_id=place.project_id)

    assert (await Job.get(id=job_pk).values())["data_source_id"] == real.id


async def test_an_update_brings_the_file(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    draft = await make_draft(platform, place, delimiter=";")
    upload = await put_upload(platform, place.project, "rain.csv", b"a;b\n1;2\n")

    noted = await change(platform, place, draft, tables=[TableGiven("rain")], metadata={"a": 1})
    still = await change(platform, place, draft, connection=FileGiven(encoding="utf-16"))
    assert (noted.status, still.status) == (DataSourceStatus.DRAFT, DataSourceStatus.DRAFT)
    assert still.settings == {"delimiter": ";", "encoding": "utf-16"}
    assert await Job.all().count() == 0
    brought = FileGiven(upload.object_key, dropped=("encoding",))
    done = await sources.update(
        platform, place.viewer, public_id("datasource", draft.id), {"connection": brought}
    )

    real = await DataSource.get(id=draft.id)
    assert (real.kind, real.status) == ("csv", DataSourceStatus.SYNCING)
    assert real.settings == {
        "object_key": upload.object_key, "file_name": "rain.csv", "delimiter": ";",
    }  # fmt: skip
    (job,) = await Job.filter(data_source_id=draft.id)
    assert done.job_pks == [job.id]
    ended = await worked(platform, job)
    assert (ended.status, ended.error) == (JobStatus.SUCCEEDED, None)
    snapshot = await Snapshot.get(id=ended.snapshot_id)
    assert await rows_of(platform, snapshot, "rain") == [{"a": 1, "b": 2}]
    assert (await DataSource.get(id=draft.id)).status is DataSourceStatus.SYNCED


@pytest.mark.parametrize("place_of", ["upload", "url"])
async def test_without_sync_it_is_pending(platform: Platform, place_of: str) -> None:
    place = await make_place(Role.WRITE)
    draft = await make_draft(platform, place)
    upload = await put_upload(platform, place.project, "rain.xlsx")
    brought = FileGiven(upload.object_key)
    if place_of == "url":
        brought = FileGiven(url="https://data.example.com/canary?token=t")

    await sources.update(
        platform,
        place.viewer,
        public_id("datasource", draft.id),
        {"connection": brought},
        sync=False,
    )

    assert (await DataSource.get(id=draft.id)).status is DataSourceStatus.PENDING
    assert await Job.all().count() == 0


async def test_what_was_said_of_a_draft_has_to_fit_its_file(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    draft = await make_draft(platform, place, delimiter=";")
    upload = await put_upload(platform, place.project, "rain.parquet")
    fitting = FileGiven(upload.object_key, dropped=("delimiter",))

    async with refused(InvalidInput, "input.connection.file.delimiter"):
        await change(platform, place, draft, connection=FileGiven(upload.object_key))
    async with refused(InvalidInput, "input.connection.database.objectKey"):
        await change(platform, place, draft, connection=DatabaseGiven(DatabaseEngine.SQLITE))
    assert (await change(platform, place, draft, connection=fitting)).kind == "parquet"


async def test_only_connecting_makes_drafts(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project)

    async with refused(InvalidInput, "input.connection.file.objectKey"):
        await sources.test_connection(platform, place.viewer, place.project_id, FileGiven())
    given = [SourceGiven("s", FileGiven(delimiter="too long"))]
    async with refused(InvalidInput, "input.sources[0].connection.file.delimiter"):
        await sources.connect(platform, place.viewer, given, project_id=place.project_id)
    given = [SourceGiven("s", FileGiven(upload.object_key))]
    done = await sources.connect(
        platform, place.viewer, given, project_id=place.project_id, sync=False
    )
    real = await DataSource.get(id=done.source_pks[0])
    again = await change(platform, place, real, connection=FileGiven())
    assert again.settings["object_key"] == upload.object_key


async def test_a_schedule_of_a_draft_notes_that_there_is_no_file(platform: Platform) -> None:
    place = await make_place()
    draft = await make_draft(platform, place)
    pk = await schedules.create(
        platform,
        place.viewer,
        public_id("datasource", draft.id),
        name="s",
        expression="0 * * * *",
        work=schedules.SyncWork(),
    )
    await Schedule.filter(id=pk).update(next_run_ms=0)

    assert await schedules.tick() == 0

    schedule = await Schedule.get(id=pk)
    assert schedule.error["code"] == "CONFLICT"
    assert NO_FILE in schedule.error["message"]
    assert (await DataSource.get(id=draft.id)).status is DataSourceStatus.DRAFT
    assert await Job.all().count() == 0
