"""What a sync does with the rows of a table that are stored already."""

from __future__ import annotations

from enum import StrEnum


class SyncMode(StrEnum):
    """FULL replaces them, APPEND only adds, MERGE puts a row in the place of the one with its key. Kept by value."""

    FULL = "full"
    APPEND = "append"
    MERGE = "merge"
