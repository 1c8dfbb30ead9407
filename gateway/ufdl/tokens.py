"""Logging in: a session in place of a user's name and API token."""

from __future__ import annotations

import re

from gateway.call import Call
from gateway.dialect import Reply, Route, several
from gateway.failures import Failure
from gateway.fields import Field
from gateway.ufdl import replies
from gateway.ufdl.failures import NO_ACCOUNT, token_failure

_SENDABLE = re.compile(r"[!-~]{1,8192}")
_REFUSALS = {"UNAUTHENTICATED", "FORBIDDEN", "INVALID_INPUT"}


def _field(name: str, about: str) -> Field:
    return Field(name, "string", about, required=True, blank=False)


@several("ObtainTokens")
async def _obtain(call: Call) -> Reply:
    wrong = Failure(NO_ACCOUNT, "No active account found with the given credentials")
    password = call.values["password"]
    if not _SENDABLE.fullmatch(password):
        raise wrong
    try:
        data = await call.run("ObtainTokens", {}, credential=password)
    except Failure as failure:
        raise (wrong if failure.code in _REFUSALS else failure) from None
    session = data["createSession"]
    if session["user"]["username"] != call.values["username"]:
        raise wrong
    return Reply(200, {"refresh": session["refreshToken"], "access": session["accessToken"]})


@several("RefreshToken")
async def _refresh(call: Call) -> Reply:
    call.credential = None  # an expired access token beside it is no reason to refuse
    try:
        data = await call.run("RefreshToken", {"refreshToken": call.values["refresh"]})
    except Failure as failure:
        if failure.code not in _REFUSALS:
            raise
        return token_failure("refresh")
    return Reply(200, {"access": data["refreshSession"]["accessToken"]})


@several("VerifyAccess", "RefreshToken")
async def _verify(call: Call) -> Reply:
    token = call.values["token"]
    call.credential = None
    if not _SENDABLE.fullmatch(token):
        return token_failure("access")
    try:
        await call.run("VerifyAccess", {}, credential=token)
    except Failure as failure:
        if failure.code != "UNAUTHENTICATED":
            raise
        try:
            await call.run("RefreshToken", {"refreshToken": token})
        except Failure as second:
            if second.code not in _REFUSALS:
                raise
            return token_failure("access")
    return Reply(200, {})


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
