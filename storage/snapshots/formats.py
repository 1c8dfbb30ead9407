"""What a table can be downloaded as."""

from __future__ import annotations

from enum import StrEnum


class ExportFormat(StrEnum):
    """What a download holds. ORIGINAL is the file that was uploaded, byte by byte; it and QUARANTINE are stored so."""

    ORIGINAL = "original"
    CSV = "csv"
    PARQUET = "parquet"
    JSONL = "jsonl"
    QUARANTINE = "quarantine"
