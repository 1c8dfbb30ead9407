"""Increments, history, statistics, APIs, files by URL, documents and uploads in parts, through the real command."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fpdf
import httpx
import psycopg
import pytest

from tests.clients import Client
from tests.e2e.calls import all_rows, connect, download
from tests.http_server import ROWS as API_ROWS
from tests.http_server import TOKEN, HttpServer, serving

pytestmark = pytest.mark.e2e

ROWS = 50_000
SYNC = """mutation ($input: SyncDataSourcesInput!) { syncDataSources(input: $input) { jobs { id } } }"""
SNAPSHOT = """query ($id: ID!, $asOf: DateTime) { dataSource(id: $id) { snapshot(asOf: $asOf) { id number rowCount publishedAt status
  receipt { rowsRead inserted updated unchanged deleted quarantined balanced cursorFrom cursorTo }
  tables { name rowCount primaryKey cursorColumn } } } }"""
PROFILE = """query ($id: ID!) { dataSource(id: $id) { table { profile {
  column count nulls distinct distinctIsExact min max mean median top { value count } histogram { count } } } } }"""


@pytest.fixture(scope="module")
def web() -> Iterator[HttpServer]:
    with serving() as running:
        yield running


def synced(client: Client, source_id: str, **options: Any) -> dict[str, Any]:
    """Sync once more; the snapshot that it made."""
    jobs = client.data(SYNC, input={"dataSourceIds": [source_id], "options": options})
    job = client.wait_for_job(jobs["syncDataSources"]["jobs"][0]["id"])
    assert job["status"] == "SUCCEEDED", job
    snapshot: dict[str, Any] = client.data(SNAPSHOT, id=source_id)["dataSource"]["snapshot"]
    return snapshot


def in_source(connection: psycopg.Connection) -> dict[int, tuple[Any, ...]]:
    rows = connection.execute("SELECT id, name, price::text, at::text FROM orders").fetchall()
    return {row[0]: row for row in rows}


def test_a_table_is_merged_restored_and_compared(
    client: Client, project_id: str, postgres_database: str
) -> None:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(
            f"""CREATE TABLE orders AS SELECT n::bigint AS id, 'order ' || n AS name, n * 0.25::numeric(12, 2) AS price,
            timestamptz '2026-01-01 00:00:00+00' + n * interval '1 second' AS at FROM generate_series(1, {ROWS}) n"""
        )
        connection.execute("ALTER TABLE orders ADD PRIMARY KEY (id)")
        table = {"name": "orders", "mode": "MERGE", "cursorColumn": "at", "detectDeletes": True}
        source_id, job_id = connect(
            client, project_id, "orders",
            {"database": {"engine": "POSTGRESQL", "url": postgres_database}}, tables=[table],
        )  # fmt: skip
        client.wait_for_job(job_id)
        first = client.data(SNAPSHOT, id=source_id)["dataSource"]["snapshot"]
        connection.execute("DELETE FROM orders WHERE id % 1000 = 0")
        connection.execute(
            "UPDATE orders SET name = 'changed', at = at + interval '1 day' WHERE id % 500 = 1"
        )
        connection.execute(
            f"INSERT INTO orders SELECT {ROWS} + n, 'new', 1, timestamptz '2026-01-03 00:00:00+00' FROM generate_series(1, 70) n"
        )

        second = synced(client, source_id)

        expected = in_source(connection)
    receipt = second["receipt"]
    assert (receipt["inserted"], receipt["updated"], receipt["deleted"]) == (70, 100, 50)
    assert receipt["balanced"]
    assert receipt["rowsRead"] == 170 + receipt["unchanged"]  # the look-back's overlap
    assert receipt["unchanged"] < 100
    assert second["tables"][0]["rowCount"] == second["rowCount"] == len(expected)
    stored = {row[0]: row for row in all_rows(client, source_id)}
    assert stored.keys() == expected.keys()
    assert {key: row[1] for key, row in stored.items()} == {
        key: row[1] for key, row in expected.items()
    }
    diff = client.data(
        "query ($from: ID!, $to: ID!) { snapshotDiff(from: $from, to: $to, first: 200) "
        "{ counts { added removed changed } rows { change } } }",
        **{"from": first["id"], "to": second["id"]},
    )["snapshotDiff"]
    assert diff["counts"] == {"added": 70, "removed": 50, "changed": 100}
    assert len(diff["rows"]) == 200
    before = client.data(SNAPSHOT, id=source_id, asOf=first["publishedAt"])["dataSource"][
        "snapshot"
    ]
    assert before["id"] == first["id"]

    restored = client.data(
        "mutation ($input: RestoreSnapshotInput!) { restoreSnapshot(input: $input) { snapshot { number rowCount } } }",
        input={"id": first["id"]},
    )["restoreSnapshot"]["snapshot"]

    assert restored == {"number": 3, "rowCount": ROWS}
    assert len(all_rows(client, source_id)) == ROWS
    again = synced(client, source_id)
    assert {row[0]: row[1] for row in all_rows(client, source_id)} == {
        key: row[1] for key, row in expected.items()
    }
    assert again["number"] == 4
    profile = {
        each["column"]: each
        for each in client.data(PROFILE, id=source_id)["dataSource"]["table"]["profile"]
    }
    assert profile["id"]["count"] == len(expected)
    assert (profile["id"]["min"], profile["id"]["max"]) == (min(expected), max(expected))
    assert sum(each["count"] for each in profile["id"]["histogram"]) == len(expected)
    assert {"value": "changed", "count": 100} in profile["name"]["top"]


def test_a_rest_api_is_a_source(client: Client, project_id: str, web: HttpServer) -> None:
    resource = {
        "name": "items", "path": "/cursor/e2e", "records": "$.data[*]", "cursorColumn": "changed", "cursorParam": "since",
        "primaryKey": ["id"], "pagination": {"kind": "CURSOR", "param": "cursor", "next": "$.meta.next"},
    }  # fmt: skip
    api = {"baseUrl": web.url, "auth": {"bearer": TOKEN}, "resources": [resource]}

    source_id, job_id = connect(
        client, project_id, "api", {"api": api}, tables=[{"name": "items", "mode": "MERGE"}]
    )

    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    rows = all_rows(client, source_id)
    assert [row[0] for row in rows] == list(range(API_ROWS))
    assert rows[3][:3] == [3, "item 3", 3.5]
    assert rows[3][4:] == [{"login": "user-3", "admin": False}, ["a", "t3"]]
    assert synced(client, source_id)["receipt"]["inserted"] == 0
    assert {each["headers"]["authorization"] for each in web.seen("e2e")} == {f"Bearer {TOKEN}"}
    shown = client.data("query ($id: ID!) { dataSource(id: $id) { connection { kind settings hasSecret } } }", id=source_id)  # fmt: skip
    assert TOKEN not in str(shown)


def test_a_document_is_a_table_of_parts(client: Client, project_id: str, tmp_path: Path) -> None:
    pdf = fpdf.FPDF()
    for number in range(1, 4):
        pdf.add_page()
        pdf.set_font("helvetica", size=12)
        pdf.cell(text=f"Page number {number} of the report")
    path = tmp_path / "report.pdf"
    pdf.output(str(path))
    upload = client.upload(project_id, path)

    source_id, job_id = connect(
        client, project_id, "report", {"file": {"objectKey": upload["objectKey"]}}
    )

    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    rows = all_rows(client, source_id)
    assert [(part, page) for part, page, _ in rows] == [(1, 1), (2, 2), (3, 3)]
    assert "Page number 2" in rows[1][2]
    assert download(client, source_id, "ORIGINAL") == path.read_bytes()


def test_an_upload_in_parts_comes_out_byte_for_byte(
    client: Client, project_id: str, tmp_path: Path
) -> None:
    content = b"id,code\n" + b"".join(b"%d,%05d\n" % (n, n % 997) for n in range(1_000_000))
    started = client.data(
        """mutation ($input: CreateUploadInput!) { createUpload(input: $input) {
        uploadId objectKey parts { number url sizeBytes } expiresAt } }""",
        input={"projectId": project_id, "fileName": "large.csv", "sizeBytes": len(content)},
    )["createUpload"]
    done, at = [], 0
    for part in started["parts"]:
        response = httpx.put(
            part["url"], content=content[at : at + part["sizeBytes"]], trust_env=False, timeout=60
        )
        assert response.status_code in {200, 201, 204}, response.text
        done.append({"number": part["number"], "etag": response.headers["etag"]})
        at += part["sizeBytes"]

    upload = client.data(
        "mutation ($input: CompleteUploadInput!) { completeUpload(input: $input) { objectKey sizeBytes sha256 } }",
        input={"uploadId": started["uploadId"], "parts": done},
    )["completeUpload"]

    assert upload["sizeBytes"] == len(content)
    assert upload["sha256"] == hashlib.sha256(content).hexdigest()
    source_id, job_id = connect(
        client, project_id, "large", {"file": {"objectKey": upload["objectKey"]}}
    )
    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    assert download(client, source_id, "ORIGINAL") == content


def test_a_file_by_url_is_fetched_and_kept(
    client: Client, project_id: str, web: HttpServer
) -> None:
    source_id, job_id = connect(
        client, project_id, "by url", {"file": {"url": f"{web.url}/file/by-url/cities.csv"}}
    )

    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    assert all_rows(client, source_id) == [[1, "Oslo"], [2, "Bergen"]]
    assert download(client, source_id, "ORIGINAL") == b"id,city\n1,Oslo\n2,Bergen\n"
