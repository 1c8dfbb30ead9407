"""A script job, from the claim to the derived snapshot, through real isolated children, on both databases."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import orjson
import pyarrow as pa
import pytest

from base.tables import Column, ColumnType, TableSchema
from models import DataSource, DataSourceStatus, Job, JobStatus, JobStep, Snapshot, SnapshotStatus
from services import jobs
from services.platform import Platform
from storage.location import Location
from storage.s3 import S3Store
from storage.sigv4 import Credentials
from storage.snapshots.manifest import Manifest, StoredTable
from tests.factories import make_script_job
from tests.s3_server import KEY_ID, SECRET, S3Server
from tests.workers.scripting import (
    ROWS,
    assert_nothing_left,
    derived_of,
    lines,
    printed,
    said,
    steps_of,
    stored_source,
    until,
    worked,
    working,
)
from tests.workers.syncing import books, rows_of, table_of

CLEAN = """
def run(df):
    print("rows", len(df))
    df["name"] = df["name"].str.strip()
    return df[df["id"] % 2 == 0]
"""
OLDER = "df['double'] = df['id'] * 2"
BATCHES = """
def run_batches(batches, context):
    for batch in batches:
        yield batch.assign(factor=context.parameters["factor"])
"""


async def test_a_script_makes_a_derived_snapshot_with_types_profile_and_books(
    platform: Platform,
) -> None:
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, CLEAN))

    snapshot = await derived_of(job)
    assert (snapshot.is_derived, snapshot.base_id, snapshot.number, snapshot.row_count) == (
        True,
        source.current_snapshot_id,
        2,
        500,
    )
    assert (snapshot.status, snapshot.job_id) == (SnapshotStatus.PUBLISHED, job.id)  # type: ignore[attr-defined]
    assert books(snapshot) == [500, 500, 0, 0, 0, 0]
    assert snapshot.receipt["balanced"]
    now = await DataSource.get(id=source.id)
    assert (now.derived_snapshot_id, now.current_snapshot_id, now.snapshot_count, now.status) == (
        snapshot.id,
        source.current_snapshot_id,
        2,
        DataSourceStatus.SYNCED,
    )
    table = table_of(snapshot, "t")
    assert [(each.name, each.type, each.native_type) for each in table.table.columns] == [
        ("id", ColumnType.INTEGER, "bigint"),
        ("name", ColumnType.TEXT, "text"),
        ("amount", ColumnType.DECIMAL, "numeric(12,2)"),
        ("day", ColumnType.DATE, "date"),
    ]
    rows = await rows_of(platform, snapshot, "t")
    assert [row["id"] for row in rows] == list(range(0, ROWS, 2))
    assert (rows[1]["name"], rows[5]["name"], rows[7]["amount"]) == (
        "name 2",
        None,
        Decimal("0.14"),
    )
    assert table.profile is not None
    path = await platform.store.local_path(table.profile.key)
    profile = orjson.loads(path.read_bytes())["columns"]
    assert [(each["column"], each["nulls"]) for each in profile] == [
        ("id", 0), ("name", 100), ("amount", 0), ("day", 0),
    ]  # fmt: skip
    assert await steps_of(job) == [(JobStatus.SUCCEEDED, 1000, 500)]
    assert (job.rows_done, job.rows_total, job.checkpoint) == (1000, 1000, None)
    assert await printed(job) == ["rows 1000"]
    await assert_nothing_left(platform, job, snapshot)


async def test_steps_of_each_contract_see_the_step_before(platform: Platform) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source, CLEAN, OLDER, BATCHES, parameters={"factor": 1.5})

    job = await worked(platform, job)

    snapshot = await derived_of(job)
    rows = await rows_of(platform, snapshot, "t")
    assert [(row["id"], row["double"], row["factor"]) for row in rows] == [
        (i, 2 * i, 1.5) for i in range(0, ROWS, 2)
    ]
    assert await steps_of(job) == [
        (JobStatus.SUCCEEDED, 1000, 500),
        (JobStatus.SUCCEEDED, 500, 500),
        (JobStatus.SUCCEEDED, 500, 500),
    ]
    assert [column.type for column in table_of(snapshot, "t").table.columns] == [
        ColumnType.INTEGER, ColumnType.TEXT, ColumnType.DECIMAL, ColumnType.DATE, ColumnType.INTEGER, ColumnType.FLOAT,
    ]  # fmt: skip
    steps = await JobStep.filter(job_id=job.id).order_by("position")
    assert all(step.started_at and step.finished_at for step in steps)
    told = [line.message for line in await lines(job)]
    assert told[1:3] == ["Step 1 of 3, step-0.py: 1,000 rows.", "rows 1000"]
    assert told[-2:] == ["step-2.py: 500 rows in, 500 rows out.", "Publishing 500 rows."]
    assert job.rows_done == 2000
    await assert_nothing_left(platform, job, snapshot)


async def test_a_script_reads_other_tables_of_the_same_snapshot(platform: Platform) -> None:
    other = TableSchema("rates", (Column("day", ColumnType.INTEGER),), "s")
    source = await stored_source(platform, (other, pa.record_batch({"day": pa.array([7, 8])})))
    body = """
def run(df, context):
    return df.head(2).assign(day=context.tables["s.rates"]["day"])
"""

    job = await worked(platform, await make_script_job(source, body))

    rows = await rows_of(platform, await derived_of(job), "t")
    assert [row["day"] for row in rows] == [7, 8]


async def test_a_result_without_rows_is_a_snapshot_too(platform: Platform) -> None:
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, "def run(df): return df.head(0)"))

    snapshot = await derived_of(job)
    assert snapshot.row_count == 0
    assert [column.name for column in table_of(snapshot, "t").table.columns] == [
        "id", "name", "amount", "day",
    ]  # fmt: skip
    await assert_nothing_left(platform, job, snapshot)


async def test_batches_of_a_second_step_have_plain_dtypes_where_there_are_no_nulls(
    platform: Platform,
) -> None:
    source = await stored_source(platform)
    first = "df['odd'] = df['id'] % 2 == 1\ndf['maybe'] = df['id'].astype('Int64').where(df['odd'])"
    body = """
def run_batches(batches):
    for batch in batches:
        print(*batch[["id", "odd", "maybe"]].dtypes)
        yield batch
"""

    job = await worked(platform, await make_script_job(source, first, body))

    await derived_of(job)
    assert await printed(job) == ["int64 bool Int64"]


async def test_a_table_without_rows_is_given_with_its_types(platform: Platform) -> None:
    columns = tuple(Column(each.value, each) for each in ColumnType)
    source = await stored_source(platform)
    snapshot = await Snapshot.get(id=source.current_snapshot_id)
    none = Manifest((StoredTable(TableSchema("t", columns), ()),))
    await Snapshot.filter(id=snapshot.id).update(manifest=none.to_json())
    batches = "def run_batches(batches):\n    yield from batches\n"

    job = await worked(platform, await make_script_job(source, "df = df", batches))

    table = table_of(await derived_of(job), "t").table
    assert [column.type for column in table.columns] == list(ColumnType)


async def test_an_error_in_step_two_is_that_step_s_and_publishes_nothing(
    platform: Platform,
) -> None:
    source = await stored_source(platform)
    wrong = "def run(df):\n    x = 1\n    raise ValueError('the column is not there')\n"

    job = await worked(platform, await make_script_job(source, CLEAN, wrong, CLEAN))

    assert (job.status, job.attempts, job.error["code"]) == (JobStatus.FAILED, 1, "INVALID_INPUT")
    assert job.error["message"] == "ValueError: the column is not there (step-1.py, line 3)"
    steps = await JobStep.filter(job_id=job.id).order_by("position")
    assert [step.status for step in steps] == [
        JobStatus.SUCCEEDED,
        JobStatus.FAILED,
        JobStatus.CANCELLED,
    ]
    assert [step.error and step.error["message"] for step in steps] == [
        None,
        job.error["message"],
        None,
    ]
    errors = [line.message for line in await lines(job) if line.level == "error"]
    assert any("step-1.py" in line and "line 3" in line for line in errors)
    assert not any("/workers/" in line or "/work" in line for line in errors)
    assert await Snapshot.filter(is_derived=True).count() == 0
    assert (await DataSource.get(id=source.id)).status is DataSourceStatus.SYNCED
    await assert_nothing_left(platform, job)


async def test_a_job_whose_snapshot_is_gone_says_so(platform: Platform) -> None:
    source = await stored_source(platform)
    job = await make_script_job(source, CLEAN, input_snapshot_id=999_999)

    job = await worked(platform, job)

    assert (job.status, job.error["code"]) == (JobStatus.FAILED, "CONFLICT")
    assert await steps_of(job) == [(JobStatus.CANCELLED, None, None)]


@pytest.mark.parametrize("rows", [1, 70_000])
async def test_the_output_has_every_row_once(platform: Platform, rows: int) -> None:
    source = await stored_source(platform, rows=rows)

    job = await worked(platform, await make_script_job(source, "df = df[::-1]"))

    snapshot = await derived_of(job)
    found = await rows_of(platform, snapshot, "t")
    assert [row["id"] for row in found] == list(range(rows))[::-1]
    assert Manifest.from_json(snapshot.manifest).row_count == rows


async def test_progress_and_log_are_seen_while_the_script_runs(platform: Platform) -> None:
    source = await stored_source(platform)
    body = """
import time, warnings
def run(df, context):
    context.progress(0.25, "a quarter")
    context.logger.warning("careful")
    warnings.warn("old fashioned")
    for _ in range(3000):
        time.sleep(0.01)
    return df
"""
    job = await make_script_job(source, body, body)

    async with working(platform, job) as work:

        async def is_told() -> bool:
            now = await Job.get(id=job.id)
            return now.progress_message == "Step 1 of 2, step-0.py: a quarter"

        await until(is_told)
        now = await Job.get(id=job.id)
        assert (now.rows_done, now.rows_total) == (250, 2000)
        assert not work.done()
        await said(job, "careful")
        assert [line.level for line in await lines(job) if line.message == "careful"] == ["warning"]

        async def is_warned() -> bool:
            return any("old fashioned" in line.message for line in await lines(job))

        await until(is_warned)
        await jobs.cancel_jobs([job.id])
        await work


async def test_the_objects_of_a_job_may_be_in_a_bucket(
    platform: Platform, s3_server: S3Server, tmp_path: Path
) -> None:
    location, credentials = Location.parse(s3_server.url()), Credentials(KEY_ID, SECRET)
    bucket = S3Store(location, credentials, tmp_path / "s3", 2**30)
    platform = replace(platform, store=bucket)
    source = await stored_source(platform)

    job = await worked(platform, await make_script_job(source, CLEAN, OLDER))

    snapshot = await derived_of(job)
    assert len(await rows_of(platform, snapshot, "t")) == 500
    await assert_nothing_left(platform, job, snapshot)
