"""Script jobs in a test: a stored table, the real engine, and what came of the job read by other code than ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from base.tables import Column, ColumnType, TableSchema
from models import DataSource, Job, JobKind, JobLog, JobStatus, JobStep, Snapshot
from services.platform import Platform
from storage.snapshots.manifest import Manifest, StoredTable
from storage.snapshots.writer import PART_ROWS, PartWriter
from tests.factories import make_snapshot, make_source
from workers import scripts
from workers.engine import Engine, Kind

JOB_SECONDS_MAX = 240
WAIT_SECONDS = 240
ROWS = 1_000
TABLE = TableSchema(
    "t",
    (
        Column("id", ColumnType.INTEGER, "bigint"),
        Column("name", ColumnType.TEXT, "text"),
        Column("amount", ColumnType.DECIMAL, "numeric(12,2)"),
        Column("day", ColumnType.DATE, "date"),
    ),
)


def rows_of_table(count: int = ROWS) -> pa.RecordBatch:
    """What is stored in a table of so many rows."""
    return pa.record_batch(
        {
            "id": pa.array(range(count), pa.int64()),
            "name": pa.array([f" name {i} " if i % 10 else None for i in range(count)], pa.string()),
            "amount": pa.array([Decimal(i).scaleb(-2) for i in range(count)], pa.decimal128(12, 2)),
            "day": pa.array([date(2026, 1, 1 + i % 28) for i in range(count)], pa.date32()),
        }
    )  # fmt: skip


async def stored_source(
    platform: Platform,
    *others: tuple[TableSchema, pa.RecordBatch],
    rows: int = ROWS,
    part_rows: int = PART_ROWS,
    **values: Any,
) -> DataSource:
    """A source whose current snapshot has the table `t`, and others."""
    source = await make_source(**values)
    tables = []
    for at, (schema, batch) in enumerate([(TABLE, rows_of_table(rows)), *others]):
        prefix = f"snapshots/{source.id}/0-1/{at}"
        scratch, adopt = platform.store.scratch(), platform.store.adopt
        writer = PartWriter(scratch, adopt, prefix, part_rows=part_rows)
        done = []
        for start in range(0, batch.num_rows, part_rows):
            done += writer.write(batch.slice(start, part_rows))
        done += writer.finish()
        tables.append(StoredTable(schema, tuple(each.part for each in done)))
    manifest = Manifest(tuple(tables))
    snapshot = await make_snapshot(
        source,
        manifest=manifest.to_json(),
        row_count=manifest.row_count,
        size_bytes=manifest.size_bytes,
    )
    await DataSource.filter(id=source.id).update(
        current_snapshot_id=snapshot.id, snapshot_count=1, status="synced"
    )
    return await DataSource.get(id=source.id)


def worker_of(platform: Platform, name: str = "w1") -> Engine:
    """A worker that knows script jobs."""
    return Engine(platform, name, {JobKind.SCRIPT: Kind(scripts.run, scripts.discard)})


async def worked(platform: Platform, job: Job) -> Job:
    """The job, once a worker is through with it."""
    worker = worker_of(platform)
    async with asyncio.timeout(JOB_SECONDS_MAX):
        while not (ended := await Job.get(id=job.id)).status.is_terminal:
            await worker.look()
            await asyncio.sleep(0.01)
    return ended


@asynccontextmanager
async def working(platform: Platform, job: Job) -> AsyncIterator[asyncio.Task[Job]]:
    """A worker at the job, beside which the test goes on; all is over at the end."""
    task = asyncio.create_task(worked(platform, job))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})


async def until(condition: Callable[[], Awaitable[Any]]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(WAIT_SECONDS):
        while not await condition():  # noqa: ASYNC110 - what changes is a row, or an object
            await asyncio.sleep(0.02)


async def said(job: Job, *texts: str) -> None:
    """Wait until all of these lines are in the job's log."""

    async def is_there() -> bool:
        return set(texts) <= {line.message for line in await lines(job)}

    await until(is_there)


async def lines(job: Job) -> list[JobLog]:
    """The job's log."""
    return await JobLog.filter(job_id=job.id).order_by("id")


async def printed(job: Job) -> list[str]:
    """What scripts printed: the lines of level info that are of steps, without ours."""
    found = [line for line in await lines(job) if line.step and line.level == "info"]
    ours = ("Step ", "step-")
    return [line.message for line in found if not line.message.startswith(ours)]


async def steps_of(job: Job) -> list[tuple[JobStatus, int | None, int | None]]:
    """Status, rows in and rows out of each step."""
    steps = await JobStep.filter(job_id=job.id).order_by("position")
    return [(step.status, step.rows_in, step.rows_out) for step in steps]


async def derived_of(job: Job) -> Snapshot:
    """The snapshot of a job that has to have gone well."""
    assert (job.status, job.error) == (JobStatus.SUCCEEDED, None), [
        line.message for line in await lines(job)
    ]
    return await Snapshot.get(id=job.snapshot_id)


async def objects_of(platform: Platform, job: Job) -> set[str]:
    """The keys of the job's objects."""
    found = {info.key async for info in platform.store.list("snapshots/")}
    return {key for key in found if f"/{job.id}-" in key}


async def assert_nothing_left(
    platform: Platform, job: Job, snapshot: Snapshot | None = None
) -> None:
    """Of the job only what its snapshot names is stored, and no temporary file. Its worker tidies up after its end."""
    kept = Manifest.from_json(snapshot.manifest).keys() if snapshot else frozenset[str]()

    async def is_tidy() -> bool:
        return await objects_of(platform, job) == kept

    await until(is_tidy)
    assert list(platform.store.scratch().iterdir()) == []


def limited(platform: Platform, **values: Any) -> Platform:
    """The same with other settings."""
    return replace(platform, settings=replace(platform.settings, **values))
