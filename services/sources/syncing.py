"""Queueing syncs, and taking sources away."""

from __future__ import annotations

from collections.abc import Sequence

from base.errors import InvalidInput, NotFound
from base.ids import as_public, public_id
from models import DataSource, DataSourceStatus, Project
from models.database import transaction
from services import dispatch, idempotency, jobs, values
from services.access import Viewer, find
from services.drafts import refuse_draft
from services.idempotency import Result
from services.platform import Platform
from services.removal import remove_sources

SOURCES_MAX = 1_000  # of one request
BATCH_ROWS_MAX = 1_000_000
IDS_FIELD = "input.dataSourceIds"


async def start_sync(
    platform: Platform,
    viewer: Viewer,
    *,
    project_id: str | None = None,
    source_ids: Sequence[str] | None = None,
    batch_rows: int | None = None,
    incremental: bool = True,
    idempotency_key: str | None = None,
) -> list[int]:
    """Queue a sync of these sources, or of every source of the project that is no draft; the jobs' keys, in that order.

    A source that is being synced gives its running job. Without `incremental` every table is read whole.
    """
    sources = await _chosen(viewer, project_id, source_ids, to_sync=True)
    given = {
        "project": as_public("project", project_id) if project_id else None,
        "sources": [as_public("datasource", each) for each in source_ids] if source_ids else None,
        "batch_rows": batch_rows,
        "incremental": incremental,
    }

    async def prepare() -> int | None:
        if batch_rows is None:
            return None
        return values.between(batch_rows, "input.options.batchSize", least=1, most=BATCH_ROWS_MAX)

    async def commit(rows: int | None) -> Result:
        queued = {}
        for source in sorted(sources, key=lambda each: each.id):  # one order, so no deadlock
            job = await jobs.sync(source, viewer.user_id, rows, incremental=incremental)
            queued[source.id] = job.id
        return {"jobs": [queued[source.id] for source in sources]}

    done = await idempotency.once(
        platform,
        viewer,
        "syncDataSources",
        idempotency_key,
        given,
        prepare=prepare,
        commit=commit,
    )
    job_pks: list[int] = done["jobs"]
    if job_pks:
        await dispatch.wake(len(job_pks))
    return job_pks


async def cleanup(
    viewer: Viewer,
    project_id: str,
    *,
    source_ids: Sequence[str] | None = None,
    every: bool = False,
) -> list[str]:
    """Soft-delete these sources, or `every` one of the project, and queue the removal of what is stored of them.

    Their syncs and script jobs are cancelled. Gives the ids of the sources that are gone.
    """
    project = await find(viewer, Project, project_id, field="input.projectId")
    if every == (source_ids is not None):
        raise InvalidInput("Name the data sources, or say `all: true`; not both.", field=IDS_FIELD)
    if every:
        found = DataSource.filter(project_id=project.id, deleted_at=None).order_by("id")
        source_pks = [source.id for source in await found.only("id")]
    else:
        source_pks = [each.id for each in await _chosen(viewer, project_id, source_ids)]
    if not source_pks:
        return []
    async with transaction():
        gone = await remove_sources(project.id, source_pks, viewer.user_id)
    await dispatch.wake()
    return [public_id("datasource", pk) for pk in source_pks if pk in set(gone)]


async def _chosen(
    viewer: Viewer,
    project_id: str | None,
    source_ids: Sequence[str] | None,
    *,
    to_sync: bool = False,
) -> list[DataSource]:
    """The named sources, each once, or all of the project; `to_sync` refuses drafts, or leaves them out."""
    project = (
        await find(viewer, Project, project_id, field="input.projectId") if project_id else None
    )
    if source_ids is None:
        if project is None:
            raise InvalidInput("Name a project or data sources.", field="input.projectId")
        every = DataSource.filter(project_id=project.id, deleted_at=None).order_by("id")
        if to_sync:
            every = every.exclude(status=DataSourceStatus.DRAFT)
        sources = await every.limit(SOURCES_MAX + 1)
        if len(sources) > SOURCES_MAX:
            raise InvalidInput(
                f"The project has more than {SOURCES_MAX:,} data sources.",
                hint="Name them, in several requests.",
                field=IDS_FIELD,
            )
        return sources
    values.bounded(source_ids, IDS_FIELD, items_max=SOURCES_MAX)
    chosen: dict[int, DataSource] = {}
    for index, source_id in enumerate(source_ids):
        place = f"{IDS_FIELD}[{index}]"
        source = await find(viewer, DataSource, source_id, field=place)
        if project is not None and source.project_id != project.id:  # type: ignore[attr-defined]
            raise NotFound(
                "There is no such datasource in the project.", hint="Check the id.", field=place
            )
        if to_sync:
            refuse_draft(source, place)
        chosen[source.id] = source
    return list(chosen.values())
