"""Projects: who may do what, and what a refused request leaves alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.gateway.places import Place

NOT_FOUND = {"detail": "Not found."}
FORBIDDEN = {"detail": "You do not have permission to perform this action."}
_TEAM = "{ viewer { teams { team { pk name } role } } }"
_SET = """mutation ($team: ID!, $name: String!, $role: Role) {
    setTeamMember(input: {teamId: $team, username: $name, role: $role}) { team { pk } } }"""
_STATE = """query ($pk: BigInt!) { projects(filter: {pk: {eq: $pk}, deleted: null}) {
    nodes { name deletedAt team { pk } } } }"""


def team_of(server: Place, user: str) -> int:
    """The key of a user's own team."""
    teams = server.graphql(user).data(_TEAM)["viewer"]["teams"]
    return int(
        next(each["team"]["pk"] for each in teams if each["team"]["name"] == f"{user}'s team")
    )


def state(server: Place, pk: int) -> Any:
    """Name, deletion and team of a project."""
    (node,) = server.graphql("admin").data(_STATE, pk=pk)["projects"]["nodes"]
    return node


@pytest.fixture
def shared(server: Place) -> Iterator[int]:
    """The key of a team of alice's and bob's, in which bob may only read."""
    admin = server.graphql("admin")
    made = server.rest("admin").post("/v1/teams/create", json={"name": "Ufdl shared"}).json()
    team = str(made["pk"])
    for name, role in (("alice", "ADMIN"), ("bob", "READ")):
        admin.data(_SET, team=team, name=name, role=role)
    yield made["pk"]
    for name in ("alice", "bob"):
        admin.data(_SET, team=team, name=name, role=None)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"name": "Ufdl taken over", "team": 0}),
        ("PATCH", "/", {"name": "Ufdl taken over"}),
        ("DELETE", "", None),
    ],
)
def test_another_team_s_project_is_not_found_and_stays(
    server: Place, method: str, path: str, body: dict[str, Any] | None
) -> None:
    pk = server.project("bob")["pk"]
    before = state(server, pk)
    if body is not None and "team" in body:
        body = body | {"team": team_of(server, "alice")}

    answer = server.rest("alice").request(method, f"/v1/projects/{pk}{path}", json=body)

    assert (answer.status_code, answer.json()) == (httpx.codes.NOT_FOUND, NOT_FOUND)
    assert state(server, pk) == before


@pytest.mark.parametrize("verb", ["hard", "reinstate"])
@pytest.mark.parametrize("owner", ["alice", "bob"])
def test_what_is_for_staff_changes_nothing_for_others(server: Place, verb: str, owner: str) -> None:
    pk = server.project(owner)["pk"]
    server.rest(owner).delete(f"/v1/projects/{pk}")
    before = state(server, pk)

    answer = server.rest("alice").delete(f"/v1/projects/{pk}/{verb}")

    assert (answer.status_code, answer.json()) == (httpx.codes.FORBIDDEN, FORBIDDEN)
    assert state(server, pk) == before
    assert before["deletedAt"] is not None


def test_projects_are_made_in_one_s_own_teams(server: Place) -> None:
    client, foreign = server.rest("alice"), team_of(server, "bob")

    answer = client.post("/v1/projects/create", json={"name": "Ufdl foreign", "team": foreign})
    unknown = client.post("/v1/projects/create", json={"name": "Ufdl foreign", "team": 2**62})

    assert answer.status_code == unknown.status_code == httpx.codes.BAD_REQUEST
    assert answer.json() == {"team": [f'Invalid pk "{foreign}" - object does not exist.']}
    assert unknown.json() == {"team": [f'Invalid pk "{2**62}" - object does not exist.']}
    spec = {"expressions": [{"type": "exact", "field": "name", "value": "Ufdl foreign"}]}
    assert server.rest("admin").post("/v1/projects/list", json=spec).json() == []


def test_who_may_only_read_sees_a_project_and_does_not_change_it(
    server: Place, shared: int
) -> None:
    made = server.rest("alice").post(
        "/v1/projects/create", data={"name": "Ufdl ours", "team": str(shared)}
    )
    bob, path = server.rest("bob"), f"/v1/projects/{made.json()['pk']}"

    refused = [
        bob.post("/v1/projects/create", json={"name": "Ufdl mine", "team": shared}),
        bob.put(path, json={"name": "Ufdl mine", "team": shared}),
        bob.patch(path, json={"name": "Ufdl mine"}),
        bob.delete(path),
    ]

    assert made.status_code == httpx.codes.CREATED
    assert bob.get(path).json() == made.json()
    assert [(each.status_code, each.json()) for each in refused] == [(403, FORBIDDEN)] * 4
    assert server.rest("alice").get(path).json() == made.json()


def test_a_project_moves_where_one_administers_the_team_it_leaves(
    server: Place, shared: int
) -> None:
    alice, home = server.rest("alice"), team_of(server, "alice")
    made = alice.post("/v1/projects/create", json={"name": "Ufdl nomad", "team": home}).json()
    path = f"/v1/projects/{made['pk']}"
    there = alice.patch(path, json={"team": shared}).json()
    server.graphql("admin").data(_SET, team=str(shared), name="alice", role="WRITE")

    refused = alice.patch(path, json={"team": home})
    unknown = alice.patch(path, json={"team": team_of(server, "bob")})

    assert there == made | {"team": shared}
    assert (refused.status_code, refused.json()) == (httpx.codes.FORBIDDEN, FORBIDDEN)
    assert unknown.status_code == httpx.codes.BAD_REQUEST
    assert list(unknown.json()) == ["team"]
    assert alice.get(path).json() == there


def test_a_name_is_one_active_project_s_of_a_team(server: Place, shared: int) -> None:
    alice, admin = server.rest("alice"), server.rest("admin")
    new = {"name": "Ufdl unique", "team": shared}
    first = alice.post("/v1/projects/create", json=new).json()
    alice.delete(f"/v1/projects/{first['pk']}")
    second = alice.post("/v1/projects/create", json=new).json()
    third = alice.post("/v1/projects/create", json=new | {"name": "Ufdl other"}).json()

    refused = [
        alice.post("/v1/projects/create", json=new),
        alice.patch(f"/v1/projects/{third['pk']}", json={"name": "Ufdl unique"}),
        alice.put(f"/v1/projects/{third['pk']}", json=new),
        admin.delete(f"/v1/projects/{first['pk']}/reinstate"),
    ]
    same = alice.put(f"/v1/projects/{second['pk']}", json=new)

    assert [each.status_code for each in refused] == [400] * 4
    assert {each.json()["detail"] for each in refused} == {
        "The team has an active project of this name already. Choose another name."
    }
    assert same.json() == second
    assert alice.get(f"/v1/projects/{third['pk']}").json() == third
    assert alice.get(f"/v1/projects/{first['pk']}").json()["deletion_time"] is not None


def test_a_repeated_create_with_an_idempotency_key_makes_one(server: Place) -> None:
    client = server.rest("alice")
    new = {"name": "Ufdl once", "team": team_of(server, "alice")}
    headers = {"idempotency-key": "ufdl-once"}

    first = client.post("/v1/projects/create", json=new, headers=headers)
    again = client.post("/v1/projects/create/", json=new, headers=headers)
    other = client.post("/v1/projects/create", json=new | {"name": "Ufdl twice"}, headers=headers)

    assert (first.status_code, again.status_code) == (httpx.codes.CREATED, httpx.codes.CREATED)
    assert again.json() == first.json()
    assert other.status_code == httpx.codes.BAD_REQUEST


@pytest.mark.parametrize(
    ("body", "kind", "status", "answer"),
    [
        (
            "[1]",
            "application/json",
            400,
            {"non_field_errors": "Invalid data. Expected a dictionary,"},
        ),
        ('{"name":', "application/json", 400, {"detail": "JSON parse error - Expecting value: "}),
        ('{"name": 1}', "application/json", 400, {"name": "Not a valid string."}),
        (
            '{"name": null, "team": null}',
            "application/json",
            400,
            {"team": "This field may not be"},
        ),
        ('{"team": true}', "application/json", 400, {"team": "Incorrect type. Expected pk value,"}),
        (
            '{"name": "' + "x" * 201 + '"}',
            "application/json",
            400,
            {"name": "Ensure this field has"},
        ),
        ("<a/>", "text/xml", 415, {"detail": 'Unsupported media type "text/xml" in request.'}),
    ],
)
def test_bodies_that_are_none_are_told_apart(
    server: Place, body: str, kind: str, status: int, answer: dict[str, str]
) -> None:
    told = server.rest().post("/v1/projects/create", content=body, headers={"content-type": kind})

    assert told.status_code == status
    for name, text in answer.items():
        found = told.json()[name]
        assert (found if isinstance(found, str) else found[0]).startswith(text)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v1/projects/create", "POST"),
        ("POST", "/v1/projects/1", "DELETE, GET, PATCH, PUT"),
        ("POST", "/v1/projects/1/hard/", "DELETE"),
        ("GET", "/v1/projects/1/reinstate", "DELETE"),
        ("PUT", "/v1/auth/obtain", "POST"),
    ],
)
def test_other_methods_are_told_which_there_are(
    server: Place, method: str, path: str, allow: str
) -> None:
    answer = server.rest().request(method, path)

    assert answer.status_code == httpx.codes.METHOD_NOT_ALLOWED
    assert answer.json() == {"detail": f'Method "{method}" not allowed.'}
    assert answer.headers["allow"] == allow


def test_a_deleted_project_is_seen_by_its_team_alone_and_stays_as_it_is(
    server: Place, shared: int
) -> None:
    alice, bob = server.rest("alice"), server.rest("bob")
    made = alice.post("/v1/projects/create", json={"name": "Ufdl gone", "team": shared}).json()
    path = f"/v1/projects/{made['pk']}"
    foreign = f"/v1/projects/{server.project('bob')['pk']}"
    alice.delete(path)
    bob.delete(foreign)

    refused = [
        alice.patch(path, json={"name": "Ufdl back"}),
        alice.put(path, json={"name": "Ufdl back", "team": shared}),
        alice.get(foreign),
        alice.delete(foreign),
    ]

    gone = bob.get(path).json()
    assert gone == made | {"deletion_time": gone["deletion_time"]}
    assert gone["deletion_time"] > made["creation_time"]
    assert [(each.status_code, each.json()) for each in refused] == [(404, NOT_FOUND)] * 4
