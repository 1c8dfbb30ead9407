"""Schedules: syncs and script jobs by the clock, in the name of whoever made them."""

from services.schedules.storing import SCHEDULES_MAX, create, delete, update
from services.schedules.ticks import tick
from services.schedules.work import ScriptsWork, SyncWork, Work

__all__ = [
    "SCHEDULES_MAX",
    "ScriptsWork",
    "SyncWork",
    "Work",
    "create",
    "delete",
    "tick",
    "update",
]
