"""Which route answers which path."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dialect import Reply, Route, several
from gateway.failures import METHOD_NOT_ALLOWED, NO_ROUTE, Failure
from gateway.routing import Router
from tests.gateway.sample import SAMPLE


@several()
async def _nothing(_call: object) -> Reply:
    return Reply(204)


ROUTES = [
    ("GET", "/a"),
    ("POST", "/a"),
    ("GET", "/a/{key:int}"),
    ("GET", "/a/{name}"),
    ("DELETE", "/a/{name}"),
    ("GET", "/a/list"),
    ("GET", "/a/{name}/b/{key:int}"),
    ("GET", "/a/{place}/list"),
]
DIALECT = replace(
    SAMPLE,
    routes=[Route(method, path, path, _nothing) for method, path in ROUTES],
    roots=("/a", "/long/"),
    prefixes=("", "/long/{org}"),
)
ROUTER = Router([DIALECT])


@pytest.mark.parametrize(
    ("request_", "route", "params"),
    [
        ("GET /a", "/a", {}),
        ("HEAD /a", "/a", {}),
        ("GET /a/12", "/a/{key:int}", {"key": "12"}),
        ("DELETE /a/12", "/a/{name}", {"name": "12"}),
        ("GET /a/١٢", "/a/{name}", {"name": "١٢"}),
        ("GET /a/list", "/a/list", {}),
        ("GET /a/list/list", "/a/{place}/list", {"place": "list"}),
        ("GET /a/list/b/3", "/a/{name}/b/{key:int}", {"name": "list", "key": "3"}),
        ("GET /long/o/a/x", "/a/{name}", {"org": "o", "name": "x"}),
    ],
)
def test_a_path_has_the_route_that_says_most_of_it(
    request_: str, route: str, params: dict[str, str]
) -> None:
    found = ROUTER.match(*request_.split())

    assert not isinstance(found, Failure)
    assert (found.route.path, found.params) == (route, params)


@pytest.mark.parametrize("path", ["/", "/a/", "/a//b/1", "/a/x/b/y", "/b", "/long/a", "/a/1/2/3/4"])
def test_other_paths_have_none(path: str) -> None:
    found = ROUTER.match("GET", path)

    assert isinstance(found, Failure)
    assert found.code == NO_ROUTE


def test_a_slash_at_the_end_is_taken_where_the_dialect_says_so() -> None:
    found = Router([replace(DIALECT, may_end_in_slash=True)]).match("GET", "/a/x/")

    assert not isinstance(found, Failure)
    assert found.params == {"name": "x"}


def test_a_wrong_method_is_told_the_right_ones_of_every_route_there() -> None:
    found = ROUTER.match("PUT", "/a/12")

    assert isinstance(found, Failure)
    assert (found.code, found.headers) == (METHOD_NOT_ALLOWED, {"allow": "DELETE, GET"})


def test_a_path_is_owned_by_the_longest_root() -> None:
    inner = replace(DIALECT, name="inner", routes=(), roots=("/a/inner",))
    router = Router([DIALECT, inner])

    names = [getattr(router.owner(path), "name", None) for path in ("/a/x", "/a/inner/x", "/b")]

    assert names == ["sample", "inner", None]
