"""APIs and files at a URL from the connection to the rows, through the API of the server and real syncs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from base import process
from base.ids import parse_id
from connectors import web
from models import DataSource, Job, JobLog, JobStatus, Snapshot
from services.platform import Platform
from tests.graph.asking import Asker
from tests.http_server import CSV, ROWS, TOKEN, HttpServer, record
from tests.services.places import MODELS, make_place
from tests.workers.syncing import published, rows_of, table_of, worked
from workers import engine
from workers.messages import PRELOAD

CONNECT = """mutation ($input: ConnectDataSourcesInput!) { connectDataSources(input: $input) {
  dataSources { id connection { kind settings hasSecret } } jobs { id } } }"""
TEST = """mutation ($input: TestConnectionInput!) { testConnection(input: $input) { ok message error { code } } }"""
UPDATE = """mutation ($input: UpdateDataSourceInput!) { updateDataSource(input: $input) { dataSource { id } } }"""
LOOK = """query ($id: ID!) { dataSource(id: $id) { type status connection { kind settings }
  table { name columns { name type primaryKey } rows(first: 50, orderBy: [{column: "id"}]) { rows totalCount } } } }"""
PRESIGN = "mutation ($input: PresignDataSourceInput!) { presignDataSource(input: $input) { url } }"


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start(PRELOAD)
    yield
    process.start([])


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(web, "BACKOFF_SECONDS", 0.01)


@pytest.fixture
def run() -> str:
    return uuid4().hex


@pytest.fixture
async def asker(platform: Platform) -> Asker:
    return Asker(platform, (await make_place()).viewer)


async def project_of(asker: Asker) -> str:
    shown = await asker.data("{ projects(first: 1) { nodes { id } } }")
    project: str = shown["projects"]["nodes"][0]["id"]
    return project


async def connected(
    platform: Platform, asker: Asker, connection: dict[str, Any], **more: Any
) -> tuple[dict[str, Any], DataSource, Job]:
    """What the API answers, the source, and its first sync, once that is over."""
    source = {"name": "web", "connection": connection} | more
    given = {"projectId": await project_of(asker), "sources": [source]}
    made = (await asker.data(CONNECT, input=given))["connectDataSources"]
    job_id = parse_id(made["jobs"][0]["id"])
    source_id = parse_id(made["dataSources"][0]["id"])
    assert job_id is not None
    assert source_id is not None
    job = await worked(platform, await Job.get(id=job_id[1]))
    return made["dataSources"][0], await DataSource.get(id=source_id[1]), job


def api(server: HttpServer, run: str, **more: Any) -> dict[str, Any]:
    resource = {
        "name": "items",
        "path": f"/page/{run}",
        "records": "$.data",
        "pagination": {"kind": "PAGE", "size": 10},
        "cursorParam": "since",
        "cursorColumn": "changed",
        "primaryKey": ["id"],
    }
    auth = {"apiKey": {"name": "api_key", "value": TOKEN, "in": "QUERY"}}
    return {"api": {"baseUrl": server.url, "auth": auth, "resources": [resource]} | more}


async def everything(platform: Platform) -> str:
    rows = [str(row) for model in MODELS for row in await model.all().values()]
    return "\n".join(rows)


async def test_an_api_that_may_have_more_pages_is_doubted_in_the_job_s_log(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    pagination = {"kind": "CURSOR", "param": "cursor", "next": "$.meta.nxt", "size": 10}
    resource = {
        "name": "items",
        "path": f"/cursor/{run}",
        "records": "$.data",
        "pagination": pagination,
    }
    given = {"api": {"baseUrl": http_server.url, "resources": [resource]}}

    _, _, job = await connected(platform, asker, given)

    assert (job.status, job.rows_done) == (JobStatus.SUCCEEDED, 10)
    (line,) = await JobLog.filter(job_id=job.id, level="warning")
    assert line.step == "items"
    assert line.message == (
        "The resource 'items' may have more records than were read: its first page is full, "
        "and has nothing at $.meta.nxt. Check the pagination's next."
    )


async def test_an_api_is_connected_synced_and_read(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    headers = {"X-Tenant": "tenant-canary"}
    shown, source, job = await connected(platform, asker, api(http_server, run, headers=headers))

    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    assert (shown["connection"]["kind"], shown["connection"]["hasSecret"]) == ("rest", True)
    assert shown["connection"]["settings"]["auth"] == {
        "kind": "api_key",
        "name": "api_key",
        "in": "query",
    }
    found = (await asker.data(LOOK, id=shown["id"]))["dataSource"]
    assert (found["type"], found["status"], found["table"]["name"]) == ("API", "SYNCED", "items")
    assert [(c["name"], c["type"], c["primaryKey"]) for c in found["table"]["columns"]] == [
        ("id", "INTEGER", True),
        ("name", "TEXT", False),
        ("price", "FLOAT", False),
        ("changed", "TEXT", False),
        ("owner", "STRUCT", False),
        ("tags", "LIST", False),
    ]
    expected = [list(record(number).values()) for number in range(ROWS)]
    assert found["table"]["rows"] == {"rows": expected, "totalCount": ROWS}
    requests = http_server.seen(run)
    assert {request["query"]["api_key"] for request in requests} == {TOKEN}
    assert {request["headers"]["x-tenant"] for request in requests} == {"tenant-canary"}
    written = await everything(platform)
    assert TOKEN not in written
    assert "tenant-canary" not in written
    assert source.type.value == "api"
    platform.rows.close()


async def test_an_api_is_read_on_from_where_it_was(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    tables = [{"name": "items", "mode": "MERGE", "cursorColumn": "changed", "primaryKey": ["id"]}]
    _, source, job = await connected(platform, asker, api(http_server, run), tables=tables)
    assert job.status is JobStatus.SUCCEEDED
    before = len(http_server.seen(run))

    snapshot = await published(platform, source)

    asked = [request["query"].get("since") for request in http_server.seen(run)[before:]]
    assert set(asked) == {None, "2026-01-25T00:00:00Z"}
    receipt = snapshot.receipt
    assert (receipt["inserted"], receipt["unchanged"], snapshot.row_count) == (0, 1, ROWS)


async def test_what_has_no_value_in_an_increment_stays_what_it_is(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    connection = api(http_server, run)
    connection["api"]["resources"][0] |= {
        "path": f"/sparse/{run}",
        "pagination": {"kind": "PAGE", "size": 3},
    }
    tables = [{"name": "items", "mode": "MERGE", "cursorColumn": "changed", "primaryKey": ["id"]}]
    _, source, job = await connected(platform, asker, connection, tables=tables)
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    first = await Snapshot.get(id=job.snapshot_id)

    second = await published(platform, source)

    kinds = [(c.name, c.type.value) for c in table_of(second, "items").table.columns]
    assert kinds[2:] == [
        ("count", "integer"),
        ("owner", "struct"),
        ("notes", "list"),
        ("extra", "struct"),
    ]
    assert second.drift == []
    assert (second.receipt["updated"], second.receipt["unchanged"]) == (1, 1)
    rows = {row["id"]: row for row in await rows_of(platform, second, "items")}
    assert rows[1] == {
        "id": 1,
        "changed": "2026-01-10",
        "count": None,
        "owner": {"id": None, "tags": []},
        "notes": [],
        "extra": {"a": None},
    }
    assert rows[5] == (await rows_of(platform, first, "items"))[5]
    assert rows[5]["owner"] == {"id": 1, "tags": ["a"]}


@pytest.mark.parametrize("how", ["whole", "increment"])
async def test_an_api_whose_records_are_gone_leaves_an_empty_table(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str, how: str
) -> None:
    table: dict[str, Any] = {"name": "items", "mode": "MERGE", "primaryKey": ["id"]}
    table |= {"cursorColumn": "changed", "detectDeletes": True} if how == "increment" else {}
    connection = api(http_server, run)
    if how == "whole":
        connection["api"]["resources"][0] |= {"cursorParam": None, "cursorColumn": None}
    _, source, job = await connected(platform, asker, connection, tables=[table])
    first = await Snapshot.get(id=job.snapshot_id)
    http_server.empty_out(run)

    second = await published(platform, source)

    assert (second.row_count, second.receipt["deleted"], second.drift) == (0, ROWS, [])
    columns = [[c.name for c in table_of(each, "items").table.columns] for each in (first, second)]
    assert columns[0] == columns[1]


async def test_an_api_without_records_is_synced_and_read_on_from_there(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    tables = [{"name": "items", "mode": "MERGE", "cursorColumn": "changed", "primaryKey": ["id"]}]
    http_server.empty_out(run)

    _, source, job = await connected(platform, asker, api(http_server, run), tables=tables)

    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    assert (await published(platform, source)).row_count == 0


async def test_an_api_that_refuses_ends_the_sync_at_once(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    locked = {"name": "items", "path": f"/locked/{run}"}
    connection = {
        "api": {
            "baseUrl": http_server.url,
            "auth": {"bearer": "wrong-canary"},
            "resources": [locked],
        }
    }
    _, _, job = await connected(platform, asker, connection)

    assert (job.status, job.attempts, job.error["code"]) == (
        JobStatus.FAILED,
        1,
        "CONNECTION_FAILED",
    )
    assert "401 Unauthorized" in job.error["message"]
    assert "wrong-canary" not in await everything(platform)
    tried = await asker.data(
        TEST, input={"projectId": await project_of(asker), "connection": connection}
    )
    assert (tried["testConnection"]["ok"], tried["testConnection"]["error"]["code"]) == (
        False,
        "CONNECTION_FAILED",
    )


async def test_a_sync_goes_on_after_a_failure_in_the_middle(
    platform: Platform,
    asker: Asker,
    http_server: HttpServer,
    run: str,
) -> None:
    resource = {"name": "items", "path": f"/page-then-error/{run}", "pagination": {"kind": "PAGE"}}
    connection = {"api": {"baseUrl": http_server.url, "resources": [resource]}}
    shown, _, job = await connected(platform, asker, connection)

    assert (job.status, job.attempts) == (JobStatus.SUCCEEDED, 2)
    found = (await asker.data(LOOK, id=shown["id"]))["dataSource"]["table"]["rows"]
    assert [row[0] for row in found["rows"]] == list(range(ROWS))
    platform.rows.close()


async def test_a_secret_of_an_api_stays_at_its_base_url(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    shown, source, _ = await connected(platform, asker, api(http_server, run))
    moved = {"api": {"baseUrl": "https://evil.example.com"}}

    answer = await asker.answer(UPDATE, input={"id": shown["id"], "connection": moved})

    assert answer["errors"][0]["extensions"]["code"] == "INVALID_INPUT"
    assert "entered again" in answer["errors"][0]["message"]
    now = await DataSource.get(id=source.id)
    assert (now.settings, now.secrets) == (source.settings, source.secrets)


async def test_a_file_at_a_url_is_connected_synced_and_read(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    url = f"{http_server.url}/growing/{run}/cities.csv?sig={TOKEN}"
    shown, source, job = await connected(platform, asker, {"file": {"url": url}})

    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    assert (shown["connection"]["kind"], shown["connection"]["hasSecret"]) == ("csv", True)
    assert shown["connection"]["settings"]["url"] == f"{http_server.url}/growing/{run}/cities.csv"
    found = (await asker.data(LOOK, id=shown["id"]))["dataSource"]
    assert found["table"]["rows"]["rows"] == [[1, "Oslo"], [2, "Bergen"], [3, "Bod"]]
    link = await asker.data(PRESIGN, input={"id": shown["id"]})
    path = link["presignDataSource"]["url"].partition("/files/")[2].partition("?")[0]
    assert b"".join([chunk async for chunk in platform.store.open(path)]) == CSV + b"3,Bod\n"

    snapshot = await published(platform, source)

    assert snapshot.row_count == 4  # the file had grown
    assert len(http_server.seen(run)) == 2
    assert TOKEN not in await everything(platform)
    platform.rows.close()


async def test_the_kind_of_a_file_is_known_once_it_was_fetched(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    url = f"{http_server.url}/named/{run}/export?" + str(httpx.QueryParams({"type": "text/csv"}))
    shown, source, job = await connected(platform, asker, {"file": {"url": url, "delimiter": ","}})

    assert (shown["connection"]["kind"], job.status) == ("file", JobStatus.SUCCEEDED)
    assert (source.kind, source.settings["file_name"]) == ("csv", "export.csv")


async def test_a_file_is_read_in_the_charset_that_its_server_names(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    body = "id,city\n1,Zürich\n".encode("cp1252").hex()
    query = httpx.QueryParams({"type": 'text/csv; Charset="windows-1252"', "hex": body})
    given = {"file": {"url": f"{http_server.url}/named/{run}/cities.csv?{query}"}}
    tried = await asker.data(
        TEST, input={"projectId": await project_of(asker), "connection": given}
    )
    assert "cp1252 as its server says" in tried["testConnection"]["message"]

    shown, source, job = await connected(platform, asker, given)

    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None)
    found = (await asker.data(LOOK, id=shown["id"]))["dataSource"]
    assert found["table"]["rows"]["rows"] == [[1, "Zürich"]]
    assert found["connection"]["settings"]["charset"] == "cp1252"
    assert (await published(platform, source)).drift == []
    platform.rows.close()


async def test_a_file_at_an_address_that_is_closed(
    platform: Platform, asker: Asker, http_server: HttpServer, run: str
) -> None:
    url = f"{http_server.url}/redirect/{run}/a.csv?to=http://169.254.169.254/a.csv&sig={TOKEN}"
    _, _, job = await connected(platform, asker, {"file": {"url": url}})

    assert (job.status, job.attempts, job.error["code"]) == (
        JobStatus.FAILED,
        1,
        "CONNECTION_FAILED",
    )
    assert "not open to sources" in job.error["message"]
    assert TOKEN not in await everything(platform)
