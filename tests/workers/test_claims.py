"""Several processes claim the same jobs; nobody gets one twice."""

import subprocess
import sys
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path

import pytest

from models import Job, JobKind, JobStatus
from models.database import Database
from tests.clients import ROOT
from tests.factories import make_source

PROCESSES = 8
JOBS = 400
CLAIMER = Path(__file__).with_name("claimer.py")


@pytest.mark.e2e
async def test_several_processes_claim_each_job_once(database: Database) -> None:
    sources = [await make_source() for _ in range(3)]  # of different teams
    kinds = [JobKind.SYNC, JobKind.SCRIPT]
    await Job.bulk_create(
        Job(
            kind=kinds[number % 2],
            project_id=source.project_id,  # type: ignore[attr-defined]
            data_source_id=source.id,
        )
        for number, source in zip(range(JOBS), cycle(sources), strict=False)
    )

    with ExitStack() as stack:
        claimers = [
            stack.enter_context(
                subprocess.Popen(  # noqa: ASYNC220 - the test has nothing else to do
                    [sys.executable, str(CLAIMER), database.url, f"w{number}"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={"PYTHONPATH": str(ROOT)},
                )
            )
            for number in range(PROCESSES)
        ]
        for claimer in claimers:
            assert claimer.stdout is not None
            assert claimer.stdout.readline() == "ready\n"
        for claimer in claimers:
            assert claimer.stdin is not None
            claimer.stdin.write("go\n")
            claimer.stdin.flush()
        lines = [claimer.communicate()[0].splitlines() for claimer in claimers]

    claims = [tuple(map(int, line.split())) for each in lines for line in each]
    assert [claimer.returncode for claimer in claimers] == [0] * PROCESSES
    assert sorted(job_id for job_id, _ in claims) == sorted(
        [job.id for job in await Job.all().only("id")]
    )
    assert {fence for _, fence in claims} == {1}
    assert await Job.filter(status=JobStatus.SUCCEEDED).count() == JOBS
    assert sum(bool(each) for each in lines) > 1, "it was a race"
