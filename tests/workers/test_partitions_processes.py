"""Partitions on real worker processes: several take part, and one that is killed loses none that is done."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from models import Job, JobStatus
from services import dispatch
from tests.factories import make_script_job
from tests.workers.deployments import Deployment, kill
from tests.workers.processes import succeeded, until
from tests.workers.scripting import assert_nothing_left, derived_of, lines, stored_source
from tests.workers.syncing import rows_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
PARTS = 6
ROWS = 600
SLOW = """
import time
def run(df):
    time.sleep(1.5)
    return df.assign(double=df["id"] * 2)
"""
REDUCE = "def run(df):\n    return df[df['id'] % 2 == 0]\n"


async def told(job: Job, pattern: str) -> list[str]:
    """What the log's lines have in the pattern's group."""
    found = [re.search(pattern, line.message) for line in await lines(job)]
    return [each[1] for each in found if each]


async def children_of(job: Job) -> list[Job]:
    return await Job.filter(parent_id=job.id).order_by("id")


async def test_several_workers_take_part_and_a_killed_one_s_partition_is_taken_over(
    deployment: Deployment,
) -> None:
    async with deployment.opened() as platform:
        source = await stored_source(platform, rows=ROWS, part_rows=ROWS // PARTS)
        options = {"table": [None, "t"], "reuse": False, "partitioned": 1, "partitions": PARTS}
        job = await make_script_job(source, SLOW, REDUCE, options=options)
        deployment.start_workers(2)
        await dispatch.wake()

        async def is_partly_done() -> bool:
            statuses = Counter(child.status for child in await children_of(job))
            return statuses[JobStatus.SUCCEEDED] > 0 and statuses[JobStatus.RUNNING] > 0

        await until(is_partly_done)
        done = {child.id for child in await children_of(job) if child.status is JobStatus.SUCCEEDED}
        victim = deployment.workers[0]
        kill(victim)
        deployment.restart(victim)
        ended = await succeeded(job)

        rows = await rows_of(platform, await derived_of(ended), "t")
        assert [(row["id"], row["double"]) for row in rows] == [
            (i, 2 * i) for i in range(0, ROWS, 2)
        ]
        children = await children_of(job)
        assert {child.attempts for child in children if child.id in done} == {1}
        assert {child.status for child in children} == {JobStatus.SUCCEEDED}
        if not deployment.is_embedded:
            assert len(set(await told(job, r"^\[.*began on worker (\S+)\."))) > 1
        await assert_nothing_left(platform, ended, await derived_of(ended))
