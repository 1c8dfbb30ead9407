"""What clients and the log learn of a failure.

To the client: our own errors as they are, refused input as path and reason, and everything else as INTERNAL with the
trace id. To the log: a mistake of the client as one short line; a failure of ours with its traceback, and nothing of
the document or the variables.
"""

from __future__ import annotations

import logging
import re
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from graphql import GraphQLError, GraphQLSyntaxError, ValueNode
from strawberry.exceptions import StrawberryInputCoercionError

from base.credentials import redact
from base.errors import Internal, InvalidInput, PlatformError
from base.tracing import trace_id

logger = logging.getLogger("headwater.graph")

ERRORS_MAX = 5  # in an answer and in the log
MESSAGE_CHARS_MAX = 500
LOG_MESSAGE_CHARS_MAX = 500
CAUSES_MAX = 5
_TOKEN_VALUE = re.compile(r"\b(Name|Int|Float|String|BlockString|Comment) [\"'].*", re.DOTALL)


def present(
    errors: Sequence[Exception],
    *,
    operation_name: str | None = None,
    secrets: Iterable[str] = (),
) -> list[dict[str, Any]]:
    """The entries of `errors` for an answer, and the log of them.

    `secrets` are texts of the request that must not reach the log within a traceback's message.
    """
    shown = []
    refused = []
    logged: set[str] = set()
    for error in errors[:ERRORS_MAX]:
        cause = _cause(error)
        ours = _known(error, cause)
        if ours is None:
            origin = _origin(cause)
            if origin not in logged:  # fifty rows may fail in the same way
                logged.add(origin)
                _log_failure(error, redact("\n".join(_describe(cause)), secrets), operation_name)
            ours = Internal("Internal error.", hint="Tell the operator the trace id.")
        else:
            refused.append(ours.code)
        shown.append(_entry(error, ours))
    if refused:
        extra = {"codes": refused, "errors": len(errors), "operation": _short(operation_name)}
        logger.info("operation refused", extra=extra)
    return shown


def _cause(error: BaseException) -> BaseException:
    """The exception that graphql-core has wrapped, however often."""
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _known(error: Exception, cause: BaseException) -> PlatformError | None:
    """The failure in our own terms; None for one that nobody foresaw."""
    if isinstance(cause, PlatformError):
        return cause
    if isinstance(cause, GraphQLSyntaxError):
        # The offending token may be a password; where it stands is in `locations`.
        return InvalidInput(_short(_TOKEN_VALUE.sub(r"\1", cause.message)))
    if not isinstance(cause, GraphQLError) or not isinstance(error, GraphQLError):
        return None
    if not error.path:
        return InvalidInput(_short(cause.message))  # of a validation rule: names, no values
    is_argument = isinstance(cause, StrawberryInputCoercionError) or (
        error.nodes is not None and isinstance(error.nodes[0], ValueNode)
    )
    return (
        InvalidInput("An argument has a value that its type does not take.")
        if is_argument
        else None
    )


def _entry(error: Exception, ours: PlatformError) -> dict[str, Any]:
    extensions = {"code": ours.code, "traceId": trace_id()}
    if ours.field is not None:
        extensions["field"] = ours.field
    if ours.hint is not None:
        extensions["hint"] = ours.hint
    entry: dict[str, Any] = {"message": ours.message}
    if isinstance(error, GraphQLError):
        if error.locations:
            entry["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
        if error.path is not None:
            entry["path"] = error.path
    entry["extensions"] = extensions
    return entry


def _log_failure(error: Exception, text: str, operation_name: str | None) -> None:
    path = getattr(error, "path", None)
    logger.error(
        "operation failed",
        extra={
            "operation": _short(operation_name),
            "path": ".".join(map(str, path or ())),
            "exception": text,
        },
    )


def _origin(error: BaseException) -> str:
    """What and where, to know two failures of one kind."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__qualname__} {where}"


def _describe(error: BaseException) -> Iterator[str]:
    """A traceback without `str(GraphQLError)`, which prints the document."""
    cause: BaseException | None = error
    for _ in range(CAUSES_MAX):
        if cause is None:
            return
        text = cause.message if isinstance(cause, GraphQLError) else str(cause)
        yield f"{type(cause).__qualname__}: {text[:LOG_MESSAGE_CHARS_MAX]}"
        yield "".join(traceback.format_tb(cause.__traceback__)).rstrip()
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _short(text: str | None) -> str:
    return (text or "")[:MESSAGE_CHARS_MAX]


def texts(values: Any) -> Iterator[str]:
    """Every text in a JSON value: what a request has sent."""
    if isinstance(values, str):
        yield values
    elif isinstance(values, Mapping):
        for value in values.values():
            yield from texts(value)
    elif isinstance(values, list):
        for value in values:
            yield from texts(value)
