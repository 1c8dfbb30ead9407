"""Script jobs: the steps, then their result checked, stored and published."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from base import process
from base.errors import Internal, PlatformError
from base.process import Isolation, OpenFile
from models import JobStatus, JobStep
from services import leases
from services.leases import Lease, LogEntry, StepChange
from services.partitions import Ended, Partition
from services.platform import Platform
from services.scripts import shared_out, shares
from storage.snapshots.manifest import Manifest, Part, StoredFile, StoredTable
from workers import partitions, publishing, receipts, steps, sync
from workers.completing import FILE_BYTES_MAX, FOLDER_BYTES_MAX, MEMORY_BYTES_MAX, MEMORY_SHARE
from workers.engine import steadily
from workers.leavings import forget
from workers.listening import adopt
from workers.messages import DERIVE, Derived, DeriveOrder, NewFile
from workers.outputs import ScriptState, together
from workers.steps import Steps, input_of


async def run(platform: Platform, lease: Lease) -> None:
    """Run the steps that are left over the pinned snapshot, and publish what comes of them. Raises what went wrong.

    Of a partition: its steps, and no more.
    """
    if lease.parent_id is not None:
        await partitions.run(platform, lease)
        return
    source, snapshot = await input_of(lease)
    rows = await JobStep.filter(job_id=lease.job_id).order_by("position")
    attempt = _Attempt(platform, lease, source, snapshot, rows)
    await asyncio.to_thread(forget, platform.store.scratch(), lease)
    await leases.log(lease, "info", f"Attempt {lease.attempt} began on worker {lease.worker}.")
    await attempt.run_steps()
    await attempt.publish()


async def discard(platform: Platform, lease: Lease, *, keep: Manifest | None = None) -> None:
    """Remove the objects of every attempt of this job, those of its steps too, but those that its snapshot holds."""
    if lease.parent_id is not None:
        await partitions.discard(platform, lease)
    else:
        await sync.discard(platform, lease, keep=keep)


class _Attempt(Steps):
    """One attempt at a script job: its steps, the first of them perhaps in partitions, and what comes of them."""

    async def run_steps(self) -> None:
        """Run what is left; every step's output is durable and checkpointed when this returns."""
        shape = shared_out(self.lease.options)
        if shape is not None and not self.state.outputs:
            await self._share_out(*shape)
        await super().run_steps()

    async def _share_out(self, partitioned: int, count: int) -> None:
        """Have the first steps run over partitions of the table; what those leave is as if one step had left it."""
        first, rows = self.steps[:partitioned], self.table.row_count
        begun = [StepChange(each.key, each.position, JobStatus.RUNNING) for each in first]
        begun[0] = replace(begun[0], rows_in=rows)
        await self.checkpoint(f"{count} partitions", begun, is_progress=False)
        await leases.log(self.lease, "info", f"{rows:,} rows in {count} partitions.")
        ended = await partitions.work_off(
            self.platform, self.lease, shares(self.table.parts, count), self._report
        )
        failure = partitions.failed(ended)
        if failure is not None:
            await self._blame(first, ended, *failure)
            raise failure[1]
        states = [ScriptState.of(each.checkpoint, partitioned, 0) for each in ended]
        outputs = [
            together([state.outputs[each.position] for state in states], each.key) for each in first
        ]
        await self.keep(f"{count} partitions are done", first, outputs)

    async def _report(self, found: Sequence[Partition]) -> None:
        """Progress: what all partitions have done."""
        done = sum(each.status is JobStatus.SUCCEEDED for each in found)
        progress = replace(
            self.state.progress(f"{done} of {len(found)} partitions are done"),
            rows_done=sum(each.rows_done for each in found),
            bytes_done=sum(each.bytes_done for each in found),
        )
        await steadily(self.lease, lambda: leases.report(self.lease, progress))

    async def _blame(
        self, first: Sequence[JobStep], ended: Sequence[Ended], failed: Ended, error: PlatformError
    ) -> None:
        """Tell at which step a partition FAILED. Of those before it, all partitions may be through, or not."""
        changes = []
        for step in first[: failed.steps_done + 1]:
            status = JobStatus.CANCELLED
            if step.position == failed.steps_done:
                status = JobStatus.FAILED
            elif all(each.steps_done > step.position for each in ended):
                status = JobStatus.SUCCEEDED
            blamed = error if status is JobStatus.FAILED else None
            changes.append(StepChange(step.key, step.position, status, error=blamed))
        await self.checkpoint("A partition has failed", changes, is_progress=False)

    async def publish(self) -> None:
        """Store the last step's output as a table, and commit snapshot and the job's end in one fenced transaction."""
        last, kept = self.steps[-1], self.state.outputs[-1]
        rows = (kept.rows_in, kept.rows_out)
        # The last step runs until its result is stored, also where an earlier attempt has done all but that.
        runs = StepChange(last.key, last.position, JobStatus.RUNNING, *rows)
        await self.checkpoint("Storing the result", [runs], is_progress=False)
        stored, notes = await self._derive()
        manifest = Manifest((stored,))
        await publishing.check_objects(self.platform.store, list(stored.files()))
        books = receipts.of_full_table(stored.row_count, stored.parts, None)
        receipt = receipts.of_sync([books], manifest, {}, {})
        if not receipt.balanced:
            raise Internal("The result's books do not balance; nothing was published.")
        lines = [LogEntry("warning", note, self.steps[-1].key) for note in notes]
        publish = LogEntry("info", f"Publishing {manifest.row_count:,} rows.")
        await leases.log_all(self.lease, [*lines, publish])
        rows_read = sum(output.rows_in for output in self.state.outputs)
        commit = partial(
            publishing.commit_derived, self.lease, self.snapshot, manifest, receipt, rows_read
        )
        await steadily(self.lease, lambda: leases.finish(self.lease, commit))
        await discard(self.platform, self.lease, keep=manifest)

    async def _derive(self) -> tuple[StoredTable, Sequence[str]]:
        """Have an isolated child check the last output and write it anew; what it says was changed."""
        settings, output = self.platform.settings, self.state.outputs[-1]
        folder = self.scratch / f"derive-{self.lease.job_id}-{self.lease.fence}"
        local_path = self.platform.store.local_path
        paths = [await local_path(piece.key) for piece in output.pieces]
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        memory_bytes = settings.child_memory_bytes_max
        try:
            done: Derived = await process.run(
                DERIVE,
                DeriveOrder(
                    self.table.table,
                    {column.name: column.type for column in output.columns},
                    folder,
                    bytes_max=settings.script_output_bytes_max,
                    cell_bytes_max=settings.cell_bytes_max,
                    memory_bytes=min(memory_bytes // MEMORY_SHARE, MEMORY_BYTES_MAX),
                ),
                limits=process.Limits(
                    wall_seconds=settings.script_seconds_max,
                    memory_bytes=memory_bytes,
                    file_bytes=FILE_BYTES_MAX,
                    folder_bytes=FOLDER_BYTES_MAX,
                ),
                isolation=Isolation(opens=tuple(map(OpenFile, paths)), folder=folder),
                server=steps.SERVER,
            )
            parts = [await self._stored(folder, file) for file in done.parts]
            profile = await self._stored(folder, done.profile)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        named = tuple(Part(each.key, each.rows, each.size_bytes, each.sha256) for each in parts)
        return StoredTable(done.table, named, profile=profile), done.notes

    async def _stored(self, folder: Path, file: NewFile) -> StoredFile:
        """A file of the child's as an object; whatever the child calls it, it is one of the folder."""
        name = Path(file.name).name
        key = f"{self.prefix}/{name}"
        await adopt(self.platform.store, folder / name, key, file.size_bytes)
        return StoredFile(key, file.rows, file.size_bytes, file.sha256)
