"""Looking at a script's text: parsed in an isolated child, never run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from base import process
from base.errors import InvalidInput, PayloadTooLarge
from base.isolation import Isolation
from base.process import ChildDied, LimitExceeded, TookTooLong
from models import ScriptContract
from services.platform import Platform

EXAMINE = "workers.sandbox.contracts:examine"
MEMORY_BYTES_MAX = 1024**3  # the tree of a text takes a few hundred times its size
FILE_BYTES_MAX = 1024**2
MARGIN_SECONDS = 1  # of an operation, left for everything but the child
_TOO_MUCH = (TookTooLong, LimitExceeded, ChildDied)


@dataclass(frozen=True, slots=True)
class Text:
    """A script's text that can be run. `sha256`, in hex, is of its UTF-8."""

    body: str
    contract: ScriptContract
    sha256: str


def hash_of(body: str) -> str:
    """The hex SHA-256 of a text."""
    return hashlib.sha256(body.encode()).hexdigest()


async def examine(platform: Platform, body: str, field: str) -> Text:
    """The text with the way in which it wants to be called.

    Raises InvalidInput, which names the line, for what is not Python or has none of the contracts, and
    SandboxUnavailable where the child cannot be isolated.
    """
    limits = process.Limits(
        wall_seconds=max(platform.settings.query_seconds_max - MARGIN_SECONDS, 1),
        memory_bytes=min(MEMORY_BYTES_MAX, platform.settings.child_memory_bytes_max),
        file_bytes=FILE_BYTES_MAX,
    )
    try:
        async with platform.examinations:
            found = await process.run(EXAMINE, body, limits=limits, isolation=Isolation())
    except _TOO_MUCH as error:
        raise InvalidInput(
            "The script could not be parsed within the limits of memory and time.",
            hint="Nest its expressions less deeply, or bring its tables as data.",
            field=field,
        ) from error
    except (InvalidInput, PayloadTooLarge) as error:
        error.field = field
        raise
    return Text(body, ScriptContract(found.contract), hash_of(body))
