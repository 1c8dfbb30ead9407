"""Scripts that crash, never end, fork, and want all there is: only their own process dies, and the limit is named."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from models import Job, JobLog, JobStatus
from services import dispatch, leases
from tests.clients import ServerProcess
from tests.factories import make_script_job
from tests.workers.deployments import EMBEDDED, REDIS, Deployment, is_running, pid_of
from tests.workers.processes import over, succeeded
from tests.workers.scripting import derived_of, objects_of, printed, stored_source

pytestmark = pytest.mark.e2e
MIB = 1024**2
SAMPLE_SECONDS = 0.01
GROWTH_BYTES_MAX = (
    48 * MIB
)  # of the worker: a few jobs at once and what they say, not what they make
LIMITS = {
    "script_output_bytes_max": 8 * MIB,
    "script_log_bytes_max": 50_000,
}
SAME = "def run(df):\n    return df\n"
POISON = "import ctypes\ndef run(df):\n    ctypes.string_at(0)\n"
MEMORY = """
def run(df):
    kept = []
    while True:
        kept.append(bytearray(256 * 1024**2))
"""
ENDLESS = "import time\ndef run(df):\n    while True:\n        time.sleep(0.01)\n"
FORKS = "import os\ndef run(df):\n    while True:\n        os.fork()\n"
OUTPUT = """
import pandas as pd
def run_batches(batches):
    for _ in range(10_000):
        yield pd.DataFrame({"a": ["x" * 1_000] * 1_000})
"""
PRINTS = """
import sys
def run(df):
    line = "x" * (1024**2 - 1)
    for _ in range(%d):  # megabytes
        print(line)
    return df
"""


# On SQLite and on PostgreSQL; what carries wake-ups has no part in it.
@pytest.mark.parametrize("deployment", [EMBEDDED, REDIS], indirect=True)
async def test_scripts_that_go_wrong_end_alone_and_name_their_limit(
    deployment: Deployment,
) -> None:
    deployment.settings |= LIMITS
    megabytes = 1024 if deployment.is_embedded else 256  # each far more than a worker may grow
    async with deployment.opened() as platform:
        source = await stored_source(platform)
        deployment.start_workers(1)
        (worker,) = deployment.workers
        await dispatch.wake()
        await succeeded(await make_script_job(source, SAME, SAME))

        async with measured(worker) as rss:
            bad = [
                await make_script_job(source, SAME, body)
                for body in (POISON, MEMORY, FORKS, OUTPUT, PRINTS % megabytes)
            ]
            await make_script_job(source, SAME, ENDLESS)
            good = [await make_script_job(source, SAME, SAME) for _ in range(2)]
            await dispatch.wake(4)
            for job in good:
                await derived_of(await succeeded(job))
            poison, memory, forks, output, prints = [await over(job) for job in bad]

        print(
            f"{deployment.name}: the worker had {rss[0] / MIB:.0f} MiB, at most {max(rss) / MIB:.0f}"
        )
        assert is_running(worker)
        assert max(rss) - rss[0] < GROWTH_BYTES_MAX
        assert told(poison) == (JobStatus.FAILED, leases.DEATHS_MAX, "INVALID_INPUT")
        assert poison.error["message"].startswith("step-1.py ended its process 3 times: ")
        assert told(memory) == (JobStatus.FAILED, 1, "PAYLOAD_TOO_LARGE")
        assert "HEADWATER_SCRIPT_MEMORY_BYTES_MAX" in memory.error["hint"]
        assert told(forks) == (JobStatus.FAILED, 1, "INVALID_INPUT")
        assert "step-1.py, line 4" in forks.error["message"]
        assert told(output) == (JobStatus.FAILED, 1, "PAYLOAD_TOO_LARGE")
        assert output.error["message"] == "The result of the script is over 8 MB."
        assert (prints.status, prints.attempts) == (JobStatus.SUCCEEDED, 1)
        assert sum(map(len, await printed(prints))) < 2 * LIMITS["script_log_bytes_max"]
        assert await JobLog.filter(job_id=prints.id, message__contains="left out").exists()
        for job in (poison, memory, forks, output):
            assert await objects_of(platform, job) == set()
        await succeeded(await make_script_job(source, SAME))


@pytest.mark.parametrize("deployment", [EMBEDDED], indirect=True)
async def test_a_script_without_end_is_ended_and_its_limit_named(deployment: Deployment) -> None:
    deployment.settings["script_seconds_max"] = 2
    async with deployment.opened() as platform:
        source = await stored_source(platform)
        deployment.start_workers(1)
        endless = await make_script_job(source, ENDLESS)
        await dispatch.wake()

        ended = await over(endless)

        assert told(ended) == (JobStatus.FAILED, 1, "TIMEOUT")
        assert "limit of 2 seconds" in ended.error["message"]
        assert await objects_of(platform, ended) == set()


def told(job: Job) -> tuple[JobStatus, int, str]:
    """How a job ended, after how many attempts, and the code of its error."""
    return job.status, job.attempts, job.error["code"]


@asynccontextmanager
async def measured(worker: ServerProcess) -> AsyncIterator[list[int]]:
    """What the process of the worker itself has in memory, in bytes, again and again while the block runs."""
    found = [rss_bytes(pid_of(worker))]

    async def measure() -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            found.append(rss_bytes(pid_of(worker)))

    task = asyncio.create_task(measure())
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait({task})


def rss_bytes(pid: int) -> int:
    """Resident memory of one process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))
