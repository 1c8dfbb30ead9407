"""Worker processes: started, killed, orphaned, doubled and told to stop."""

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models import Job, JobStatus, migrate
from server.embedded import EmbeddedWorker
from services import dispatch
from tests.clients import ROOT, ServerProcess
from tests.workers.processes import (
    WAIT_SECONDS,
    embedded,
    headquarters,
    is_running,
    silent_job,
    small_job,
    succeeded,
    until,
)

pytestmark = pytest.mark.e2e

PARENT = """
import asyncio, pathlib, pickle, sys
from server.embedded import EmbeddedWorker
async def main():
    async with EmbeddedWorker(pickle.load(sys.stdin.buffer)) as worker:
        while worker.pid is None:
            await asyncio.sleep(0.01)
        print(worker.pid, flush=True)
        await asyncio.sleep(3_600)
asyncio.run(main())
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_the_supervisor_starts_a_killed_worker_again(
    database_url: str, tmp_path: Path
) -> None:
    async with headquarters(database_url, tmp_path) as platform, embedded(platform) as worker:
        await succeeded(await small_job())
        first = worker.pid
        assert first is not None

        os.kill(first, signal.SIGKILL)
        job = await succeeded(await small_job())

        assert worker.pid not in {None, first}
        assert job.attempts == 1
    assert worker.pid is None


async def test_a_wake_up_starts_a_job_before_any_sweep(database_url: str, tmp_path: Path) -> None:
    async with headquarters(database_url, tmp_path) as platform, embedded(platform):
        await succeeded(await small_job())
        job = await silent_job()
        await Job.filter(id=job.id).update(woken_at_ms=2**52)  # no sweep will wake it
        await dispatch.wake()
        await succeeded(job)


async def test_the_worker_ends_with_its_parent_however_that_ends(
    database_url: str, tmp_path: Path
) -> None:
    async with headquarters(database_url, tmp_path) as platform:
        parent = subprocess.Popen(  # noqa: ASYNC220 - the test waits for it anyway
            [sys.executable, "-c", PARENT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT)},
        )
        with parent:
            assert parent.stdin is not None
            assert parent.stdout is not None
            parent.stdin.write(pickle.dumps(platform.settings))
            parent.stdin.close()
            worker = int(parent.stdout.readline())
            await succeeded(await small_job())

            parent.kill()

        async def is_gone() -> bool:
            return not is_alive(worker)

        await until(is_gone)


async def test_jobs_that_were_queued_while_there_was_no_worker_run_when_one_starts(
    database_url: str, tmp_path: Path
) -> None:
    async with headquarters(database_url, tmp_path) as platform:
        waiting = [await small_job() for _ in range(3)]
        async with embedded(platform):
            for job in waiting:
                await succeeded(job)


async def test_a_second_worker_in_one_data_folder_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'headwater.db'}"
    async with headquarters(url, tmp_path) as platform:
        await migrate.upgrade(url)
        async with embedded(platform):
            await succeeded(await small_job())
            with ServerProcess(tmp_path, "worker") as second:
                assert second.process is not None
                status = await asyncio.to_thread(second.process.wait, WAIT_SECONDS)

                assert status == 2
                assert "another worker runs" in second.output


def test_a_worker_that_cannot_start_ends(tmp_path: Path) -> None:
    (tmp_path / "headwater.db").write_bytes(b"no database at all")
    program = (
        "from pathlib import Path; from base.settings import Settings; from server.wiring import prepare; "
        "from server.worker import run_worker; run_worker(prepare(Settings(data_dir=Path.cwd())))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=False,
    )

    assert done.returncode == 1
    assert "the worker could not start" in done.stderr


@pytest.mark.parametrize("broker", ["redis_url", "rabbitmq_url"])
async def test_a_scaled_out_worker_is_woken_and_stops_though_told_twice(
    broker: str, request: pytest.FixtureRequest, postgres_template: str, tmp_path: Path
) -> None:
    broker_url = request.getfixturevalue(broker)
    env = {"HEADWATER_DATABASE_URL": postgres_template, "HEADWATER_BROKER_URL": broker_url}
    async with headquarters(postgres_template, tmp_path, broker_url=broker_url):
        with ServerProcess(tmp_path, "worker", env) as worker:
            job = await small_job()
            await Job.filter(id=job.id).update(woken_at_ms=2**52)  # no sweep will wake it

            async def is_over() -> bool:
                await dispatch.wake()
                return (await Job.get(id=job.id)).status is JobStatus.SUCCEEDED

            await until(is_over, pause=0.2)
            assert worker.process is not None
            for _ in range(2):
                os.killpg(worker.process.pid, signal.SIGTERM)

            assert await asyncio.to_thread(worker.process.wait, WAIT_SECONDS) == 0
        await Job.filter(id=job.id).delete()


async def test_stopping_leaves_no_process(database_url: str, tmp_path: Path) -> None:
    async with headquarters(database_url, tmp_path) as platform:
        worker = EmbeddedWorker(platform.settings)
        async with worker:
            await until(lambda: is_running(worker))
            await succeeded(await small_job())
            pid = worker.pid
            assert pid is not None

        assert not is_alive(pid)
