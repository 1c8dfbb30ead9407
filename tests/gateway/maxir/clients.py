"""A client of the dialect as its users have one: a key of a project, and a user to name."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.gateway.places import Place

SECONDS_MAX = 60


@dataclass
class Maxir:
    """Sends a key, and names a user in each request."""

    http: httpx.Client
    user_id: str

    def send(self, method: str, path: str, **body: Any) -> httpx.Response:
        """The response to a request below `/v2/team`."""
        named = {"user_id": self.user_id, **body}
        url = f"/v2/team{path}"
        if method == "GET":
            return self.http.get(url, params=named)
        return self.http.request(method, url, json=named)

    def data(self, method: str, path: str, **body: Any) -> Any:
        """The data of a request that must not fail."""
        answer = self.send(method, path, **body).json()
        assert answer["code"] == 0, answer
        return answer["data"]

    def code(self, method: str, path: str, **body: Any) -> int:
        """The code of a request that fails."""
        answer = self.send(method, path, **body).json()
        assert answer["data"] is None, answer
        assert answer["msg"] == answer["message"] != ""
        code: int = answer["code"]
        return code

    def upload(self, name: str, content: bytes, **headers: str) -> str:
        """The key of a file that is sent."""
        response = self.http.post(
            "/v2/team/file/upload-datasource",
            data={"user_id": self.user_id},
            files={"file": (name, content)},
            headers=headers,
        )
        assert response.json()["code"] == 0, response.text
        key: str = response.json()["data"]["file_object_key"]
        return key

    def dataset(self, name: str = "Data") -> str:
        """A new dataset's path."""
        made = self.data("POST", "/datasets", name=name)
        return f"/datasets/{made['id']}"

    def source(self, dataset: str, name: str = "a.csv", content: bytes = b"a,b\n1,2\n") -> str:
        """A new data source's path."""
        key = self.upload(name, content)
        made = self.data(
            "POST", f"{dataset}/datasources", name=name, type="FILE", file_object_key=key
        )
        return f"{dataset}/datasources/{made['id']}"

    def read(self, source: str) -> dict[str, Any]:
        """A data source that the worker is done with."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            shown: dict[str, Any] = self.data("GET", source)
            if shown["status"] != "synching":
                return shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)


def client_of(server: Place, token: str, user_id: str) -> Maxir:
    """A client with this key."""
    http = server.rest(None)
    http.headers["x-pd-api-key"] = token
    return Maxir(http, user_id)


def new_client(server: Place, user: str = "alice", role: str = "WRITE") -> Maxir:
    """A client whose key is held to a new project of a user."""
    made = server.graphql(user).data(
        """mutation ($input: CreateApiTokenInput!) {
            createApiToken(input: $input) { secret } }""",
        input={"name": "maxir", "role": role, "projectId": server.project(user)["id"]},
    )
    return client_of(server, made["createApiToken"]["secret"], user)
