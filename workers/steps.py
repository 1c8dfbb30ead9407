"""Running the scripts of a job, or of a partition of one, step after step, each in an isolated process of its own.

Each step's output is an object before the next one begins, and the checkpoint names it: an attempt goes on behind the
last step that was finished. Nothing that comes out of a step's process is believed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from base import process
from base.errors import Conflict, Internal, InvalidInput, PlatformError
from base.process import ChildDied, Isolation, LimitExceeded, OpenFile
from models import DataSource, Job, JobStatus, JobStep, Snapshot
from services import leases
from services.leases import CancelRequested, Lease, LogEntry, Progress, StepChange
from services.platform import Platform
from storage.keeping import Kept
from storage.snapshots.manifest import Manifest, Part, StoredTable
from workers.completing import FILES_AT_ONCE
from workers.engine import steadily
from workers.listening import adopt
from workers.outputs import ROWS_MAX, ScriptState, StepOutput, output_of
from workers.sandbox.messages import (
    RUN_STEP,
    SCRIPT_PRELOAD,
    ColumnIn,
    FileIn,
    StepOrder,
    TableIn,
)
from workers.sandbox.reporting import clean
from workers.transcript import Transcript

OPEN_FILES_MORE = 256  # than those that a script reads
OPEN_FILES_MAX = 100_000
# Starts with the first script job, and ends with this process.
SERVER = process.ForkServer((*SCRIPT_PRELOAD, "workers.deriving"))
_OTHERS = "tables"  # a script that asks its context for other tables says so
_MEMORY_HINT = (
    "Define run_batches(batches), which sees a part of the rows at a time, or give"
    " HEADWATER_SCRIPT_MEMORY_BYTES_MAX more bytes."
)


class ScriptDied(ChildDied):
    """The script ended its process too often; it would do so again."""

    code = "INVALID_INPUT"
    retryable = False


async def input_of(lease: Lease) -> tuple[DataSource, Snapshot]:
    """The source and the snapshot that is read; nobody waits for the job of a source that went away."""
    source = await DataSource.get_or_none(
        id=lease.source_id, deleted_at=None, project__deleted_at=None
    )
    job = await Job.filter(id=lease.job_id).only("id", "input_snapshot_id").first()
    if source is None or job is None:
        raise CancelRequested
    snapshot = await Snapshot.get_or_none(id=job.input_snapshot_id, data_source_id=source.id)
    if snapshot is None:
        raise Conflict(
            "The snapshot that the job reads is no longer kept.",
            hint="Make a new job with `createJob`.",
        )
    return source, snapshot


def prefix_of(lease: Lease) -> str:
    """Below what an attempt's objects go. Those of a partition are its job's, with whose other objects they go."""
    if lease.parent_id is None:
        return f"snapshots/{lease.source_id}/{lease.job_id}-{lease.fence}"
    return f"{prefix_of_partition(lease)}{lease.fence}"


def prefix_of_partition(lease: Lease) -> str:
    """With what the objects of all attempts at a partition begin."""
    number = lease.options["partition"]
    return f"snapshots/{lease.source_id}/{lease.parent_id}-partition-{number}-"


class Steps:
    """The steps of one attempt. Job options: `table`, the schema and the name of the one that is read.

    A partition sees the run of its `parts`. It has no rows of steps: its job tells of them, for all partitions.
    """

    def __init__(
        self,
        platform: Platform,
        lease: Lease,
        source: DataSource,
        snapshot: Snapshot,
        steps: Sequence[JobStep],
    ) -> None:
        self.platform = platform
        self.lease = lease
        self.source = source
        self.snapshot = snapshot
        self.steps = steps
        tables = Manifest.from_json(snapshot.manifest).tables
        chosen = _chosen(tables, lease.options["table"])
        parts: Sequence[int | None] = lease.options.get("parts") or (None, None)
        self.table = replace(chosen, parts=chosen.parts[slice(*parts)])
        self._others = [each for each in tables if each is not chosen]
        self.state = ScriptState.of(lease.checkpoint, len(steps), self.table.row_count)
        self.prefix = prefix_of(lease)
        self._log_bytes_max = platform.settings.script_log_bytes_max // lease.options.get("of", 1)
        self.scratch = platform.store.scratch()
        self._done = 0.0  # of the running step

    async def run_steps(self) -> None:
        """Run what is left; every step's output is durable and checkpointed when this returns."""
        for step in self.steps[len(self.state.outputs) :]:
            await self._run(step)

    async def _run(self, step: JobStep) -> None:
        rows, self._done = self.state.rows_given, 0.0
        what = f"Step {step.position + 1} of {len(self.steps)}, {step.key}"
        begun = StepChange(step.key, step.position, JobStatus.RUNNING, rows)
        await self.checkpoint(what, [begun], is_progress=False)
        await leases.log(self.lease, "info", f"{what}: {rows:,} rows.", step.key)
        path = self.scratch / f"script-{self.lease.job_id}-{self.lease.fence}-{step.position}"
        try:
            async with Kept(self.platform.store) as kept:
                answer = await self._work(step, what, path, _Opened(kept))
            output = await self._adopted(step, answer, path)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        before = self.state.outputs[-1:]
        await self.keep(what, [step], [output])
        for each in before:
            for piece in each.pieces:
                await self.platform.store.delete(piece.key)

    async def keep(
        self, what: str, steps: Sequence[JobStep], outputs: Sequence[StepOutput]
    ) -> None:
        """Checkpoint what steps have left."""
        self.state.outputs += outputs
        changes, lines = [], []
        for step, output in zip(steps, outputs, strict=True):
            is_last = step.position + 1 == len(self.steps)  # until its result is stored
            status = JobStatus.RUNNING if is_last else JobStatus.SUCCEEDED
            rows = (output.rows_in, output.rows_out)
            changes.append(StepChange(step.key, step.position, status, *rows))
            done = f"{step.key}: {output.rows_in:,} rows in, {output.rows_out:,} rows out."
            lines.append(LogEntry("info", done, step.key))
        await self.checkpoint(what, changes)
        await leases.log_all(self.lease, lines)

    async def _work(self, step: JobStep, what: str, path: Path, opened: _Opened) -> object:
        """Run a script; what its process answers. Its output goes to the path."""
        order = await self._order(step, opened)
        opened.open(path, writable=True)
        settings = self.platform.settings
        transcript = Transcript(
            self.lease, step.key, partial(self._told, what), self._log_bytes_max
        )
        try:
            async with transcript:
                return await process.run(
                    RUN_STEP,
                    order,
                    limits=process.Limits(
                        wall_seconds=settings.script_seconds_max,
                        memory_bytes=settings.script_memory_bytes_max,
                        file_bytes=settings.script_output_bytes_max,
                        open_files=len(opened.files) + OPEN_FILES_MORE,
                    ),
                    on_message=transcript.hear,
                    isolation=Isolation(opens=tuple(opened.files)),
                    server=SERVER,
                    plain=True,
                )
        except PlatformError as error:
            raise self._explained(error, step) from error

    async def _order(self, step: JobStep, opened: _Opened) -> StepOrder:
        outputs, table = self.state.outputs, self.table
        source = await (opened.output(outputs[-1], table) if outputs else opened.table(table))
        others = await self._opened_others(opened) if _OTHERS in (step.body or "") else []
        settings = self.platform.settings
        return StepOrder(
            key=step.key,
            body=step.body or "",
            source=source,
            parameters=step.parameters,
            others=tuple(others),
            position=step.position,
            bytes_max=settings.script_output_bytes_max,
            log_bytes_max=self._log_bytes_max,
        )

    async def _opened_others(self, opened: _Opened) -> list[TableIn]:
        """The other tables of the snapshot, as far as one process may have so many files open."""
        return [
            await opened.table(each)
            for each in self._others
            if len(opened.files) + 2 * len(each.parts) < OPEN_FILES_MAX
        ]

    def _told(self, what: str, said: dict[str, Any]) -> Progress:
        """Progress by what a script's process says: its own fraction, or how many rows it was given so far."""
        rows, message = self.state.rows_given, said.get("message")
        is_whole = said.get("rows_in") == rows  # at once, before the script's first line
        count = _number(said.get("rows_out" if is_whole else "rows_in")) or 0.0
        fraction = _number(said.get("fraction"))
        self._done = max(self._done, count / max(rows, 1) if fraction is None else fraction)
        shown = f"{what}: {clean(message)}" if isinstance(message, str) and message else what
        return self.state.progress(shown, self._done)

    def _explained(self, error: PlatformError, step: JobStep) -> PlatformError:
        """What a step's failure is to the job."""
        if isinstance(error, LimitExceeded):
            hint = _MEMORY_HINT if error.hint and "MEMORY" in error.hint else error.hint
            return type(error)(error.message, hint=hint)
        if isinstance(error, ChildDied) and self.lease.failures + 1 >= leases.DEATHS_MAX:
            return ScriptDied(
                f"{step.key} ended its process {leases.DEATHS_MAX} times: {error.message}",
                hint="Look at the lines that it logged last. A script ends by returning, not by os._exit or signals;"
                " a crash in a library may go away with fewer rows at a time: define run_batches(batches).",
            )
        return error

    async def _adopted(self, step: JobStep, answer: object, path: Path) -> StepOutput:
        try:
            size_bytes = (await asyncio.to_thread(path.lstat)).st_size
        except FileNotFoundError as error:
            raise Internal(f"{step.key} left no result.") from error
        key = f"{self.prefix}/step-{step.position}.arrow"
        output = output_of(answer, key, size_bytes, step.key)
        await adopt(self.platform.store, path, key, size_bytes)
        return output

    async def checkpoint(
        self, message: str, changes: Sequence[StepChange], *, is_progress: bool = True
    ) -> None:
        """Keep how far the attempt is; a partition tells nothing of steps."""
        write = partial(
            leases.checkpoint,
            self.lease,
            self.state.to_json(),
            self.state.progress(message),
            changes if self.lease.parent_id is None else (),
            is_progress=is_progress,
        )
        await steadily(self.lease, write)


class _Opened:
    """The files of a step, which its process gets as descriptors."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept
        self.files: list[OpenFile] = []

    def open(self, path: Path, *, writable: bool = False) -> int:
        """The place of a file."""
        self.files.append(OpenFile(path, writable))
        return len(self.files) - 1

    async def table(self, stored: StoredTable) -> TableIn:
        """A stored table."""
        columns = tuple(ColumnIn(each.name, each.type) for each in stored.table.columns)
        files = []
        for start in range(0, len(stored.parts), FILES_AT_ONCE):
            some = stored.parts[start : start + FILES_AT_ONCE]
            paths = await asyncio.gather(*(self._paths(part) for part in some))
            for part, (path, deletes) in zip(some, paths, strict=True):
                place = self.open(path)
                gone = None if deletes is None else self.open(deletes)
                files.append(FileIn(place, part.rows, gone, part.rows - part.live_rows))
        return TableIn(stored.table.name, stored.table.schema, columns, tuple(files))

    async def output(self, output: StepOutput, table: StoredTable) -> TableIn:
        """What the step before left."""
        paths = [await self._kept.local_path(piece.key) for piece in output.pieces]
        files = tuple(
            FileIn(self.open(path), piece.rows)
            for path, piece in zip(paths, output.pieces, strict=True)
        )
        return TableIn(table.table.name, table.table.schema, output.columns, files, is_ipc=True)

    async def _paths(self, part: Part) -> tuple[Path, Path | None]:
        path = await self._kept.local_path(part.key)
        return path, None if part.deletes is None else await self._kept.local_path(part.deletes.key)


def _number(value: object) -> float | None:
    if isinstance(value, int | float) and abs(value) < ROWS_MAX:
        return float(value)
    return None


def _chosen(tables: Sequence[StoredTable], wanted: Sequence[str | None]) -> StoredTable:
    """The table that the job was made for."""
    for each in tables:
        if [each.table.schema, each.table.name] == list(wanted):
            return each
    raise InvalidInput("The snapshot has no such table any more.")
