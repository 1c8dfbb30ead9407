"""Snapshots: reading their rows, links that download them, and their history."""

from services.snapshots.downloads import export
from services.snapshots.history import discard, release, restore
from services.snapshots.links import EXPORTS_PATH, Link, is_alive, presign
from services.snapshots.reading import rows

__all__ = [
    "EXPORTS_PATH",
    "Link",
    "discard",
    "export",
    "is_alive",
    "presign",
    "release",
    "restore",
    "rows",
]
