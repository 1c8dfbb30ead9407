"""OpenAPI 3.1 documents, made of the routes that are served."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from gateway.dialect import Dialect, Route, plain_path
from gateway.fields import Field, object_schema
from gateway.schemas import Schema

_SECURITY = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "An API token of Headwater, or a session made of one; `Token x` and `JWT x` do as well.",
    },
    "key": {
        "type": "apiKey",
        "in": "header",
        "name": "x-pd-api-key",
        "description": "The same API token, without a scheme.",
    },
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "schema": {"type": "string", "maxLength": 150},
    "description": "Makes the request safe to repeat for a day.",
}
_GENERAL = {"api", "v1", "v2", "team"}  # segments that are in every path


def document(dialect: Dialect, public_url: str) -> dict[str, Any]:
    """The OpenAPI document of a dialect."""
    paths: dict[str, dict[str, Any]] = {}
    for route in dialect.routes:
        path = plain_path(dialect.prefixes[0] + route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(dialect, route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": dialect.title,
            "description": dialect.about,
            "version": version("headwater"),
        },
        "servers": [{"url": public_url}],
        "paths": paths,
        "components": {"securitySchemes": _SECURITY},
        "security": [{"token": []}, {"key": []}],
    }


def _operation(dialect: Dialect, route: Route) -> dict[str, Any]:
    parameters = [_parameter(each) for each in route.fields if each.place != "body"]
    if route.is_repeatable:
        parameters.append(_KEY)
    operation: dict[str, Any] = {
        "tags": [_tag(route)],
        "operationId": _operation_id(route),
        "summary": route.summary,
        "description": _about(route),
        "parameters": parameters,
        "responses": _responses(dialect, route),
    }
    if route.has_body:
        operation["requestBody"] = _body(route)
    if route.is_open:
        operation["security"] = [{}]
    return operation


def _about(route: Route) -> str:
    operations = ", ".join(f"`{name}`" for name in route.action.operations)
    became = f"Becomes the GraphQL operation {operations}." if operations else ""
    return "\n\n".join(part for part in (route.about, became) if part)


def _tag(route: Route) -> str:
    """What the route is about: the first segment of its path that says so."""
    words = (word for word in route.path.split("/") if word and not word.startswith("{"))
    return next((word for word in words if word not in _GENERAL), "")


def _operation_id(route: Route) -> str:
    words = re.findall(r"\w+", plain_path(route.path))
    return "_".join([route.method.lower(), *words])


def _parameter(field: Field) -> dict[str, Any]:
    schema = field.schema()
    return {
        "name": field.name,
        "in": field.place,
        "required": field.required or field.place == "path",
        "description": schema.pop("description", ""),
        "schema": schema,
    }


def _body(route: Route) -> dict[str, Any]:
    if route.body is not None:
        return {"required": False, "content": {"application/json": {"schema": route.body}}}
    fields = tuple(each for each in route.fields if each.place == "body")
    has_file = any(each.kind == "file" for each in fields)
    schema = object_schema(fields)
    content: dict[str, Any] = {}
    if "json" in route.accepts and not (
        has_file and any(f.required and f.kind == "file" for f in fields)
    ):
        content["application/json"] = {"schema": schema}
    if "form" in route.accepts:
        content["multipart/form-data"] = {"schema": schema}
        if not has_file:
            content["application/x-www-form-urlencoded"] = {"schema": schema}
    return {"required": any(each.required for each in fields), "content": content}


def _responses(dialect: Dialect, route: Route) -> dict[str, Any]:
    replies: dict[str, Any] = {
        str(status): _response(schema) for status, schema in route.replies.items()
    }
    for status, schema in dialect.failures.items():
        replies.setdefault(status, _response(schema, "The request failed."))
    return replies


def _response(schema: Schema | None, about: str = "Done.") -> Mapping[str, Any]:
    if schema is None:
        return {"description": about}
    return {"description": about, "content": {"application/json": {"schema": schema}}}
