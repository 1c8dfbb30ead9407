"""Requests that each dialect's OpenAPI document allows, made up by the hundred: no 5xx, no reply that it does not describe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import hypothesis
import pytest
import schemathesis
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway import DIALECTS
from gateway.dialect import plain_path
from gateway.openapi import document
from tests.gateway.places import Place, check_declared, place

EXAMPLES = 4  # of each operation
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
OPERATIONS = [
    (dialect.name, plain_path(dialect.prefixes[0] + route.path), route.method)
    for dialect in DIALECTS.values()
    for route in dialect.routes
]


@pytest.fixture(scope="session")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server that does not wait long for jobs."""
    folder = tmp_path_factory.mktemp("fuzzed")
    with place(
        folder, gateway_wait_seconds_max="1", connection_checks_per_minute_max="1000"
    ) as made:
        made.project()
        yield made


@pytest.mark.parametrize(("name", "path", "method"), OPERATIONS)
def test_replies_are_those_of_the_document(
    hurried: Place, name: str, path: str, method: str
) -> None:
    schema = schemathesis.openapi.from_dict(document(DIALECTS[name], hurried.url))
    user = "bob" if "revoke" in path else "alice"  # tokens end there, but nobody else's
    headers = {"authorization": f"Bearer {hurried.tokens[user]}"}

    @hypothesis.settings(max_examples=EXAMPLES)
    @hypothesis.given(case=schema[path][method].as_strategy())
    def ask(case: Case[Any]) -> None:
        response = case.call(base_url=hurried.url, headers=headers, timeout=60)
        case.validate_response(response, checks=CHECKS)
        (operations,) = response.headers.get("x-headwater-operation", [""])
        check_declared(method, unquote(urlsplit(response.request.url or "").path), operations)

    ask()
