"""Bad input gets a clear error and loses nothing: yesterday's snapshot stays readable, the server stays well."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.clients import Client, GraphQLFailed, free_port
from tests.e2e.calls import CONNECT, ROWS, SOURCE, connect, download

pytestmark = pytest.mark.e2e


def upload(client: Client, project_id: str, tmp_path: Path, name: str, content: bytes) -> str:
    path = tmp_path / name
    path.write_bytes(content)
    return str(client.upload(project_id, path)["objectKey"])


def sync_error(
    client: Client, project_id: str, connection: dict[str, Any], **more: Any
) -> dict[str, Any]:
    """Connect, wait for the failure, and give what the data source says of it."""
    source = {"name": "bad", "connection": connection, **more}
    made = client.data(CONNECT, input={"projectId": project_id, "sources": [source]})[
        "connectDataSources"
    ]
    job = client.wait_for_job(made["jobs"][0]["id"])
    assert job["status"] == "FAILED", job
    found = client.data(SOURCE, id=made["dataSources"][0]["id"])["dataSource"]
    assert found["status"] == "FAILED"
    assert found["snapshots"]["totalCount"] == 0
    error: dict[str, Any] = found["error"]
    assert error["code"] == job["error"]["code"]
    return error


@pytest.mark.parametrize(
    ("name", "content", "code", "words"),
    [
        ("empty.csv", b"", "INVALID_INPUT", ["empty"]),
        ("quote.csv", b'a,b\n1,2\n3,"4\n5,6\n', "INVALID_INPUT", ["line 3", "quote"]),
        ("short.csv", b"a,b,c\n1,2,3\n4,5\n", "INVALID_INPUT", ["line 3"]),
        ("latin.csv", "a,b\ncaf\u00e9,1\n".encode("latin-1"), "INVALID_INPUT", ["line 2", "encoding"]),
        ("broken.json", b'[{"a": 1}, {"a": ', "INVALID_INPUT", []),
        ("broken.ndjson", b'{"a": 1}\n{"a": \n', "INVALID_INPUT", ["line 2"]),
        ("not.parquet", b"PAR1 this is not it", "INVALID_INPUT", ["Parquet"]),
        ("not.xlsx", b"PK\x03\x04 this is not it", "INVALID_INPUT", []),
        ("table.csv", b"PAR1" + b"\0" * 64 + b"PAR1", "INVALID_INPUT", ["Parquet"]),
    ],
)  # fmt: skip
def test_a_broken_file_is_refused_with_the_place(
    client: Client,
    project_id: str,
    tmp_path: Path,
    name: str,
    content: bytes,
    code: str,
    words: list[str],
) -> None:
    key = upload(client, project_id, tmp_path, name, content)

    error = sync_error(client, project_id, {"file": {"objectKey": key}})

    assert error["code"] == code
    for word in words:
        assert word in error["message"], error


def test_one_bad_row_among_many_is_set_aside_unless_the_user_is_strict(
    client: Client, project_id: str, tmp_path: Path
) -> None:
    content = b"a,b\n" + b"1,2\n" * 50_000 + b"1,2,3\n"
    key = upload(client, project_id, tmp_path, "long.csv", content)
    connection = {"file": {"objectKey": key}}

    error = sync_error(client, project_id, connection, quarantineRowsMax=0)
    source_id, job_id = connect(client, project_id, "lenient", connection)

    assert error["code"] == "INVALID_INPUT"
    assert "line 50002" in error["message"]
    assert client.wait_for_job(job_id)["status"] == "SUCCEEDED"
    (snapshot,) = client.data(SOURCE, id=source_id)["dataSource"]["snapshots"]["nodes"]
    receipt = snapshot["receipt"]
    assert (receipt["rowsRead"], receipt["inserted"], receipt["quarantined"]) == (50_001, 50_000, 1)
    (aside,) = map(json.loads, download(client, source_id, "QUARANTINE").splitlines())
    assert (aside["line"], aside["text"]) == (50_002, "1,2,3")


def test_a_cell_over_the_limit_is_refused_with_its_line(
    client: Client, project_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        file.write(b"a,b\n1,2\n3,")
        for _ in range(64):
            file.write(b"x" * 1024**2)
        file.write(b"\n4,5\n")
    key = client.upload(project_id, path)["objectKey"]

    error = sync_error(client, project_id, {"file": {"objectKey": key}})

    assert error["code"] == "PAYLOAD_TOO_LARGE"
    assert "line 3" in error["message"]
    assert "16 MiB" in error["message"]


def database(**settings: Any) -> dict[str, Any]:
    return {
        "database": {
            "engine": "POSTGRESQL",
            "host": "127.0.0.1",
            "port": 5432,
            "database": "postgres",
            "username": "postgres",
        }
        | settings
    }


def connection_test(client: Client, project_id: str, connection: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = client.data(
        """mutation ($input: TestConnectionInput!) { testConnection(input: $input) {
        ok message error { code message hint } } }""",
        input={"projectId": project_id, "connection": connection},
    )["testConnection"]
    return answer


def test_an_unknown_host_is_a_plain_no(client: Client, project_id: str) -> None:
    tested = connection_test(client, project_id, database(host="no-such-host.invalid"))

    assert tested["ok"] is False
    assert tested["error"]["code"] == "CONNECTION_FAILED"
    assert "no-such-host.invalid" in tested["error"]["message"]


def test_a_closed_port_is_a_plain_no(client: Client, project_id: str) -> None:
    tested = connection_test(client, project_id, database(port=free_port()))

    assert (tested["ok"], tested["error"]["code"]) == (False, "CONNECTION_FAILED")


def test_a_wrong_password_is_a_plain_no_that_keeps_the_secret(
    client: Client, project_id: str, mariadb_url: str
) -> None:
    with pymysql.connect(host="127.0.0.1", user="root") as admin, admin.cursor() as cursor:
        cursor.execute("CREATE USER IF NOT EXISTS headwater_e2e IDENTIFIED BY 'right-password'")
        tested = connection_test(
            client,
            project_id,
            database(
                engine="MYSQL",
                port=3306,
                database="test",
                username="headwater_e2e",
                password="canary-5d1f",
            ),
        )
        cursor.execute("DROP USER headwater_e2e")

    assert (tested["ok"], tested["error"]["code"]) == (False, "CONNECTION_FAILED")
    assert "password" in tested["error"]["message"]
    assert "canary-5d1f" not in str(tested)


def test_a_metadata_address_is_refused_whatever_is_open(client: Client, project_id: str) -> None:
    tested = connection_test(client, project_id, database(host="169.254.169.254"))

    assert (tested["ok"], tested["error"]["code"]) == (False, "CONNECTION_FAILED")
    assert "not open to sources" in tested["error"]["message"]


def test_a_missing_table_is_named(client: Client, project_id: str, postgres_url: str) -> None:
    error = sync_error(
        client,
        project_id,
        {"database": {"engine": "POSTGRESQL", "url": postgres_url}},
        tables=[{"name": "no_such_table_here"}],
    )

    assert error["code"] == "CONNECTION_FAILED"
    assert "no_such_table_here" in error["message"]


def test_a_server_that_hangs_up_is_told_from_one_that_is_not_there(
    client: Client, project_id: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.2)
        tested = connection_test(
            client,
            project_id,
            database(port=listener.getsockname()[1], options={"connect_timeout": 2}),
        )

    assert (tested["ok"], tested["error"]["code"]) == (False, "CONNECTION_FAILED")


def test_yesterday_s_snapshot_outlives_a_failed_sync(
    client: Client, project_id: str, mariadb_url: str
) -> None:
    with (
        pymysql.connect(host="127.0.0.1", user="root", autocommit=True) as admin,
        admin.cursor() as cursor,
    ):
        cursor.execute("DROP DATABASE IF EXISTS headwater_gone")
        cursor.execute("CREATE DATABASE headwater_gone")
        cursor.execute("CREATE TABLE headwater_gone.t (id int PRIMARY KEY)")
        cursor.execute("INSERT INTO headwater_gone.t VALUES (1), (2), (3)")
        connection = database(
            engine="MYSQL", port=3306, database="headwater_gone", username="root", password=""
        )
        made = client.data(
            CONNECT,
            input={"projectId": project_id, "sources": [{"name": "t", "connection": connection}]},
        )
        source_id = made["connectDataSources"]["dataSources"][0]["id"]
        assert (
            client.wait_for_job(made["connectDataSources"]["jobs"][0]["id"])["status"]
            == "SUCCEEDED"
        )
        cursor.execute("DROP DATABASE headwater_gone")

    sync = "mutation ($input: SyncDataSourcesInput!) { syncDataSources(input: $input) { jobs { id } } }"
    job_id = client.data(sync, input={"dataSourceIds": [source_id]})["syncDataSources"]["jobs"][0][
        "id"
    ]
    job = client.wait_for_job(job_id)

    assert job["status"] == "FAILED"
    found = client.data(SOURCE, id=source_id)["dataSource"]
    assert (found["status"], found["snapshots"]["totalCount"]) == ("FAILED", 1)
    rows = client.data(ROWS, id=source_id, first=10)["dataSource"]["table"]["rows"]["rows"]
    assert sorted(rows) == [[1], [2], [3]]


def test_an_unknown_object_key_is_refused_at_once(client: Client, project_id: str) -> None:
    with pytest.raises(GraphQLFailed) as refused:
        client.data(
            CONNECT,
            input={
                "projectId": project_id,
                "sources": [
                    {
                        "name": "x",
                        "connection": {"file": {"objectKey": "uploads/1/../../etc/passwd"}},
                    }
                ],
            },
        )

    (error,) = refused.value.errors
    assert error["extensions"]["code"] == "NOT_FOUND"
    assert error["extensions"]["field"] == "input.sources[0].connection.file.objectKey"


def test_an_unknown_extension_is_refused_at_upload(
    client: Client, project_id: str, tmp_path: Path
) -> None:
    path = tmp_path / "program.exe"
    path.write_bytes(b"MZ")

    with pytest.raises(GraphQLFailed) as refused:
        client.upload(project_id, path)

    assert refused.value.errors[0]["extensions"]["code"] == "UNSUPPORTED"
