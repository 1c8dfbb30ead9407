"""What can go wrong with a request; each dialect says it in its own envelope."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Codes of the gateway's own, beside those of the GraphQL API (`base.errors`).
MALFORMED_BODY = "MALFORMED_BODY"  # no JSON, no form
INVALID_FIELDS = "INVALID_FIELDS"  # `problems` says which
UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
NO_ROUTE = "NO_ROUTE"
NOT_SERVED = "NOT_SERVED"  # a part of the dialect that is not Headwater's
_EXPIRED = "The session has expired"  # how the message about one begins


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one field. `field` is its path, such as `steps.0.key`.

    `rule` is the kind of the mistake: `required`, `type` (`wanted` names the type of both), `null`, `blank`, `choices`,
    `chars_max`, `least`, `most` (`wanted` is the limit), or `other`, where `message` says it all.
    """

    field: str
    rule: str
    message: str
    wanted: Any = None
    given: Any = None


class Failure(Exception):
    """A request that failed: a `code` of the GraphQL API or one of the above.

    `field` is the GraphQL input that is to blame; `has_credential` tells a missing credential from a wrong one.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str | None = None,
        field: str | None = None,
        problems: Sequence[Problem] = (),
        has_credential: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint
        self.field = field
        self.problems = tuple(problems)
        self.has_credential = has_credential
        self.headers = dict(headers or {})

    @property
    def text(self) -> str:
        """What happened and what to do."""
        return text_of({"message": self.message, "hint": self.hint})

    @property
    def is_expired(self) -> bool:
        """Whether the credential was good, and is a session that has expired."""
        return self.code == "UNAUTHENTICATED" and self.message.startswith(_EXPIRED)


def text_of(error: Mapping[str, Any]) -> str:
    """What happened and what to do, of an error of GraphQL with `message` and `hint`."""
    return " ".join(filter(None, (error["message"], error["hint"])))


def invalid(*problems: Problem) -> Failure:
    """The failure of a request with these mistakes."""
    return Failure(INVALID_FIELDS, problems[0].message, problems=problems)


# The HTTP status of each code, for dialects that have no other.
STATUS: Mapping[str, int] = {
    MALFORMED_BODY: 400,
    INVALID_FIELDS: 400,
    UNSUPPORTED_MEDIA_TYPE: 415,
    METHOD_NOT_ALLOWED: 405,
    NO_ROUTE: 404,
    NOT_SERVED: 501,
    "INVALID_INPUT": 400,
    "UNSUPPORTED": 400,
    "QUERY_TOO_COMPLEX": 400,
    "CONNECTION_FAILED": 400,
    "UNAUTHENTICATED": 401,
    "FORBIDDEN": 403,
    "NOT_FOUND": 404,
    "CONFLICT": 409,
    "PAYLOAD_TOO_LARGE": 413,
    "RATE_LIMITED": 429,
    "UNAVAILABLE": 502,
    "SANDBOX_UNAVAILABLE": 503,
    "TIMEOUT": 504,
    "STORAGE_FULL": 507,
}
INTERNAL_STATUS = 500  # of every other code


def status_of(failure: Failure) -> int:
    """The HTTP status that a failure has by the table above."""
    return STATUS.get(failure.code, INTERNAL_STATUS)
