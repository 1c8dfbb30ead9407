"""The GraphQL API as the gateway sees it, wherever it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

Answer = Mapping[str, Any]  # `data` and `errors`, as in the specification


class Executor(Protocol):
    """Executes GraphQL operations. A failure is in the answer's `errors`, with `extensions.code`."""

    async def execute(
        self, document: str, operation: str, variables: Mapping[str, Any], credential: str | None
    ) -> Answer:
        """The answer to one operation. Values of variables may be files (`UploadFile`)."""

    async def admit(self, credential: str) -> Answer | None:
        """None where the credential is good, else the answer that refuses it; asked before a body is read."""
