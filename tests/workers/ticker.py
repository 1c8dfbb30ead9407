"""A process that looks for due schedules until none is left, and prints how many it ran: `ticker.py URL`."""

import asyncio
import sys

from models import Schedule, database
from services import schedules


async def main(url: str) -> None:
    async with database.open(url, pool=3):
        print("ready", flush=True)
        sys.stdin.readline()
        queued = 0
        while await Schedule.filter(next_run_ms=0).exists():
            queued += await schedules.tick()
        print(queued, flush=True)


asyncio.run(main(*sys.argv[1:]))
