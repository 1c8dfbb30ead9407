"""What GraphQL operations a REST request becomes, without running any of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, UploadFile

from base import bodies
from base.errors import InvalidInput
from gateway import fields
from gateway.call import Call
from gateway.failures import Failure, invalid
from gateway.fields import Field
from gateway.imagined import Imagined
from gateway.requests import Asked
from gateway.schemas import Schema

if TYPE_CHECKING:
    from gateway.app import Gateway

_CREDENTIAL = "made-up"
_NOTE = (
    "Texts in <…> stand for what an earlier operation gives, or for what the request did not say."
)


async def explain(
    gateway: Gateway, about: Mapping[str, str], sdl: Callable[[], str]
) -> tuple[int, Mapping[str, Any]]:
    """The status and the JSON answer to `method`, `path` (with its query) and `body` (JSON) of a request.

    The route runs as ever, over answers that are imagined; what the request leaves out are examples of its fields.
    """
    path, _, query = about.get("path", "").partition("?")
    asked = Asked(about.get("method", "GET").upper(), path, query, Headers(), _CREDENTIAL)
    match = gateway.router.match(asked.method, path)
    if isinstance(match, Failure):
        return 404, {"message": match.message, "hint": "Give `method` and `path` of a request."}
    try:
        body = bodies.load(about.get("body") or "null", "`body`")
    except InvalidInput as error:
        return 400, {"message": error.message}
    imagined = Imagined(sdl())
    call = gateway.call(match, asked, imagined)
    call.pause = _no_pause
    call.body = body if about.get("body") else _whole_example(match.route.body)
    try:
        _fill(call, body)
        await match.route.action.handle(call)
    except Failure as failure:
        if not imagined.seen:  # else it is one of what was imagined
            field = failure.problems[0].field if failure.problems else failure.field
            return 400, {"message": failure.message, "field": field}
    return 200, {
        "dialect": match.dialect.name,
        "route": f"{match.route.method} {match.route.path}",
        "summary": match.route.summary,
        "operations": imagined.seen,
        "note": _NOTE,
    }


def _fill(call: Call, body: Any) -> None:
    """Read the fields of a call, with examples of those that it leaves out; raises Failure for mistakes."""
    declared = call.route.fields
    query = _query_example(declared) | dict(call.query)
    given = _body_example(declared) | (body if isinstance(body, dict) else {})
    call.values, problems = fields.read(declared, call.params, query, given, is_text=False)
    if problems:
        raise invalid(*problems)


async def _no_pause(_seconds: float) -> None:
    return


def _whole_example(schema: Schema | None) -> Any:
    """What the schema of a body that the route reads itself gives as its example."""
    return next(iter((schema or {}).get("examples", ())), None)


def _body_example(declared: tuple[Field, ...]) -> dict[str, Any]:
    return {
        each.name: _example(each)
        for each in declared
        if each.place == "body" and (each.required or each.example is not None)
    }


def _query_example(declared: tuple[Field, ...]) -> dict[str, str]:
    return {
        each.name: str(_example(each))
        for each in declared
        if each.place == "query" and each.required
    }


def _example(field: Field) -> Any:
    if field.kind == "file":
        name = field.example or f"<{field.name}>.csv"
        return UploadFile(BytesIO(b"\n"), size=1, filename=name)
    if field.example is not None:
        return field.example
    if field.choices:
        return field.choices[0]
    if field.kind == "object":
        return {each.name: _example(each) for each in field.fields if each.required}
    if field.kind == "array":
        return [] if field.items is None else [_example(field.items)]
    plain: Mapping[str, Any] = {"integer": int(field.least or 1), "number": 1.0, "boolean": True}
    return plain.get(field.kind, f"<{field.name}>")
