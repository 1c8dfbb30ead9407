"""What subscriptions are about, declared at their root fields, and the one thing that an event is of."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.access import Viewer
from services.progress import Hub, Watch

TOPIC = "headwater.topic"


@dataclass(slots=True)
class Event:
    """A job that may have changed. The field's resolver fills in what it read; `revision` stays None without a row."""

    job_id: int
    revision: int | None = None
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Topic:
    """One job until it is over, or every job of a project for ever.

    `now` gives the keys of the jobs to begin with; `check` raises NotFound where the viewer may no longer watch.
    """

    now: Callable[[], Awaitable[Sequence[int]]]
    check: Callable[[Viewer], Awaitable[None]]
    job_id: int | None = None
    project_id: int | None = None

    def watch(self, hub: Hub) -> Watch:
        """Whose news these are."""
        if self.job_id is not None:
            return hub.watch_job(self.job_id)
        assert self.project_id is not None, "a topic is a job or a project"
        return hub.watch_project(self.project_id)


# From who asks, and the field's arguments, to what is watched; raises NotFound.
FindTopic = Callable[[Viewer, Mapping[str, Any]], Awaitable[Topic]]
