"""A disk that is full: the sync says so, what was there stays readable, and all is well once there is space."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.clients import Client, GraphQLFailed, ServerProcess
from tests.e2e.calls import CONNECT, ROWS, SOURCE

pytestmark = pytest.mark.e2e
DISK_MIB = 6
TABLE_ROWS = 400_000  # of 32 random characters each: no compression makes 6 MiB of them
NAMESPACE = (
    ["unshare", "--mount"]
    if os.geteuid() == 0
    else ["unshare", "--user", "--map-root-user", "--mount"]
)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A server whose storage is a disk of 6 MiB that only it sees."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "{disk}" && exec "$@"'
    within = [*NAMESPACE, "sh", "-c", mount, "sh"]
    if subprocess.run([*within, "true"], capture_output=True, check=False).returncode != 0:
        reason = "this machine lets nobody mount a small disk of their own"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    settings = {"HEADWATER_STORAGE_URL": f"file://{disk}/objects"}
    with ServerProcess(tmp_path / "data", env=settings, within=within) as server:
        yield server.wait_until_ready().client()


@pytest.fixture
def source_url(postgres_database: str) -> str:
    with psycopg.connect(postgres_database) as connection:
        connection.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
        connection.execute("INSERT INTO notes VALUES (1, 'kept')")
    return postgres_database


def sync(client: Client, source_id: str) -> dict[str, object]:
    query = "mutation ($input: SyncDataSourcesInput!) { syncDataSources(input: $input) { jobs { id } } }"
    job = client.data(query, input={"dataSourceIds": [source_id]})["syncDataSources"]["jobs"][0]
    return client.wait_for_job(job["id"])


def test_a_sync_that_fills_the_disk_fails_alone(
    client: Client, source_url: str, tmp_path: Path
) -> None:
    project_id = client.data(
        'mutation { createProject(input: {name: "Full"}) { project { id } } }'
    )["createProject"]["project"]["id"]
    connection = {"database": {"engine": "POSTGRESQL", "url": source_url}}
    made = client.data(
        CONNECT,
        input={"projectId": project_id, "sources": [{"name": "notes", "connection": connection}]},
    )
    source_id = made["connectDataSources"]["dataSources"][0]["id"]
    assert client.wait_for_job(made["connectDataSources"]["jobs"][0]["id"])["status"] == "SUCCEEDED"
    with psycopg.connect(source_url) as source:
        source.execute(
            "INSERT INTO notes SELECT n, md5(n::text) || md5((-n)::text) FROM generate_series(2, %s) n",
            (TABLE_ROWS,),
        )

    failed = sync(client, source_id)

    assert failed["status"] == "FAILED"
    assert failed["error"]["code"] == "STORAGE_FULL"  # type: ignore[index]
    found = client.data(SOURCE, id=source_id)["dataSource"]
    assert (found["status"], found["snapshots"]["totalCount"]) == ("FAILED", 1)
    assert client.data(ROWS, id=source_id, first=10)["dataSource"]["table"]["rows"]["rows"] == [
        [1, "kept"]
    ]

    with psycopg.connect(source_url) as source:
        source.execute("DELETE FROM notes WHERE id > 2")
    assert sync(client, source_id)["status"] == "SUCCEEDED"


def test_an_upload_that_fills_the_disk_is_refused_and_leaves_nothing(
    client: Client, tmp_path: Path
) -> None:
    project_id = client.data(
        'mutation { createProject(input: {name: "Full"}) { project { id } } }'
    )["createProject"]["project"]["id"]
    large, small = tmp_path / "large.csv", tmp_path / "small.csv"
    large.write_bytes(b"a,b\n" + os.urandom(DISK_MIB * 1024**2).hex().encode())
    small.write_text("a,b\n1,2\n")

    with pytest.raises(GraphQLFailed) as refused:
        client.upload(project_id, large)

    assert [error["extensions"]["code"] for error in refused.value.errors] == ["STORAGE_FULL"]
    assert client.upload(project_id, small)["sizeBytes"] == 8
