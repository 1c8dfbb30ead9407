"""What every worker does by the clock: sweep and run schedules once a second, tidy up once an hour."""

from __future__ import annotations

import asyncio
import logging
import random
import time

from services import dispatch, leases, schedules
from services.platform import Platform
from workers import housekeeping
from workers.engine import DatabaseFailure

SWEEP_SECONDS = 1.0
TIDY_SECONDS = 3600.0
FIRST_TIDY_SECONDS = 60.0

_log = logging.getLogger(__name__)


async def run(platform: Platform) -> None:
    """Until cancelled."""
    others = [asyncio.create_task(each) for each in (_tick(), _tidy(platform))]
    try:
        while True:
            started = time.monotonic()
            await _sweep()
            await asyncio.sleep(max(SWEEP_SECONDS - (time.monotonic() - started), 0))
    finally:
        for task in others:
            task.cancel()
        await asyncio.wait(others)


async def _sweep() -> None:
    try:
        due = await leases.sweep()
    except DatabaseFailure as error:
        _log.warning("jobs could not be swept: %s", type(error).__name__)
    except Exception:  # noqa: BLE001 - a worker that sweeps no more would leave every job to others
        _log.exception("jobs could not be swept")
    else:
        if due:
            await dispatch.wake(due)


async def _tick() -> None:
    """Beside the sweeps, for many schedules may be due at the same minute."""
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            queued = await schedules.tick()
        except DatabaseFailure as error:
            _log.warning("schedules could not be looked for: %s", type(error).__name__)
        except Exception:  # noqa: BLE001 - likewise
            _log.exception("schedules could not be looked for")
        else:
            if queued:
                await dispatch.wake(queued)


async def _tidy(platform: Platform) -> None:
    housekeeper = housekeeping.Housekeeper(platform)
    pause = FIRST_TIDY_SECONDS
    while True:
        await asyncio.sleep(pause * random.uniform(0.9, 1.1))  # noqa: S311 - workers should not do it all at once
        pause = TIDY_SECONDS
        await tidy(housekeeper)


async def tidy(housekeeper: housekeeping.Housekeeper) -> None:
    """One round; whatever ends it early is logged, for the next one goes on."""
    try:
        await housekeeper.tidy()
    except Exception:  # noqa: BLE001 - likewise
        _log.exception("tidying up did not finish; the next round goes on")
