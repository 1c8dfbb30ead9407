"""What goes over the wire: `job:project` pairs, parted by spaces. Ids alone, so whoever listens in learns nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

HINTS_MAX = 150  # of one message: 6,150 bytes at most, below the 8,000 of a PostgreSQL notification
_HINT = re.compile(r"(\d{1,19}):(\d{1,19})", re.ASCII)


def pack(projects: Mapping[int, int]) -> Iterator[str]:
    """Messages that say of these jobs, each with its project, that they changed."""
    hints = [f"{job}:{project}" for job, project in projects.items()]
    for start in range(0, len(hints), HINTS_MAX):
        yield " ".join(hints[start : start + HINTS_MAX])


def unpack(message: str) -> Sequence[tuple[int, int]]:
    """The pairs of job and project in a message; what is none is left out."""
    found = map(_HINT.fullmatch, message.split(" "))
    return [(int(hint[1]), int(hint[2])) for hint in found if hint]
