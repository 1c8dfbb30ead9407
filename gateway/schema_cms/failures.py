"""What failed: Django REST framework's words, with the fields and the challenge of this API."""

from __future__ import annotations

import re

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import INVALID_FIELDS, Failure, Problem, status_of
from gateway.rest_framework import DETAIL, GENERAL, Errors, detail, errors

CHALLENGE = 'JWT realm="api"'
NOT_UNIQUE = "The fields name, project must make a unique set."
_KEYS = ("project",)
_STEP = re.compile(r"input\.steps(?:\[(\d+)\](?:\.(\w+))?)?")
_INPUTS = {  # the fields of this API by the inputs of GraphQL
    "input.name": "name",
    "input.sources[0].name": "name",
    "input.sources.0.name": "name",
    "input.projectId": "project",
    "input.key": "name",
    "execOrder": "exec_order",
}
_FILES = ("input.file", "input.connection", "input.sources")

_FIELDS = {
    "type": "object",
    "description": "What is wrong, by field; or `detail`.",
    "minProperties": 1,
    "additionalProperties": {"type": ["array", "object", "string"]},
}
SCHEMAS = {
    "400": _FIELDS,
    **dict.fromkeys(("401", "403", "404", "405", "409", "413", "415", "429", "default"), DETAIL),
}


def reply(failure: Failure, call: Call | None) -> Reply:
    """The reply to whatever failed."""
    status = status_of(failure)
    if failure.code == "UNAUTHENTICATED":
        headers = {"www-authenticate": CHALLENGE}
        return Reply(status, {"detail": _unauthenticated(failure)}, headers)
    if failure.code == INVALID_FIELDS:
        return Reply(status, errors(failure.problems, _KEYS))
    if failure.code == "CONFLICT" and _field_of(failure, call) == "name":
        return Reply(400, {GENERAL: [NOT_UNIQUE]})
    if failure.code == "INVALID_INPUT":
        return Reply(status, _of_input(failure, call))
    return Reply(status, {"detail": detail(failure)}, failure.headers)


def _unauthenticated(failure: Failure) -> str:
    if not failure.has_credential:
        return detail(failure)
    return "Signature has expired." if failure.is_expired else "Error decoding token."


def _of_input(failure: Failure, call: Call | None) -> Errors:
    """What GraphQL does not take, at the field that it came from."""
    step = _STEP.fullmatch(failure.field or "")
    if step and step[1]:
        name = _INPUTS.get(step[2], step[2])
        path = ".".join(filter(None, ("steps", step[1], name)))
        return errors([Problem(path, "other", failure.text)])
    field = "steps" if step else _field_of(failure, call)
    return {field: [failure.text]}


def _field_of(failure: Failure, call: Call | None) -> str:
    """The field of the request that is to blame; none in particular is `non_field_errors`."""
    field = failure.field or ""
    if field in _INPUTS:
        return _INPUTS[field]
    if field.startswith(_FILES):
        is_script = call is not None and call.route.path.endswith("/script-upload")
        return "script" if is_script else "file"
    return GENERAL
