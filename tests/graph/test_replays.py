"""Changes of what is read: a file is read anew from what is stored of it, at once, and never half old and half new."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from base.ids import public_id
from models import DataSource, Job, JobStatus, Snapshot
from services import jobs, leases
from services.leases import LeaseLost, Progress
from storage.snapshots.manifest import Manifest
from tests import factories
from tests.graph.asking import Asker
from tests.graph.test_mutations import do, postgres, refusal
from tests.graph.working import children, web, work
from tests.http_server import HttpServer
from tests.services.places import Place, put_upload
from workers.housekeeping import Housekeeper

__all__ = ["children", "web"]

FILE = b"code;n\n007;1\n008;2\n"
READ = """query ($id: ID!) { dataSource(id: $id) { status error { message } connection { settings } snapshot { number }
    table { columns { name type } rows { rows } } } }"""


async def connected(
    asker: Asker, place: Place, *, file: bytes = FILE, mode: str | None = None, **settings: Any
) -> str:
    """The id of a synced CSV source."""
    upload = await put_upload(asker.platform, place.project, "codes.csv", file)
    source: dict[str, Any] = {
        "name": "codes",
        "connection": {"file": {"objectKey": upload.object_key} | settings},
    }
    if mode is not None:
        source["tables"] = [{"name": "codes", "mode": mode}]
    done = await do(
        asker,
        "connectDataSources",
        "dataSources { id }",
        projectId=place.project_id,
        sources=[source],
    )
    await work(asker.platform)
    source_id: str = done["dataSources"][0]["id"]
    return source_id


async def changed(asker: Asker, source_id: str, **values: Any) -> Any:
    """The jobs that a change queues."""
    payload = await do(asker, "updateDataSource", "jobs { id status }", id=source_id, **values)
    return payload["jobs"]


async def begun() -> None:
    """Wait until a worker has a job."""
    for _ in range(24_000):
        if await Job.filter(attempts__gt=0).exists():
            return
        await asyncio.sleep(0.01)
    pytest.fail("no worker took the job")


async def types(asker: Asker, source_id: str) -> list[str]:
    """The types of the table's columns, after whatever is queued is done."""
    await work(asker.platform)
    source = (await asker.data(READ, id=source_id))["dataSource"]
    assert (source["status"], source["error"]) == ("SYNCED", None)
    return [column["type"] for column in source["table"]["columns"]]


@pytest.mark.usefixtures("children")
async def test_new_types_are_read_from_the_stored_file(asker: Asker, place: Place) -> None:
    source_id = await connected(asker, place)
    assert await types(asker, source_id) == ["TEXT", "INTEGER"]

    queued = await changed(
        asker, source_id, connection={"file": {"columnTypes": {"code": "INTEGER"}}}
    )

    assert [job["status"] for job in queued] == ["QUEUED"]
    assert await types(asker, source_id) == ["INTEGER", "INTEGER"]
    source = (await asker.data(READ, id=source_id))["dataSource"]
    assert source["table"]["rows"]["rows"] == [[7, 1], [8, 2]]
    assert source["snapshot"] == {"number": 2}
    assert source["connection"]["settings"]["file_name"] == "codes.csv"
    assert [each.generation for each in await Snapshot.all().order_by("id")] == [0, 1]


@pytest.mark.usefixtures("children")
async def test_what_was_said_of_a_file_stays_until_it_is_said_anew(
    asker: Asker, place: Place
) -> None:
    source_id = await connected(asker, place, columnTypes={"code": "INTEGER"}, delimiter=";")
    upload = await put_upload(asker.platform, place.project, "more.csv", b"code;n\n009;x\n")

    await changed(asker, source_id, connection={"file": {"objectKey": upload.object_key}})

    assert await types(asker, source_id) == ["INTEGER", "TEXT"]
    (row,) = await DataSource.all()
    assert row.settings == {
        "object_key": upload.object_key,
        "file_name": "more.csv",
        "delimiter": ";",
        "column_types": {"code": "integer"},
    }
    assert (
        row.generation == 0
    )  # another file of the same form: its rows may be added to the stored ones
    await changed(asker, source_id, connection={"file": {"columnTypes": None}})
    assert await types(asker, source_id) == ["TEXT", "TEXT"]
    (row,) = await DataSource.all()
    assert (row.settings["delimiter"], "column_types" in row.settings) == (";", False)
    assert row.generation == 1


@pytest.mark.usefixtures("children")
async def test_a_file_of_another_format_has_other_things_to_say(asker: Asker, place: Place) -> None:
    source_id = await connected(asker, place, columnTypes={"code": "INTEGER"})
    upload = await put_upload(asker.platform, place.project, "codes.ndjson", b'{"code":"7"}\n')

    await changed(asker, source_id, connection={"file": {"objectKey": upload.object_key}})

    assert await types(asker, source_id) == ["TEXT"]
    (row,) = await DataSource.all()
    assert row.settings == {"object_key": upload.object_key, "file_name": "codes.ndjson"}
    assert await refusal(
        asker, "updateDataSource", id=source_id,
        connection={"file": {"delimiter": ";"}},
    ) == ("INVALID_INPUT", "input.connection.file.delimiter")  # fmt: skip


@pytest.mark.usefixtures("children")
async def test_what_is_changed_during_a_sync_is_what_it_ends_with(
    asker: Asker, place: Place
) -> None:
    lines = b"".join(b"%03d;%d\n" % (n % 1000, n) for n in range(50_000))
    upload = await put_upload(asker.platform, place.project, "c.csv", b"code;n\n" + lines)
    source = {"name": "codes", "connection": {"file": {"objectKey": upload.object_key}}}
    done = await do(
        asker, "connectDataSources", "dataSources { id } jobs { id }",
        projectId=place.project_id, sources=[source],
    )  # fmt: skip
    source_id = done["dataSources"][0]["id"]

    worker = asyncio.create_task(work(asker.platform))
    await begun()
    for kind in ("DECIMAL", "FLOAT", "INTEGER"):
        await changed(asker, source_id, connection={"file": {"columnTypes": {"code": kind}}})
        await asyncio.sleep(0.1)
    await worker

    assert await types(asker, source_id) == ["INTEGER", "INTEGER"]
    (row,) = await DataSource.all()
    current = await Snapshot.get(id=row.current_snapshot_id)
    assert (row.generation, current.generation, current.row_count) == (3, 3, 50_000)
    named = set[str]()
    for snapshot in await Snapshot.all():
        named |= Manifest.from_json(snapshot.manifest).keys()
    await Housekeeper(asker.platform).tidy()
    assert {info.key async for info in asker.platform.store.list("snapshots/")} == named


@pytest.mark.usefixtures("children")
async def test_a_file_at_a_url_is_read_anew_without_being_sent_again(
    asker: Asker, place: Place, web: HttpServer
) -> None:
    """The server has the same file still; a setting that the file does not have is refused at once."""
    run = uuid4().hex
    url = f"{web.url}/file/{run}/cities.csv?signature=canary"
    source = {"name": "cities", "connection": {"file": {"url": url}}}
    done = await do(
        asker, "connectDataSources", "dataSources { id }",
        projectId=place.project_id, sources=[source],
    )  # fmt: skip
    source_id = done["dataSources"][0]["id"]
    assert await types(asker, source_id) == ["INTEGER", "TEXT"]
    (before,) = await DataSource.all()

    await changed(asker, source_id, connection={"file": {"columnTypes": {"id": "TEXT"}}})

    assert await types(asker, source_id) == ["TEXT", "TEXT"]
    (after,) = await DataSource.all()
    assert after.settings == before.settings | {"column_types": {"id": "text"}}
    asked = [each["headers"].get("if-none-match") for each in web.seen(run)]
    assert asked == [None, before.settings["etag"]]
    assert await changed(asker, source_id, connection={"file": {"url": url}}) == []
    assert await changed(asker, source_id, connection={"file": {}}) == []


async def test_only_what_changes_the_rows_is_synced(asker: Asker, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset, **_database())
    source_id = public_id("datasource", source.id)

    assert await changed(asker, source_id, name="n", metadata={}, driftPolicy="HOLD") == []
    assert await changed(asker, source_id, connection=postgres(password="new-canary")) == []
    assert await Job.all().count() == 0
    (queued,) = await changed(asker, source_id, tables=[{"name": "t", "mode": "MERGE"}])
    assert queued["status"] == "QUEUED"
    assert (await DataSource.get(id=source.id)).generation == 0


async def test_a_change_may_leave_the_sync_for_later(asker: Asker, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset, **_database())
    snapshot = await factories.make_snapshot(source)
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    source_id = public_id("datasource", source.id)

    assert await changed(
        asker, source_id, sync=False, tables=[{"name": "t", "columns": ["a"]}]
    ) == []  # fmt: skip

    assert await Job.all().count() == 0
    assert (await DataSource.get(id=source.id)).generation == 1  # so the next sync reads all
    for again in (False, True):
        done = await do(asker, "syncDataSources", "jobs { id }", dataSourceIds=[source_id])
        (job,) = await Job.filter(status=JobStatus.QUEUED)
        assert done["jobs"] == [{"id": public_id("job", job.id)}]
        assert job.options == {"batch_rows": None, "incremental": True}
        await do(asker, "cancelJob", "job { id }", id=done["jobs"][0]["id"])
        if not again:
            await do(asker, "retryJob", "job { id }", id=done["jobs"][0]["id"])
            retried = await Job.filter(status=JobStatus.QUEUED).get()
            assert retried.options == job.options
            await jobs.cancel_jobs([retried.id])


@pytest.mark.parametrize("told", [True, False])
async def test_a_running_sync_starts_over_as_the_source_is_now(
    asker: Asker,
    place: Place,
    told: bool,  # noqa: FBT001 - a parameter
) -> None:
    source = await factories.make_source(place.project, place.dataset, **_database())
    job = await jobs.sync(source, place.viewer.user_id, 7)
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    step = leases.StepChange("old", 0, JobStatus.RUNNING)
    await leases.checkpoint(lease, {"tables": []}, Progress(5, 6, 7), [step])

    (shown,) = await changed(
        asker, public_id("datasource", source.id), sync=told,
        tables=[{"name": "t", "columns": ["a"]}],
    )  # fmt: skip

    assert shown == {"id": public_id("job", job.id), "status": "QUEUED"}
    with pytest.raises(LeaseLost):
        await leases.heartbeat(lease)
    with pytest.raises(LeaseLost):
        await leases.finish(lease, lambda: asyncio.sleep(0))
    again = await leases.claim("w2", 30_000)
    assert again is not None
    assert (again.job_id, again.checkpoint, again.fence) == (job.id, None, lease.fence + 1)
    assert again.options == {"batch_rows": 7, "incremental": True}
    row = await Job.get(id=job.id)
    assert (row.rows_done, row.rows_total, row.bytes_done) == (0, None, 0)
    assert await row.steps.all().count() == 0  # type: ignore[attr-defined]


async def test_a_sync_that_is_being_cancelled_is_left_to_end(asker: Asker, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset, **_database())
    job = await jobs.sync(source, None)
    lease = await leases.claim("w1", 30_000)
    assert lease is not None
    await jobs.cancel_jobs([job.id])

    (shown,) = await changed(
        asker, public_id("datasource", source.id), tables=[{"name": "t", "columns": ["a"]}]
    )

    assert shown == {"id": public_id("job", job.id), "status": "CANCELLING"}
    assert await leases.heartbeat(lease)


def _database() -> dict[str, Any]:
    return {
        "type": "database",
        "kind": "postgresql",
        "settings": {
            "host": "db.example.com",
            "port": 5432,
            "database": "shop",
            "username": "ada",
            "ssl_mode": "prefer",
            "options": {},
        },
    }


async def test_changes_and_syncs_at_once_wait_for_each_other(asker: Asker, place: Place) -> None:
    source = await factories.make_source(place.project, place.dataset, **_database())
    source_id = public_id("datasource", source.id)

    def change(number: int) -> Any:
        tables = [{"name": "t", "columns": [f"c{number}"]}]
        return changed(asker, source_id, tables=tables)

    def sync() -> Any:
        return do(asker, "syncDataSources", "jobs { id status }", dataSourceIds=[source_id])

    for _ in range(5):
        await asyncio.gather(sync(), *map(change, range(4)), sync())

    (job,) = await Job.all()
    assert job.status is JobStatus.QUEUED
