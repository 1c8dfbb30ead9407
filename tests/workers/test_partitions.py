"""Script jobs whose first steps run over partitions of the table: the result is that of the whole, whoever does what."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import DataSource, Job, JobLog, JobStatus, JobStep, Snapshot
from services import jobs, leases
from services import partitions as services_partitions
from services.leases import LeaseLost
from services.platform import Platform
from services.scripts import shares
from storage.location import Location
from storage.s3 import S3Store
from storage.sigv4 import Credentials
from storage.snapshots.manifest import Manifest, StoredFile
from tests.factories import make_script_job
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.workers.partitioning import (
    BATCHES,
    CLEAN,
    COUNT,
    PARTS,
    cells,
    children_of,
    parted,
    partitioned,
)
from tests.workers.scripting import (
    ROWS,
    assert_nothing_left,
    derived_of,
    limited,
    lines,
    objects_of,
    steps_of,
    until,
    worked,
    worker_of,
    working,
)
from tests.workers.syncing import table_of
from workers import engine, partitions, scripts
from workers.housekeeping import Housekeeper

FAILS = """
def run(df):
    if (df["id"] == 450).any():
        raise ValueError("no 450")
    return df
"""
WAITS = """
import time
def run(df):
    print("at", df["id"].iloc[0])
    time.sleep(600)
    return df
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(partitions, "LOOK_SECONDS", 0.05)


def workers_of(log: list[JobLog]) -> set[str]:
    """Who worked on partitions."""
    found = [re.search(r"^\[.*began on worker (\w+)\.", line.message) for line in log]
    return {each[1] for each in found if each}


@pytest.mark.parametrize("count", [2, 3, PARTS])
async def test_the_result_is_that_of_the_whole_cell_by_cell_and_in_its_order(
    platform: Platform, count: int
) -> None:
    source = await parted(platform)

    whole = await worked(platform, await make_script_job(source, CLEAN, BATCHES))
    job = await worked(platform, await partitioned(source, CLEAN, BATCHES, count=count))

    assert await cells(platform, job) == await cells(platform, whole)
    snapshot, other = await derived_of(job), await derived_of(whole)
    assert table_of(snapshot, "t").table == table_of(other, "t").table
    assert await steps_of(job) == [
        (JobStatus.SUCCEEDED, 1000, 334),
        (JobStatus.SUCCEEDED, 334, 334),
    ]
    assert (job.rows_done, job.rows_total, job.attempts) == (1334, 1334, 1)
    children = await children_of(job)
    assert [child.status for child in children] == [JobStatus.SUCCEEDED] * count
    assert [(child.attempts, child.active_key, child.worker) for child in children] == [
        (1, None, None)
    ] * count
    assert snapshot.receipt["balanced"]
    await assert_nothing_left(platform, job, snapshot)


async def test_a_whole_step_sees_what_all_partitions_made_in_order(platform: Platform) -> None:
    source = await parted(platform)

    job = await worked(platform, await partitioned(source, CLEAN, COUNT, steps=1))

    assert await cells(platform, job) == [
        {"rows": 334, "ids": sum(range(0, ROWS, 3)), "ordered": True}
    ]
    assert await steps_of(job) == [
        (JobStatus.SUCCEEDED, 1000, 334),
        (JobStatus.SUCCEEDED, 334, 1),
    ]
    await assert_nothing_left(platform, job, await derived_of(job))


async def test_a_step_in_batches_reads_all_partitions_one_after_the_other(
    platform: Platform,
) -> None:
    source = await parted(platform)
    body = """
def run_batches(batches):
    for batch in batches:
        print("batch", len(batch), batch["id"].iloc[0])
        yield batch
"""

    job = await worked(platform, await partitioned(source, CLEAN, body, steps=1))

    assert [row["id"] for row in await cells(platform, job)] == list(range(0, ROWS, 3))
    told = [line.message for line in await lines(job) if line.message.startswith("batch")]
    assert told == ["batch 67 0", "batch 67 201", "batch 66 402", "batch 67 600", "batch 67 801"]


async def test_the_log_of_partitions_is_the_job_s_with_their_numbers(platform: Platform) -> None:
    source = await parted(platform)
    job = await partitioned(
        source, "def run(df):\n    print('n', len(df))\n    return df\n", count=2
    )

    job = await worked(platform, job)

    await derived_of(job)
    assert [line.message for line in await lines(job) if line.step == "step-0.py"] == [
        "[1/2] Step 1 of 1, step-0.py: 600 rows.",
        "[1/2] n 600",
        "[1/2] step-0.py: 600 rows in, 600 rows out.",
        "[2/2] Step 1 of 1, step-0.py: 400 rows.",
        "[2/2] n 400",
        "[2/2] step-0.py: 400 rows in, 400 rows out.",
        "step-0.py: 1,000 rows in, 1,000 rows out.",
    ]
    assert await JobLog.filter(job__parent_id__not_isnull=True).count() == 0


async def test_a_partition_that_fails_fails_the_job_and_ends_the_others(platform: Platform) -> None:
    source = await parted(platform)

    job = await worked(platform, await partitioned(source, CLEAN.replace("% 3", "% 1"), FAILS))

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "INVALID_INPUT")
    assert job.error["message"] == "Partition 3 of 5: ValueError: no 450 (step-1.py, line 4)"
    steps = await JobStep.filter(job_id=job.id).order_by("position")
    assert [step.status for step in steps] == [JobStatus.CANCELLED, JobStatus.FAILED]
    assert steps[1].error["message"] == job.error["message"]
    assert [child.status for child in await children_of(job)] == [
        JobStatus.SUCCEEDED,
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    assert await Snapshot.filter(is_derived=True).count() == 0
    await assert_nothing_left(platform, job)


@pytest.mark.parametrize("how", ["job", "source"])
async def test_a_cancelled_job_ends_with_all_its_partitions(platform: Platform, how: str) -> None:
    source = await parted(platform)
    job = await partitioned(source, WAITS)

    async with working(platform, job) as work:

        async def is_at_work() -> bool:
            return any("] at 0" in line.message for line in await lines(job))

        await until(is_at_work)
        if how == "job":
            await jobs.cancel_jobs([job.id])
        else:
            await jobs.cancel_work([source.id])
        ended = await work

    assert (ended.status, ended.error) == (JobStatus.CANCELLED, None)
    children = await children_of(job)
    assert {child.status for child in children} == {JobStatus.CANCELLED}
    assert {child.active_key for child in children} == {None}
    assert await steps_of(job) == [(JobStatus.CANCELLED, 1000, None)]
    await assert_nothing_left(platform, job)


async def test_jobs_that_hold_every_slot_do_their_own_partitions(platform: Platform) -> None:
    few = limited(platform, worker_threads=2)
    source = await parted(platform)
    queued = [await partitioned(source, CLEAN) for _ in range(4)]
    worker = worker_of(few)

    async with asyncio.timeout(300):
        await asyncio.gather(*(worker.look() for _ in range(4)))

    for job in queued:
        ended = await Job.get(id=job.id)
        assert await Snapshot.exists(id=ended.snapshot_id)
        assert [row["id"] for row in await cells(platform, ended)] == list(range(0, ROWS, 3))
        assert {child.attempts for child in await children_of(job)} == {1}


async def test_partitions_run_on_several_workers_at_once(platform: Platform) -> None:
    source = await parted(platform)
    body = "import time\ndef run(df):\n    time.sleep(2)\n    return df\n"
    job = await partitioned(source, body)
    workers = [worker_of(platform, name) for name in ("w1", "w2", "w3")]

    async def work(number: int) -> None:
        while not (await Job.get(id=job.id)).status.is_terminal:
            await workers[number].look()
            await asyncio.sleep(0.05)

    async with asyncio.timeout(300):
        await asyncio.gather(*map(work, range(3)))

    ended = await Job.get(id=job.id)
    assert [row["id"] for row in await cells(platform, ended)] == list(range(ROWS))
    assert len(workers_of(await lines(job))) > 1
    assert {child.attempts for child in await children_of(job)} == {1}


async def test_the_next_attempt_goes_on_with_the_partitions_that_are_done(
    platform: Platform,
) -> None:
    source = await parted(platform)
    job = await partitioned(source, CLEAN, COUNT, steps=1)
    lost = await leases.claim("w0", 30_000)
    assert lost is not None
    stored = table_of(await Snapshot.get(id=source.current_snapshot_id), "t")
    assert await services_partitions.queue(lost, shares(stored.parts, PARTS))
    for _ in range(2):
        taken = await leases.claim_partition(lost)
        assert taken is not None
        await scripts.run(platform, taken)
    assert await leases.claim_partition(lost) is not None
    await leases.expire("w0")
    await leases.sweep()

    ended = await worked(platform, job)

    assert ended.attempts == 2
    assert await cells(platform, ended) == [
        {"rows": 334, "ids": sum(range(0, ROWS, 3)), "ordered": True}
    ]
    assert [child.attempts for child in await children_of(job)] == [1, 1, 2, 1, 1]
    await assert_nothing_left(platform, job, await derived_of(ended))


async def test_an_attempt_that_was_overtaken_neither_gets_nor_ends_partitions(
    platform: Platform,
) -> None:
    source = await parted(platform)
    job = await partitioned(source, CLEAN, count=2)
    lost = await leases.claim("w0", 30_000)
    assert lost is not None
    await services_partitions.queue(lost, [(0, 1), (1, PARTS)])
    overtaken = await leases.claim_partition(lost)
    assert overtaken is not None
    await leases.expire("w0")
    await leases.sweep()
    held = await leases.claim("w1", 30_000)
    assert held is not None
    again = await leases.claim_partition(held)
    assert again is not None
    assert (again.job_id, again.fence) == (overtaken.job_id, 2)
    await scripts.run(platform, again)
    key = f"snapshots/{source.id}/{job.id}-partition-0-2/step-0.arrow"

    assert await leases.claim_partition(lost) is None
    with pytest.raises(LeaseLost):
        await services_partitions.queue(lost, [(0, 1)])
    with pytest.raises(LeaseLost):
        await scripts.run(platform, overtaken)
    with pytest.raises(LeaseLost):
        await leases.cancelled(overtaken)

    assert await objects_of(platform, job) == {key}
    assert [(child.status, child.attempts) for child in await children_of(job)] == [
        (JobStatus.SUCCEEDED, 2),
        (JobStatus.QUEUED, 0),
    ]
    assert [
        child.checkpoint["outputs"][0]["pieces"][0]["key"] for child in (await children_of(job))[:1]
    ] == [key]


async def test_a_partition_of_a_job_that_is_over_does_nothing(platform: Platform) -> None:
    source = await parted(platform)
    job = await partitioned(source, CLEAN)
    lease = await leases.claim("w0", 30_000)
    assert lease is not None
    await services_partitions.queue(lease, [(0, 1), (1, PARTS)])
    taken = await leases.claim_partition(lease)
    assert taken is not None
    await Job.filter(id=job.id).update(status=JobStatus.FAILED)

    with pytest.raises(leases.CancelRequested):
        await scripts.run(platform, taken)

    assert await objects_of(platform, job) == set()


async def test_objects_of_partitions_stay_while_the_job_is_active_and_go_with_it(
    platform: Platform,
) -> None:
    source = await parted(platform)
    job = await partitioned(source, CLEAN, count=2)
    lease = await leases.claim("w0", 30_000)
    assert lease is not None
    await services_partitions.queue(lease, [(0, 1), (1, PARTS)])
    taken = await leases.claim_partition(lease)
    assert taken is not None
    await scripts.run(platform, taken)
    await Housekeeper(platform).tidy()
    key = f"snapshots/{source.id}/{job.id}-partition-0-{taken.fence}/step-0.arrow"
    assert await objects_of(platform, job) == {key}
    await leases.release(lease)
    await jobs.cancel_jobs([job.id])

    await Housekeeper(platform).tidy()

    assert await objects_of(platform, job) == set()
    snapshot = await Snapshot.get(id=source.current_snapshot_id)
    named = Manifest.from_json(snapshot.manifest).keys()
    assert all([await platform.store.head(key) for key in named])


async def test_a_worker_that_stops_gives_back_the_job_and_its_partition(
    platform: Platform,
) -> None:
    source = await parted(platform)
    job = await partitioned(source, WAITS)
    worker = worker_of(platform)
    async with AsyncExitStack() as stack:
        look = asyncio.create_task(worker.look())
        stack.callback(look.cancel)

        async def is_at_work() -> bool:
            return any("] at 0" in line.message for line in await lines(job))

        await until(is_at_work)
        await worker.stop(60)
        await look

    found = [await Job.get(id=job.id), *await children_of(job)]
    assert {each.status for each in found} == {JobStatus.QUEUED}
    assert {(each.deaths, each.failures, each.worker) for each in found} == {(0, 0, None)}


async def test_a_partition_that_ends_its_process_three_times_fails_the_job(
    platform: Platform,
) -> None:
    source = await parted(platform)
    body = "import os\ndef run(df):\n    if df['id'].iloc[0] == 200: os.kill(os.getpid(), 9)\n    return df\n"

    job = await worked(platform, await partitioned(source, body))

    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert job.error["message"].startswith("Partition 2 of 5: step-0.py ended its process 3 times")
    assert (await children_of(job))[1].attempts == leases.DEATHS_MAX
    await assert_nothing_left(platform, job)


async def test_partitions_leave_their_objects_in_a_bucket_for_whoever_goes_on(
    platform: Platform, s3_server: S3Server, tmp_path: Path
) -> None:
    location, credentials = Location.parse(s3_server.url()), Credentials(KEY_ID, SECRET)
    stores = [S3Store(location, credentials, tmp_path / name, 2**30) for name in ("one", "two")]
    here, there = (replace(platform, store=store) for store in stores)
    source = await parted(here)
    job = await partitioned(source, CLEAN, COUNT, steps=1)
    workers = [worker_of(here, "w1"), worker_of(there, "w2")]

    async with asyncio.timeout(300):
        while not (await Job.get(id=job.id)).status.is_terminal:
            await asyncio.gather(*(worker.look() for worker in workers))
            await asyncio.sleep(0.05)

    ended = await Job.get(id=job.id)
    assert await cells(here, ended) == [
        {"rows": 334, "ids": sum(range(0, ROWS, 3)), "ordered": True}
    ]
    assert (
        await objects_of(here, job) == Manifest.from_json((await derived_of(ended)).manifest).keys()
    )


async def test_deleted_rows_are_in_no_partition(platform: Platform) -> None:
    source = await parted(platform)
    snapshot = await Snapshot.get(id=source.current_snapshot_id)
    manifest = Manifest.from_json(snapshot.manifest)
    gone = await stored_vector(platform, source, [0, 199])
    first, second, *rest = manifest.tables[0].parts
    whole = await stored_vector(platform, source, list(range(200)))
    parts = (replace(first, deletes=gone), replace(second, deletes=whole), *rest)
    manifest = Manifest((replace(manifest.tables[0], parts=parts),))
    await Snapshot.filter(id=snapshot.id).update(manifest=manifest.to_json())

    job = await worked(platform, await partitioned(source, "df = df", count=4))

    ids = [row["id"] for row in await cells(platform, job)]
    assert ids == [*range(1, 199), *range(400, ROWS)]
    assert [child.rows_done for child in await children_of(job)] == [198, 200, 200, 200]


async def stored_vector(platform: Platform, source: DataSource, places: list[int]) -> StoredFile:
    """A delete vector in the store."""
    path = platform.store.scratch() / f"vector-{places[-1]}-{len(places)}"
    pq.write_table(pa.table({"row": pa.array(places, pa.uint32())}), path)
    size_bytes, key = path.stat().st_size, f"snapshots/{source.id}/0-1/{path.name}.parquet"
    platform.store.adopt(path, key)
    return StoredFile(key, len(places), size_bytes, "")
