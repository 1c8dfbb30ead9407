"""How a source is dealt with: when its columns drift, its rows are bad, its snapshots get old."""

from __future__ import annotations

from typing import Any

from models import DriftPolicy
from services import values

QUARANTINE_ROWS_MAX = 100_000  # of one table and sync: what a side file holds at most
SNAPSHOTS_KEPT_MAX = 100_000
SNAPSHOTS_KEPT_DAYS_MAX = 36_500

# Each column of `DataSource`: its least and most, and what it is where nothing is said.
_LIMITS: dict[str, tuple[str, int, int, int | None]] = {
    "quarantine_rows_max": ("quarantineRowsMax", 0, QUARANTINE_ROWS_MAX, 1_000),
    "snapshots_kept": ("snapshotsKept", 1, SNAPSHOTS_KEPT_MAX, None),
    "snapshots_kept_days": ("snapshotsKeptDays", 0, SNAPSHOTS_KEPT_DAYS_MAX, None),
}
POLICIES = ("drift_policy", *_LIMITS)


def policy(name: str, value: Any, path: str) -> Any:
    """What the column `name` of `DataSource` keeps; None asks for the usual. Raises InvalidInput."""
    if name == "drift_policy":
        return DriftPolicy.EVOLVE if value is None else DriftPolicy(value)
    field, least, most, usual = _LIMITS[name]
    if value is None:
        return usual
    return values.between(value, f"{path}.{field}", least=least, most=most)
