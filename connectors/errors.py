"""Why a source could not be used. `retryable` ones are tried again by the engine; the others end a job at once."""

from __future__ import annotations

from base.errors import ConnectionFailed, InvalidInput, PayloadTooLarge, PlatformError


class SourceUnreachable(ConnectionFailed):
    """Unknown host, refused or dropped connection, time-out: may work in a minute."""

    retryable = True


class AddressRefused(ConnectionFailed):
    """The outbound guard does not allow this address; the hint names the setting."""


class BadCredentials(ConnectionFailed):
    """The source answered and refused the user name or password, or lacks the right."""


class TableMissing(ConnectionFailed):
    """A selected table or column is not in the source (any more)."""


class FileInvalid(InvalidInput):
    """The file is not what its name says, or is broken; the message says where (line, sheet, byte)."""


class CellTooLarge(PayloadTooLarge):
    """One value is over the limit; the message names line and limit."""


class ReadAgain(Exception):
    """Not a failure: what has been read of this table is void (a column had to be widened). Call `read` again."""


MISNAMED_HINT = "Give it the extension of what it is, or export it again; unpack archives first."


def misnamed(kind: str, what: str) -> FileInvalid:
    """The error for a file that is something else than the kind that its name says."""
    return FileInvalid(
        f"The file is named like {kind}, but looks like {what}.",
        hint=MISNAMED_HINT,
    )


def is_panic(error: BaseException) -> bool:
    """Whether a parser that is written in Rust gave up; its error has no base but BaseException, and no module."""
    return type(error).__name__ == "PanicException"


__all__ = [
    "MISNAMED_HINT",
    "AddressRefused",
    "BadCredentials",
    "CellTooLarge",
    "FileInvalid",
    "PlatformError",
    "ReadAgain",
    "SourceUnreachable",
    "TableMissing",
    "is_panic",
    "misnamed",
]
