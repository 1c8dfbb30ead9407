"""What one operation knows: who asks, the platform, and its batches."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import strawberry

from base import tracing
from base.errors import Forbidden, QueryTooComplex, Unauthenticated
from graph.loaders import Loaders
from graph.permissions import NEEDS, Needs, Permission
from graph.topics import Event
from models import Role
from services.access import Viewer
from services.platform import Platform

TEXT_BYTES_MAX = 32 * 1024**2  # of scripts that one operation reads


@dataclass(slots=True)
class Context:
    """Made anew for each operation. `viewer` is None for a request without a token."""

    viewer: Viewer | None
    platform: Platform
    loaders: Loaders = field(default_factory=Loaders)
    trace_id: str = field(default_factory=tracing.trace_id)
    # Arguments of resolvers, by the ids of the field nodes that gave them (`graph.siblings`).
    shared: dict[tuple[int, ...], dict[str, Any]] = field(default_factory=dict)
    deadline: asyncio.Timeout | None = None
    event: Event | None = None  # what a subscription's operation is run for
    text_bytes: int = 0

    def allow(self, seconds: float) -> None:
        """Give the operation this long from now on, for a field that has to read a whole file."""
        if self.deadline is not None:
            self.deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def spend_text(self, size_bytes: int) -> None:
        """Count bytes of texts that the operation reads; raises QueryTooComplex over `TEXT_BYTES_MAX` in all."""
        self.text_bytes += size_bytes
        if self.text_bytes > TEXT_BYTES_MAX:
            raise QueryTooComplex(
                f"The scripts' texts that are asked for have more than {TEXT_BYTES_MAX:,} bytes.",
                hint="Ask for `body` of fewer at once; `sha256` tells which of them changed.",
            )

    def admit(self, needs: Needs) -> None:
        """Raise Unauthenticated or Forbidden unless the viewer may run what declares `needs`."""
        if needs is Permission.ANYONE:
            return
        if self.viewer is None:
            raise Unauthenticated(
                "This needs an API token.", hint="Send the header `Authorization: Bearer hw_…`."
            )
        if needs is Permission.STAFF and not self.viewer.is_staff:
            raise Forbidden("Only staff may do this.", hint="Ask an operator of this server.")
        self.viewer.acting(_role(needs))

    def actor(self, info: Info) -> Viewer:
        """The viewer, acting with the role that the field declares (below the root: to read)."""
        field = info._field  # noqa: SLF001 - Strawberry's only way to the declaration
        needs: Needs = field.metadata.get(NEEDS, Role.READ)
        self.admit(needs)
        if self.viewer is None:
            raise Unauthenticated("This needs an API token.")
        return self.viewer.acting(_role(needs))


Info = strawberry.Info[Context, Any]
K = TypeVar("K")
V = TypeVar("V")


def load(
    info: Info, key: K, fetch: Callable[[Sequence[K]], Awaitable[Mapping[K, V]]]
) -> asyncio.Future[V]:
    """What `fetch` gives for `key`, in one batch with all objects whose same field is resolved at this time.

    The field nodes are the batch's name: where they are the same, so are arguments and selection.
    """
    batch = tuple(map(id, info._raw_info.field_nodes))  # noqa: SLF001 - Strawberry's own are copies
    return info.context.loaders.load(batch, key, fetch)


def _role(needs: Needs) -> Role:
    if isinstance(needs, Role):
        return needs
    return Role.ADMIN if needs is Permission.STAFF else Role.READ
