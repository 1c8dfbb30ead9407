"""Script jobs in partitions, in a test: a table in parts, jobs whose first steps are shared out, and their partitions."""

from __future__ import annotations

from typing import Any

from models import DataSource, Job
from services.platform import Platform
from tests.factories import make_script_job
from tests.workers.scripting import ROWS, derived_of, stored_source
from tests.workers.syncing import rows_of

PARTS = 5
CLEAN = """
def run(df):
    df["name"] = df["name"].str.strip()
    df["double"] = df["id"] * 2
    return df[df["id"] % 3 == 0]
"""
BATCHES = """
def run_batches(batches):
    for batch in batches:
        yield batch.assign(half=batch["id"] / 2)
"""
COUNT = """
import pandas as pd
def run(df):
    return pd.DataFrame({"rows": [len(df)], "ids": [df["id"].sum()], "ordered": [df["id"].is_monotonic_increasing]})
"""


async def parted(platform: Platform, rows: int = ROWS) -> DataSource:
    """A source whose table has `PARTS` parts."""
    return await stored_source(platform, rows=rows, part_rows=-(-rows // PARTS))


async def partitioned(
    source: DataSource, *bodies: str, steps: int | None = None, count: int = PARTS
) -> Job:
    """A queued job whose first steps, all if not said, run in so many partitions."""
    shape = {"partitioned": len(bodies) if steps is None else steps, "partitions": count}
    options: dict[str, Any] = {"table": [None, "t"], "reuse": False, **shape}
    return await make_script_job(source, *bodies, options=options)


async def children_of(job: Job) -> list[Job]:
    """Its partitions."""
    return await Job.filter(parent_id=job.id).order_by("id")


async def cells(platform: Platform, job: Job) -> list[dict[str, Any]]:
    """The rows of its result."""
    return await rows_of(platform, await derived_of(job), "t")
