"""What the dialect says of a request that failed: a code of its own table, often under HTTP 200."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import (
    INVALID_FIELDS,
    MALFORMED_BODY,
    METHOD_NOT_ALLOWED,
    NO_ROUTE,
    NOT_SERVED,
    UNSUPPORTED_MEDIA_TYPE,
    Failure,
    Problem,
    invalid,
)
from gateway.schemas import NULL, object_of

# Failures that only this dialect tells apart.
EXTENSION = "MAXIR_EXTENSION"
EMPTY_FILE = "MAXIR_EMPTY_FILE"
UPLOAD = "MAXIR_UPLOAD"
PRESIGN = "MAXIR_PRESIGN"
EXPIRED = "MAXIR_EXPIRED"
KEPT = "MAXIR_KEPT"

INVALID_PARAMETERS = 300001
INTERNAL = (9999, 500)
_CODES: Mapping[str, tuple[int, int]] = {  # its code, and the HTTP status
    EXPIRED: (1002, 403),
    "FORBIDDEN": (1003, 403),
    "UNAUTHENTICATED": (1004, 403),
    "RATE_LIMITED": (201, 429),
    MALFORMED_BODY: (INVALID_PARAMETERS, 400),
    INVALID_FIELDS: (INVALID_PARAMETERS, 400),
    "INVALID_INPUT": (INVALID_PARAMETERS, 400),
    "CONFLICT": (INVALID_PARAMETERS, 400),
    "QUERY_TOO_COMPLEX": (INVALID_PARAMETERS, 400),
    METHOD_NOT_ALLOWED: (INVALID_PARAMETERS, 405),
    "PAYLOAD_TOO_LARGE": (INVALID_PARAMETERS, 413),
    UNSUPPORTED_MEDIA_TYPE: (INVALID_PARAMETERS, 415),
    KEPT: (300002, 200),
    "NOT_FOUND": (300003, 200),
    NO_ROUTE: (300003, 404),
    EXTENSION: (300004, 200),
    "UNSUPPORTED": (300004, 200),
    EMPTY_FILE: (300005, 200),
    "STORAGE_FULL": (300006, 200),
    UPLOAD: (300007, 200),
    PRESIGN: (300008, 200),
    "CONNECTION_FAILED": (300011, 200),
    NOT_SERVED: (501, 400),  # not of the dialect's table, which has none for it
    "UNAVAILABLE": (9999, 502),
    "TIMEOUT": (9999, 504),
}
_FIELDS = {  # what GraphQL calls the fields of requests
    "url": "url",
    "objectKey": "file_object_key",
    "fileName": "name",
    "name": "name",
    "description": "description",
    "sizeBytes": "file_size",
    "uploadId": "upload_id",
    "parts": "part_etags",
    "username": "user_id",
    "search": "search",
}
_RESOURCES = {"objectKey": "file", "uploadId": "upload", "datasetId": "dataset"}
_KEY = "Send an API token of Headwater in the header `x-pd-api-key`."
_UPLOADED = (
    "Send the file to POST /v2/team/file/upload-datasource, and take the key that it answers."
)

FAILURE = object_of(
    code={"type": "integer", "minimum": 1, "description": "What failed."},
    msg={"type": "string", "description": "It in words."},
    message={"type": "string", "description": "The same."},
    data=NULL,
) | {"description": "The request failed."}


def reply(failure: Failure, call: Call | None) -> Reply:
    """The envelope of a failure. Clients read `msg` or `message`, so it has both."""
    code, status = _CODES.get(_kind(failure, call), INTERNAL)
    text = _text(failure)
    body = {"code": code, "msg": text, "message": text, "data": None}
    return Reply(status, body, failure.headers)


def missing(resource: str, hint: str) -> Failure:
    """The failure of a request about something that is not there, or not the caller's."""
    return Failure("NOT_FOUND", f"{resource} not found", hint=hint)


def mistaken(field: str, message: str, rule: str = "other") -> Failure:
    """The failure of a request with one field that makes no sense."""
    return invalid(Problem(field, rule, message))


def _kind(failure: Failure, call: Call | None) -> str:
    if failure.is_expired:
        return EXPIRED
    is_upload = call is not None and "/file/" in call.route.path
    if is_upload and failure.code in {"CONFLICT", "PAYLOAD_TOO_LARGE"}:
        return UPLOAD
    return failure.code


def _text(failure: Failure) -> str:
    """What happened and what to do, with the name of what is missing in front."""
    message, hint = failure.message, failure.hint
    if failure.problems:
        message, hint = " ".join(problem.message for problem in failure.problems), None
    elif failure.code == "UNAUTHENTICATED":
        hint = _KEY
    elif failure.code == "NOT_FOUND" and failure.field is not None:
        resource = _RESOURCES.get(failure.field.rpartition(".")[2])
        message = f"{resource} not found: {message}" if resource else message
        hint = _UPLOADED if resource == "file" else hint
    elif failure.field is not None:
        message = _naming(message, failure.field)
    return " ".join(part for part in (_sentence(message), hint) if part)


def _naming(message: str, path: str) -> str:
    """A message about a field of an operation, as one about the field of the request that it came from."""
    field = _FIELDS.get(path.rpartition(".")[2])
    if field is None:
        return message
    named = message.replace(f"`{path}`", f"`{field}`")
    return named if f"`{field}`" in named else f"`{field}`: {message}"


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."
