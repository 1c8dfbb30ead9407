"""API tokens, by their ids as `jti`, and what the caller may do."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.call import Call
from gateway.dialect import Data, Reply, several
from gateway.failures import Failure
from gateway.prometheux.envelope import counted, ok

USUAL_NAME = "API token"  # of one that nobody named


def row(token: Mapping[str, Any]) -> dict[str, Any]:
    """A token without its secret."""
    return {
        "jti": token["id"],
        "id": token["id"],
        "name": token["name"],
        "prefix": token["prefix"],
        "role": token["role"].lower(),
        "created_at": token["createdAt"],
        "expires_at": token["expiresAt"],
        "last_used_at": token["lastUsedAt"],
    }


@several("Who", "IssueToken")
async def issue(call: Call) -> Reply:
    """A further token of the caller's, with the role and the project of the one in use."""
    own = (await call.run("Who", {}))["viewerToken"]
    given: dict[str, Any] = {"name": call.values.get("name") or USUAL_NAME, "role": own["role"]}
    if own["project"] is not None:
        given["projectId"] = own["project"]["id"]
    minutes = call.values.get("expires_in_minutes")
    if minutes is not None and minutes > 0:
        given["expiresAt"] = (datetime.now(UTC) + timedelta(minutes=minutes)).isoformat()
    made = (await call.run("IssueToken", {"input": given}))["createApiToken"]
    data = row(made["token"]) | {"token": made["secret"]}
    return ok(data, "Token issued. It is shown this once.")


def listed(_call: Call, data: Data) -> Reply:
    """The caller's tokens, newest first."""
    tokens = [row(token) for token in data["viewer"]["tokens"]]
    return ok(tokens, counted(len(tokens), "token"))


@several("Who", "RevokeToken")
async def revoke(call: Call) -> Reply:
    """End one of the caller's tokens: the one that is named, else the one in use."""
    jti = call.values.get("jti") or call.values.get("token_id")
    if jti is None:
        jti = (await call.run("Who", {}))["viewerToken"]["id"]
    try:
        gone = await call.run("RevokeToken", {"input": {"id": jti}})
    except Failure as failure:
        if failure.field == "input.id" and failure.code in {"NOT_FOUND", "INVALID_INPUT"}:
            raise Failure("NOT_FOUND", "Token not found") from None
        raise
    return ok({"jti": gone["revokeApiToken"]["id"], "revoked_count": 1}, "Token revoked")


@several("Tokens", "RevokeToken")
async def revoke_all(call: Call) -> Reply:
    """End all of the caller's tokens, the one in use last."""
    found = await call.run("Tokens", {})
    own = found["viewerToken"]["id"]
    ids = [token["id"] for token in found["viewer"]["tokens"] if token["id"] != own]
    for jti in [*ids, own]:
        await call.run("RevokeToken", {"input": {"id": jti}})
    return ok({"revoked_count": len(ids) + 1}, f"{counted(len(ids) + 1, 'token')} revoked")


def role(_call: Call, data: Data) -> Reply:
    """What the token in use may do, at most."""
    viewer = data["viewer"]
    facts = {"role": data["viewerToken"]["role"].lower(), "username": viewer["username"]}
    return ok(facts | {"is_staff": viewer["isStaff"]}, "Role")


def no_ontologies(_call: Call, _data: Data) -> Reply:
    """What is asked by clients to see whether their token is good."""
    return ok([], "Headwater keeps data sources, and has no ontologies.")
