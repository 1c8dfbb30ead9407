"""What failed, in the words of Django REST framework and its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import (
    INVALID_FIELDS,
    MALFORMED_BODY,
    NOT_SERVED,
    Failure,
    status_of,
)
from gateway.rest_framework import DETAIL, Errors, detail, errors, no_such_key
from gateway.schemas import TEXT, Schema, list_of, object_of
from gateway.ufdl.specs import UNPARSABLE

NO_ACCOUNT = "NO_ACCOUNT"  # a login with a wrong name or a wrong password
BAD_NAME = "BAD_NAME"  # a user who is not, or is already, what a request takes the user for

_AUTHENTICATE = {"www-authenticate": 'Bearer realm="api"'}
_BAD_REQUEST = 400
_UNAUTHORIZED = 401
_STATUS = {
    UNPARSABLE: _BAD_REQUEST,
    "CONFLICT": _BAD_REQUEST,
    BAD_NAME: _BAD_REQUEST,
    NO_ACCOUNT: _UNAUTHORIZED,
    NOT_SERVED: 405,
}
_KEYS = ("team",)
_FIELDS = {"input.name": "name", "input.teamId": "team"}

_FIELD_ERRORS: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": list_of(TEXT) | {"minItems": 1},
}
_TOKEN_ERROR = object_of(
    detail=TEXT,
    code={"const": "token_not_valid"},
    messages=list_of(
        object_of(token_class=TEXT, token_type={"enum": ["access", "refresh"]}, message=TEXT)
    ),
)
SCHEMAS: Mapping[str, Schema] = {
    "400": {"anyOf": [DETAIL, _FIELD_ERRORS]},
    "401": {"anyOf": [DETAIL, _TOKEN_ERROR]},
    "default": DETAIL,
}


def reply(failure: Failure, call: Call | None) -> Reply:
    """The reply to what failed."""
    status = _STATUS.get(failure.code, status_of(failure))
    named = None if call is None else _named(failure, call)
    if named is not None:
        return Reply(_BAD_REQUEST, named, failure.headers)
    headers = {**failure.headers, **(_AUTHENTICATE if status == _UNAUTHORIZED else {})}
    return Reply(status, _body(failure, call), headers)


def token_failure(token_type: str) -> Reply:
    """The reply to a token that is not good: expired, or not one of this type (`access` or `refresh`)."""
    return Reply(_UNAUTHORIZED, token_error(token_type), _AUTHENTICATE)


def token_error(token_type: str) -> dict[str, Any]:
    """The body of `token_failure`."""
    return {
        "detail": "Given token not valid for any token type",
        "code": "token_not_valid",
        "messages": [
            {
                "token_class": f"{token_type.capitalize()}Token",
                "token_type": token_type,
                "message": "Token is invalid",
            }
        ],
    }


def _body(failure: Failure, call: Call | None) -> dict[str, Any]:
    if failure.code == "UNAUTHENTICATED" and failure.has_credential:
        return token_error("access")
    return {"detail": _detail(failure, call)}


def _detail(failure: Failure, call: Call | None) -> str:
    if failure.code == "CONFLICT" and failure.field == "input.name":
        return f"{failure.message} Choose another name."
    reads_itself = call is not None and call.route.body is not None
    if failure.code == UNPARSABLE or (failure.code == MALFORMED_BODY and reads_itself):
        return f"Unable to parse JSON: {detail(failure)}"
    return detail(failure)


def _named(failure: Failure, call: Call) -> Errors | None:
    """The mistakes of fields by their names; None where no field is to blame."""
    if failure.code == INVALID_FIELDS:
        return errors(failure.problems, _KEYS)
    name = _FIELDS.get(failure.field or "", "")
    if failure.code not in {"INVALID_INPUT", "NOT_FOUND"} or not _is_in_body(name, call):
        return None
    if failure.code == "INVALID_INPUT":
        return {name: [failure.message]}
    return {name: [no_such_key(call.values.get(name))]}


def _is_in_body(name: str, call: Call) -> bool:
    return any(each.name == name and each.place == "body" for each in call.route.fields)
