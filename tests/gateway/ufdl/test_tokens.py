"""Sessions as clients of this dialect read them, and when they end."""

from __future__ import annotations

import time
from typing import Any

import httpx
import jwt
import pytest

from base.credentials import Keyring
from tests.gateway.places import Place

ALGORITHM = "HS256"


def obtained(server: Place) -> dict[str, str]:
    """alice's tokens: `access` and `refresh`."""
    login = {"username": "alice", "password": server.tokens["alice"]}
    tokens: dict[str, str] = server.rest(None).post("/v1/auth/obtain", json=login).json()
    return tokens


def claims_of(token: str) -> dict[str, Any]:
    """What a token says."""
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def expired(server: Place, token: str) -> str:
    """The token as it would be a moment after its end."""
    keys = (server.server.data_dir / "secret-keys").read_text(encoding="utf-8").strip()
    key = Keyring(keys.split(",")).keys_for("sessions")[0]
    over = claims_of(token) | {"exp": int(time.time()) - 1}
    return jwt.encode(over, key, ALGORITHM, sort_headers=True)


def test_tokens_say_whose_they_are_and_how_long_they_are_good(server: Place) -> None:
    tokens = obtained(server)

    for kind, seconds in (("access", 300), ("refresh", 28_800)):
        claims = claims_of(tokens[kind])
        assert {"upk", "jtt", "exp", "iat", "jti"} <= set(claims)
        assert (claims["jtt"], claims["exp"] - claims["iat"]) == (kind, seconds)
        assert jwt.get_unverified_header(tokens[kind])["alg"] == ALGORITHM
    user = server.rest("alice").get(f"/v1/users/{claims['upk']}").json()
    assert user["username"] == "alice"


@pytest.mark.parametrize("scheme", ["Bearer", "JWT"])
def test_an_expired_access_token_is_refused_until_it_is_refreshed(
    server: Place, scheme: str
) -> None:
    tokens, client = obtained(server), server.rest(None)
    over = expired(server, tokens["access"])

    refused = client.post("/v1/projects/list", headers={"authorization": f"{scheme} {over}"})
    fresh = client.post("/v1/auth/refresh", json={"refresh": tokens["refresh"]}).json()["access"]
    taken = client.post("/v1/projects/list", headers={"authorization": f"{scheme} {fresh}"})

    assert refused.status_code == httpx.codes.UNAUTHORIZED
    assert refused.json()["code"] == "token_not_valid"
    assert refused.headers["www-authenticate"] == 'Bearer realm="api"'
    assert taken.status_code == httpx.codes.OK


def test_expired_tokens_are_neither_verified_nor_refreshed(server: Place) -> None:
    tokens, client = obtained(server), server.rest(None)
    access, refresh = (expired(server, tokens[kind]) for kind in ("access", "refresh"))

    refused = [
        client.post("/v1/auth/verify", json={"token": access}),
        client.post("/v1/auth/verify", json={"token": refresh}),
        client.post("/v1/auth/refresh", json={"refresh": refresh}),
    ]

    assert [each.status_code for each in refused] == [httpx.codes.UNAUTHORIZED] * 3
    assert {each.json()["code"] for each in refused} == {"token_not_valid"}
