"""Script jobs: all that they will do is written down when they are made, so that nothing changes it any more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from base import isolation
from base.errors import Conflict, NotFound, SandboxUnavailable
from base.ids import as_public, public_id
from base.tracing import trace_id
from models import DataSource, Job, JobKind, JobLog, JobStatus, JobStep, Snapshot
from services import dispatch, idempotency, leases
from services.access import Viewer, find
from services.idempotency import Result
from services.platform import Platform
from services.scripts import memo
from services.scripts.planning import (
    SNAPSHOT_FIELD,
    SOURCE_FIELD,
    PinnedStep,
    Plan,
    StepGiven,
    TableWanted,
    check_steps,
    plan,
)
from services.statements import dump, fetch

JOBS_WAITING_MAX = 1_000  # of one project, not over yet: each keeps its own copy of the texts
_HOLD_SCRIPTS = """
SELECT s.id FROM scripts s JOIN {lines} ON s.id = CAST(CAST(line.value AS text) AS bigint)
ORDER BY s.id {for_key_share}"""
_NO_SANDBOX = isolation.Level.UNAVAILABLE
_NOT_OVER = [status for status in JobStatus if not status.is_terminal]


async def create(
    platform: Platform,
    viewer: Viewer,
    source_id: str,
    steps: Sequence[StepGiven],
    *,
    table: str | None = None,
    schema: str | None = None,
    snapshot_id: str | None = None,
    partitions: int | None = None,
    reuse: bool = True,
    idempotency_key: str | None = None,
) -> int:
    """Queue a job that runs scripts over one table of a snapshot, or take the result of an earlier one; its key.

    Raises NotFound, InvalidInput and PayloadTooLarge for what the input names, Conflict where there is no snapshot or
    too many jobs wait, and SandboxUnavailable.
    """
    source = await find(viewer, DataSource, source_id, field=SOURCE_FIELD)
    checked = check_steps(steps, partitions)
    given = {
        "source": source.id,
        "steps": [asdict(step) for step in checked],
        "table": table,
        "schema": schema,
        "snapshot": as_public("snapshot", snapshot_id) if snapshot_id else None,
        "partitions": partitions,
        "reuse": reuse,
    }

    async def prepare() -> Plan:
        wanted = TableWanted(table, schema, partitions=partitions)
        if snapshot_id is not None:
            snapshot = await find(viewer, Snapshot, snapshot_id, field=SNAPSHOT_FIELD)
            if snapshot.data_source_id != source.id:  # type: ignore[attr-defined]
                raise NotFound(
                    "There is no such snapshot of this data source.", field=SNAPSHOT_FIELD
                )
            wanted = replace(wanted, snapshot_pk=snapshot.id)
        await _refuse_without_sandbox(platform)
        return await plan(source, checked, wanted)

    async def commit(planned: Plan) -> Result:
        job = await start(planned, viewer.user_id, reuse=reuse)
        return {"job": job.id, "is_queued": not job.reused}

    done = await idempotency.once(
        platform, viewer, "createJob", idempotency_key, given, prepare=prepare, commit=commit
    )
    if done["is_queued"]:
        await dispatch.wake()
    job_pk: int = done["job"]
    return job_pk


async def start(
    planned: Plan, creator_pk: int | None, *, reuse: bool, field: str | None = SOURCE_FIELD
) -> Job:
    """Queue the job in the caller's transaction; with `reuse` it may be over already, with an earlier one's result.

    Raises Conflict, about `field`, where the source or the snapshot went away since, or JOBS_WAITING_MAX jobs wait.
    After the commit: `dispatch.wake()`.
    """
    await _hold(planned, field)
    key = planned.memo_key
    found = await memo.earlier(key) if reuse else None
    shape: dict[str, Any] = {
        "kind": JobKind.SCRIPT,
        "project_id": planned.project_pk,
        "data_source_id": planned.source_pk,
        "creator_id": creator_pk,
        "options": _options(planned, reuse=reuse),
        "input_snapshot_id": planned.snapshot_pk,
        "memo_key": key,
        "trace_id": trace_id(),
    }
    if found is None:
        await _make_room(planned.project_pk, field)
        job = await Job.create(**shape)
        await _write_steps(job, planned, {}, {})
        await leases.touch(job.id)
        return job
    now = datetime.now(UTC)
    over: dict[str, Any] = {
        "status": JobStatus.SUCCEEDED,
        "started_at": now,
        "finished_at": now,
    }
    done = {name: getattr(found, name) for name in ("rows_done", "rows_total", "bytes_done")}
    job = await Job.create(**shape, **over, **done, reused=True, snapshot_id=found.snapshot_id)
    await _write_steps(job, planned, over, await memo.rows_of(found))
    same = f"Nothing ran: {public_id('job', found.id)} ran the same scripts over the same snapshot."
    await JobLog.create(
        job_id=job.id, level="info", message=f"{same} Its result is this job's, too."
    )
    await leases.touch(job.id)
    return job


async def again(job: Job, creator_pk: int | None) -> Job:
    """Queue a script job's work once more, in the caller's transaction: the same texts over the same snapshot.

    Raises Conflict where the source or the snapshot is gone, or JOBS_WAITING_MAX jobs wait.
    """
    steps = await JobStep.filter(job_id=job.id).order_by("position")
    schema, name = job.options["table"]
    planned = Plan(
        source_pk=job.data_source_id,  # type: ignore[attr-defined]
        project_pk=job.project_id,  # type: ignore[attr-defined]
        snapshot_pk=job.input_snapshot_id or 0,
        table=(schema, name),
        steps=tuple(
            PinnedStep(
                key=step.key,
                exec_order=step.exec_order,
                script_pk=step.script_id,  # type: ignore[attr-defined]
                body=step.body or "",
                sha256=step.sha256 or "",
                parameters=step.parameters,
            )
            for step in steps
        ),
        shared_out=shared_out(job.options),
    )
    return await start(planned, creator_pk, reuse=False, field="input.id")


def shared_out(options: dict[str, Any]) -> tuple[int, int] | None:
    """How many of a job's first steps run in how many partitions; None where the table stays whole."""
    partitioned: int | None = options.get("partitioned")
    return None if partitioned is None else (partitioned, options["partitions"])


def _options(planned: Plan, *, reuse: bool) -> dict[str, Any]:
    options: dict[str, Any] = {"table": list(planned.table), "reuse": reuse}
    if planned.shared_out is not None:
        options["partitioned"], options["partitions"] = planned.shared_out
    return options


async def _refuse_without_sandbox(platform: Platform) -> None:
    """Say now what the worker beside this process would say later; one elsewhere may do better."""
    if platform.settings.is_embedded and await asyncio.to_thread(isolation.level) is _NO_SANDBOX:
        raise SandboxUnavailable(
            "This server cannot isolate scripts, so it does not run them.",
            hint="`serverInfo { sandbox }` and `headwater doctor` tell what is missing.",
        )


async def _hold(planned: Plan, field: str | None) -> None:
    """Keep the source and the snapshot until the transaction ends: retention locks the source before it takes one."""
    there = DataSource.filter(id=planned.source_pk, deleted_at=None, project__deleted_at=None)
    held = DataSource.filter(id=planned.source_pk).select_for_update(no_key=True)
    if await held.only("id").first() is None or not await there.exists():
        raise Conflict("The data source of the job was deleted.", field=field)
    snapshot = Snapshot.filter(
        id=planned.snapshot_pk, data_source_id=planned.source_pk, removed_at=None
    )
    if not await snapshot.exists():
        raise Conflict(
            "The snapshot that the job reads is no longer kept.",
            hint="Make a new job with `createJob`.",
            field=field,
        )


async def _make_room(project_pk: int, field: str | None) -> None:
    """See that the project takes another job. Sources of it that queue theirs at once may go over it by one each."""
    waiting = Job.filter(
        status__in=_NOT_OVER, project_id=project_pk, kind=JobKind.SCRIPT, parent_id=None
    )
    if await waiting.count() >= JOBS_WAITING_MAX:
        raise Conflict(
            f"The project has {JOBS_WAITING_MAX:,} script jobs that are not over, which is the limit.",
            hint="Wait until some are over, or cancel those that nobody needs with `cancelJob`.",
            field=field,
        )


async def _write_steps(
    job: Job, planned: Plan, over: Mapping[str, Any], rows: Mapping[int, JobStep]
) -> None:
    """Insert the steps; those of a job that is `over` with the books of the one whose result it has."""
    there = await _still_there(planned)
    await JobStep.bulk_create(
        JobStep(
            job_id=job.id,
            key=step.key,
            exec_order=step.exec_order,
            position=position,
            script_id=step.script_pk if step.script_pk in there else None,
            sha256=step.sha256,
            parameters=step.parameters,
            body=step.body,
            rows_in=rows[position].rows_in if position in rows else None,
            rows_out=rows[position].rows_out if position in rows else None,
            **over,
        )
        for position, step in enumerate(planned.steps)
    )


async def _still_there(planned: Plan) -> set[int]:
    """Keys of the scripts that nobody has removed since they were read, nor removes before the steps are written.

    Who removes one of a source takes the source, which is held. A predefined one has none: its row is locked itself, as
    the steps' own reference will do it.
    """
    wanted = sorted({step.script_pk for step in planned.steps if step.script_pk is not None})
    rows = await fetch(_HOLD_SCRIPTS, lines=dump(wanted)) if wanted else []
    return {row["id"] for row in rows}
