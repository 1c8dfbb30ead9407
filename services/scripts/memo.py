"""What the result of a script job depends on, as one hash, and the earlier job that had the same."""

from __future__ import annotations

import hashlib
import platform as interpreter
from collections.abc import Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

import orjson

from models import Job, JobKind, JobStatus, JobStep, Snapshot

LIBRARIES = ("headwater", "pandas", "pyarrow", "numpy", "duckdb")
EARLIER_MAX = 20  # jobs that are looked at for a result that is still there


def memo_key(
    snapshot_pk: int,
    table: tuple[str | None, str],
    steps: Sequence[tuple[str, dict[str, Any]]],
    shared_out: tuple[int, int] | None = None,
) -> str:
    """The hash of a snapshot, its table, and the steps as (hex SHA-256 of the body, parameters), in their order.

    `shared_out` is how many of the first steps run in how many partitions. Another release of what runs them is another
    result.
    """
    parts = [snapshot_pk, table, steps, _versions()]
    if shared_out is not None:
        parts.append(shared_out)
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def earlier(key: str) -> Job | None:
    """The newest job of this key that has succeeded and whose snapshot is still there.

    In a transaction that holds the data source, so that the snapshot stays.
    """
    same = Job.filter(memo_key=key, kind=JobKind.SCRIPT, status=JobStatus.SUCCEEDED)
    jobs = await same.order_by("-id").limit(EARLIER_MAX)
    wanted = [job.snapshot_id for job in jobs if job.snapshot_id is not None]
    left = Snapshot.filter(id__in=wanted, removed_at=None)
    there = set(await left.values_list("id", flat=True))
    return next((job for job in jobs if job.snapshot_id in there), None)


async def rows_of(job: Job) -> dict[int, JobStep]:
    """The steps of a job by their position, without what they ran."""
    steps = JobStep.filter(job_id=job.id).only("id", "position", "rows_in", "rows_out")
    return {step.position: step for step in await steps}


@cache
def _versions() -> list[str]:
    return [interpreter.python_version(), *map(version, LIBRARIES)]
