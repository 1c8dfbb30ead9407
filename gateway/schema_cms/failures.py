"""What failed, in the words of Django REST framework."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import (
    INVALID_FIELDS,
    MALFORMED_BODY,
    NO_ROUTE,
    Failure,
    Problem,
    status_of,
)

CHALLENGE = 'JWT realm="api"'
EXTENSIONS_REFUSED = "File extension '{0}' is not allowed. Allowed extensions are: '{1}'."
NOT_UNIQUE = "The fields name, project must make a unique set."
_FORBIDDEN = "You do not have permission to perform this action."
_EXPIRED = "The session has expired"
_GENERAL = "non_field_errors"
_STEP = re.compile(r"input\.steps(?:\[(\d+)\](?:\.(\w+))?)?")
_NAMES = ("input.name", "input.sources[0].name")  # of data sources
_INPUTS = {  # the fields of this API by the inputs of GraphQL
    **dict.fromkeys(_NAMES, "name"),
    "input.projectId": "project",
    "input.key": "name",
    "execOrder": "exec_order",
}
_FILES = ("input.file", "input.connection", "input.sources")
Errors = dict[str, Any]

DETAIL = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
    "additionalProperties": False,
}
FIELDS = {
    "type": "object",
    "description": "What is wrong, by field; or `detail`.",
    "minProperties": 1,
    "additionalProperties": {"type": ["array", "object", "string"]},
}
FAILURES = {
    "400": FIELDS,
    **dict.fromkeys(("401", "403", "404", "405", "409", "413", "415", "429", "default"), DETAIL),
}


def reply_of(failure: Failure, call: Call | None) -> Reply:
    """The reply to whatever failed."""
    status = status_of(failure)
    if failure.code == "UNAUTHENTICATED":
        headers = {"www-authenticate": CHALLENGE}
        return Reply(status, {"detail": _unauthenticated(failure)}, headers)
    if failure.code == INVALID_FIELDS:
        return Reply(status, errors_of(failure.problems))
    if failure.code == "CONFLICT" and failure.field in _NAMES:
        return Reply(400, {_GENERAL: [NOT_UNIQUE]})
    if failure.code == "INVALID_INPUT":
        return Reply(status, _of_input(failure, call))
    details = {
        MALFORMED_BODY: _malformed(failure.message),
        NO_ROUTE: "Not found.",
        "NOT_FOUND": "Not found.",
        "FORBIDDEN": _FORBIDDEN,
    }
    return Reply(status, {"detail": details.get(failure.code) or said(failure)}, failure.headers)


def said(failure: Failure) -> str:
    """What happened and what to do, in one text."""
    return " ".join(filter(None, (failure.message, failure.hint)))


def errors_of(problems: Sequence[Problem]) -> Errors:
    """The errors of fields, those of list items at their places."""
    errors: Errors = {}
    for problem in problems:
        name, *inner = problem.field.split(".") if problem.field else [_GENERAL]
        message = _message(problem)
        if inner:
            _put(errors.setdefault(name, []), inner, message)
        elif problem.wanted == "array":
            errors[name] = {_GENERAL: [message]}
        else:
            errors.setdefault(name, []).append(message)
    return errors


def _put(items: list[Errors], place: list[str], message: str) -> None:
    index, name = int(place[0]), ".".join(place[1:]) or _GENERAL
    items.extend({} for _ in range(index + 1 - len(items)))
    items[index].setdefault(name, []).append(message)


def _message(problem: Problem) -> str:
    wanted, given = problem.wanted, problem.given
    kind = type(given).__name__
    if problem.rule == "type":
        if problem.field == "project":
            if isinstance(given, int) and not isinstance(given, bool):
                return f'Invalid pk "{given}" - object does not exist.'
            return f"Incorrect type. Expected pk value, received {kind}."
        types = {
            "integer": "A valid integer is required.",
            "string": "Not a valid string.",
            "file": "The submitted data was not a file. Check the encoding type on the form.",
            "array": f'Expected a list of items but got type "{kind}".',
            "object": f"Invalid data. Expected a dictionary, but got {kind}.",
        }
        return types.get(wanted, problem.message)
    is_file = problem.field in {"file", "script"}
    rules = {
        "required": "No file was submitted." if is_file else "This field is required.",
        "null": "This field may not be null.",
        "blank": "This field may not be blank.",
        "choices": f'"{given}" is not a valid choice.',
        "chars_max": f"Ensure this field has no more than {wanted} characters.",
        "least": f"Ensure this value is greater than or equal to {wanted}.",
        "most": f"Ensure this value is less than or equal to {wanted}.",
    }
    return rules.get(problem.rule, problem.message)


def _unauthenticated(failure: Failure) -> str:
    if not failure.has_credential:
        return "Authentication credentials were not provided."
    if failure.message.startswith(_EXPIRED):
        return "Signature has expired."
    return "Error decoding token."


def _malformed(message: str) -> str:
    return message if message.startswith("Multipart") else f"JSON parse error - {message}"


def _of_input(failure: Failure, call: Call | None) -> Errors:
    """What GraphQL does not take, at the field that it came from."""
    step = _STEP.fullmatch(failure.field or "")
    if step and step[1]:
        name = _INPUTS.get(step[2], step[2])
        path = ".".join(filter(None, ("steps", step[1], name)))
        return errors_of([Problem(path, "other", said(failure))])
    field = "steps" if step else _field_of(failure, call)
    return {field: [said(failure)]}


def _field_of(failure: Failure, call: Call | None) -> str:
    """The field of the request that is to blame; none in particular is `non_field_errors`."""
    field = failure.field or ""
    if field in _INPUTS:
        return _INPUTS[field]
    if field.startswith(_FILES):
        is_script = call is not None and call.route.path.endswith("/script-upload")
        return "script" if is_script else "file"
    return _GENERAL
