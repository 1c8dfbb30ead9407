"""What may be said about an API: what is shown of it, what is secret, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

import connectors
from base.errors import InvalidInput

SECRET = "canary-of-settings"
ITEMS: dict[str, Any] = {"name": "items", "path": "/items"}


def parse(**raw: Any) -> tuple[dict[str, Any], dict[str, str]]:
    return connectors.parse("rest", {"base_url": "https://api.example.com/v1"} | raw)


def test_secrets_are_apart_from_what_is_shown() -> None:
    settings, secrets = parse(
        base_url="HTTPS://API.Example.com:8443/v1/",
        auth={"basic": {"username": "ada", "password": SECRET}},
        headers={"X-Tenant": f"{SECRET}-2"},
        resources=[
            ITEMS
            | {
                "params": {"kind": "a", "page": 0},
                "records": "$.data",
                "pagination": {"kind": "PAGE", "size": 100},
                "cursor_param": "since",
                "cursor_column": "changed",
                "primary_key": ["id"],
            }
        ],
    )

    assert secrets == {"password": SECRET, "header.X-Tenant": f"{SECRET}-2"}
    assert settings == {
        "base_url": "https://api.example.com:8443/v1",
        "headers": ["X-Tenant"],
        "auth": {"kind": "basic", "username": "ada"},
        "resources": [
            {
                "name": "items",
                "path": "/items",
                "params": {"kind": "a", "page": 0},
                "records": "$.data",
                "pagination": {
                    "kind": "page",
                    "param": "page",
                    "size_param": "per_page",
                    "size": 100,
                },
                "cursor_param": "since",
                "cursor_column": "changed",
                "primary_key": ["id"],
            }
        ],
    }


def test_what_is_left_out() -> None:
    settings, secrets = parse()

    assert (settings["auth"], settings["headers"], secrets) == (None, [], {})
    (resource,) = settings["resources"]
    assert (resource["name"], resource["path"], resource["pagination"]) == (
        "v1",
        "",
        {"kind": "none"},
    )
    assert parse(base_url="http://h.example")[0]["resources"][0]["name"] == "data"


@pytest.mark.parametrize(
    ("pagination", "expected"),
    [
        ({"kind": "OFFSET", "size": 5}, {"param": "offset", "size_param": "limit", "size": 5}),
        ({"kind": "CURSOR", "next": "$.n"}, {"param": "cursor", "next": "$.n"}),
        (
            {"kind": "CURSOR", "param": "page_token", "next": "$.n"},
            {"param": "page_token", "next": "$.n"},
        ),
        ({"kind": "NEXT_URL"}, {"next": "$.next"}),
        (
            {"kind": "LINK_HEADER", "size": 5, "size_param": "count"},
            {"size_param": "count", "size": 5},
        ),
    ],
)
def test_what_pagination_needs_is_filled_in(pagination: Any, expected: Any) -> None:
    (resource,) = parse(resources=[ITEMS | {"pagination": pagination}])[0]["resources"]

    assert resource["pagination"] == {"kind": pagination["kind"].lower()} | expected


@pytest.mark.parametrize(
    "base_url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "https://",
        f"https://ada:{SECRET}@api.example.com",
        f"https://api.example.com/?key={SECRET}",
        "https://api.example.com/#x",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://api.example.com\\@127.0.0.1",
        "https://api.exam ple.com",
        "https://api.example.com:99999",
        "https://[::1%25lo]/",
        7,
    ],
)
def test_base_urls_that_are_refused(base_url: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(base_url=base_url)

    assert caught.value.field == "baseUrl"
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"


def resource(**values: Any) -> dict[str, Any]:
    return {"resources": [ITEMS | values]}


def counted(kind: str, records: str) -> dict[str, Any]:
    return resource(pagination={"kind": kind}, records=records)


def paged(**values: Any) -> dict[str, Any]:
    return resource(pagination=values)


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"token": SECRET}, "token"),
        ({"headers": [SECRET]}, "headers"),
        ({"headers": {f"X{n}": "a" for n in range(51)}}, "headers"),
        ({"headers": {"X Y": "a"}}, "headers"),
        ({"headers": {"X-A": "a", "x-a": "b"}}, "headers"),
        ({"headers": {"Host": "evil.example.com"}}, "headers.Host"),
        ({"headers": {"Content-Length": "7"}}, "headers.Content-Length"),
        ({"headers": {"X-A": f"{SECRET}\r\nHost: evil"}}, "headers.X-A"),
        ({"headers": {"X-A": 7}}, "headers.X-A"),
        ({"auth": {"bearer": SECRET, "basic": {}}}, "auth"),
        ({"auth": {"oauth": SECRET}}, "auth"),
        ({"auth": {"bearer": f"{SECRET}\n"}}, "auth.bearer"),
        ({"auth": {"bearer": " "}}, "auth.bearer"),
        ({"auth": {"bearer": SECRET}, "headers": {"authorization": "x"}}, "auth"),
        ({"auth": {"basic": {"username": "a:b", "password": SECRET}}}, "auth.basic.username"),
        ({"auth": {"basic": {"username": "a"}}}, "auth.basic.password"),
        ({"auth": {"api_key": {"value": SECRET, "in": "cookie"}}}, "auth.apiKey.in"),
        ({"auth": {"api_key": {"value": SECRET, "name": "a b"}}}, "auth.apiKey.name"),
        ({"auth": {"api_key": {"value": SECRET, "name": "Host"}}}, "auth.apiKey.name"),
        ({"auth": {"api_key": {"name": "k"}}}, "auth.apiKey.value"),
        ({"auth": {"api_key": {"value": SECRET}}, "headers": {"X-API-KEY": "x"}}, "auth"),
        ({"resources": []}, "resources"),
        ({"resources": [ITEMS] * 201}, "resources"),
        ({"resources": [ITEMS, ITEMS | {"name": "Items"}]}, "resources[1].name"),
        (resource(name=" "), "resources[0].name"),
        (resource(path="https://evil.example.com/"), "resources[0].path"),
        (resource(path="//evil.example.com/"), "resources[0].path"),
        (resource(path="/items?token=x"), "resources[0].path"),
        (resource(params=[1]), "resources[0].params"),
        (resource(params={"a": {"b": 1}}), "resources[0].params.a"),
        (resource(params={"api_key": SECRET}), "resources[0].params"),
        (resource(params={"access-token": SECRET}), "resources[0].params"),
        (resource(records="$.["), "resources[0].records"),
        (resource(records="$.a | $.b"), "resources[0].records"),
        (resource(records="$" + ".a" * 300), "resources[0].records"),
        (resource(primary_key=["a", "a"]), "resources[0].primaryKey"),
        (resource(cursor_param="since"), "resources[0].cursorColumn"),
        (resource(cursor_param="token", cursor_column="c"), "resources[0].cursorParam"),
        (resource(colour="red"), "resources[0].colour"),
        (paged(kind="SPIRAL"), "resources[0].pagination.kind"),
        (paged(kind="NEXT_URL", param="page"), "resources[0].pagination.param"),
        (paged(kind="PAGE", next="$.next"), "resources[0].pagination.next"),
        (paged(kind="CURSOR"), "resources[0].pagination.next"),
        (paged(kind="NEXT_URL", next="$["), "resources[0].pagination.next"),
        (paged(kind="PAGE", size=0), "resources[0].pagination.size"),
        (paged(kind="PAGE", size=True), "resources[0].pagination.size"),
        (paged(kind="PAGE", size_param="n"), "resources[0].pagination.size"),
        (counted("OFFSET", "$.groups[*].items"), "resources[0].records"),
        (counted("OFFSET", "$..items"), "resources[0].records"),
        (counted("OFFSET", "$['a', 'b']"), "resources[0].records"),
        (counted("PAGE", "$.groups[*].items[?@.on]"), "resources[0].records"),
    ],
)
def test_settings_that_are_refused(raw: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(**raw)

    assert caught.value.field == field
    assert SECRET not in f"{caught.value.message} {caught.value.hint}"
