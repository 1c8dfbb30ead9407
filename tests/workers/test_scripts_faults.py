"""Script jobs that are cancelled, killed, too large, too slow, overtaken: what is left, and what goes on."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from base import process
from models import DataSource, Job, JobStatus, JobStep, Snapshot
from services import jobs, leases
from services.leases import LeaseLost
from services.platform import Platform
from storage.snapshots.manifest import Manifest
from tests.factories import make_script_job
from tests.workers.processes import embedded, headquarters, succeeded
from tests.workers.scripting import (
    assert_nothing_left,
    derived_of,
    limited,
    lines,
    objects_of,
    printed,
    steps_of,
    stored_source,
    until,
    worked,
    working,
)
from workers import engine, publishing, scripts, steps
from workers.housekeeping import Housekeeper
from workers.sandbox.messages import SCRIPT_PRELOAD

SAME = "def run(df):\n    print('once')\n    return df\n"
ENDLESS = """
import os
def run(df):
    print("pid", os.getpid())
    while True:
        pass
"""
DIES = """
import os, time
def run(df):
    print("dying")
    time.sleep(0.5)  # what is printed goes out a few times a second
    os.kill(os.getpid(), 9)
"""
SLOW = """
import os, time
def run(df):
    print("pid", os.getpid())
    time.sleep(3)
    return df
"""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "BACKOFF_SECONDS", 0.01)


async def pid_of(job: Job, number: int = 1) -> int:
    """The process of a script that told its id, for the n-th time."""
    found: list[str] = []

    async def is_told() -> bool:
        found[:] = [line for line in await printed(job) if line.startswith("pid ")]
        return len(found) >= number

    await until(is_told)
    return int(found[number - 1].removeprefix("pid "))


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_a_cancelled_script_ends_and_its_process_is_gone(platform: Platform) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source, SAME, ENDLESS, SAME)

    async with working(platform, job) as work:
        pid = await pid_of(job)
        assert is_alive(pid)
        await jobs.cancel_jobs([job.id])
        ended = await work

    assert (ended.status, ended.snapshot_id, ended.error) == (JobStatus.CANCELLED, None, None)
    assert not is_alive(pid)
    assert [status for status, *_ in await steps_of(job)] == [
        JobStatus.SUCCEEDED,
        JobStatus.CANCELLED,
        JobStatus.CANCELLED,
    ]
    assert await Snapshot.filter(is_derived=True).count() == 0
    await assert_nothing_left(platform, job)


async def test_a_job_is_cancelled_while_its_result_is_stored(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scripts, "DERIVE", "tests.workers.slow_deriving:derive")
    monkeypatch.setattr(
        steps,
        "SERVER",
        process.ForkServer((*SCRIPT_PRELOAD, "tests.workers.slow_deriving")),
    )
    source = await stored_source(platform)
    job = await make_script_job(source)

    async with working(platform, job) as work:
        folder = platform.store.scratch()

        async def is_deriving() -> bool:
            return any(folder.glob("derive-*/begun"))

        await until(is_deriving)
        assert await steps_of(job) == [(JobStatus.RUNNING, 1000, 1000)]
        await jobs.cancel_jobs([job.id])
        ended = await work
    steps.SERVER.stop()

    assert ended.status is JobStatus.CANCELLED
    assert await steps_of(job) == [(JobStatus.CANCELLED, 1000, 1000)]
    await assert_nothing_left(platform, job)


async def cancel(job: Job, _source: DataSource) -> None:
    await jobs.cancel_jobs([job.id])


async def delete_source(_job: Job, source: DataSource) -> None:
    await DataSource.filter(id=source.id).update(deleted_at=datetime.now(UTC))


async def delete_project(_job: Job, source: DataSource) -> None:
    project = await source.project
    await project.update_from_dict({"deleted_at": datetime.now(UTC)}).save()


@pytest.mark.parametrize("change", [cancel, delete_source, delete_project])
async def test_what_is_cancelled_or_deleted_at_the_last_moment_is_not_resurrected(
    platform: Platform,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Job, DataSource], Awaitable[None]],
) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source)
    check = publishing.check_objects

    async def checked(*given: Any) -> None:
        await check(*given)
        await change(job, source)

    monkeypatch.setattr(publishing, "check_objects", checked)

    ended = await worked(platform, job)

    assert (ended.status, ended.snapshot_id) == (JobStatus.CANCELLED, None)
    assert await Snapshot.filter(is_derived=True).count() == 0
    now = await DataSource.get(id=source.id)
    assert (now.derived_snapshot_id, now.snapshot_count) == (None, 1)
    await assert_nothing_left(platform, job)


async def test_after_a_kill_of_its_process_a_step_is_tried_again(platform: Platform) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source, SAME, SLOW)

    async with working(platform, job) as work:
        os.kill(await pid_of(job), signal.SIGKILL)
        ended = await work

    snapshot = await derived_of(ended)
    assert ended.attempts == 2
    assert [line.split()[0] for line in await printed(job)] == ["once", "pid", "pid"]
    assert any("SIGKILL" in line.message for line in await lines(job) if line.level == "warning")
    await assert_nothing_left(platform, job, snapshot)


async def test_a_script_that_ends_its_process_three_times_fails_and_the_worker_lives(
    platform: Platform,
) -> None:
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, DIES))

    assert (job.status, job.attempts) == (JobStatus.FAILED, leases.DEATHS_MAX)
    assert job.error["message"].startswith("step-0.py ended its process 3 times: ")
    assert "os._exit" in job.error["hint"]
    assert job.error["code"] == "INVALID_INPUT"
    assert await printed(job) == ["dying"] * 3
    await assert_nothing_left(platform, job)
    await derived_of(await worked(platform, await make_script_job(source)))


async def test_a_script_that_takes_too_long_fails_with_its_limit(platform: Platform) -> None:
    source = await stored_source(platform)
    short = limited(platform, script_seconds_max=1)

    job = await worked(short, await make_script_job(source, ENDLESS))

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "TIMEOUT")
    assert "limit of 1 seconds" in job.error["message"]
    await assert_nothing_left(platform, job)


async def test_a_script_that_needs_too_much_memory_fails_with_its_limit(platform: Platform) -> None:
    source = await stored_source(platform)
    body = "def run(df):\n    data = bytearray(64 * 1024**3)\n    return df\n"

    job = await worked(platform, await make_script_job(source, body))

    assert (job.status, job.attempts, job.error["code"]) == (
        JobStatus.FAILED,
        1,
        "PAYLOAD_TOO_LARGE",
    )
    assert "HEADWATER_SCRIPT_MEMORY_BYTES_MAX" in job.error["hint"]


async def test_a_result_over_its_limit_fails_with_it(platform: Platform) -> None:
    source = await stored_source(platform)
    body = "import pandas as pd\ndef run(df):\n    return pd.concat([df] * 1000)\n"

    job = await worked(
        limited(platform, script_output_bytes_max=1024**2), await make_script_job(source, body)
    )

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "PAYLOAD_TOO_LARGE")
    await assert_nothing_left(platform, job)


async def test_an_attempt_that_was_overtaken_commits_nothing_and_its_objects_go(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source)
    stale = await leases.claim("w0", 30_000)
    assert stale is not None
    check = publishing.check_objects
    taken = asyncio.Event()

    async def overtaken(*given: Any) -> None:
        await check(*given)
        monkeypatch.setattr(publishing, "check_objects", check)
        await leases.expire("w0")
        await leases.sweep()
        await derived_of(await worked(platform, job))
        taken.set()

    monkeypatch.setattr(publishing, "check_objects", overtaken)

    with pytest.raises(LeaseLost):
        await scripts.run(platform, stale)

    assert taken.is_set()
    snapshot = await Snapshot.get(is_derived=True)
    ended = await Job.get(id=job.id)
    assert (ended.attempts, ended.snapshot_id) == (2, snapshot.id)
    (step,) = await JobStep.filter(job_id=job.id)
    assert (step.status, step.rows_out) == (JobStatus.SUCCEEDED, snapshot.row_count)
    assert (await DataSource.get(id=source.id)).snapshot_count == 2
    await Housekeeper(platform).tidy()
    await assert_nothing_left(platform, job, snapshot)


async def test_objects_of_steps_stay_while_the_job_is_active_and_go_when_it_is_over(
    platform: Platform,
) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source, SAME, SAME)
    lease = await leases.claim("w0", 30_000)
    assert lease is not None
    source_, snapshot = await steps.input_of(lease)
    rows = await JobStep.filter(job_id=job.id).order_by("position")
    attempt = scripts._Attempt(platform, lease, source_, snapshot, rows)
    await attempt.run_steps()
    await Housekeeper(platform).tidy()
    assert await objects_of(platform, job) == {
        f"snapshots/{source.id}/{job.id}-{lease.fence}/step-1.arrow"
    }
    await Job.filter(id=job.id).update(status=JobStatus.CANCELLED)

    await Housekeeper(platform).tidy()

    assert await objects_of(platform, job) == set()
    assert await platform.store.head(next(iter(Manifest.from_json(snapshot.manifest).keys())))


@pytest.mark.e2e
async def test_a_kill_of_the_worker_in_step_two_does_not_repeat_step_one(
    database_url: str, tmp_path: Path
) -> None:
    async with headquarters(database_url, tmp_path, lease_seconds=3) as platform:
        source = await stored_source(platform)
        job = await make_script_job(source, SAME, SLOW, SAME)
        async with embedded(platform) as worker:
            pid = await pid_of(job)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            again = await pid_of(job, 2)
            ended = await succeeded(job, seconds=90)
            snapshot = await derived_of(ended)
            await assert_nothing_left(platform, job, snapshot)

        assert not is_alive(pid)
        assert again != pid
        assert ended.attempts == 2
        assert [line.split()[0] for line in await printed(job)] == ["once", "pid", "pid", "once"]
        assert [status for status, *_ in await steps_of(job)] == [JobStatus.SUCCEEDED] * 3
        assert (snapshot.row_count, snapshot.receipt["balanced"]) == (1000, True)


@pytest.mark.e2e
async def test_a_worker_that_stops_gives_the_job_back_and_takes_its_processes_along(
    sqlite_url: str, tmp_path: Path
) -> None:
    async with headquarters(sqlite_url, tmp_path) as platform:
        job = await make_script_job(await stored_source(platform), SAME, ENDLESS)
        async with embedded(platform):
            pid = await pid_of(job)
            status = await asyncio.to_thread(Path(f"/proc/{pid}/status").read_text)
            server = int(next(line for line in status.splitlines() if "PPid" in line).split()[1])
            assert is_alive(server)

        async def are_gone() -> bool:
            return not is_alive(pid) and not is_alive(server)

        await until(are_gone)
        now = await Job.get(id=job.id)
        assert (now.status, now.deaths, now.failures) == (JobStatus.QUEUED, 0, 0)
        assert [status for status, *_ in await steps_of(job)] == [
            JobStatus.SUCCEEDED,
            JobStatus.QUEUED,
        ]


async def test_where_children_cannot_be_isolated_a_script_does_not_run(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = process.ForkServer((*SCRIPT_PRELOAD, "tests.workers.without_landlock"))
    monkeypatch.setattr(steps, "SERVER", server)
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, SAME))
    server.stop()

    assert (job.status, job.attempts) == (JobStatus.FAILED, 1)
    assert job.error["code"] == "SANDBOX_UNAVAILABLE"
    assert await printed(job) == []
    await assert_nothing_left(platform, job)
