"""Script jobs for tests: a synced source, a job over it, and how it would end."""

from __future__ import annotations

from typing import Any

from base.ids import public_id
from base.tables import TableSchema
from models import DataSource, Job, JobStatus, JobStep, Snapshot
from services import scripts
from services.platform import Platform
from services.scripts import StepGiven
from storage.snapshots.manifest import Manifest, StoredTable
from tests import factories
from tests.services.places import Place

SAME = "def run(df):\n    return df\n"


def manifest(*names: str | tuple[str, str]) -> dict[str, Any]:
    tables = [
        TableSchema(name, ()) if isinstance(name, str) else TableSchema(name[1], (), schema=name[0])
        for name in names
    ]
    return Manifest(tuple(StoredTable(table, ()) for table in tables)).to_json()


async def synced(place: Place, *names: str | tuple[str, str]) -> DataSource:
    """A source with a current snapshot of these tables, one called `t` where none is named."""
    source = await factories.make_source(place.project, place.dataset)
    snapshot = await factories.make_snapshot(source, manifest=manifest(*(names or ("t",))))
    await DataSource.filter(id=source.id).update(current_snapshot_id=snapshot.id)
    return await DataSource.get(id=source.id)


def id_of(source: DataSource) -> str:
    return public_id("datasource", source.id)


def step(key: str = "a.py", exec_order: int = 0, **parameters: Any) -> StepGiven:
    return StepGiven(key, exec_order, parameters)


async def create(
    platform: Platform, place: Place, source: DataSource, *steps: StepGiven, **given: Any
) -> Job:
    given_steps = steps or (step(),)
    pk = await scripts.create(platform, place.viewer, id_of(source), given_steps, **given)
    return await Job.get(id=pk)


async def steps_of(job: Job) -> list[JobStep]:
    return await JobStep.filter(job_id=job.id).order_by("position")


async def succeed(job: Job, **values: Any) -> Snapshot:
    """End a job as its worker would, with a derived snapshot."""
    source = await DataSource.get(id=job.data_source_id)  # type: ignore[attr-defined]
    snapshot = await factories.make_snapshot(
        source, job=job, is_derived=True, base_id=job.input_snapshot_id, manifest=manifest("t")
    )
    await JobStep.filter(job_id=job.id).update(status=JobStatus.SUCCEEDED, rows_in=10, rows_out=7)
    await Job.filter(id=job.id).update(
        status=JobStatus.SUCCEEDED,
        snapshot_id=snapshot.id,
        rows_done=7,
        rows_total=10,
        bytes_done=70,
        **values,
    )
    return snapshot
