"""The gateway in a process of its own, over a GraphQL API elsewhere; and a GraphQL API without the gateway."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.clients import ServerProcess, free_port
from tests.gateway.places import Place, one_server


class GatewayProcess(ServerProcess):
    """`headwater gateway` over the GraphQL API of another process."""

    def __init__(self, folder: Path, graphql_url: str, **settings: str) -> None:
        env = {f"HEADWATER_{name.upper()}": value for name, value in settings.items()}
        super().__init__(folder / "data", "gateway", env)
        self._command += ["--graphql-url", graphql_url]


@one_server
def test_a_file_goes_through_it_and_comes_out_again(server: Place, tmp_path: Path) -> None:
    text = "city,people\nBern,133883\nBasel,178120\n"
    headers = {"authorization": f"JWT {server.tokens['alice']}"}
    data = {"project": str(server.project()["pk"]), "name": "Cities", "type": "file"}

    with (
        GatewayProcess(tmp_path, f"{server.url}/graphql") as apart,
        httpx.Client(headers=headers, timeout=60, trust_env=False, follow_redirects=True) as client,
    ):
        apart.wait_until_ready()
        files = {"file": ("cities.csv", text)}
        made = client.post(f"{apart.url}/api/v1/datasources", data=data, files=files)
        file = client.get(made.json()["file"])
        preview = client.get(made.json()["meta_data"]["preview"])

    assert "answers at" in apart.output
    assert made.status_code == httpx.codes.CREATED, made.text
    assert made.json()["file"].startswith(apart.url)
    assert file.text == text
    assert [row["city"] for row in preview.json()["data"]] == ["Bern", "Basel"]


def test_without_the_graphql_api_it_says_so(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/graphql"
    with GatewayProcess(tmp_path, url) as process:
        client = httpx.Client(base_url=process.url, trust_env=False, timeout=60)
        while True:
            try:
                ready = client.get("/readyz")
                break
            except httpx.TransportError:
                assert process.process is not None
                assert process.process.poll() is None, process.output
        answer = client.get("/v1/projects/1", headers={"authorization": "Bearer hw_x"})
        client.close()

    assert ready.status_code == httpx.codes.SERVICE_UNAVAILABLE
    assert answer.status_code == httpx.codes.BAD_GATEWAY
    assert "does not answer" in answer.text


@pytest.mark.parametrize(
    ("url", "problem"), [("ftp://example.com", "not an http"), ("graphql", "not an http")]
)
def test_what_is_no_url_is_refused_at_the_start(tmp_path: Path, url: str, problem: str) -> None:
    with GatewayProcess(tmp_path, url) as process:
        assert process.process is not None

        assert process.process.wait(60) == 2

    assert problem in process.output


def test_dialects_can_be_turned_off(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", env={"HEADWATER_GATEWAY_DIALECTS": "ufdl"}) as process:
        process.wait_until_ready()
        with httpx.Client(base_url=process.url, trust_env=False) as client:
            listed = client.get("/gateway/openapi").json()["documents"]
            off = client.get("/api/v1/datasources")
            on = client.get("/v1/projects/1")

    assert [each["name"] for each in listed] == ["ufdl"]
    assert off.status_code == httpx.codes.NOT_FOUND
    assert on.status_code == httpx.codes.UNAUTHORIZED


def test_a_dialect_that_there_is_not_is_refused_at_the_start(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", env={"HEADWATER_GATEWAY_DIALECTS": "odata"}) as process:
        assert process.process is not None

        assert process.process.wait(60) == 2

    assert "names 'odata'; there are" in process.output
