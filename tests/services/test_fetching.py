"""Files at a URL: what may be asked for, what is made of the answer, what is stored, and what is never shown."""

from __future__ import annotations

import asyncio
import hashlib
import os
from dataclasses import replace
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest

from base.errors import ConnectionFailed, InvalidInput, PayloadTooLarge, TimedOut, Unsupported
from base.ids import public_id
from base.net import Guard, HostRefused
from connectors import web
from models import DataSource, Role, Upload
from services import rates, snapshots, sources
from services.platform import Platform
from services.sources import FileGiven, SourceGiven
from services.sources.connections import check
from services.sources.fetching import FETCHES_MAX, SourceChanged, fetch
from services.sources.sealing import unseal
from tests.http_server import CSV, TOKEN, HttpServer
from tests.services.places import Place, make_place, put_upload, refused

OBJECT = f"sig={TOKEN}"


@pytest.fixture(autouse=True)
def _start_counting_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rates.forget()
    monkeypatch.setattr(web, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def run() -> str:
    return uuid4().hex


@pytest.fixture
async def place() -> Place:
    return await make_place(Role.ADMIN)


async def connected(platform: Platform, place: Place, given: FileGiven) -> DataSource:
    made = await sources.connect(
        platform, place.viewer, [SourceGiven("s", given)], project_id=place.project_id, sync=False
    )
    return await DataSource.get(id=made.source_pks[0])


async def fetched(platform: Platform, source: DataSource, **values: Any) -> DataSource:
    """The source as it is stored once its file was fetched."""
    await sources.connection_of(platform, source, **values)
    return await DataSource.get(id=source.id)


async def content(platform: Platform, source: DataSource) -> bytes:
    key = source.settings["object_key"]
    return b"".join([chunk async for chunk in platform.store.open(key)])


async def stored(platform: Platform) -> set[str]:
    return {info.key async for info in platform.store.list("uploads/")}


def at(server: HttpServer, path: str) -> FileGiven:
    return FileGiven(url=server.url + path)


async def test_a_file_is_fetched_and_kept_as_an_upload(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/file/{run}/cities.csv?{OBJECT}"))

    assert source.kind == "csv"
    assert source.settings == {
        "url": f"{http_server.url}/file/{run}/cities.csv",
        "file_name": "cities.csv",
    }
    connection = await sources.connection_of(platform, source)
    now = await DataSource.get(id=source.id)
    upload = await Upload.get(object_key=now.settings["object_key"])

    assert connection.path is not None
    assert connection.path.read_bytes() == await content(platform, now) == CSV
    assert (connection.kind, dict(connection.secrets)) == ("csv", {})
    sha256 = hashlib.sha256(CSV).hexdigest()
    assert now.settings == source.settings | {
        "object_key": upload.object_key,
        "sha256": sha256,
        "etag": '"v24"',
    }
    assert (upload.file_name, upload.size_bytes, upload.sha256) == ("cities.csv", 24, sha256)
    assert upload.project_id == place.project.id  # type: ignore[attr-defined]
    assert http_server.seen(run)[0]["query"] == {"sig": TOKEN}
    assert unseal(platform.keyring, now)["url"].endswith(OBJECT)
    assert TOKEN not in str(now.settings)


async def test_an_unchanged_file_is_not_fetched_again(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/file/{run}/cities.csv"))
    first = await fetched(platform, source)
    again = await fetched(platform, first)

    assert (again.settings, await stored(platform)) == (
        first.settings,
        {first.settings["object_key"]},
    )
    assert [each["headers"].get("if-none-match") for each in http_server.seen(run)] == [
        None,
        '"v24"',
    ]


async def test_the_same_bytes_are_not_stored_again(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/plain-file/{run}/cities.csv"))
    first = await fetched(platform, source)
    again = await fetched(platform, first)

    assert len(http_server.seen(run)) == 2
    assert again.settings == first.settings
    assert await stored(platform) == {first.settings["object_key"]}


async def test_a_changed_file_takes_the_place_of_the_old_one(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/growing/{run}/cities.csv"))
    first = await fetched(platform, source)
    key = first.settings["object_key"]
    second = await fetched(platform, first)

    assert await content(platform, second) == CSV + b"3,Bod\n" * 2
    assert await stored(platform) == {second.settings["object_key"]} != {key}
    assert await Upload.all().count() == 1
    assert (await fetched(platform, second, refetch=False)).settings == second.settings
    assert len(http_server.seen(run)) == 2


async def test_an_old_file_that_another_source_reads_stays(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/growing/{run}/cities.csv"))
    first = await fetched(platform, source)
    key = first.settings["object_key"]
    await connected(platform, place, FileGiven(key))

    second = await fetched(platform, first)

    assert await stored(platform) == {key, second.settings["object_key"]}
    assert await Upload.filter(object_key=key).exists()


async def test_a_file_that_is_gone_from_the_store_is_fetched_anew(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/file/{run}/cities.csv"))
    first = await fetched(platform, source)
    await platform.store.delete(first.settings["object_key"])

    again = await fetched(platform, first, refetch=False)

    assert await content(platform, again) == CSV


CSV_TYPE = "text/csv; charset=utf-8"


@pytest.mark.parametrize(
    ("name", "query", "kind", "file_name"),
    [
        ("export", {"type": CSV_TYPE}, "csv", "export.csv"),
        ("", {"type": "application/x-ndjson"}, "ndjson", "data.ndjson"),
        ("a%20b.csv", {"type": "text/html2"}, "csv", "a b.csv"),
        ("get", {"name": 'attachment; filename="r.tsv"'}, "tsv", "r.tsv"),
        ("x.csv", {"name": "attachment; filename*=UTF-8''Bod%C3%B8.json"}, "json", "Bodø.json"),
        ("x.csv", {"name": 'attachment; filename="../../etc/r.tsv"'}, "tsv", "r.tsv"),
        (
            "get",
            {"name": "attachment; filename=\"Bod.txt\"; filename*=UTF-8''Bod%C3%B8.csv"},
            "csv",
            "Bodø.csv",
        ),
        (
            "get",
            {"name": "attachment; FileName*=UTF-8''Bod%C3%B8.csv; filename=\"Bod.txt\""},
            "csv",
            "Bodø.csv",
        ),
        ("x.csv", {"name": 'attachment; filename="r.exe"'}, "csv", "x.csv"),
    ],
)
async def test_what_a_file_is(
    platform: Platform,
    place: Place,
    http_server: HttpServer,
    run: str,
    name: str,
    query: dict[str, str],
    kind: str,
    file_name: str,
) -> None:
    said = "&".join(f"{key}={quote(value)}" for key, value in query.items())
    source = await connected(platform, place, at(http_server, f"/named/{run}/{name}?{said}"))

    now = await fetched(platform, source)

    assert (now.kind, now.settings["file_name"]) == (kind, file_name)
    assert (await Upload.get(object_key=now.settings["object_key"])).file_name == file_name


@pytest.mark.parametrize(
    ("path", "kind", "words"),
    [
        ("/html/{run}/cities.csv", ConnectionFailed, "a web page, not with a file"),
        ("/named/{run}/x", Unsupported, "of the type application/octet-stream"),
        ("/named/{run}/x?name=filename%3Dshop.db", InvalidInput, "is a database"),
        ("/missing/{run}/cities.csv", ConnectionFailed, "404 Not Found"),
        ("/named/{run}/cities.csv?status=304", ConnectionFailed, "304 Not Modified"),
        ("/forbidden/{run}/cities.csv", ConnectionFailed, "403 Forbidden"),
        ("/endless/{run}/cities.csv", PayloadTooLarge, "more than 100,000 bytes"),
        ("/bomb/{run}/cities.csv", PayloadTooLarge, "more than 100,000 bytes"),
        ("/resets/{run}/cities.csv", ConnectionFailed, "broke the connection off"),
        (
            "/redirect/{run}/cities.csv?to=http://127.0.0.2/x.csv",
            HostRefused,
            "not open to sources",
        ),
        ("/redirect/{run}/cities.csv?to=http://169.254.169.254/latest", HostRefused, "not open"),
        (
            "/redirect/{run}/cities.csv?to=file:///etc/passwd",
            ConnectionFailed,
            "another kind of address",
        ),
    ],
)
async def test_what_is_no_file_leaves_nothing(
    platform: Platform,
    place: Place,
    http_server: HttpServer,
    run: str,
    path: str,
    kind: Any,
    words: str,
) -> None:
    limited = replace(
        platform,
        settings=replace(platform.settings, upload_bytes_max=100_000),
        guard=Guard(allow_networks=("127.0.0.1/32",)),
    )
    given = at(http_server, path.format(run=run) + ("&" if "?" in path else "?") + OBJECT)
    source = await connected(platform, place, given)

    async with refused(kind, "url" if kind is InvalidInput else None) as caught:
        await sources.connection_of(limited, source)

    assert words in caught.value.message
    assert TOKEN not in f"{caught.value.message} {caught.value.hint}"
    assert await stored(platform) == set()
    assert list(platform.store.scratch().iterdir()) == []


async def test_a_file_that_takes_too_long(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/dripping/{run}/cities.csv"))

    async with refused(TimedOut):
        await sources.connection_of(platform, source, fetch_seconds=0.5)
    assert await stored(platform) == set()


async def test_a_fetch_can_be_broken_off(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/dripping/{run}/cities.csv"))
    task = asyncio.create_task(sources.connection_of(platform, source))
    while not http_server.seen(run):  # noqa: ASYNC110 - the event is in another process
        await asyncio.sleep(0.01)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        async with asyncio.timeout(60):
            await task

    assert await stored(platform) == set()


async def test_servers_that_are_silent_keep_no_other_work_from_its_threads(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    count = min(
        (os.cpu_count() or 1) + 5, FETCHES_MAX
    )  # an event loop has four more than processors
    url = f"{http_server.url}/slow-head/{run}/cities.csv"
    fetches = [
        asyncio.create_task(fetch(platform, place.project.id, url, seconds=600))
        for _ in range(count)
    ]
    async with asyncio.timeout(60):  # they are silent for twice as long
        while len(http_server.seen(run)) < count:  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(0.01)

        assert await asyncio.to_thread(str, 1) == "1"

    for task in fetches:
        task.cancel()
    ends = await asyncio.gather(*fetches, return_exceptions=True)
    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert await stored(platform) == set()


async def test_a_source_that_is_changed_meanwhile_keeps_the_change(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/file/{run}/cities.csv"))
    other = at(http_server, f"/file/{run}/others.csv")
    await sources.update(
        platform,
        place.viewer,
        public_id("datasource", source.id),
        {"connection": other},
        sync=False,
    )

    async with refused(SourceChanged):
        await sources.connection_of(platform, source)

    assert await stored(platform) == set()


async def test_user_and_password_of_a_url_are_sent_and_not_shown(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    url = f"http://ada:{TOKEN}@127.0.0.1:{http_server.port}/plain-file/{run}/cities.csv"
    source = await connected(platform, place, FileGiven(url=url))

    now = await fetched(platform, source)

    (request,) = http_server.seen(run)
    assert request["headers"]["authorization"].startswith("Basic ")
    assert TOKEN not in str(now.settings)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.csv",
        "file:///etc/passwd",
        "data:text/csv,a",
        "example.com/a.csv",
        "https://",
        "https://exa mple.com/a.csv",
        "https://example.com\\@127.0.0.1/a.csv",
        "https://2130706433/a.csv",
        "https://[::1%25lo]/a.csv",
        "https://example.com:99999/a.csv",
        "https://example.com/shop.db",
    ],
)
async def test_urls_that_are_refused_at_once(platform: Platform, place: Place, url: str) -> None:
    async with refused(InvalidInput, "c.file.url"):
        await check(platform, place.project, FileGiven(url=url), "c")


async def test_a_file_is_at_one_place(platform: Platform, place: Place) -> None:
    upload = await put_upload(platform, place.project)
    async with refused(InvalidInput, "c.file.url"):
        await check(
            platform,
            place.project,
            FileGiven(upload.object_key, url="https://h.example/a.csv"),
            "c",
        )
    async with refused(InvalidInput, "c.file.objectKey"):
        await check(platform, place.project, FileGiven(), "c")
    async with refused(InvalidInput, "c.file.delimiter"):
        await check(
            platform, place.project, FileGiven(url="https://h.example/a", delimiter="ab"), "c"
        )


async def test_a_url_is_tried(
    platform: Platform,
    place: Place,
    http_server: HttpServer,
    run: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def tried(path: str) -> Any:
        rates.forget()
        given = at(http_server, path)
        return await sources.test_connection(
            platform, place.viewer, place.project_id, given, tables=True
        )

    good = await tried(f"/file/{run}/cities.csv")
    page = await tried(f"/html/{run}/cities.csv")
    odd = await tried(f"/named/{run}/x.json?body=%7Bbroken")
    typeless = await tried(f"/named/{run}/x")
    monkeypatch.setattr("services.sources.checking.TRIED_BYTES_MAX", 10_000)
    large = await tried(f"/endless/{run}/cities.csv")

    assert (good.ok, good.error) == (True, None)
    assert (page.ok, page.error.code) == (False, "CONNECTION_FAILED")
    assert (odd.ok, odd.error.code) == (False, "INVALID_INPUT")
    assert (typeless.ok, typeless.error.code, typeless.error.field) == (False, "UNSUPPORTED", None)
    assert (large.ok, "looked into when it is synced" in large.message) == (True, True)
    assert [table.name for table in good.tables] == ["cities"]
    assert [each.tables for each in (page, odd, typeless, large)] == [()] * 4
    assert await stored(platform) == set()
    assert await Upload.all().count() == 0


async def test_tables_are_looked_up_in_what_was_fetched(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/growing/{run}/cities.csv"))
    source_id = public_id("datasource", source.id)

    for _ in range(2):
        await sources.introspect(platform, place.viewer, source_id)

    now = await DataSource.get(id=source.id)
    assert [table["name"] for table in now.tables] == ["cities"]
    assert len(http_server.seen(run)) == 1
    link = await snapshots.presign(platform, place.viewer, source_id)
    assert "cities.csv" in link.url


async def test_what_is_said_of_a_file_is_changed_without_its_url(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    url = f"/file/{run}/cities.csv?{OBJECT}"
    source = await connected(platform, place, at(http_server, url))
    source_id = public_id("datasource", source.id)

    changed = {"connection": FileGiven(delimiter=";")}
    await sources.update(platform, place.viewer, source_id, changed, sync=False)

    now = await DataSource.get(id=source.id)
    assert now.settings["delimiter"] == ";"
    assert unseal(platform.keyring, now)["url"] == http_server.url + url


async def test_an_uploaded_file_takes_the_place_of_one_at_a_url(
    platform: Platform, place: Place, http_server: HttpServer, run: str
) -> None:
    source = await connected(platform, place, at(http_server, f"/file/{run}/cities.csv?{OBJECT}"))
    upload = await put_upload(platform, place.project)

    changed = {"connection": FileGiven(upload.object_key)}
    await sources.update(
        platform, place.viewer, public_id("datasource", source.id), changed, sync=False
    )

    now = await DataSource.get(id=source.id)
    assert now.secrets is None
    assert now.settings["object_key"] == upload.object_key
    assert "url" not in now.settings
