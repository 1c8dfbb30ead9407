"""Files at a URL that are called what their users say."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from base.errors import ConnectionFailed, InvalidInput, Unsupported
from base.ids import public_id
from models import DataSource, Role, Upload
from services import rates, sources
from services.platform import Platform
from services.sources import FileGiven, SourceGiven
from services.sources.connections import check
from tests.http_server import HttpServer
from tests.services.places import Place, make_place, put_upload, refused


@pytest.fixture
async def place() -> Place:
    return await make_place(Role.ADMIN)


@pytest.fixture
def url(http_server: HttpServer) -> str:
    """Of a CSV file whose name and type say that it is something else."""
    return f"{http_server.url}/named/{uuid4().hex}/notes.md?name=filename%3Dx.json&type=text/plain"


async def connected(platform: Platform, place: Place, given: FileGiven) -> DataSource:
    made = await sources.connect(
        platform, place.viewer, [SourceGiven("s", given)], project_id=place.project_id, sync=False
    )
    return await DataSource.get(id=made.source_pks[0])


async def changed(
    platform: Platform, place: Place, source: DataSource, given: FileGiven
) -> DataSource:
    source_id = public_id("datasource", source.id)
    await sources.update(platform, place.viewer, source_id, {"connection": given}, sync=False)
    return await DataSource.get(id=source.id)


async def test_a_file_is_what_it_is_called(platform: Platform, place: Place, url: str) -> None:
    source = await connected(platform, place, FileGiven(url=url, file_name="a/cities.csv"))
    assert (source.kind, source.settings["file_name"]) == ("csv", "cities.csv")

    await sources.connection_of(platform, source)
    now = await DataSource.get(id=source.id)
    await sources.connection_of(platform, now)
    again = await DataSource.get(id=source.id)

    assert (now.kind, now.settings["file_name"]) == ("csv", "cities.csv")
    assert (await Upload.get(object_key=now.settings["object_key"])).file_name == "cities.csv"
    assert again.settings == now.settings


async def test_a_file_that_its_server_calls_a_page_is_what_its_user_says(
    platform: Platform, place: Place, url: str
) -> None:
    given = url.replace("text/plain", "text/html")
    source = await connected(platform, place, FileGiven(url=given, file_name="cities.csv"))

    await sources.connection_of(platform, source)

    assert (await DataSource.get(id=source.id)).kind == "csv"
    for name in (None, "cities.md"):  # of text, a page could not be told
        other = await connected(platform, place, FileGiven(url=given, file_name=name))
        async with refused(ConnectionFailed, None):
            await sources.connection_of(platform, other)


async def test_its_name_stays_with_its_place(platform: Platform, place: Place, url: str) -> None:
    source = await connected(platform, place, FileGiven(url=url, file_name="cities.csv"))
    await sources.connection_of(platform, source)
    source = await DataSource.get(id=source.id)

    told = await changed(platform, place, source, FileGiven(delimiter=";"))
    same = await changed(platform, place, told, FileGiven(url=url))
    other = await changed(platform, place, same, FileGiven(url=f"{url}&v=2"))

    assert told.settings == same.settings == source.settings | {"delimiter": ";"}
    assert (other.kind, other.settings["file_name"]) == ("markdown", "notes.md")


async def test_another_name_makes_another_file_of_it(
    platform: Platform, place: Place, url: str
) -> None:
    source = await connected(platform, place, FileGiven(url=url))
    await sources.connection_of(platform, source)
    source = await DataSource.get(id=source.id)
    assert source.kind == "json"

    now = await changed(platform, place, source, FileGiven(file_name="cities.tsv"))
    await sources.connection_of(platform, now)
    now = await DataSource.get(id=source.id)

    assert (now.kind, now.settings["file_name"]) == ("tsv", "cities.tsv")


async def test_a_test_reads_it_by_its_name(platform: Platform, place: Place, url: str) -> None:
    rates.forget()

    tested = await sources.test_connection(
        platform,
        place.viewer,
        place.project_id,
        FileGiven(url=url, file_name="cities.csv"),
        tables=True,
    )

    assert [table.name for table in tested.tables] == ["cities"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("cities", Unsupported), ("cities.exe", Unsupported), ("cities.db", InvalidInput)],
)
async def test_names_that_say_no_kind_of_file(
    platform: Platform, place: Place, url: str, name: str, kind: Any
) -> None:
    async with refused(kind, "c.file.fileName"):
        await check(platform, place.project, FileGiven(url=url, file_name=name), "c")


async def test_an_uploaded_file_has_its_name_already(platform: Platform, place: Place) -> None:
    upload = await put_upload(platform, place.project)

    for given in (FileGiven(upload.object_key, file_name="b.csv"), FileGiven(file_name="b.csv")):
        async with refused(InvalidInput, "c.file.fileName"):
            await check(platform, place.project, given, "c", drafts=True)
