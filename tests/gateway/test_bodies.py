"""Bodies and queries of REST requests."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from gateway.failures import MALFORMED_BODY, Failure
from gateway.requests import Asked, Limits, body_of, query_of
from tests.gateway.sample import SAMPLE

ROUTE = next(route for route in SAMPLE.routes if route.path == "/sample/projects")
LIMITS = Limits(1_000, 1_000)


async def too_slow() -> Message:
    raise TimeoutError


@pytest.mark.parametrize(
    "kind",
    ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"],
)
async def test_a_client_that_is_too_slow_is_refused_and_no_failure_of_the_server(kind: str) -> None:
    with pytest.raises(Failure, match="did not arrive") as refused:
        async with body_of(ROUTE, too_slow, Headers({"content-type": kind}), LIMITS):
            pass

    assert refused.value.code == MALFORMED_BODY
    assert refused.value.headers == {"connection": "close"}


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("a=1&b=%ff", {"a": "1", "b": "\ufffd"}),  # what is no text hides nothing else
        ("a=1&a=2&&=", {"a": "2", "": ""}),
        ("&".join(["a=1"] * 1_000), {}),
    ],
)
def test_a_query_is_read_as_far_as_it_means_something(query: str, fields: dict[str, str]) -> None:
    assert query_of(Asked("GET", "/", query, Headers(), None)) == fields
