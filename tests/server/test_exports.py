"""Tables over HTTP, made while they are sent: signed, refused, and stopped when nobody takes them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import pyarrow as pa
import pytest
from starlette.applications import Starlette

from base.ids import public_id
from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Snapshot
from server import files
from services.platform import Platform
from storage.signing import Signer
from storage.snapshots.export import EXPORTS_MAX
from storage.snapshots.formats import ExportFormat
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PartWriter
from tests import factories
from tests.server.test_files import SAFE, scope_of


@pytest.fixture
async def platform(platform: Platform) -> AsyncIterator[Platform]:
    yield platform
    platform.rows.close()


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=files.routes(platform))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as opened:
        yield opened


async def make_export(platform: Platform, rows: int = 10) -> tuple[DataSource, Snapshot]:
    source = await factories.make_source()
    prefix = f"snapshots/{source.id}/1-1"
    with PartWriter(
        platform.store.scratch(), platform.store.adopt, prefix, part_rows=rows // 2
    ) as writer:
        finished = []
        for start in range(0, rows, rows // 2):
            numbers = list(range(start, start + rows // 2))
            finished += writer.write(
                pa.record_batch({"n": numbers, "t": ["text" * 50] * len(numbers)})
            )
        finished += writer.finish()
    columns = (Column("n", ColumnType.INTEGER), Column("t", ColumnType.TEXT))
    table = StoredTable(TableSchema("things", columns), tuple(each.part for each in finished))
    manifest = Manifest((table,)).to_json()
    return source, await factories.make_snapshot(source, manifest=manifest, row_count=rows)


def export_link(
    platform: Platform, snapshot: Snapshot, kind: str = "csv", expires_in: int = 60
) -> str:
    path = f"/exports/{public_id('snapshot', snapshot.id)}"
    fields = {"table": "0", "format": kind, "name": f"Büro.{kind}"}
    signer = Signer(platform.keyring.signing_key)
    return f"{path}?{signer.query('GET', path, fields, expires_in=expires_in)}"


@pytest.mark.parametrize(
    ("kind", "content_type", "start"),
    [
        ("csv", "text/csv; charset=utf-8", b"n,t\r\n0,texttext"),
        ("jsonl", "application/x-ndjson", b'{"n":0,"t":"texttext'),
        ("parquet", "application/vnd.apache.parquet", b"PAR1"),
    ],
)
async def test_exports_stream_a_table(
    platform: Platform, client: httpx.AsyncClient, kind: str, content_type: str, start: bytes
) -> None:
    _, snapshot = await make_export(platform)

    answer = await client.get(export_link(platform, snapshot, kind), headers={"Range": "bytes=0-1"})
    head = await client.head(export_link(platform, snapshot, kind))

    assert answer.status_code == head.status_code == 200
    assert answer.content.startswith(start)
    assert answer.headers["content-type"] == head.headers["content-type"] == content_type
    assert answer.headers["accept-ranges"] == "none"
    assert "content-length" not in answer.headers
    assert SAFE.items() <= dict(answer.headers).items()
    assert answer.headers["content-disposition"] == (
        f"attachment; filename=\"B_ro.{kind}\"; filename*=UTF-8''B%C3%BCro.{kind}"
    )
    assert head.content == b""


async def test_tampered_expired_and_orphaned_exports_are_refused(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    source, snapshot = await make_export(platform)
    url = export_link(platform, snapshot)

    assert (await client.get(url.replace("format=csv", "format=jsonl"))).status_code == 403
    assert (await client.get(url.replace("table=0", "table=1"))).status_code == 403
    assert (await client.get(export_link(platform, snapshot, expires_in=0))).status_code == 403
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))
    gone = await client.get(url)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "NOT_FOUND")


async def test_too_many_exports_at_once_are_told_to_come_back(
    platform: Platform, client: httpx.AsyncClient
) -> None:
    _, snapshot = await make_export(platform, rows=20_000)
    stored = Manifest.from_json(snapshot.manifest).tables[0]
    parts = await platform.rows.local_parts(platform.store, stored.parts)
    running = [
        platform.rows.exports.stream(parts, stored.table, ExportFormat.CSV)
        for _ in range(EXPORTS_MAX)
    ]
    for each in running:
        await anext(each)

    refused = await client.get(export_link(platform, snapshot))
    for each in running:
        await each.aclose()
    served = await client.get(export_link(platform, snapshot))

    assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
    assert refused.json()["error"]["code"] == "RATE_LIMITED"
    assert served.status_code == 200


async def test_a_client_that_leaves_stops_its_export(platform: Platform) -> None:
    _, snapshot = await make_export(platform, rows=40_000)
    app = Starlette(routes=files.routes(platform))
    url = urlsplit(export_link(platform, snapshot))
    left = asyncio.Event()
    sent = 0

    async def receive() -> MutableMapping[str, Any]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))
        if sent:
            left.set()
            await asyncio.sleep(3_600)

    await asyncio.wait_for(app(scope_of("GET", url.path, url.query), receive, send), 60)

    assert 0 < sent < 2_000_000
    assert platform.rows.exports._running == 0


async def test_a_client_that_takes_nothing_is_given_up(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(files, "STALL_SECONDS_MAX", 0.1)
    _, snapshot = await make_export(platform)
    app = Starlette(routes=files.routes(platform))
    url = urlsplit(export_link(platform, snapshot))
    ended = False

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.sleep(3_600)
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal ended
        ended = ended or message.get("more_body") is False
        if message.get("body"):
            await asyncio.sleep(3_600)

    await asyncio.wait_for(app(scope_of("GET", url.path, url.query), receive, send), 60)

    assert "stopped taking its download" in caplog.text
    assert not ended  # so the server breaks the connection off
    assert platform.rows.exports._running == 0
