"""Tables whose rows are all gone from a source that finds out columns from values: they keep those that they had."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import uuid4

import openpyxl
import pytest

import connectors
from base import process
from base.tables import ColumnType
from models import DataSource, DataSourceType, DriftPolicy, Job, JobLog, JobStatus, Snapshot
from services.platform import Platform
from tests.factories import make_source
from tests.http_server import ROWS, HttpServer
from tests.workers.syncing import published, synced, table_of
from workers.messages import PRELOAD

RECORDS = '{"id": 1, "day": "2024-02-29", "n": {"a": [1]}}', '{"id": 2, "day": null, "n": null}'
CSV = "id,day,code\n1,2024-02-29,007\n2,2024-03-01,008\n"
HEADER = CSV.splitlines(keepends=True)[0]


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    process.start(PRELOAD)
    yield
    process.start([])


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One dialect does here: what a sync writes is tested on both in `test_sync`."""
    return sqlite_url


@pytest.fixture
def run() -> str:
    return uuid4().hex


def workbook(*rows: list[Any]) -> bytes:
    book = openpyxl.Workbook()
    book.active.title = "data"  # type: ignore[union-attr]
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


async def put(platform: Platform, source: DataSource, name: str, content: bytes) -> None:
    """Let the source read this file from now on."""

    async def chunks() -> AsyncIterator[bytes]:
        yield content

    key = f"uploads/{source.id}/{uuid4().hex}"
    await platform.store.put(key, chunks(), bytes_max=2**20)
    settings = source.settings | {"object_key": key, "file_name": name}
    await DataSource.filter(id=source.id).update(settings=settings)


async def of_file(platform: Platform, name: str, content: bytes, **settings: Any) -> DataSource:
    """A source of this file that takes no drift."""
    kind = connectors.kind_of_file(name).name
    policy = DriftPolicy.FAIL
    source = await make_source(kind=kind, settings=settings, drift_policy=policy)
    await put(platform, source, name, content)
    return source


async def of_api(server: HttpServer, run: str, **values: Any) -> DataSource:
    raw = {
        "base_url": server.url,
        "resources": [
            {
                "name": "items",
                "path": f"/page/{run}",
                "records": "$.data",
                "pagination": {"kind": "PAGE", "size": 10},
            }
        ],
    }
    settings, _ = connectors.parse("rest", raw)
    shape = {"type": DataSourceType.API, "kind": "rest", "drift_policy": DriftPolicy.FAIL}
    return await make_source(settings=settings, **shape | values)


def columns_of(snapshot: Snapshot, name: str) -> list[tuple[str, ColumnType]]:
    return [(column.name, column.type) for column in table_of(snapshot, name).table.columns]


@pytest.mark.parametrize("columns", [[], ["tags", "id"]])
async def test_an_api_that_lost_its_records_has_no_drift_until_it_has_other_ones(
    platform: Platform, http_server: HttpServer, run: str, columns: list[str]
) -> None:
    selections = [{"name": "items", "columns": columns}] if columns else []
    source = await of_api(http_server, run, selections=selections)
    first = await published(platform, source)
    http_server.empty_out(run)

    second, third = [await published(platform, source) for _ in range(2)]
    http_server.fill_again(run)
    fourth = await published(platform, source)

    assert [s.row_count for s in (first, second, third, fourth)] == [ROWS, 0, 0, ROWS]
    assert len(columns_of(first, "items")) == (len(columns) or 6)
    for later in (second, third, fourth):
        assert (columns_of(later, "items"), later.drift) == (columns_of(first, "items"), [])
    reasons = {column.inference for column in table_of(third, "items").table.columns}
    assert "integer: there is no row, and it was so before" in reasons


async def test_records_that_went_are_told_in_the_job_s_log_once(
    platform: Platform, http_server: HttpServer, run: str
) -> None:
    source = await of_api(http_server, run)
    await published(platform, source)
    http_server.empty_out(run)
    emptied, empty = [await published(platform, source) for _ in range(2)]

    async def warnings(snapshot: Snapshot) -> list[str]:
        job = await Job.get(snapshot_id=snapshot.id)
        return [line.message for line in await JobLog.filter(job_id=job.id, level="warning")]

    assert await warnings(emptied) == ["items: no rows any more; it had 25."]
    assert await warnings(empty) == []


@pytest.mark.parametrize("mode", ["full", "merge"])
@pytest.mark.parametrize(
    ("name", "content", "emptied", "settings"),
    [
        ("data.ndjson", "\n".join(RECORDS), "\n\n", {}),
        ("data.json", f"[{','.join(RECORDS)}]", "[]", {}),
        ("data.json", f"[{','.join(RECORDS)}]", " [ ] ", {"column_types": {"day": "date"}}),
        ("data.ndjson", "\n".join(RECORDS), "\n", {"column_types": {"id": "decimal"}}),
        ("data.csv", CSV, HEADER, {}),
        ("data.csv", CSV, HEADER.strip(), {"column_types": {"code": "integer"}}),
    ],
)
async def test_a_file_that_lost_its_rows_keeps_columns_and_types(
    platform: Platform, mode: str, name: str, content: str, emptied: str, settings: dict[str, Any]
) -> None:
    source = await of_file(platform, name, content.encode(), **settings)
    if mode == "merge":
        tables = [{"name": "data", "mode": mode, "primary_key": ["id"]}]
        await DataSource.filter(id=source.id).update(selections=tables)
    first = await published(platform, source)
    await put(platform, source, name, emptied.encode())

    second, third = [await published(platform, source) for _ in range(2)]
    await put(platform, source, name, content.encode())
    fourth = await published(platform, source)

    assert [s.row_count for s in (first, second, third, fourth)] == [2, 0, 0, 2]
    for later in (second, third, fourth):
        assert (columns_of(later, "data"), later.drift) == (columns_of(first, "data"), [])


async def test_a_sheet_that_lost_its_rows_keeps_its_types(platform: Platform) -> None:
    header = ["id", "name"]
    source = await of_file(platform, "book.xlsx", workbook(header, [1, "a"], [2, "b"]))
    first = await published(platform, source)
    await put(platform, source, "book.xlsx", workbook(header))

    second = await published(platform, source)

    assert (columns_of(second, "data"), second.row_count) == (columns_of(first, "data"), 0)


async def test_a_header_that_lost_a_column_has_drifted_without_rows(platform: Platform) -> None:
    source = await of_file(platform, "data.csv", CSV.encode())
    await published(platform, source)
    await put(platform, source, "data.csv", b"id,code,new\n")

    job = await synced(platform, source)

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "CONFLICT")
    assert "'day' is gone (it was DATE), and 1 more" in job.error["message"]


@pytest.mark.parametrize(
    ("settings", "columns"),
    [({}, {"value": "text"}), ({"column_types": {"n": "decimal"}}, {"n": "decimal"})],
)
async def test_a_file_that_never_had_rows_has_what_is_said_of_it(
    platform: Platform, settings: dict[str, Any], columns: dict[str, str]
) -> None:
    source = await of_file(platform, "data.json", b"[]", **settings)

    snapshot = await published(platform, source)

    assert dict(columns_of(snapshot, "data")) == columns
