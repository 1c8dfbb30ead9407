"""Data sources as clients of this dialect see them."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import (
    PEOPLE,
    SOURCES,
    connected,
    draft,
    token_of_role,
)

MANY = 205  # more than a page of GraphQL


def test_the_file_can_be_downloaded_without_a_token(alice: httpx.Client, server: Place) -> None:
    project = server.project()
    made = alice.post(
        SOURCES,
        data={"project": str(project["pk"])},
        files={"file": ("größe & 1.CSV", PEOPLE.encode())},
    ).json()

    found = httpx.get(made["file"], follow_redirects=True, trust_env=False)

    assert made["file"].startswith(f"{server.url}/gateway/links/")
    assert made["file"].endswith("/gr%C3%B6%C3%9Fe%20%26%201.CSV")
    assert made["file_name"] == "größe & 1.CSV"
    assert found.text == PEOPLE


def test_a_draft_has_a_name_of_its_own(alice: httpx.Client, server: Place) -> None:
    project = server.project()

    names = {alice.get(f"{SOURCES}/{draft(alice, project)}").json()["name"] for _ in range(2)}

    assert len(names) == 2
    assert all(re.fullmatch("My New Data Source #[0-9a-f]{5}", name) for name in names)


def test_a_file_that_cannot_be_read_leaves_its_reason(alice: httpx.Client, server: Place) -> None:
    response = alice.post(
        SOURCES,
        data={"project": str(server.project()["pk"])},
        files={"file": ("a.csv", b"a,b\n\xff\xfe\x00\xd8,1\n" * 3)},
    )

    made = response.json()
    assert (response.status_code, made["status"]) == (201, "error")
    assert made["error_log"]
    assert made["meta_data"] is None
    processed = alice.post(f"{SOURCES}/{made['id']}/process")
    assert (processed.status_code, processed.content) == (422, b"")


def test_a_request_with_a_key_is_done_once(alice: httpx.Client, server: Place) -> None:
    project = str(server.project()["pk"])
    headers = {"idempotency-key": f"create {project}"}

    def post() -> Any:
        files = {"file": ("a.csv", PEOPLE.encode())}
        data = {"project": project}
        return alice.post(SOURCES, data=data, files=files, headers=headers).json()["id"]

    assert post() == post()
    assert alice.get(f"/api/v1/projects/{project}/datasources").json()["count"] == 1


def test_a_new_file_takes_the_place_of_the_old_one(alice: httpx.Client, server: Place) -> None:
    pk = connected(alice, server.project())["id"]

    changed = alice.patch(f"{SOURCES}/{pk}", files={"file": ("b.csv", b"x,y,z\n1,2,3\n")}).json()

    assert (changed["name"], changed["file_name"]) == ("People", "b.csv")
    assert changed["meta_data"]["fields_names"] == ["x", "y", "z"]
    again = alice.put(
        f"{SOURCES}/{pk}",
        data={"name": "People", "type": "file"},
        files={"file": ("c.csv", b"q\n1\n")},
    )
    assert (again.status_code, again.json()["file_name"]) == (200, "c.csv")
    assert alice.get(again.json()["file"], follow_redirects=True).text == "q\n1\n"


def test_pages_of_a_thousand_come_from_few_operations(alice: httpx.Client, server: Place) -> None:
    project = server.project()
    path = f"/api/v1/projects/{project['pk']}/datasources"
    for start in range(0, MANY, 100):
        sources = [
            {"name": f"S{at}", "connection": {"file": {}}}
            for at in range(start, min(start + 100, MANY))
        ]
        server.graphql().data(
            "mutation ($input: ConnectDataSourcesInput!) { connectDataSources(input: $input)"
            " { jobs { id } } }",
            input={"projectId": project["id"], "sources": sources},
        )

    page = alice.get(path, params={"page_size": 5000}).json()
    last = alice.get(path, params={"page_size": 100, "page": "last"}).json()
    usual = alice.get(path, params={"page_size": "many"}).json()

    newest_first = [f"S{at}" for at in reversed(range(MANY))]
    assert (page["count"], page["next"], page["previous"]) == (MANY, None, None)
    assert [item["name"] for item in page["results"]] == newest_first
    assert [item["name"] for item in last["results"]] == newest_first[-5:]
    assert last["previous"] == f"{server.url}{path}?page=2&page_size=100"
    assert [item["name"] for item in usual["results"]] == newest_first[:10]
    assert usual["next"] == f"{server.url}{path}?page=2&page_size=many"


@one_server
@pytest.mark.parametrize("page", ["0", "-1", "2", "x", "", "1.0", "9" * 30, "900000"])
def test_pages_that_are_not_there(alice: httpx.Client, server: Place, page: str) -> None:
    path = f"/api/v1/projects/{server.project()['pk']}/datasources"

    response = alice.get(path, params={"page": page})

    assert (response.status_code, response.json()) == (404, {"detail": "Invalid page."})
    assert alice.get(path).json() == {"count": 0, "next": None, "previous": None, "results": []}


def test_data_sources_of_other_kinds_are_listed(alice: httpx.Client, server: Place) -> None:
    project = server.project()
    connection = {"api": {"baseUrl": "https://api.example.com"}}
    server.graphql().data(
        "mutation ($input: ConnectDataSourcesInput!) { connectDataSources(input: $input)"
        " { jobs { id } } }",
        input={
            "projectId": project["id"],
            "sync": False,
            "sources": [{"name": "Web", "connection": connection}],
        },
    )

    (item,) = alice.get(f"/api/v1/projects/{project['pk']}/datasources").json()["results"]

    assert (item["type"], item["status"]) == ("api", "ready_for_processing")
    assert (item["file"], item["file_name"], item["meta_data"]) == (None, None, None)
    wrong = alice.patch(f"{SOURCES}/{item['id']}", json={"type": "file"})
    assert (wrong.status_code, wrong.json()) == (400, {"file": ["No file was submitted."]})


def test_whoever_may_only_read_gets_files_and_changes_nothing(
    alice: httpx.Client, server: Place
) -> None:
    project = server.project()
    made = connected(alice, project)
    reader = server.rest(None)
    reader.headers["authorization"] = f"JWT {token_of_role(server, 'READ')}"
    one = f"{SOURCES}/{made['id']}"

    shown = reader.get(one)
    replies = [
        reader.post(SOURCES, json={"project": project["pk"]}),
        reader.put(
            one, data={"name": "B", "type": "file"}, files={"file": ("b.csv", PEOPLE.encode())}
        ),
        reader.patch(one, json={"name": "B"}),
        reader.delete(one),
        reader.post(f"{one}/process"),
        reader.post(f"{one}/script-upload", files={"script": ("a.py", b"df = df")}),
        reader.post(f"{one}/job", json={"steps": [{"key": "local:drop_duplicates"}]}),
    ]

    assert reader.get(shown.json()["file"], follow_redirects=True).text == PEOPLE
    said = {"detail": "You do not have permission to perform this action."}
    assert [(reply.status_code, reply.json()) for reply in replies] == [(403, said)] * 7
    assert alice.get(one).json()["name"] == "People"
