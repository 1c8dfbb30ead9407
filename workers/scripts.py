"""Script jobs: step after step in an isolated process of its own, then the result checked, stored and published.

Each step's output is an object before the next one begins, and the checkpoint names it: an attempt goes on behind the
last step that was finished. Nothing that comes out of a step's process is believed.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
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
from storage.snapshots.manifest import Manifest, Part, StoredFile, StoredTable
from workers import publishing, receipts, sync
from workers.completing import (
    FILE_BYTES_MAX,
    FILES_AT_ONCE,
    FOLDER_BYTES_MAX,
    MEMORY_BYTES_MAX,
    MEMORY_SHARE,
)
from workers.engine import steadily
from workers.listening import adopt
from workers.messages import DERIVE, Derived, DeriveOrder, NewFile
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

    retryable = False


async def run(platform: Platform, lease: Lease) -> None:
    """Run the steps that are left over the pinned snapshot, and publish what comes of them. Raises what went wrong."""
    source, snapshot = await _input(lease)
    steps = await JobStep.filter(job_id=lease.job_id).order_by("position")
    attempt = _Attempt(platform, lease, source, snapshot, steps)
    await asyncio.to_thread(_forget, platform.store.scratch(), lease)
    await leases.log(lease, "info", f"Attempt {lease.attempt} began on worker {lease.worker}.")
    await attempt.run_steps()
    await attempt.publish()


async def discard(platform: Platform, lease: Lease, *, keep: Manifest | None = None) -> None:
    """Remove the objects of every attempt of this job, those of its steps too, but those that its snapshot holds."""
    await sync.discard(platform, lease, keep=keep)


async def _input(lease: Lease) -> tuple[DataSource, Snapshot]:
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


class _Opened:
    """The files of a step, which its process gets as descriptors."""

    def __init__(self, platform: Platform) -> None:
        self._store = platform.store
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
        path = await self._store.local_path(output.key)
        file = FileIn(self.open(path), output.rows_out)
        return TableIn(table.table.name, table.table.schema, output.columns, (file,), is_ipc=True)

    async def _paths(self, part: Part) -> tuple[Path, Path | None]:
        path = await self._store.local_path(part.key)
        return path, None if part.deletes is None else await self._store.local_path(
            part.deletes.key
        )


class _Attempt:
    """One attempt at a script job. Job options: `table`, the schema and the name of the one that is read."""

    def __init__(
        self,
        platform: Platform,
        lease: Lease,
        source: DataSource,
        snapshot: Snapshot,
        steps: Sequence[JobStep],
    ) -> None:
        self._platform = platform
        self._lease = lease
        self._source = source
        self._snapshot = snapshot
        self._steps = steps
        self._tables = Manifest.from_json(snapshot.manifest).tables
        self._table = _chosen(self._tables, lease.options["table"])
        self._state = ScriptState.of(lease.checkpoint, len(steps), self._table.row_count)
        self._prefix = f"snapshots/{source.id}/{lease.job_id}-{lease.fence}"
        self._scratch = platform.store.scratch()
        self._done = 0.0  # of the running step

    async def run_steps(self) -> None:
        """Run what is left; every step's output is durable and checkpointed when this returns."""
        for step in self._steps[len(self._state.outputs) :]:
            await self._run(step)

    async def _run(self, step: JobStep) -> None:
        rows, self._done = self._state.rows_given, 0.0
        what = f"Step {step.position + 1} of {len(self._steps)}, {step.key}"
        await self._checkpoint(what, step, JobStatus.RUNNING, rows_in=rows)
        await leases.log(self._lease, "info", f"{what}: {rows:,} rows.", step.key)
        path = self._scratch / f"script-{self._lease.job_id}-{self._lease.fence}-{step.position}"
        try:
            answer = await self._work(step, what, path)
            output = await self._adopted(step, answer, path)
        finally:
            await asyncio.to_thread(path.unlink, missing_ok=True)
        before = self._state.outputs[-1:]
        self._state.outputs.append(output)
        is_last = len(self._state.outputs) == len(self._steps)
        status = JobStatus.RUNNING if is_last else JobStatus.SUCCEEDED  # until its result is stored
        await self._checkpoint(what, step, status, output)
        done = f"{step.key}: {output.rows_in:,} rows in, {output.rows_out:,} rows out."
        await leases.log(self._lease, "info", done, step.key)
        for each in before:
            await self._platform.store.delete(each.key)

    async def _work(self, step: JobStep, what: str, path: Path) -> object:
        """Run a script; what its process answers. Its output goes to the path."""
        opened = _Opened(self._platform)
        order = await self._order(step, opened)
        opened.open(path, writable=True)
        settings = self._platform.settings
        transcript = Transcript(
            self._lease, step.key, partial(self._told, what), settings.script_log_bytes_max
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
        outputs, table = self._state.outputs, self._table
        source = await (opened.output(outputs[-1], table) if outputs else opened.table(table))
        others = await self._others(opened) if _OTHERS in (step.body or "") else []
        settings = self._platform.settings
        return StepOrder(
            key=step.key,
            body=step.body or "",
            source=source,
            parameters=step.parameters,
            others=tuple(others),
            position=step.position,
            bytes_max=settings.script_output_bytes_max,
            log_bytes_max=settings.script_log_bytes_max,
        )

    async def _others(self, opened: _Opened) -> list[TableIn]:
        """The other tables of the snapshot, as far as one process may have so many files open."""
        found = []
        for each in self._tables:
            fits = len(opened.files) + 2 * len(each.parts) < OPEN_FILES_MAX
            if each is not self._table and fits:
                found.append(await opened.table(each))
        return found

    def _told(self, what: str, said: dict[str, Any]) -> Progress:
        """Progress by what a script's process says: its own fraction, or how many rows it was given so far."""
        rows, message = self._state.rows_given, said.get("message")
        is_whole = said.get("rows_in") == rows  # at once, before the script's first line
        count = _number(said.get("rows_out" if is_whole else "rows_in")) or 0.0
        fraction = _number(said.get("fraction"))
        self._done = max(self._done, count / max(rows, 1) if fraction is None else fraction)
        shown = f"{what}: {clean(message)}" if isinstance(message, str) and message else what
        return self._state.progress(shown, self._done)

    def _explained(self, error: PlatformError, step: JobStep) -> PlatformError:
        """What a step's failure is to the job."""
        if isinstance(error, LimitExceeded):
            hint = _MEMORY_HINT if error.hint and "MEMORY" in error.hint else error.hint
            return type(error)(error.message, hint=hint)
        if isinstance(error, ChildDied) and self._lease.failures + 1 >= leases.DEATHS_MAX:
            return ScriptDied(
                f"{step.key} ended its process {leases.DEATHS_MAX} times: {error.message}",
                hint="It, or a library that it uses, crashes, or needs more memory than the machine has.",
            )
        return error

    async def _adopted(self, step: JobStep, answer: object, path: Path) -> StepOutput:
        try:
            size_bytes = (await asyncio.to_thread(path.lstat)).st_size
        except FileNotFoundError as error:
            raise Internal(f"{step.key} left no result.") from error
        key = f"{self._prefix}/step-{step.position}.arrow"
        output = output_of(answer, key, size_bytes, step.key)
        await adopt(self._platform.store, path, key, size_bytes)
        return output

    async def _checkpoint(
        self,
        message: str,
        step: JobStep,
        status: JobStatus,
        output: StepOutput | None = None,
        rows_in: int | None = None,
    ) -> None:
        rows = (output.rows_in, output.rows_out) if output else (rows_in, None)
        change = StepChange(step.key, step.position, status, *rows)
        state, progress = self._state.to_json(), self._state.progress(message)
        write = partial(
            leases.checkpoint,
            self._lease,
            state,
            progress,
            [change],
            is_progress=output is not None,
        )
        await steadily(self._lease, write)

    async def publish(self) -> None:
        """Store the last step's output as a table, and commit snapshot and the job's end in one fenced transaction."""
        progress = self._state.progress("Storing the result")
        await steadily(self._lease, lambda: leases.report(self._lease, progress))
        stored, notes = await self._derive()
        manifest = Manifest((stored,))
        await publishing.check_objects(self._platform.store, list(stored.files()))
        books = receipts.of_full_table(stored.row_count, stored.parts, None)
        receipt = receipts.of_sync([books], manifest, {}, {})
        if not receipt.balanced:
            raise Internal("The result's books do not balance; nothing was published.")
        lines = [LogEntry("warning", note, self._steps[-1].key) for note in notes]
        publish = LogEntry("info", f"Publishing {manifest.row_count:,} rows.")
        await leases.log_all(self._lease, [*lines, publish])
        rows_read = sum(output.rows_in for output in self._state.outputs)
        commit = partial(
            publishing.commit_derived, self._lease, self._snapshot, manifest, receipt, rows_read
        )
        await steadily(self._lease, lambda: leases.finish(self._lease, commit))
        await discard(self._platform, self._lease, keep=manifest)

    async def _derive(self) -> tuple[StoredTable, Sequence[str]]:
        """Have an isolated child check the last output and write it anew; what it says was changed."""
        settings, output = self._platform.settings, self._state.outputs[-1]
        folder = self._scratch / f"derive-{self._lease.job_id}-{self._lease.fence}"
        path = await self._platform.store.local_path(output.key)
        await asyncio.to_thread(folder.mkdir, mode=0o700)
        memory_bytes = settings.child_memory_bytes_max
        try:
            done: Derived = await process.run(
                DERIVE,
                DeriveOrder(
                    self._table.table,
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
                isolation=Isolation(opens=(OpenFile(path),), folder=folder),
                server=SERVER,
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
        key = f"{self._prefix}/{name}"
        await adopt(self._platform.store, folder / name, key, file.size_bytes)
        return StoredFile(key, file.rows, file.size_bytes, file.sha256)


def _forget(scratch: Path, lease: Lease) -> None:
    """Remove what earlier attempts whose worker was killed left here of a step or a result."""
    for path in scratch.glob(f"*-{lease.job_id}-*"):
        kind, _, fence, *_ = path.name.split("-")
        if kind == "derive" and int(fence) < lease.fence:
            shutil.rmtree(path, ignore_errors=True)
        elif kind == "script" and int(fence) < lease.fence:
            path.unlink(missing_ok=True)


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
