"""The failures that a client may see: a stable code, a safe message, and what to do about it.

Raise one of these for anything a user can cause or mend. Everything else is a bug: the edges of the process mask it as
INTERNAL with a trace id.
"""

from __future__ import annotations

from typing import ClassVar


class PlatformError(Exception):
    """An expected failure. `message` and `hint` are shown to users, so they never hold a secret or a server path.

    `field` is the input path that is to blame (`input.sources[1].connection.database.port`).
    `retryable` says that the same call may succeed later without anybody changing anything.
    """

    code: ClassVar[str] = "INTERNAL"
    retryable: bool = False

    def __init__(self, message: str, *, hint: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.field = field

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments would be lost when the error crosses a process border.
        return (_rebuild, (type(self), self.message, self.hint, self.field))


def _rebuild(
    kind: type[PlatformError], message: str, hint: str | None, field: str | None
) -> PlatformError:
    return kind(message, hint=hint, field=field)


class Unauthenticated(PlatformError):
    """No credential, or one that is unknown, expired or revoked."""

    code = "UNAUTHENTICATED"


class Forbidden(PlatformError):
    """The viewer can see the object but lacks the role for this."""

    code = "FORBIDDEN"


class NotFound(PlatformError):
    """No such object, or not one of the viewer's: the two look the same."""

    code = "NOT_FOUND"


class InvalidInput(PlatformError):
    """A value is wrong; `field` says which."""

    code = "INVALID_INPUT"


class Conflict(PlatformError):
    """The request contradicts the present state (a taken name, a reused idempotency key)."""

    code = "CONFLICT"


class RateLimited(PlatformError):
    """Too many of these in too short a time."""

    code = "RATE_LIMITED"
    retryable = True


class QueryTooComplex(PlatformError):
    """The operation asks for more than one request may cost."""

    code = "QUERY_TOO_COMPLEX"


class PayloadTooLarge(PlatformError):
    """A body, file or value is over its limit; the message names the limit."""

    code = "PAYLOAD_TOO_LARGE"


class ConnectionFailed(PlatformError):
    """A source could not be used. Subclasses in `connectors.errors` tell why; only some are retryable."""

    code = "CONNECTION_FAILED"


class Unsupported(PlatformError):
    """A known thing that this server, source or format does not do."""

    code = "UNSUPPORTED"


class SandboxUnavailable(PlatformError):
    """The isolation that a script needs is missing on this machine."""

    code = "SANDBOX_UNAVAILABLE"


class StorageFull(PlatformError):
    """No space, or a quota is used up. What was there before is untouched."""

    code = "STORAGE_FULL"


class TimedOut(PlatformError):
    """The operation took longer than its limit; the message names it."""

    code = "TIMEOUT"
    retryable = True


class Internal(PlatformError):
    """A failure of ours, masked: details are in the log under the trace id."""

    code = "INTERNAL"
