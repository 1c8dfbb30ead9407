"""Bodies of REST requests."""

from __future__ import annotations

import pytest
from starlette.datastructures import Headers
from starlette.types import Message

from gateway.failures import MALFORMED_BODY, Failure
from gateway.requests import Limits, body_of
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
