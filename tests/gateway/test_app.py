"""What all dialects share, by a small one over a real GraphQL API: as a gateway in a process of its own sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from tests.gateway.gateways import PUBLIC, asking
from tests.gateway.places import Place, one_server
from tests.gateway.sample import SAMPLE

pytestmark = [pytest.mark.anyio, one_server]


@pytest.fixture
async def rest(server: Place) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a gateway that serves the sample dialect over the server's GraphQL API."""
    async with asking(SAMPLE, server.url) as client:
        yield client


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "JWT", "Token"])
async def test_a_token_is_taken_in_any_scheme(
    rest: httpx.AsyncClient, server: Place, scheme: str
) -> None:
    headers = {"authorization": f"{scheme} {server.tokens['alice']}"}

    response = await rest.get("/sample/viewer", headers=headers)

    assert response.json()["username"] == "alice"
    assert response.headers["x-headwater-operation"] == "Viewer"


async def test_a_token_is_taken_as_an_api_key(rest: httpx.AsyncClient, server: Place) -> None:
    response = await rest.get("/sample/viewer", headers={"x-pd-api-key": server.tokens["bob"]})

    assert response.json()["username"] == "bob"


@pytest.mark.parametrize(
    "credential", ["Bearer hw_wrong", "Basic YTpi", "nothing", "Bearer hw_é", "Bearer a b"]
)
async def test_another_credential_is_refused(rest: httpx.AsyncClient, credential: str) -> None:
    headers = {b"authorization": credential.encode("latin-1")}
    response = await rest.get("/sample/viewer", headers=headers)

    assert (response.status_code, response.json()["code"]) == (401, "UNAUTHENTICATED")


async def test_a_request_may_become_several_operations(
    rest: httpx.AsyncClient, server: Place
) -> None:
    response = await rest.post(
        "/sample/projects",
        json={"name": "Rivers"},
        headers={"authorization": f"Bearer {server.tokens['alice']}"},
    )

    assert response.status_code == httpx.codes.CREATED
    assert response.headers["x-headwater-operation"] == "CreateProject, CreateDataset"
    assert response.headers["location"].startswith(f"{PUBLIC}/sample/projects/project-")


async def test_every_mistake_of_a_body_is_told(rest: httpx.AsyncClient, server: Place) -> None:
    response = await rest.post(
        "/sample/projects",
        json={"name": " ", "dataset": 7, "size": 11},
        headers={"authorization": f"Bearer {server.tokens['alice']}"},
    )

    assert response.status_code == httpx.codes.BAD_REQUEST
    assert response.json()["fields"] == [["name", "blank"], ["dataset", "type"], ["size", "most"]]


@pytest.mark.parametrize(("body", "size"), [("[1, 2]", 2), ("{}", 0), ("", None), ("null", None)])
async def test_a_route_may_read_any_json_value(
    rest: httpx.AsyncClient, server: Place, body: str, size: int | None
) -> None:
    response = await rest.post(
        "/sample/size",
        content=body,
        headers={
            "authorization": f"Bearer {server.tokens['alice']}",
            "content-type": "application/json",
        },
    )

    assert response.json() == {"size": size}


async def test_a_form_has_a_limit_of_fields(rest: httpx.AsyncClient, server: Place) -> None:
    response = await rest.post(
        "/sample/projects",
        data={f"field{number}": "1" for number in range(2_000)},
        headers={"authorization": f"Bearer {server.tokens['alice']}"},
    )

    assert (response.status_code, response.json()["code"]) == (400, "MALFORMED_BODY")


async def test_a_link_opens_without_a_credential_and_for_its_path_alone(
    rest: httpx.AsyncClient, server: Place
) -> None:
    headers = {"authorization": f"Bearer {server.tokens['alice']}"}
    url = (await rest.get("/sample/link", headers=headers)).json()["url"]

    opened = await rest.get(url.removeprefix(PUBLIC))
    changed = await rest.get(url.removeprefix(PUBLIC).replace("links/v1:", "links/v1:0", 1))

    assert url.startswith(f"{PUBLIC}/gateway/links/")
    assert url.endswith("/viewer.json")
    assert server.tokens["alice"] not in url
    assert opened.json()["username"] == "alice"
    assert changed.status_code == httpx.codes.NOT_FOUND


async def test_wrong_methods_and_paths_are_refused_in_the_dialect_s_words(
    rest: httpx.AsyncClient,
) -> None:
    method = await rest.delete("/sample/viewer")
    path = await rest.get("/sample/number/x1")
    foreign = await rest.get("/other")

    assert (method.status_code, method.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert method.headers["allow"] == "GET"
    assert (path.status_code, path.json()["code"]) == (404, "NO_ROUTE")
    assert foreign.status_code == httpx.codes.NOT_FOUND


async def test_explain_tells_the_operations_without_running_them(rest: httpx.AsyncClient) -> None:
    response = await rest.get(
        "/gateway/explain",
        params={"method": "POST", "path": "/long/org/sample/projects", "body": '{"name":"Rivers"}'},
    )

    first, second = response.json()["operations"]
    assert (first["name"], first["variables"]) == ("CreateProject", {"name": "Rivers"})
    assert "fragment" not in first["document"]
    assert second["variables"]["input"] == {
        "projectId": "<createProject.project.id>",
        "name": "First",
    }


@pytest.mark.parametrize(
    "body", ["{", "[" * 100 + "]" * 100, '{"name": "\\u0000"}', '{"a": 1, "a": 2}']
)
async def test_explain_refuses_the_bodies_that_a_request_may_not_have(
    rest: httpx.AsyncClient, body: str
) -> None:
    response = await rest.get(
        "/gateway/explain", params={"method": "POST", "path": "/sample/projects", "body": body}
    )

    assert response.status_code == httpx.codes.BAD_REQUEST
    assert response.json()["message"].startswith("`body` ")


async def test_the_openapi_document_lists_the_routes(rest: httpx.AsyncClient) -> None:
    document = (await rest.get("/gateway/openapi/sample.json")).json()

    assert document["openapi"] == "3.1.0"
    assert sorted(document["paths"]) == [
        "/sample/link",
        "/sample/number/{pk}",
        "/sample/projects",
        "/sample/size",
        "/sample/viewer",
    ]
    whole = document["paths"]["/sample/size"]["post"]["requestBody"]["content"]
    assert whole == {"application/json": {"schema": {"type": "array"}}}
    body = document["paths"]["/sample/projects"]["post"]["requestBody"]
    assert sorted(body["content"]) == [
        "application/json",
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ]
