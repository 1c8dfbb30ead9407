"""A process that claims jobs until none is left, prints what it got, and finishes each: `claimer.py URL NAME`."""

import asyncio
import sys

from models import database
from services import leases


async def nothing() -> None:
    pass


async def main(url: str, name: str) -> None:
    async with database.open(url, pool=3):
        print("ready", flush=True)
        sys.stdin.readline()
        while (lease := await leases.claim(name, 60_000)) is not None:
            await leases.finish(lease, nothing)
            print(lease.job_id, lease.fence, flush=True)


asyncio.run(main(*sys.argv[1:]))
