"""Logging in: a session in place of a user's name and API token."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Data, Reply, Route, several
from gateway.failures import Failure
from gateway.fields import Field
from gateway.logins import attempt
from gateway.ufdl import replies
from gateway.ufdl.failures import NO_ACCOUNT, token_failure


def _field(name: str, about: str) -> Field:
    return Field(name, "string", about, required=True, blank=False)


@several("ObtainTokens")
async def _obtain(call: Call) -> Reply:
    made = await attempt(call, "ObtainTokens", {}, token=call.values["password"])
    session = None if made is None else made["createSession"]
    if session is None or session["user"]["username"] != call.values["username"]:
        raise Failure(NO_ACCOUNT, "No active account found with the given credentials")
    return Reply(200, {"refresh": session["refreshToken"], "access": session["accessToken"]})


@several("RefreshToken")
async def _refresh(call: Call) -> Reply:
    made = await _refreshed(call, call.values["refresh"])
    if made is None:
        return token_failure("refresh")
    return Reply(200, {"access": made["refreshSession"]["accessToken"]})


@several("VerifyAccess", "RefreshToken")
async def _verify(call: Call) -> Reply:
    token = call.values["token"]
    is_good = await attempt(call, "VerifyAccess", {}, token=token) or await _refreshed(call, token)
    return Reply(200, {}) if is_good else token_failure("access")


async def _refreshed(call: Call, token: str) -> Data | None:
    return await attempt(call, "RefreshToken", {"refreshToken": token})


ROUTES = (
    Route(
        "POST",
        "/v1/auth/obtain",
        "Log in",
        _obtain,
        fields=(
            _field("username", "The user's name."),
            _field("password", "One of the user's API tokens: there are no other passwords."),
        ),
        replies={200: replies.TOKENS},
        is_open=True,
        accepts=("json", "form"),
        about="The access token is good for five minutes, the refresh token for eight hours.",
    ),
    Route(
        "POST",
        "/v1/auth/refresh",
        "Another access token",
        _refresh,
        fields=(_field("refresh", "The refresh token."),),
        replies={200: replies.ACCESS},
        is_open=True,
        accepts=("json", "form"),
    ),
    Route(
        "POST",
        "/v1/auth/verify",
        "Whether a token is good",
        _verify,
        fields=(_field("token", "An access token or a refresh token."),),
        replies={200: replies.NOTHING},
        is_open=True,
        accepts=("json", "form"),
    ),
)
