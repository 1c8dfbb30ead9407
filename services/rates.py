"""How often a user may do what costs more than a few statements. Counted in this process's memory."""

from __future__ import annotations

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from base.errors import RateLimited
from services.access import Viewer
from services.platform import Platform

SCRIPTS_PER_MINUTE_MAX = 60

# Several API processes allow as many times more: the limit is against port scans, guessed passwords and
# parsers kept busy, not a quota.
_storage = MemoryStorage()
_limiter = MovingWindowRateLimiter(_storage)


def spend_dial(platform: Platform, viewer: Viewer) -> None:
    """Count a connection that a user has this server make; raises RateLimited over the setting's number a minute."""
    most = platform.settings.connection_checks_per_minute_max
    _spend("dial", viewer, most, f"You have tested {most} connections within a minute")


def spend_script(viewer: Viewer) -> None:
    """Count a script that a user has this server parse; raises RateLimited over `SCRIPTS_PER_MINUTE_MAX`."""
    most = SCRIPTS_PER_MINUTE_MAX
    _spend("script", viewer, most, f"You have uploaded {most} scripts within a minute")


def _spend(what: str, viewer: Viewer, most: int, done: str) -> None:
    item = RateLimitItemPerMinute(most)
    if _limiter.hit(item, what, str(viewer.user_id)):
        return
    window = _limiter.get_window_stats(item, what, str(viewer.user_id))
    seconds = max(math.ceil(window.reset_time - time.time()), 1)
    raise RateLimited(f"{done}, which is the limit.", hint=f"Try again in {seconds} seconds.")


def forget() -> None:
    """Start all counts anew."""
    _storage.reset()
