"""From the request's credential to who asks."""

from __future__ import annotations

from starlette.requests import Request

from base.errors import Unauthenticated
from graph.context import Context
from services import authentication, sessions
from services.access import Viewer
from services.platform import Platform

_SCHEME = "bearer"
CREDENTIAL_CHARS_MAX = 8_192


class ContextFactory:
    """Makes the context of one GraphQL request.

    No credential is an anonymous request; a wrong one is refused, lest an expired token looks like missing data.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, request: Request) -> Context:
        """The context; raises Unauthenticated."""
        return await self.of(request.headers.get("authorization"))

    async def of(self, header: str | None) -> Context:
        """The context of whoever sends this `Authorization`; raises Unauthenticated."""
        if header is None:
            return Context(viewer=None, platform=self._platform)
        scheme, _, secret = header.partition(" ")
        viewer = None
        if scheme.lower() == _SCHEME and 0 < len(secret) <= CREDENTIAL_CHARS_MAX:
            viewer = await self._viewer(secret.strip())
        if viewer is None:
            raise Unauthenticated(
                "The API token is unknown, expired or revoked.",
                hint="Send the header `Authorization: Bearer hw_…` with a valid token.",
            )
        return Context(viewer=viewer, platform=self._platform)

    async def _viewer(self, secret: str) -> Viewer | None:
        """Whose API token this is, or whose session; raises Unauthenticated for a session that has expired."""
        viewer = None
        if sessions.is_session(secret):
            viewer = await sessions.authenticate(self._platform.keyring, secret)
        return viewer or await authentication.authenticate(
            secret
        )  # an operator's own token may have dots
