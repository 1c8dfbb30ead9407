"""Syncing: queues jobs, and waits for them a while."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gateway.call import Call
from gateway.dialect import Reply, several
from gateway.jobs import is_over
from gateway.prometheux import workspaces
from gateway.prometheux.envelope import counted, ok, said_no
from gateway.prometheux.failures import project_not_found
from gateway.prometheux.listing import source_ids
from gateway.prometheux.replies import Object, complaint_of, job_row, records_of, state_of

NODES_MAX = 200  # that GraphQL gives at once
SOURCES_MAX = 1_000  # that it syncs or removes at once
_NOT_DRAFTS = ("PENDING", "SYNCING", "SYNCED", "FAILED")
_SHOWN_MAX = 5  # failures that a message tells; all of them are in `sources`


@several("DefaultWorkspace", "SourceIds", "Sync", "SyncJobs")
async def sync(call: Call) -> Reply:
    """Sync the named data sources, or all of the workspace's; what is there after the wait is the answer."""
    place = await workspaces.place_to_read(call)
    named = call.values.get("source_ids")
    if place is None:
        if named:
            raise project_not_found()
        return _reply([])
    ids = named if named is not None else await source_ids(call, place, _NOT_DRAFTS)
    options = call.values.get("sync_options") or {}
    how = {"incremental": options.get("incremental"), "batchSize": options.get("batch_size")}
    jobs: list[Object] = []
    for start in range(0, len(ids), SOURCES_MAX):
        given: dict[str, Any] = {
            "projectId": place,
            "dataSourceIds": ids[start : start + SOURCES_MAX],
            "options": {name: value for name, value in how.items() if value is not None},
            "idempotencyKey": call.idempotency_key(f"sync-{start}" if start else "sync"),
        }
        jobs += (await call.run("Sync", {"input": given}))["syncDataSources"]["jobs"]
    return _reply(await finished(call, jobs))


async def finished(call: Call, jobs: Sequence[Object]) -> list[Object]:
    """The jobs once all of them are over, or as far as they are when the wait is."""
    if all(map(is_over, jobs)):
        return list(jobs)
    ids = [job["id"] for job in jobs]

    async def ask() -> list[Object]:
        found: list[Object] = []
        for start in range(0, len(ids), NODES_MAX):
            answer = await call.run("SyncJobs", {"ids": ids[start : start + NODES_MAX]})
            found += filter(None, answer["nodes"])
        return found

    return await call.repeat(ask, lambda found: all(map(is_over, found)))


def _reply(jobs: Sequence[Object]) -> Reply:
    records = sum(map(records_of, jobs))
    state = state_of(jobs)
    data = {
        "records_processed": records,
        "job_id": jobs[0]["id"] if jobs else None,
        "job_ids": [job["id"] for job in jobs],
        "state": state,
        "sources": [job_row(job) for job in jobs],
    }
    if state == "failed":
        return said_no(data, _complaint(jobs))
    done = f"{counted(records, 'record')} of {counted(len(jobs), 'data source')}"
    if state == "running":
        running = sum(not is_over(job) for job in jobs)
        return ok(data, f"Synchronizing: {done} so far, {running} still running")
    return ok(data, f"Synchronized {done}")


def _complaint(jobs: Sequence[Object]) -> str:
    """Which syncs failed, and why."""
    failed = [job for job in jobs if complaint_of(job) is not None]
    shown = [
        f"{(job['dataSource'] or {}).get('name', job['id'])}: {complaint_of(job)}"
        for job in failed[:_SHOWN_MAX]
    ]
    rest = [f"and {len(failed) - _SHOWN_MAX} more"] if len(failed) > _SHOWN_MAX else []
    return f"{len(failed)} of {counted(len(jobs), 'data source')} failed to sync. {' '.join([*shown, *rest])}"
