"""What end-to-end tests ask of a server, as clients would."""

from __future__ import annotations

from typing import Any

import httpx

from tests.clients import Client

PAGE = 1_000

CONNECT = """mutation ($input: ConnectDataSourcesInput!) {
  connectDataSources(input: $input) { dataSources { id status } jobs { id } } }"""
SOURCE = """query ($id: ID!) { dataSource(id: $id) {
  status error { code message } lastSyncedAt
  tables { name schema rowCount sizeBytes primaryKey columns { name type nullable inference } }
  snapshots { totalCount nodes { id number rowCount receipt { rowsRead inserted updated unchanged deleted
    quarantined balanced files { table rows sizeBytes sha256 } } } } } }"""
ROWS = """query ($id: ID!, $table: String, $first: Int, $after: String, $where: [RowFilter!], $orderBy: [RowOrder!]) {
  dataSource(id: $id) { table(name: $table) {
    rows(first: $first, after: $after, where: $where, orderBy: $orderBy) {
      columns { name } rows totalCount pageInfo { hasNextPage endCursor } } } } }"""
PRESIGN = """mutation ($input: PresignDataSourceInput!) { presignDataSource(input: $input) { url expiresAt } }"""


def connect(
    client: Client, project_id: str, name: str, connection: dict[str, Any], **more: Any
) -> tuple[str, str]:
    source = {"name": name, "connection": connection, **more}
    payload = client.data(CONNECT, input={"projectId": project_id, "sources": [source]})[
        "connectDataSources"
    ]
    return payload["dataSources"][0]["id"], payload["jobs"][0]["id"]


def all_rows(
    client: Client, source_id: str, table: str | None = None, **arguments: Any
) -> list[list[Any]]:
    """Every row, page by page."""
    rows: list[list[Any]] = []
    after = None
    while True:
        page = client.data(ROWS, id=source_id, table=table, first=PAGE, after=after, **arguments)
        page = page["dataSource"]["table"]["rows"]
        rows += page["rows"]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            return rows


def download(client: Client, source_id: str, file_format: str, **more: Any) -> bytes:
    url = client.data(PRESIGN, input={"id": source_id, "format": file_format, **more})[
        "presignDataSource"
    ]["url"]
    response = httpx.get(url, timeout=120, trust_env=False)  # no credential: the link is enough
    assert response.status_code == httpx.codes.OK, response.text
    assert response.headers["content-disposition"].startswith("attachment")
    return response.content
