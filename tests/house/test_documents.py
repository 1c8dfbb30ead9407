"""The dialects' GraphQL documents are those of this schema, and each of their operations is somebody's."""

from __future__ import annotations

import pytest
from graphql import build_schema, parse, validate

from gateway import DIALECTS
from gateway.dialect import Dialect
from graph.schema import export

SCHEMA = build_schema(export())
dialects = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda each: each.name)


@dialects
def test_documents_are_valid(dialect: Dialect) -> None:
    wrong = validate(SCHEMA, parse(dialect.operations.text))

    assert [error.message for error in wrong] == []


@dialects
def test_operations_are_those_of_the_routes(dialect: Dialect) -> None:
    named = {name for route in dialect.routes for name in route.action.operations}

    assert named == set(dialect.operations.documents)


@dialects
def test_no_two_routes_answer_the_same_request(dialect: Dialect) -> None:
    requests = [(route.method, route.path) for route in dialect.routes]

    assert len(requests) == len(set(requests))


def test_no_two_dialects_have_a_path_in_common() -> None:
    owners: dict[str, set[str]] = {}
    for dialect in DIALECTS.values():
        for route in dialect.routes:
            owners.setdefault(route.path, set()).add(dialect.name)

    assert {path: names for path, names in owners.items() if len(names) > 1} == {}
