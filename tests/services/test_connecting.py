"""Connecting sources: all or none, checked, sealed, and queued once."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from base.errors import Conflict, Forbidden, InvalidInput, NotFound, PayloadTooLarge, Unsupported
from base.ids import public_id
from models import Dataset, DataSource, DataSourceStatus, DataSourceType, Job, Project, Role, Upload
from services import sources, uploads
from services.platform import Platform
from services.sources import (
    Connected,
    DatabaseEngine,
    DatabaseGiven,
    FileGiven,
    Given,
    SourceGiven,
    TableGiven,
    connecting,
)
from services.sources.connections import check
from tests import factories
from tests.services.places import Place, make_place, put_upload, refused
from tests.services.test_selections import selected

POSTGRES = DatabaseGiven(
    engine=DatabaseEngine.POSTGRESQL,
    host="db.example.com",
    port=5433,
    database="shop",
    username="ada",
    password="canary-of-connecting",
)


async def connect_one(
    platform: Platform, place: Place, connection: Given, **values: Any
) -> DataSource:
    """The one source that is connected to a place's project."""
    source = SourceGiven("s", connection, **values)
    done = await sources.connect(
        platform, place.viewer, [source], project_id=place.project_id, sync=False
    )
    return await DataSource.get(id=done.source_pks[0])


async def test_sources_of_a_request_are_connected_and_synced(platform: Platform) -> None:
    place = await make_place(Role.WRITE)
    upload = await put_upload(platform, place.project, "rain.csv")
    given = [
        SourceGiven(" rain ", FileGiven(upload.object_key, delimiter=";"), {"unit": "mm"}),
        SourceGiven("shop", POSTGRES, tables=[TableGiven("orders", "public", ["id", "at"])]),
    ]

    done = await sources.connect(platform, place.viewer, given, project_id=place.project_id)

    file, database = [await DataSource.get(id=pk) for pk in done.source_pks]
    assert (file.name, file.type, file.kind) == ("rain", DataSourceType.FILE, "csv")
    assert file.settings == {
        "object_key": upload.object_key, "file_name": "rain.csv", "delimiter": ";",
    }  # fmt: skip
    assert not file.secrets
    assert (file.metadata, file.selections) == ({"unit": "mm"}, [])
    assert (database.type, database.kind) == (DataSourceType.DATABASE, "postgresql")
    assert database.selections == [selected("orders", schema="public", columns=["id", "at"])]
    for source, job_pk in zip((file, database), done.job_pks, strict=True):
        values = await DataSource.get(id=source.id).values()
        assert (values["project_id"], values["dataset_id"]) == (place.project.id, place.dataset.id)
        assert (values["scope"], values["creator_id"]) == ("user", place.viewer.user_id)
        assert source.status is DataSourceStatus.SYNCING
        job = await Job.get(id=job_pk).values()
        assert (job["data_source_id"], job["kind"], job["status"]) == (source.id, "sync", "queued")


async def test_a_password_is_sealed_for_its_source(platform: Platform) -> None:
    place = await make_place()

    source = await connect_one(platform, place, POSTGRES)

    assert "canary" not in str(await DataSource.get(id=source.id).values())
    assert source.settings["host"] == "db.example.com"
    assert source.secrets is not None
    unsealed = platform.keyring.decrypt(source.secrets, f"datasource:{source.id}:secrets")
    assert unsealed == {"password": "canary-of-connecting"}
    connection = await sources.connection_of(platform, source)
    assert connection.secrets == unsealed
    assert (connection.kind, connection.settings) == ("postgresql", source.settings)
    assert connection.guard == platform.guard


async def test_a_password_in_a_url_is_sealed_too(platform: Platform) -> None:
    place = await make_place()
    given = DatabaseGiven(
        engine=DatabaseEngine.POSTGRESQL, url="postgresql://ada:canary-in-url@db.example.com/shop"
    )

    source = await connect_one(platform, place, given)

    assert "canary" not in str(await DataSource.get(id=source.id).values())
    assert (await sources.connection_of(platform, source)).secrets == {"password": "canary-in-url"}


async def test_without_sync_a_source_waits(platform: Platform) -> None:
    place = await make_place()

    source = await connect_one(platform, place, POSTGRES)

    assert source.status is DataSourceStatus.PENDING
    assert await Job.all().count() == 0


async def test_a_dataset_may_be_named_with_or_without_its_project(platform: Platform) -> None:
    place = await make_place()
    dataset = await factories.make_dataset(place.project)
    dataset_id = public_id("dataset", dataset.id)

    for project_id in (None, place.project_id):
        done = await sources.connect(
            platform,
            place.viewer,
            [SourceGiven("s", POSTGRES)],
            project_id=project_id,
            dataset_id=dataset_id,
            scope=" lab ",
        )

        values = await DataSource.get(id=done.source_pks[0]).values()
        assert (values["dataset_id"], values["project_id"]) == (dataset.id, place.project.id)
        assert values["scope"] == "lab"


async def test_one_bad_source_connects_none(platform: Platform) -> None:
    place = await make_place()
    given = [SourceGiven("good", POSTGRES), SourceGiven("bad", replace(POSTGRES, port=70_000))]

    async with refused(InvalidInput, "input.sources[1].connection.database.port"):
        await sources.connect(platform, place.viewer, given, project_id=place.project_id)


CSV = FileGiven("uploads/1/none")
BAD: list[tuple[SourceGiven, type[Exception], str]] = [
    (SourceGiven("", POSTGRES), InvalidInput, "name"),
    (SourceGiven("x" * 201, POSTGRES), InvalidInput, "name"),
    (SourceGiven("s", POSTGRES, {"a": "\x00"}), InvalidInput, "metadata"),
    (SourceGiven("s", POSTGRES, "x" * 65_537), InvalidInput, "metadata"),
    (SourceGiven("s", POSTGRES, ["x" * 60_000] * 2), PayloadTooLarge, "metadata"),
    (SourceGiven("s", POSTGRES, tables=[]), InvalidInput, "tables"),
    (SourceGiven("s", POSTGRES, tables=[TableGiven("")]), InvalidInput, "tables[0].name"),
    (SourceGiven("s", POSTGRES, tables=[TableGiven("t", "")]), InvalidInput, "tables[0].schema"),
    (
        SourceGiven("s", POSTGRES, tables=[TableGiven("t"), TableGiven("t")]),
        InvalidInput,
        "tables[1].name",
    ),
    (
        SourceGiven("s", POSTGRES, tables=[TableGiven("t", columns=[])]),
        InvalidInput,
        "tables[0].columns",
    ),
    (
        SourceGiven("s", POSTGRES, tables=[TableGiven("t", columns=["a", "a"])]),
        InvalidInput,
        "tables[0].columns",
    ),
    (
        SourceGiven("s", POSTGRES, tables=[TableGiven("t", columns=["a", "b\x00"])]),
        InvalidInput,
        "tables[0].columns[1]",
    ),
    (SourceGiven("s", CSV), NotFound, "connection.file.objectKey"),
    (SourceGiven("s", FileGiven("/etc/passwd")), NotFound, "connection.file.objectKey"),
    (SourceGiven("s", FileGiven("../../x\x00")), InvalidInput, "connection.file.objectKey"),
    (SourceGiven("s", FileGiven("x" * 301)), InvalidInput, "connection.file.objectKey"),
    (
        SourceGiven("s", replace(POSTGRES, host="a\x00")),
        InvalidInput,
        "connection.database.host",
    ),
    (
        SourceGiven("s", replace(POSTGRES, ssl_mode="maybe")),
        InvalidInput,
        "connection.database.sslMode",
    ),
    (
        SourceGiven("s", replace(POSTGRES, options={"service": "x"})),
        InvalidInput,
        "connection.database.options.service",
    ),
    (
        SourceGiven("s", replace(POSTGRES, object_key="uploads/1/none")),
        InvalidInput,
        "connection.database.objectKey",
    ),
    (
        SourceGiven("s", DatabaseGiven(DatabaseEngine.SQLITE)),
        InvalidInput,
        "connection.database.objectKey",
    ),
]


@pytest.mark.parametrize(("source", "error", "field"), BAD, ids=[case[2] for case in BAD])
async def test_a_bad_source_is_refused_at_its_place(
    platform: Platform, source: SourceGiven, error: Any, field: str
) -> None:
    place = await make_place()

    async with refused(error, f"input.sources[0].{field}"):
        await sources.connect(platform, place.viewer, [source], project_id=place.project_id)


@pytest.mark.parametrize(
    ("options", "field"), [({"scope": ""}, "input.scope"), ({"scope": "x" * 65}, "input.scope")]
)
async def test_a_bad_request_is_refused_at_its_place(
    platform: Platform, options: dict[str, Any], field: str
) -> None:
    place = await make_place()

    async with refused(InvalidInput, field):
        await sources.connect(
            platform,
            place.viewer,
            [SourceGiven("s", POSTGRES)],
            project_id=place.project_id,
            **options,
        )


@pytest.mark.parametrize("count", [0, connecting.SOURCES_MAX + 1])
async def test_none_and_too_many_are_refused(platform: Platform, count: int) -> None:
    place = await make_place()

    async with refused(InvalidInput, "input.sources"):
        await sources.connect(
            platform,
            place.viewer,
            [SourceGiven("s", POSTGRES)] * count,
            project_id=place.project_id,
        )


async def test_somewhere_has_to_be_named(platform: Platform) -> None:
    place = await make_place()

    async with refused(InvalidInput, "input.projectId"):
        await sources.connect(platform, place.viewer, [SourceGiven("s", POSTGRES)])


async def test_what_is_another_project_s_is_not_found(platform: Platform) -> None:
    place, other = await make_place(), await make_place()
    upload = await put_upload(platform, other.project)
    sibling = await factories.make_project(place.team)
    upload_of_sibling = await put_upload(platform, sibling)
    dataset = public_id("dataset", (await factories.make_dataset(sibling)).id)
    source = [SourceGiven("s", POSTGRES)]

    async with refused(NotFound, "input.projectId"):
        await sources.connect(platform, place.viewer, source, project_id=other.project_id)
    async with refused(NotFound, "input.datasetId"):
        await sources.connect(
            platform, place.viewer, source, dataset_id=public_id("dataset", other.dataset.id)
        )
    async with refused(NotFound, "input.datasetId"):
        await sources.connect(
            platform, place.viewer, source, project_id=place.project_id, dataset_id=dataset
        )
    for foreign in (upload, upload_of_sibling):
        async with refused(NotFound, "input.sources[0].connection.file.objectKey"):
            await connect_one(platform, place, FileGiven(foreign.object_key))


async def test_a_lower_role_connects_nothing(platform: Platform) -> None:
    place = await make_place()
    low = (await place.member(Role.EXECUTE)).acting(Role.WRITE)

    async with refused(Forbidden, "input.projectId"):
        await sources.connect(
            platform, low, [SourceGiven("s", POSTGRES)], project_id=place.project_id
        )


async def test_an_upload_whose_bytes_are_gone_is_not_found(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project)
    await platform.store.delete(upload.object_key)

    async with refused(NotFound, "input.sources[0].connection.file.objectKey"):
        await connect_one(platform, place, FileGiven(upload.object_key))


async def test_a_file_that_no_connector_reads_is_unsupported(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project, "notes.rtf")

    async with refused(Unsupported, "input.sources[0].connection.file.objectKey"):
        await connect_one(platform, place, FileGiven(upload.object_key))


async def test_a_file_s_settings_belong_to_its_kind(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project, "a.parquet")

    async with refused(InvalidInput, "input.sources[0].connection.file.columnTypes"):
        await connect_one(platform, place, FileGiven(upload.object_key, column_types={"a": "TEXT"}))


async def test_a_sqlite_file_is_a_database(platform: Platform) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project, "shop.db")
    given = DatabaseGiven(DatabaseEngine.SQLITE, object_key=upload.object_key)

    source = await connect_one(platform, place, given)

    assert (source.type, source.kind) == (DataSourceType.DATABASE, "sqlite")
    assert source.settings["object_key"] == upload.object_key
    connection = await sources.connection_of(platform, source)
    assert connection.path == await platform.store.local_path(upload.object_key)


async def test_the_same_request_twenty_times_at_once_connects_once(platform: Platform) -> None:
    place = await make_place()

    async def once(name: str = "s") -> Connected:
        return await sources.connect(
            platform,
            place.viewer,
            [SourceGiven(name, POSTGRES)],
            project_id=place.project_id,
            idempotency_key="k",
        )

    done = await asyncio.gather(*(once() for _ in range(20)))

    assert all(each == done[0] for each in done)
    assert (await DataSource.all().count(), await Job.all().count()) == (1, 1)
    async with refused(Conflict, "input.idempotencyKey"):
        await once("another")


async def test_two_sources_may_have_the_same_name(platform: Platform) -> None:
    place = await make_place()

    assert (await connect_one(platform, place, POSTGRES)).name == "s"
    assert (await connect_one(platform, place, POSTGRES)).name == "s"


async def test_a_dataset_that_was_just_deleted_takes_nothing(platform: Platform) -> None:
    place = await make_place()
    dataset = await factories.make_dataset(place.project)
    held = await Dataset.get(id=dataset.id)
    await Dataset.filter(id=dataset.id).update(deleted_at=held.created_at)
    project = await Project.get(id=place.project.id)
    ready = await connecting._prepare(
        platform, project, SourceGiven("s", POSTGRES), "user", "input.sources[0]"
    )

    async with refused(NotFound, "input.datasetId"):
        await connecting._write(platform, place.viewer, held, [ready], sync=True)
    assert await Upload.all().count() == 0


async def test_a_file_that_goes_meanwhile_is_not_connected(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = await make_place()
    upload = await put_upload(platform, place.project)
    last = await connect_one(platform, place, FileGiven(upload.object_key))

    async def overtaken(*given: Any, **named: Any) -> Any:
        checked = await check(*given, **named)
        await DataSource.filter(id=last.id).delete()
        await uploads.drop(platform, last, upload.object_key)
        return checked

    monkeypatch.setattr(connecting, "check", overtaken)
    with pytest.raises(NotFound) as caught:
        await connect_one(platform, place, FileGiven(upload.object_key))

    assert caught.value.field == "input.sources[0].connection.file.objectKey"
    assert not await DataSource.all().exists()
