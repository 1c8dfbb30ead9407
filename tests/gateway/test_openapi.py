"""The OpenAPI documents: what is served is described, in full and for people."""

from __future__ import annotations

import re
from typing import Any

import jsonschema_rs
import pytest
from schemathesis.specs.openapi.definitions import OPENAPI_31

from gateway import DIALECTS
from gateway.dialect import Dialect
from gateway.openapi import document

VERSION_3_1 = jsonschema_rs.Draft202012Validator(OPENAPI_31)
dialects = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda each: each.name)


def operations(dialect: Dialect) -> list[tuple[str, dict[str, Any]]]:
    """The operations of a document with what to call them."""
    paths = document(dialect, "http://127.0.0.1")["paths"]
    return [
        (f"{method} {path}", operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


def schemas(operation: dict[str, Any]) -> list[dict[str, Any]]:
    """Every schema of an operation: of parameters, bodies and replies."""
    contents = [operation.get("requestBody", {}), *operation["responses"].values()]
    return [
        *(each["schema"] for each in operation["parameters"]),
        *(media["schema"] for each in contents for media in each.get("content", {}).values()),
    ]


@dialects
def test_a_document_is_one_of_openapi_3_1(dialect: Dialect) -> None:
    wrong = VERSION_3_1.iter_errors(document(dialect, "http://127.0.0.1"))

    assert [f"{error.instance_path}: {error.message}" for error in wrong] == []


@dialects
def test_its_schemas_are_json_schemas(dialect: Dialect) -> None:
    for name, operation in operations(dialect):
        for schema in schemas(operation):
            assert jsonschema_rs.meta.is_valid(schema), name


@dialects
def test_every_part_of_a_path_is_a_parameter(dialect: Dialect) -> None:
    for name, operation in operations(dialect):
        declared = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
        assert set(re.findall(r"{(\w+)}", name)) == declared, name


@dialects
def test_operations_have_names_of_their_own(dialect: Dialect) -> None:
    names = [operation["operationId"] for _, operation in operations(dialect)]

    assert len(names) == len(set(names))


@dialects
def test_everything_is_described_for_people(dialect: Dialect) -> None:
    silent = [
        f"{name}: {each['name']}"
        for name, operation in operations(dialect)
        for each in operation["parameters"]
        if not each.get("description")
    ]
    silent += [name for name, operation in operations(dialect) if not operation["summary"]]
    silent += [
        f"{name}: {place}"
        for name, operation in operations(dialect)
        for media in operation.get("requestBody", {}).get("content", {}).values()
        for place in undescribed(media["schema"])
    ]

    assert silent == []


def undescribed(schema: dict[str, Any], path: str = "") -> list[str]:
    """The properties of the object that a body is, and of objects in it, without a description."""
    found = []
    for name, each in schema.get("properties", {}).items():
        place = f"{path}.{name}"
        found += [] if each.get("description") else [place]
        found += undescribed(each, place)
        found += undescribed(each.get("items", {}), f"{place}[]")
    return found


@dialects
def test_every_reply_is_described(dialect: Dialect) -> None:
    loose = [
        f"{name}: {status}"
        for name, operation in operations(dialect)
        for status, reply in operation["responses"].items()
        for media in reply.get("content", {}).values()
        if media["schema"] in ({}, True)
    ]

    assert loose == []
