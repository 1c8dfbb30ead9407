"""What is refused, in the words of Django REST framework."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from gateway.failures import Failure
from gateway.schema_cms import DIALECT
from tests.gateway.places import Place, one_server
from tests.gateway.schema_cms.clients import PEOPLE, SOURCES, connected, finished

FORBIDDEN = {"detail": "You do not have permission to perform this action."}
NOT_FOUND = {"detail": "Not found."}
CSV = {"file": ("a.csv", PEOPLE.encode())}


def _requests(source: int, job: int, project: int) -> list[tuple[str, str, dict[str, Any]]]:
    """A good request of each route that names something."""
    one = f"{SOURCES}/{source}"
    script = {"script": ("a.py", b"df = df")}
    return [
        ("GET", f"/api/v1/projects/{project}/datasources", {}),
        ("GET", one, {}),
        ("PUT", one, {"data": {"name": "B", "type": "file"}, "files": CSV}),
        ("PATCH", one, {"json": {"name": "B"}}),
        ("PATCH", one, {"json": {}}),
        ("DELETE", one, {}),
        ("GET", f"{one}/script", {}),
        ("POST", f"{one}/script-upload", {"files": script}),
        ("POST", f"{one}/job", {"json": {"steps": [{"key": "local:drop_duplicates"}]}}),
        ("POST", f"{one}/process", {}),
        ("GET", f"{one}/preview", {}),
        ("GET", f"{one}/preview-file", {}),
        ("GET", f"{one}/file", {}),
        *(
            ("GET", f"/api/v1/{name}/{job}{suffix}", {})
            for name in ("job", "jobs")
            for suffix in ("", "/preview", "/result")
        ),
    ]


def test_what_is_another_team_s_is_not_there_and_stays_as_it_is(
    alice: httpx.Client, server: Place
) -> None:
    bob, project = server.rest("bob"), server.project("bob")
    made = connected(bob, project)
    job = finished(bob, made["id"], [{"key": "local:drop_duplicates"}])

    for foreign, missing in zip(
        _requests(made["id"], job["pk"], project["pk"]),
        _requests(2**40, 2**40, 2**40),
        strict=True,
    ):
        for method, path, body in (foreign, missing):
            reply = alice.request(method, path, **body)
            assert (reply.status_code, reply.json()) == (404, NOT_FOUND), (method, path)

    listed = bob.get(f"/api/v1/projects/{project['pk']}/datasources").json()
    kept = ("id", "name", "status", "file_name")
    assert [[item[name] for name in kept] for item in listed["results"]] == [
        [made[name] for name in kept]
    ]
    keys = [each["key"] for each in bob.get(f"{SOURCES}/{made['id']}/script").json()]
    assert all(key.startswith("local:") for key in keys)


def test_nothing_is_connected_in_another_team_s_project(alice: httpx.Client, server: Place) -> None:
    project = server.project("bob")

    for key in (project["pk"], 2**40):  # nobody learns which projects there are
        for body in ({"json": {"project": key}}, {"data": {"project": key}, "files": CSV}):
            reply = alice.post(SOURCES, **body)
            assert (reply.status_code, reply.json()) == (403, FORBIDDEN)

    path = f"/api/v1/projects/{project['pk']}/datasources"
    assert server.rest("bob").get(path).json()["count"] == 0


@one_server
@pytest.mark.parametrize(
    ("header", "said"),
    [
        (None, "Authentication credentials were not provided."),
        ("JWT hw_wrong", "Error decoding token."),
        ("JWT a.b.c", "Error decoding token."),
        ("Basic YTpi", "Error decoding token."),
    ],
)
def test_every_route_wants_a_good_token(server: Place, header: str | None, said: str) -> None:
    client = server.rest(None)
    if header is not None:
        client.headers["authorization"] = header
    requests = [*_requests(1, 1, 1), ("GET", SOURCES, {}), ("POST", SOURCES, {"data": {}})]

    for method, path, body in requests:
        reply = client.request(method, path, **body)
        assert (reply.status_code, reply.json()) == (401, {"detail": said}), (method, path)
        assert reply.headers["www-authenticate"] == 'JWT realm="api"'


def test_a_session_that_is_over_has_an_expired_signature() -> None:
    over = Failure("UNAUTHENTICATED", "The session has expired.", has_credential=True)

    reply = DIALECT.failure(over, None)

    assert (reply.status, reply.body) == (401, {"detail": "Signature has expired."})


CREATIONS: list[tuple[dict[str, Any], dict[str, list[str]]]] = [
    ({"json": {}}, {"project": ["This field is required."]}),
    ({"json": {"project": None}}, {"project": ["This field may not be null."]}),
    (
        {"json": {"project": "x"}},
        {"project": ["Incorrect type. Expected pk value, received str."]},
    ),
    (
        {"json": {"project": [1]}},
        {"project": ["Incorrect type. Expected pk value, received list."]},
    ),
    (
        {"json": {"project": 2**63}},
        {"project": [f'Invalid pk "{2**63}" - object does not exist.']},
    ),
    ({"json": {"project": 1, "name": " "}}, {"name": ["This field may not be blank."]}),
    ({"json": {"project": 1, "name": []}}, {"name": ["Not a valid string."]}),
    (
        {"json": {"project": 1, "name": "n" * 101, "type": "zip"}},
        {
            "name": ["Ensure this field has no more than 100 characters."],
            "type": ['"zip" is not a valid choice.'],
        },
    ),
    (
        {"json": {"project": 1, "file": "a,b"}},
        {"file": ["The submitted data was not a file. Check the encoding type on the form."]},
    ),
    (
        {"data": {"project": "1"}, "files": {"file": ("a.txt", b"x")}},
        {"file": ["File extension 'txt' is not allowed. Allowed extensions are: 'csv'."]},
    ),
    (
        {"data": {"project": "1"}, "files": {"file": ("csv", b"x")}},
        {"file": ["File extension '' is not allowed. Allowed extensions are: 'csv'."]},
    ),
    (
        {"data": {"project": "1"}, "files": {"file": ("a.csv", b"")}},
        {"file": ["The submitted file is empty."]},
    ),
    (
        {"json": [1]},
        {"non_field_errors": ["Invalid data. Expected a dictionary, but got list."]},
    ),
]


@one_server
@pytest.mark.parametrize(("body", "errors"), CREATIONS)
def test_fields_are_refused_in_drf_s_words(
    alice: httpx.Client, body: dict[str, Any], errors: dict[str, list[str]]
) -> None:
    reply = alice.post(SOURCES, **body)

    assert (reply.status_code, reply.json()) == (400, errors)


@one_server
@pytest.mark.parametrize("kind", ["database", "api"])
def test_what_needs_settings_is_connected_elsewhere(
    alice: httpx.Client, server: Place, kind: str
) -> None:
    project = server.project()

    reply = alice.post(SOURCES, json={"project": project["pk"], "type": kind})

    assert reply.status_code == httpx.codes.BAD_REQUEST
    assert reply.json()["type"][0].startswith(
        f'A data source of type "{kind}" needs settings of its connection'
    )
    path = f"/api/v1/projects/{project['pk']}/datasources"
    assert alice.get(path).json()["count"] == 0


@one_server
@pytest.mark.parametrize(
    ("method", "path", "content", "kind", "status", "said"),
    [
        ("PUT", SOURCES, b"", "", 405, 'Method "PUT" not allowed.'),
        ("GET", "/api/v1/auth/token", b"", "", 405, 'Method "GET" not allowed.'),
        (
            "POST",
            SOURCES,
            b"a",
            "text/plain",
            415,
            'Unsupported media type "text/plain" in request.',
        ),
        (
            "POST",
            SOURCES,
            b"{",
            "application/json",
            400,
            "JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
        ),
        (
            "POST",
            SOURCES,
            b"x",
            "multipart/form-data",
            400,
            "Multipart form parse error - Missing boundary in multipart.",
        ),
        ("GET", f"{SOURCES}/", b"", "", 404, "Not found."),
        ("GET", f"{SOURCES}/x", b"", "", 404, "Not found."),
        ("GET", f"{SOURCES}/{'9' * 40}", b"", "", 404, "Not found."),
        ("GET", f"{SOURCES}/0", b"", "", 404, "Not found."),
        ("GET", "/api/v1/jobs", b"", "", 404, "Not found."),
    ],
)
def test_requests_that_no_view_takes(
    alice: httpx.Client, method: str, path: str, content: bytes, kind: str, status: int, said: str
) -> None:
    headers = {"content-type": kind} if kind else {}

    reply = alice.request(method, path, content=content, headers=headers)

    assert (reply.status_code, reply.json()) == (status, {"detail": said})


@one_server
@pytest.mark.parametrize("token", ["", "hw_wrong", "a b", "é", "a\nb", "x" * 9000])
def test_a_token_that_is_none_is_not_exchanged(nobody: httpx.Client, token: str) -> None:
    reply = nobody.post("/api/v1/auth/token", json={"uid": "alice", "token": token})

    said = "Invalid Token" if token else "This field may not be blank."
    assert (reply.status_code, reply.json()) == (400, {"token": [said]})


def test_a_session_is_exchanged_for_no_other_one(nobody: httpx.Client, server: Place) -> None:
    first = {"uid": "alice", "token": server.tokens["alice"]}
    session = nobody.post("/api/v1/auth/token", json=first).json()["token"]

    reply = nobody.post("/api/v1/auth/token", json={"uid": "alice", "token": session})

    assert (reply.status_code, reply.json()) == (400, {"token": ["Invalid Token"]})
