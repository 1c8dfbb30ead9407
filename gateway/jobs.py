"""Jobs as GraphQL has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_FINAL = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})


def is_over(job: Mapping[str, Any]) -> bool:
    """Whether a job has reached a state that it stays in."""
    return job["status"] in _FINAL
