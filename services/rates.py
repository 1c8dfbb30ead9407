"""How often a user may do what reaches out to other machines. Counted in this process's memory."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from base.errors import RateLimited
from services.access import Viewer
from services.platform import Platform

# Several API processes allow as many times more: the limit is against port scans and guessed passwords, not a quota.
_storage = MemoryStorage()
_limiter = MovingWindowRateLimiter(_storage)


def spend_dial(platform: Platform, viewer: Viewer) -> None:
    """Count a connection that a user has this server make; raises RateLimited over the setting's number a minute."""
    most = platform.settings.connection_checks_per_minute_max
    item = RateLimitItemPerMinute(most)
    if _limiter.hit(item, "dial", str(viewer.user_id)):
        return
    window = _limiter.get_window_stats(item, "dial", str(viewer.user_id))
    seconds = max(math.ceil(window.reset_time - time.time()), 1)
    raise RateLimited(
        f"You have tested {most} connections within a minute, which is the limit.",
        hint=f"Try again in {seconds} seconds.",
    )


def forget() -> None:
    """Start all counts anew."""
    _storage.reset()
