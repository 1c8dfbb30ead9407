"""Logging in with an API token: there are no other passwords."""

from __future__ import annotations

import re

from gateway.call import Call
from gateway.dialect import Data, Variables
from gateway.failures import Failure

_REFUSALS = frozenset({"UNAUTHENTICATED", "FORBIDDEN", "INVALID_INPUT"})
_SENDABLE = re.compile(r"[!-~]{1,8192}")  # what fits into a header


async def attempt(
    call: Call, operation: str, variables: Variables, *, token: str | None = None
) -> Data | None:
    """The data of an operation that tries a token, as its credential or among the variables.

    None for a token that is no good.
    """
    if token is not None and not _SENDABLE.fullmatch(token):
        return None
    try:
        return await call.run(operation, variables, credential=token)
    except Failure as failure:
        if failure.code in _REFUSALS:
            return None
        raise
