"""Sweeps whose statements other things come between."""

from __future__ import annotations

from typing import Any

import pytest

from models import Job, JobStatus
from models.database import Database
from services import leases, statements
from tests.factories import make_job

pytestmark = pytest.mark.usefixtures("database")


async def test_a_lease_that_runs_out_during_a_sweep_is_one_death_and_not_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await make_job()
    other = await make_job()
    for _ in range(2):
        await leases.claim("w", 60_000)
    await Job.filter(id=other.id).update(lease_until_ms=0)
    real = statements.fetch

    async def fetched(statement: str, **values: Any) -> list[dict[str, Any]]:
        found = await real(statement, **values)
        if "SET status = 'queued'" in statement:
            await Job.filter(id=job.id).update(lease_until_ms=0)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(leases, "fetch", fetched)
        await leases.sweep()

    assert [(each.id, each.status, each.deaths) for each in await Job.all().order_by("id")] == [
        (job.id, JobStatus.RUNNING, 0),
        (other.id, JobStatus.QUEUED, 1),
    ]
    await leases.sweep()
    now = await Job.get(id=job.id)
    assert (now.status, now.deaths, now.error) == (JobStatus.QUEUED, 1, None)
