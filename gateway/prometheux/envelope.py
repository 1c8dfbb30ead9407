"""What every reply is wrapped in: `{"data": …, "message": "…", "status": "success" | "error"}`."""

from __future__ import annotations

from typing import Any

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import NOT_SERVED, Failure, status_of
from gateway.schemas import NULL, TEXT, Schema, object_of

SUCCESS, ERROR = "success", "error"
NOT_SERVED_STATUS = 400  # of what is this API's, and not Headwater's
_NOT_FOUND = {  # by the GraphQL input that names nothing
    "input.projectId": "Project not found",
    "input.dataSourceIds": "Data source not found",
}


def ok(data: Any, message: str) -> Reply:
    """A reply to what succeeded."""
    return Reply(200, {"data": data, "message": message, "status": SUCCESS})


def said_no(data: Any, message: str) -> Reply:
    """A reply to what was understood and done, and came to nothing: HTTP 200 all the same."""
    return Reply(200, {"data": data, "message": message, "status": ERROR})


def failure(failed: Failure, _call: Call | None) -> Reply:
    """The reply to what failed."""
    status = NOT_SERVED_STATUS if failed.code == NOT_SERVED else status_of(failed)
    body = {"data": None, "message": words(failed), "status": ERROR}
    return Reply(status, body, failed.headers)


def counted(count: int, noun: str) -> str:
    """A number of things, as people write it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def words(failed: Failure) -> str:
    """What happened and what to do about it, in one text."""
    if failed.problems:
        return " ".join(problem.message for problem in failed.problems)
    if failed.code == "NOT_FOUND":
        return _NOT_FOUND.get((failed.field or "").partition("[")[0], failed.text)
    return failed.text


def project_not_found() -> Failure:
    """The failure of a request about a workspace that is none of the caller's."""
    return Failure("NOT_FOUND", "Project not found")


def source_not_found() -> Failure:
    """The failure of a request about a data source that is none of the workspace's."""
    return Failure("NOT_FOUND", "Data source not found")


def schema(data: Schema, *, may_say_no: bool = False) -> Schema:
    """The JSON Schema of an envelope around such data."""
    statuses = [SUCCESS, ERROR] if may_say_no else [SUCCESS]
    return object_of(data=data, message=TEXT, status={"enum": statuses})


FAILED = object_of(data=NULL, message=TEXT, status={"const": ERROR})
