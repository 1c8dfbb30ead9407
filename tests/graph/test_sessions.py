"""Sessions as clients have them: made with an API token, sent in its place, refreshed without one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from graph.http import GraphQLEndpoint
from graph.schema import schema
from models import ApiToken
from server.auth import ContextFactory
from services import authentication
from services.platform import Platform
from tests.graph.live import live, make_person
from tests.sockets import opened

MAKE = """mutation ($input: CreateSessionInput!) { createSession(input: $input) {
    accessToken refreshToken expiresAt refreshExpiresAt user { username tokens { pk } }
} }"""
REFRESH = """mutation ($input: RefreshSessionInput!) { refreshSession(input: $input) {
    accessToken refreshToken expiresAt refreshExpiresAt user { username }
} }"""
WHO = "{ viewer { username } viewerToken { pk } }"


class Client:
    """A client of the endpoint, as `Authorization` tells it."""

    def __init__(self, platform: Platform) -> None:
        endpoint = GraphQLEndpoint(schema, ContextFactory(platform), platform.settings)
        app = Starlette(routes=[Route("/graphql", endpoint)])
        self._http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://127.0.0.1:8000"
        )

    async def send(self, query: str, token: str | None = None, **given: Any) -> httpx.Response:
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        body = {"query": query, "variables": {"input": given}}
        return await self._http.post("/graphql", json=body, headers=headers)

    async def data(self, query: str, token: str | None = None, **given: Any) -> Any:
        answer = (await self.send(query, token, **given)).json()
        assert "errors" not in answer, answer
        return answer["data"]

    async def code(self, query: str, token: str | None = None, **given: Any) -> tuple[int, str]:
        answer = await self.send(query, token, **given)
        (error,) = answer.json()["errors"]
        return answer.status_code, error["extensions"]["code"]


@pytest.fixture
def client(platform: Platform) -> Client:
    return Client(platform)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def test_a_session_is_made_sent_and_refreshed(client: Client) -> None:
    person, before = await make_person(), datetime.now(UTC).replace(microsecond=0)
    (token,) = await ApiToken.filter(user=person.user)

    made = (await client.data(MAKE, person.secret))["createSession"]
    again = (await client.data(REFRESH, refreshToken=made["refreshToken"]))["refreshSession"]

    assert made["user"] == {"username": person.user.username, "tokens": [{"pk": token.id}]}
    assert again["user"] == {"username": person.user.username}
    assert again["refreshToken"] == made["refreshToken"]
    assert again["refreshExpiresAt"] == made["refreshExpiresAt"]
    for session in (made, again):
        assert await client.data(WHO, session["accessToken"]) == {
            "viewer": {"username": person.user.username},
            "viewerToken": {"pk": token.id},
        }
        assert timedelta(0) <= at(session["expiresAt"]) - before - timedelta(minutes=5) < WAIT
        left = at(session["refreshExpiresAt"]) - before
        assert timedelta(0) <= left - timedelta(hours=8) < WAIT


WAIT = timedelta(minutes=1)  # that a slow machine may take


async def test_null_is_the_usual_life_time(client: Client) -> None:
    person = await make_person()

    made = await client.data(MAKE, person.secret, expiresIn=None, refreshExpiresIn=60)

    claims = jwt.decode(made["createSession"]["accessToken"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] in {299, 300}


async def test_refusals_have_codes_that_clients_see(platform: Platform, client: Client) -> None:
    person = await make_person()
    made = (await client.data(MAKE, person.secret))["createSession"]
    first, lasting = made["accessToken"], made["refreshToken"]
    (key, *_) = platform.keyring.keys_for("sessions")
    claims = jwt.decode(first, options={"verify_signature": False}) | {"exp": 1}
    expired = jwt.encode(claims, key, "HS256", sort_headers=True)

    assert await client.code(MAKE) == (200, "UNAUTHENTICATED")
    assert await client.code(MAKE, first) == (200, "FORBIDDEN")
    assert await client.code(MAKE, person.secret, expiresIn=1) == (200, "INVALID_INPUT")
    assert await client.code(REFRESH, refreshToken=first) == (200, "UNAUTHENTICATED")
    assert await client.code(REFRESH, refreshToken=f"{lasting}x") == (200, "UNAUTHENTICATED")
    assert await client.code(REFRESH, refreshToken="😀") == (200, "UNAUTHENTICATED")
    assert await client.code(WHO, lasting) == (401, "UNAUTHENTICATED")
    answer = await client.send(WHO, expired)
    assert answer.status_code == 401
    assert answer.json()["errors"][0]["message"] == "The session has expired."
    assert answer.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_what_an_anonymous_client_refreshes_does_not_sign_it_in(client: Client) -> None:
    person = await make_person()
    made = (await client.data(MAKE, person.secret))["createSession"]
    query = """mutation ($input: RefreshSessionInput!) {
        refreshSession(input: $input) { user { tokens { pk } } }
    }"""

    answer = await client.code(query, refreshToken=made["refreshToken"])

    assert answer == (200, "UNAUTHENTICATED")


async def test_a_socket_takes_a_session_and_ends_with_it(
    platform: Platform, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graph.sockets.CHECK_SECONDS", 0.02)
    person = await make_person()
    made = (await client.data(MAKE, person.secret))["createSession"]
    bearer = {"Authorization": f"Bearer {made['accessToken']}"}
    async with live(platform) as here, opened(here.url) as socket:
        await socket.send("connection_init", payload=bearer)
        assert await socket.receive() == {"type": "connection_ack"}
        await socket.subscribe("1", "{ viewer { username } }")
        assert await socket.next("1") == {"viewer": {"username": person.user.username}}
        assert await socket.receive() == {"type": "complete", "id": "1"}

        (session,) = here.sockets._sessions
        assert session.viewer is not None
        assert session.viewer.session_ends_at == at(made["expiresAt"])
        object.__setattr__(session.viewer, "session_ends_at", datetime.now(UTC))

        assert await socket.closed() == 4403


async def test_a_socket_takes_no_refresh_token(platform: Platform, client: Client) -> None:
    person = await make_person()
    made = (await client.data(MAKE, person.secret))["createSession"]
    authentication.forget()
    async with live(platform) as here, opened(here.url) as socket:
        await socket.send("connection_init", payload={"token": made["refreshToken"]})

        assert await socket.closed() == 4403
