"""Several processes look for the same due schedules; each runs once, also after a long stand-still."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from models import Job, Schedule
from models.database import Database
from tests import factories
from tests.clients import ROOT

PROCESSES = 4
SCHEDULES = 60
ROUNDS = 2
TICKER = Path(__file__).with_name("ticker.py")


@pytest.mark.e2e
async def test_several_processes_run_each_tick_once(database: Database) -> None:
    staff = await factories.make_user(is_staff=True)
    project = await factories.make_project()
    for _ in range(SCHEDULES):
        await factories.make_schedule(
            await factories.make_source(project), creator=staff, cron="0 0 1 1 *"
        )
    for done in range(1, ROUNDS + 1):
        await Job.all().update(active_key=None)
        await Schedule.all().update(next_run_ms=0)  # 1970: as if nobody had looked since

        ran = run(database.url)

        assert sum(ran) == SCHEDULES
        jobs = await Job.all()
        assert len(jobs) == SCHEDULES * done
        last = {schedule.last_job_id for schedule in await Schedule.all()}
        assert last == {job.id for job in jobs if job.active_key is not None}
        assert len(last) == SCHEDULES


def run(url: str) -> list[int]:
    """How many ticks each of the processes ran."""
    with ExitStack() as stack:
        tickers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(TICKER), url],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={"PYTHONPATH": str(ROOT)},
                )
            )
            for _ in range(PROCESSES)
        ]
        for ticker in tickers:
            assert ticker.stdout is not None
            assert ticker.stdout.readline() == "ready\n"
        for ticker in tickers:
            assert ticker.stdin is not None
            ticker.stdin.write("go\n")
            ticker.stdin.flush()
        ran = [int(ticker.communicate()[0]) for ticker in tickers]
        assert [ticker.returncode for ticker in tickers] == [0] * PROCESSES
        return ran
