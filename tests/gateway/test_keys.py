"""Idempotency keys of REST requests."""

from __future__ import annotations

from tests.gateway.places import Place


def test_long_keys_that_begin_alike_are_others(server: Place) -> None:
    rest = server.rest("alice")

    def saved(end: str) -> str:
        headers = {"idempotency-key": "k" * 200 + end}
        made = rest.post("/api/v1/workspaces/save", json={"name": end}, headers=headers).json()
        workspace: str = made["data"]["id"]
        return workspace

    first, again, other = saved("a"), saved("a"), saved("b")

    assert first == again != other
