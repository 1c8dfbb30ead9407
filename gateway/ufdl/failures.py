"""What failed, in the words of Django REST framework and its tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import (
    INVALID_FIELDS,
    MALFORMED_BODY,
    NO_ROUTE,
    NOT_SERVED,
    Failure,
    Problem,
    status_of,
)
from gateway.schemas import Schema
from gateway.ufdl.specs import UNPARSABLE

NO_ACCOUNT = "NO_ACCOUNT"  # a login with a wrong name or a wrong password
BAD_NAME = "BAD_NAME"  # a user who is not, or is already, what a request takes the user for

_AUTHENTICATE = {"www-authenticate": 'Bearer realm="api"'}
_BAD_REQUEST = 400
_STATUS = {
    UNPARSABLE: _BAD_REQUEST,
    "CONFLICT": _BAD_REQUEST,
    BAD_NAME: _BAD_REQUEST,
    NO_ACCOUNT: 401,
    NOT_SERVED: 405,
}
_FORBIDDEN = "You do not have permission to perform this action."
_FIELDS = {"input.name": "name", "input.teamId": "team"}

_DETAIL: Schema = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "additionalProperties": False,
}
_FIELD_ERRORS: Schema = {
    "type": "object",
    "minProperties": 1,
    "additionalProperties": {"type": "array", "items": {"type": "string"}, "minItems": 1},
}
_TOKEN_ERROR: Schema = {
    "type": "object",
    "properties": {
        "detail": {"type": "string"},
        "code": {"const": "token_not_valid"},
        "messages": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "token_class": {"type": "string"},
                    "token_type": {"enum": ["access", "refresh"]},
                    "message": {"type": "string"},
                },
                "required": ["token_class", "token_type", "message"],
            },
        },
    },
    "required": ["detail", "code", "messages"],
    "additionalProperties": False,
}
SCHEMAS: Mapping[str, Schema] = {
    "400": {"anyOf": [_DETAIL, _FIELD_ERRORS]},
    "401": {"anyOf": [_DETAIL, _TOKEN_ERROR]},
    "default": _DETAIL,
}


def reply(failure: Failure, call: Call | None) -> Reply:
    """The reply to what failed."""
    status = _STATUS.get(failure.code, status_of(failure))
    named = None if call is None else _named(failure, call)
    if named is not None:
        return Reply(_BAD_REQUEST, named, failure.headers)
    headers = {**failure.headers, **(_AUTHENTICATE if status == 401 else {})}  # noqa: PLR2004 - as in HTTP
    return Reply(status, _body(failure, call), headers)


def token_failure(token_type: str) -> Reply:
    """The reply to a token that is not good: expired, or not one of this type (`access` or `refresh`)."""
    return Reply(401, token_error(token_type), _AUTHENTICATE)


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
    fixed = {
        "UNAUTHENTICATED": "Authentication credentials were not provided.",
        "FORBIDDEN": _FORBIDDEN,
        "NOT_FOUND": "Not found.",
        NO_ROUTE: "Not found.",
    }
    if failure.code in fixed:
        return fixed[failure.code]
    message, hint = failure.message, failure.hint
    if failure.code == "CONFLICT" and failure.field == "input.name":
        hint = "Choose another name."
    if failure.code == MALFORMED_BODY:
        message = f"JSON parse error - {message}"
    reads_itself = call is not None and call.route.body is not None
    if failure.code == UNPARSABLE or (failure.code == MALFORMED_BODY and reads_itself):
        message = f"Unable to parse JSON: {message}"
    return " ".join(filter(None, (message, hint)))


def _named(failure: Failure, call: Call) -> dict[str, Any] | None:
    """The mistakes of fields by their names; None where no field is to blame."""
    if failure.code == INVALID_FIELDS:
        found: dict[str, list[str]] = {}
        for problem in failure.problems:
            name = problem.field.partition(".")[0] or "non_field_errors"
            found.setdefault(name, []).append(_text(problem))
        return found
    name = _FIELDS.get(failure.field or "", "")
    if failure.code not in {"INVALID_INPUT", "NOT_FOUND"} or not _is_in_body(name, call):
        return None
    if failure.code == "INVALID_INPUT":
        return {name: [failure.message]}
    return {name: [f'Invalid pk "{call.values.get(name)}" - object does not exist.']}


def _is_in_body(name: str, call: Call) -> bool:
    return any(each.name == name and each.place == "body" for each in call.route.fields)


def _text(problem: Problem) -> str:
    wanted, given = problem.wanted, problem.given
    if problem.rule == "type" and problem.field == "team":
        return f"Incorrect type. Expected pk value, received {type(given).__name__}."
    kinds = {
        "string": "Not a valid string.",
        "integer": "A valid integer is required.",
        "boolean": "Must be a valid boolean.",
    }
    texts = {
        "required": "This field is required.",
        "null": "This field may not be null.",
        "blank": "This field may not be blank.",
        "type": kinds.get(str(wanted), problem.message),
        "choices": f'"{given}" is not a valid choice.',
        "chars_max": f"Ensure this field has no more than {wanted} characters.",
    }
    return texts.get(problem.rule, problem.message)
