"""What every service verb is handed: the few long-lived things that a process owns."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from base.credentials import Keyring
from base.net import Guard
from base.settings import Settings
from storage.snapshots.rows import Rows
from storage.store import ObjectStore

EXAMINATIONS_MAX = 4  # scripts that one process has parsed at once


def _examinations() -> asyncio.Semaphore:
    return asyncio.Semaphore(EXAMINATIONS_MAX)


@dataclass(frozen=True, slots=True)
class Platform:
    """Made once by `server/`, passed to each service verb and each job."""

    settings: Settings
    keyring: Keyring
    store: ObjectStore
    guard: Guard
    rows: Rows = field(default_factory=Rows, compare=False)
    examinations: asyncio.Semaphore = field(
        default_factory=_examinations, compare=False, repr=False
    )
