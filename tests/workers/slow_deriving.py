"""A second child of a script job that takes its time."""

from __future__ import annotations

import time

from workers import deriving
from workers.messages import Derived, DeriveOrder

SECONDS = 600


def derive(descriptors: tuple[int, ...], order: DeriveOrder) -> Derived:
    """Wait, so that somebody can cancel; then what the real one does."""
    (order.folder / "begun").touch()
    time.sleep(SECONDS)
    return deriving.derive(descriptors, order)
