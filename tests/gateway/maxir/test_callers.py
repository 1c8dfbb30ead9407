"""Who may ask for what: users by any name, keys of other teams, roles, and the project of a key."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import Any

import httpx
import pytest

from tests.gateway.maxir.clients import Maxir, client_of, new_client
from tests.gateway.places import Place, one_server

NOT_FOUND = 300003


def test_a_user_has_several_names(server: Place) -> None:
    client = new_client(server)
    own = server.graphql().data("{ viewer { id } }")["viewer"]["id"]

    for name in ("alice", " alice ", own, own.replace("user-", "tmm-")):
        client.user_id = name
        assert client.data("GET", "/datasets")["total_items"] == 1
    for stranger in ("bob", "ALICE", "1", "user-", "tmm-x", "a@b.example", "x" * 300):
        client.user_id = stranger
        assert client.code("GET", "/datasets") == NOT_FOUND


@one_server
def test_a_user_has_an_address(server: Place) -> None:
    client = new_client(server)
    with closing(sqlite3.connect(server.server.data_dir / "headwater.db")) as database, database:
        database.execute("UPDATE users SET email = 'Ada@example.com' WHERE username = 'alice'")

    client.user_id = "ada@EXAMPLE.com"

    assert client.data("GET", "/datasets")["total_items"] == 1


def test_the_first_creating_call_makes_the_project_of_a_key(server: Place) -> None:
    client = client_of(server, server.new_token("dora"), "dora")

    empty = client.data("GET", "/datasets")
    unknown = client.code("GET", "/datasets/dataset-dagasdgasgasg")
    client.dataset("First")
    client.dataset("Second")

    assert (empty["total_items"], unknown) == (0, NOT_FOUND)
    names = [each["name"] for each in client.data("GET", "/datasets")["records"]]
    assert names == ["Default", "First", "Second"]


def test_the_user_may_be_named_in_the_query_of_any_request(server: Place) -> None:
    client = new_client(server)
    made = client.http.post("/v2/team/datasets?user_id=alice", json={"name": "a"}).json()["data"]

    gone = client.http.delete(f"/v2/team/datasets/{made['id']}?user_id=alice")

    assert gone.json() == {"code": 0, "data": {}}


REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "{dataset}", {}),
    ("POST", "{dataset}", {"name": "mine"}),
    ("DELETE", "{dataset}", {}),
    ("GET", "{dataset}/status", {}),
    ("GET", "{dataset}/overview", {}),
    ("GET", "{dataset}/datasources", {}),
    (
        "POST",
        "{dataset}/datasources",
        {"name": "a.csv", "type": "FILE", "file_object_key": "{key}"},
    ),
    ("POST", "/datasources", {"name": "a.csv", "type": "FILE", "file_object_key": "{key}"}),
    ("GET", "{source}", {}),
    ("POST", "{source}/presign", {}),
    ("DELETE", "{source}", {}),
    (
        "POST",
        "/file/complete-multipart-upload",
        {"upload_id": "{upload}", "part_etags": [{"number": 1, "etag": "e"}]},
    ),
]


def test_what_is_another_team_s_is_not_found_and_stays_as_it_is(server: Place) -> None:
    client, stranger = new_client(server), new_client(server, "bob")
    dataset = client.dataset("Rivers")
    source = client.source(dataset)
    client.read(source)
    begun = client.data("POST", "/file/init-multipart-upload", file_name="a.csv", file_size=4)
    key = client.upload("b.csv", b"a\n1\n")
    names = {"dataset": dataset, "source": source, "key": key, "upload": begun["upload_id"]}
    before = _all_of(client, dataset, source)

    def fill(value: Any) -> Any:
        return value.format(**names) if isinstance(value, str) else value

    for method, path, body in REQUESTS:
        sent = {name: fill(value) for name, value in body.items()}
        assert stranger.code(method, fill(path), **sent) == NOT_FOUND, (method, path)

    assert _all_of(client, dataset, source) == before
    assert stranger.data("GET", "/datasets")["total_items"] == 1


def _all_of(client: Maxir, dataset: str, source: str) -> list[Any]:
    paths = ("/datasets", dataset, f"{dataset}/overview", f"{dataset}/datasources", source)
    return [client.data("GET", path) for path in paths]


def test_a_data_source_is_in_its_dataset_alone(server: Place) -> None:
    client = new_client(server)
    one, two = client.dataset("One"), client.dataset("Two")
    source = client.source(one)
    elsewhere = source.replace(one, two)

    for method, path in (("GET", ""), ("POST", "/presign"), ("DELETE", "")):
        assert client.code(method, elsewhere + path) == NOT_FOUND
    assert client.data("GET", source)["dataset_id"] == one.removeprefix("/datasets/")


def test_what_a_key_may_not_do_is_refused_with_its_code(server: Place) -> None:
    client = new_client(server, role="READ")

    response = client.send("POST", "/datasets", name="a")

    assert (response.status_code, response.json()["code"]) == (httpx.codes.FORBIDDEN, 1003)
    assert client.data("GET", "/datasets")["total_items"] == 1


def test_a_session_is_a_key_until_it_is_changed(server: Place) -> None:
    made = server.graphql().data(
        "mutation { createSession(input: {expiresIn: 60}) { accessToken } }"
    )
    token = made["createSession"]["accessToken"]

    assert client_of(server, token, "alice").send("GET", "/datasets").json()["code"] == 0
    assert client_of(server, f"{token}x", "alice").code("GET", "/datasets") == 1004


def test_sources_that_are_no_files_are_not_of_this_dialect(server: Place) -> None:
    client = new_client(server)
    dataset = client.dataset()
    owner = server.graphql()
    made = owner.data(
        """mutation ($dataset: ID!) { connectDataSources(input: {datasetId: $dataset, sync: false, sources: [
            {name: "shop", connection: {database: {engine: POSTGRESQL, url: "postgresql://u:p@db.example.com/d"}}},
            {name: "later.csv", connection: {file: {}}}]}) { dataSources { id } } }""",
        dataset=dataset.removeprefix("/datasets/"),
    )
    database, draft = [each["id"] for each in made["connectDataSources"]["dataSources"]]

    assert client.code("GET", f"{dataset}/datasources/{database}") == NOT_FOUND
    assert client.data("GET", f"{dataset}/datasources/{draft}")["status"] == "synching"
    assert client.data("GET", f"{dataset}/datasources")["total_items"] == 1
    assert client.data("GET", f"{dataset}/status")["synching_count"] == 1


@pytest.mark.parametrize("trace", ["", "my-trace", "é" * 10, "x" * 500])
def test_every_reply_has_a_trace_id(server: Place, trace: str) -> None:
    client = new_client(server)
    headers = httpx.Headers({"x-pd-external-trace-id": trace}, encoding="utf-8")

    replies = [
        client.http.get("/v2/team/datasets?user_id=alice", headers=headers),
        client.http.get("/v2/team/datasets", headers=headers),
        client.http.get("/v2/nothing", headers=headers),
        server.rest(None).get("/v2/team/datasets", headers=headers),
    ]

    ids = [reply.headers["x-pd-trace-id"] for reply in replies]
    assert len(set(ids)) == len(ids)
    assert [reply.headers["trace-id"] for reply in replies] == ids


def test_the_trace_id_of_a_caller_is_in_the_log(server: Place) -> None:
    client = new_client(server)
    response = client.http.get(
        "/v2/team/datasets?user_id=alice", headers={"x-pd-external-trace-id": "mine-to-find"}
    )

    deadline = time.monotonic() + 10
    while "mine-to-find" not in server.server.output and time.monotonic() < deadline:
        time.sleep(0.05)
    (line,) = [each for each in server.server.output.splitlines() if "mine-to-find" in each]
    assert response.headers["x-pd-trace-id"] in line


@pytest.mark.parametrize(
    ("method", "path", "operations"),
    [
        ("GET", "/datasets?user_id=tmm-abc", ["Datasets"]),
        ("POST", "/datasets/d/datasources", ["Dataset", "ConnectDataSource"]),
        ("POST", "/datasources", ["DefaultProject", "ConnectDataSource"]),
        ("DELETE", "/datasets/d/datasources/s", ["DataSource", "RemoveDataSource"]),
        ("POST", "/datasets/d/datasources/s/presign", ["DataSource", "PresignDataSource"]),
        ("POST", "/file/upload-datasource", ["DefaultProject", "UploadFile"]),
    ],
)
@one_server
def test_requests_are_explained(
    server: Place, method: str, path: str, operations: list[str]
) -> None:
    asked = {"method": method, "path": f"/v2/team{path}"}

    explained = server.rest(None).get("/gateway/explain", params=asked).json()

    assert [each["name"] for each in explained["operations"]] == operations
