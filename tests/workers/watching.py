"""A reader that looks at jobs all the time, and at what they publish: what it sees never goes back, and is never half."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pyarrow.parquet as pq

from models import Job, JobLog, JobStatus, JobStep, Snapshot
from services.platform import Platform
from storage.snapshots.manifest import Manifest

PAUSE_SECONDS = 0.05


class Watcher:
    """Looks at these jobs, which all have to go well in the end. Jobs may be added."""

    def __init__(self, platform: Platform, jobs: list[Job]) -> None:
        self._platform = platform
        self._jobs = jobs
        self._seen: dict[int, tuple[int, ...]] = defaultdict(lambda: (0,))
        self._ended: dict[int, tuple[JobStatus, int]] = {}
        self._lines: dict[tuple[int, int], int] = {}  # of the log when a step was seen to be over
        self._whole: set[int] = set()
        self.looks = 0

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Look while the block runs, and once more when it is through."""
        task = asyncio.create_task(self._go_on())
        try:
            yield
            assert not task.done() or task.result()
        finally:
            task.cancel()
            await asyncio.wait({task})
        await self.look()

    async def _go_on(self) -> bool:
        while True:
            await self.look()
            await asyncio.sleep(PAUSE_SECONDS)

    async def look(self) -> None:
        """Compare everything with what was seen before."""
        for snapshot in await Snapshot.filter(is_derived=True):
            await self._look_at_snapshot(snapshot)
        for known in list(self._jobs):
            await self._look_at_job(await Job.get(id=known.id))
        self.looks += 1

    async def _look_at_snapshot(self, snapshot: Snapshot) -> None:
        """What can be seen is whole, and its job is over."""
        if snapshot.id in self._whole:
            return
        job = await Job.get(id=snapshot.job_id)  # type: ignore[attr-defined]
        assert (job.status, job.snapshot_id) == (JobStatus.SUCCEEDED, snapshot.id)
        for stored in Manifest.from_json(snapshot.manifest).tables:
            paths = [await self._platform.store.local_path(part.key) for part in stored.parts]
            rows = sum(pq.read_metadata(path).num_rows for path in paths)
            assert rows == stored.row_count == snapshot.row_count
        self._whole.add(snapshot.id)

    async def _look_at_job(self, job: Job) -> None:
        if job.status.is_terminal:
            assert self._ended.setdefault(job.id, (job.status, job.revision))[0] is job.status, (
                "what is over stays over"
            )
        else:
            assert job.id not in self._ended
        outputs = len((job.checkpoint or {}).get("outputs", []))
        steps = await JobStep.filter(job_id=job.id).order_by("position")
        over = outputs if job.checkpoint else 0
        now = (job.revision, job.fence, job.attempts, *(_place(step) for step in steps))
        before = self._seen[job.id]
        assert all(new >= old for new, old in zip(now, before, strict=False)), (before, now)
        self._seen[job.id] = now
        last = await JobLog.filter(job_id=job.id).order_by("-id").first()
        for position in range(over):
            self._lines.setdefault((job.id, position), last.id if last else 0)

    async def assert_no_step_again(self) -> None:
        """No step ran once more after its output was checkpointed; at most one more was begun for each lost attempt."""
        for job in self._jobs:
            now = await Job.get(id=job.id)
            begun: dict[int, list[int]] = defaultdict(list)
            ended: dict[int, int] = {}
            for line in await JobLog.filter(job_id=job.id, step__isnull=False).order_by("id"):
                position = int(str(line.step).removeprefix("step-").removesuffix(".py"))
                if line.message.startswith("Step "):
                    begun[position].append(line.id)
                elif " rows out." in line.message:
                    ended[position] = line.id
            for (job_id, position), line_id in self._lines.items():
                if job_id == job.id:
                    assert max(begun[position]) <= line_id, "a checkpointed step ran again"
            for position, line_id in ended.items():
                assert max(begun[position]) < line_id, "a step that was over ran again"
            assert sum(map(len, begun.values())) <= len(begun) + now.attempts - 1


def _place(step: JobStep) -> int:
    """A step that runs goes back to those that wait when its attempt is lost; one that is over stays so."""
    assert step.status in {JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SUCCEEDED}
    return int(step.status is JobStatus.SUCCEEDED)
