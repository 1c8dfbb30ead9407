"""What failed, in the envelope of this API."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialect import Reply
from gateway.failures import NOT_SERVED, Failure, status_of
from gateway.prometheux.envelope import ERROR
from gateway.schemas import NULL, TEXT, object_of

NOT_SERVED_STATUS = 400  # of what is this API's, and not Headwater's
PROJECT_NOT_FOUND = "Project not found"
SOURCE_NOT_FOUND = "Data source not found"
_NOT_FOUND = {  # by the GraphQL input that names nothing
    "input.projectId": PROJECT_NOT_FOUND,
    "input.dataSourceIds": SOURCE_NOT_FOUND,
}
FAILURE = object_of(data=NULL, message=TEXT, status={"const": ERROR})


def reply(failure: Failure, _call: Call | None) -> Reply:
    """The reply to what failed."""
    status = NOT_SERVED_STATUS if failure.code == NOT_SERVED else status_of(failure)
    body = {"data": None, "message": words(failure), "status": ERROR}
    return Reply(status, body, failure.headers)


def words(failure: Failure) -> str:
    """What happened and what to do about it, in one text."""
    if failure.problems:
        return " ".join(problem.message for problem in failure.problems)
    if failure.code == "NOT_FOUND":
        return _NOT_FOUND.get((failure.field or "").partition("[")[0], failure.text)
    return failure.text


def project_not_found() -> Failure:
    """The failure of a request about a workspace that is none of the caller's."""
    return Failure("NOT_FOUND", PROJECT_NOT_FOUND)


def source_not_found() -> Failure:
    """The failure of a request about a data source that is none of the workspace's."""
    return Failure("NOT_FOUND", SOURCE_NOT_FOUND)
