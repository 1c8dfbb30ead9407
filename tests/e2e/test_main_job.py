"""The main job through the real command, over HTTP: connect, sync, read, presign, download; every value compared."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest

from tests import databases
from tests.clients import Client, ServerProcess
from tests.e2e.calls import ROWS, SOURCE, all_rows, connect, download

pytestmark = pytest.mark.e2e

CSV_ROWS = 120_000
POSTGRES_ROWS = 300_000  # more than one part
MYSQL_ROWS = 20_000


def csv_row(number: int) -> list[str]:
    day = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(hours=number)
    return [
        str(number),
        f"{number % 97:05d}",
        f"{number * 1.25:.2f}",
        f"{day:%Y-%m-%d}",
        f"{day:%Y-%m-%d %H:%M:%S}",
        "" if number % 10 == 0 else f'name "{number}", with\nline · 名',
        str(9_007_199_254_740_993 + number),
    ]


CSV_HEADER = ["id", "code", "price", "day", "at", "name", "big"]


def csv_cells(row: list[str]) -> list[Any]:
    """What the API has to answer for a row of the file."""
    number, code, price, day, at, name, big = row
    return [int(number), code, price, day, at.replace(" ", "T"), name or None, big]


def test_a_csv_of_120_000_rows(client: Client, project_id: str, tmp_path: Path) -> None:
    path = tmp_path / "orders.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_HEADER)
        writer.writerows(csv_row(number) for number in range(CSV_ROWS))
    upload = client.upload(project_id, path)
    source_id, job_id = connect(
        client, project_id, "orders", {"file": {"objectKey": upload["objectKey"]}}
    )

    job = client.wait_for_job(job_id)

    assert job["status"] == "SUCCEEDED", job
    source = client.data(SOURCE, id=source_id)["dataSource"]
    assert source["status"] == "SYNCED"
    (table,) = source["tables"]
    assert table["rowCount"] == CSV_ROWS
    types = {column["name"]: column["type"] for column in table["columns"]}
    assert types == {
        "id": "INTEGER", "code": "TEXT", "price": "DECIMAL", "day": "DATE", "at": "TIMESTAMP", "name": "TEXT", "big": "INTEGER",
    }  # fmt: skip
    (snapshot,) = source["snapshots"]["nodes"]
    receipt = snapshot["receipt"]
    assert (snapshot["number"], receipt["balanced"], receipt["rowsRead"], receipt["inserted"]) == (
        1, True, CSV_ROWS, CSV_ROWS,
    )  # fmt: skip
    assert sum(file["rows"] for file in receipt["files"]) == CSV_ROWS

    rows = all_rows(client, source_id)

    assert len(rows) == CSV_ROWS
    for number, row in enumerate(rows):
        assert row == csv_cells(csv_row(number))

    assert download(client, source_id, "ORIGINAL") == path.read_bytes()
    exported = list(csv.reader(io.StringIO(download(client, source_id, "CSV").decode())))
    assert exported[0] == CSV_HEADER
    assert len(exported) == CSV_ROWS + 1
    lines = download(client, source_id, "JSONL").splitlines()
    assert [json.loads(line)["name"] for line in lines] == [
        csv_row(n)[5] or None for n in range(CSV_ROWS)
    ]


def test_rows_are_filtered_and_ordered(client: Client, project_id: str, tmp_path: Path) -> None:
    path = tmp_path / "numbers.csv"
    path.write_text(
        "n,parity\n" + "".join(f"{n},{'even' if n % 2 == 0 else 'odd'}\n" for n in range(5_000))
    )
    upload = client.upload(project_id, path)
    source_id, job_id = connect(
        client, project_id, "numbers", {"file": {"objectKey": upload["objectKey"]}}
    )
    client.wait_for_job(job_id)

    rows = all_rows(
        client,
        source_id,
        where=[
            {"column": "parity", "op": "EQ", "value": "odd"},
            {"column": "n", "op": "GE", "value": 100},
        ],
        orderBy=[{"column": "n", "direction": "DESC"}],
    )

    assert rows == [[n, "odd"] for n in range(4_999, 99, -2)]


@pytest.fixture
def postgres_table(postgres_url: str) -> Iterator[str]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS e2e_orders")
        connection.execute("""CREATE TABLE e2e_orders (
            id bigint PRIMARY KEY, amount numeric(12,2), ratio float8, label text, body jsonb, at timestamptz, tags text[])""")
        connection.execute(
            """INSERT INTO e2e_orders SELECT n, n * 0.01, n / 7.0, CASE WHEN n %% 10 > 0 THEN 'label ' || n END,
            jsonb_build_object('n', n), timestamptz '2020-01-01 00:00:00+00' + n * interval '1 second', ARRAY['a', n::text]
            FROM generate_series(1, %s) n""",
            (POSTGRES_ROWS,),
        )
        connection.execute("ANALYZE e2e_orders")
        yield "e2e_orders"
        connection.execute("DROP TABLE e2e_orders")


def test_a_postgresql_table_of_300_000_rows(
    client: Client, project_id: str, postgres_url: str, postgres_table: str, tmp_path: Path
) -> None:
    database = {"engine": "POSTGRESQL", "url": postgres_url}
    test = client.data(
        """mutation ($input: TestConnectionInput!) { testConnection(input: $input) { ok message serverVersion latencyMs
        error { code message } } }""",
        input={"projectId": project_id, "connection": {"database": database}},
    )["testConnection"]
    assert test["ok"], test

    source_id, job_id = connect(
        client,
        project_id,
        "orders in PostgreSQL",
        {"database": database},
        tables=[{"name": postgres_table}],
    )
    job = client.wait_for_job(job_id, seconds=120)

    assert job["status"] == "SUCCEEDED", job
    (table,) = client.data(SOURCE, id=source_id)["dataSource"]["tables"]
    assert (table["name"], table["rowCount"], table["primaryKey"]) == (
        postgres_table,
        POSTGRES_ROWS,
        ["id"],
    )
    assert [column["type"] for column in table["columns"]] == [
        "INTEGER", "DECIMAL", "FLOAT", "TEXT", "JSON", "TIMESTAMP_TZ", "LIST",
    ]  # fmt: skip

    path = tmp_path / "orders.parquet"
    path.write_bytes(download(client, source_id, "PARQUET"))
    stored = pq.read_table(path).sort_by("id")

    start = datetime(2020, 1, 1, tzinfo=UTC)
    numbers = range(1, POSTGRES_ROWS + 1)
    assert stored["id"].to_pylist() == list(numbers)
    assert stored["amount"].to_pylist() == [Decimal(n).scaleb(-2) for n in numbers]
    assert stored["ratio"].to_pylist() == [n / 7.0 for n in numbers]
    assert stored["label"].to_pylist() == [f"label {n}" if n % 10 else None for n in numbers]
    assert [json.loads(text) for text in stored["body"].to_pylist()] == [{"n": n} for n in numbers]
    assert stored["at"].to_pylist() == [start + timedelta(seconds=n) for n in numbers]
    assert stored["tags"].to_pylist() == [["a", str(n)] for n in numbers]

    page = client.data(
        ROWS, id=source_id, first=2, where=[{"column": "id", "op": "GE", "value": POSTGRES_ROWS - 1}],
        orderBy=[{"column": "id", "direction": "DESC"}],
    )["dataSource"]["table"]["rows"]  # fmt: skip
    assert page["rows"][0] == [
        300_000, "3000.00", 300_000 / 7.0, None, {"n": 300_000}, "2020-01-04T11:20:00Z", ["a", "300000"],
    ]  # fmt: skip
    assert page["totalCount"] == 2


def test_a_mysql_table(
    client: Client, project_id: str, mysql_server: databases.MysqlServer
) -> None:
    with (
        databases.mysql_database(mysql_server.url) as url,
        databases.mysql_session(url) as cursor,
    ):
        cursor.execute(
            """CREATE TABLE items (id bigint unsigned PRIMARY KEY, price decimal(10,3), title varchar(100),
            at datetime(6), data json)"""
        )
        cursor.execute(
            f"""INSERT INTO items SELECT seq + 18446744073709000000, seq / 1000, IF(seq % 3, CONCAT('título ', seq), NULL),
            TIMESTAMP('2024-02-29 00:00:00') + INTERVAL seq SECOND, JSON_OBJECT('n', seq)
            FROM {databases.numbers(MYSQL_ROWS)}"""
        )
        address = httpx.URL(url)
        database = {
            "engine": "MYSQL", "host": address.host, "port": address.port, "database": address.path[1:],
            "username": address.username, "password": address.password,
        }  # fmt: skip

        name = f"items in {mysql_server.name}"
        source_id, job_id = connect(client, project_id, name, {"database": database})
        job = client.wait_for_job(job_id)
    assert job["status"] == "SUCCEEDED", job
    rows = all_rows(client, source_id, "items", orderBy=[{"column": "id"}])
    start = datetime(2024, 2, 29)  # noqa: DTZ001 - DATETIME has no zone
    assert rows == [
        [
            str(n + 18446744073709000000),
            f"{Decimal(n).scaleb(-3)}",
            f"título {n}" if n % 3 else None,
            (start + timedelta(seconds=n)).isoformat(),
            {"n": n},
        ]
        for n in range(1, MYSQL_ROWS + 1)
    ]


def test_an_anonymous_caller_sees_nothing(server: ServerProcess, project_id: str) -> None:
    answer = server.client(None).answer(
        "query ($id: ID!) { project(id: $id) { name } }", id=project_id
    )

    assert [error["extensions"]["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"]
