"""Schedules: jobs by the clock, and what became of the last one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import orjson
import strawberry

import models
from graph.enums import Direction, JobKind
from graph.fields import Node, column, derived, link, node, one
from graph.jobs.types import Job, SourceError, stored_error
from graph.orders import Sort
from graph.scalars import JSON, BigInt, DateTime, rfc3339
from models.rows import Condition, IsNull, Pick, Within

if TYPE_CHECKING:
    from graph.access.types import User
    from graph.projects.types import Project
    from graph.sources.types import DataSource

OLDEST_SCHEDULES_FIRST = Sort.by("schedules", "created_at", Direction.ASC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@strawberry.type(description="A sync that a schedule queues.")
class ScheduledSync:
    """Made of a `SyncRow`."""

    incremental: bool = strawberry.field(description="False reads every table whole.")
    batch_size: int | None = strawberry.field(
        description="Rows that are read at once; null for the usual."
    )


@strawberry.type(description="A step of a job of scripts that a schedule queues.")
class ScheduledStep:
    """Made of a `StepRow`."""

    key: str = strawberry.field(description="The script's key; its text is that of each tick.")
    exec_order: int = strawberry.field(description="Steps run from the smallest to the largest.")
    parameters: JSON = strawberry.field(description="What the script finds as its parameters.")
    partitioned: bool = strawberry.field(
        description="Whether it sees one partition of the table at a time."
    )


@strawberry.type(description="A job of scripts that a schedule queues.")
class ScheduledJob:
    """Made of a `JobRow`."""

    table: str | None = strawberry.field(
        description="The table that the first step sees; null for the only one."
    )
    schema: str | None = strawberry.field(description="The schema of that table.")
    reuse: bool = strawberry.field(
        description="Whether the result of the same scripts over the same snapshot is taken again."
    )
    partitions: int | None = strawberry.field(
        description="In how many partitions these see the table, at most; null for as many as are worth it."
    )
    steps: list[ScheduledStep] = strawberry.field(description="The steps, as they were given.")


@strawberry.type(description="What a schedule queues: one of these, the other is null.")
class ScheduleWork:
    """Made of a `WorkRow`."""

    sync: ScheduledSync | None = strawberry.field(description="A sync of the data source.")
    job: ScheduledJob | None = strawberry.field(
        description="Scripts over a table of its current snapshot."
    )


class SyncRow(NamedTuple):
    """What a `ScheduledSync` is made of."""

    incremental: bool
    batch_size: int | None


class StepRow(NamedTuple):
    """What a `ScheduledStep` is made of."""

    key: str
    exec_order: int
    parameters: Any
    partitioned: bool


class JobRow(NamedTuple):
    """What a `ScheduledJob` is made of."""

    table: str | None
    schema: str | None
    reuse: bool
    partitions: int | None
    steps: list[StepRow]


class WorkRow(NamedTuple):
    """What a `ScheduleWork` is made of."""

    sync: SyncRow | None
    job: JobRow | None


def _work(kind: JobKind, text: str) -> WorkRow:
    options = orjson.loads(text)
    if kind is JobKind.SYNC:
        return WorkRow(SyncRow(options["incremental"], options["batch_rows"]), None)
    steps = [
        StepRow(each["key"], each["exec_order"], each["parameters"], each.get("partitioned", False))
        for each in options["steps"]
    ]
    shape = (options["table"], options["schema"], options["reuse"], options.get("partitions"))
    job = JobRow(*shape, steps)
    return WorkRow(None, job)


def _next_run(is_enabled: bool, next_run_ms: int) -> str | None:  # noqa: FBT001 - as the row has it
    return rfc3339(_EPOCH + timedelta(milliseconds=next_run_ms)) if is_enabled else None


@node
@strawberry.type(
    description="A sync or a job of scripts by the clock. Whatever came of one tick, the next one comes; ticks that "
    "passed while no worker ran are one."
)
class Schedule(Node):
    """Rows of `models.Schedule`."""

    model: ClassVar[type[models.Schedule]] = models.Schedule

    pk: BigInt = column("The schedule's integer key.", reads=Pick("pk", "id"))
    name: str = column("What people call it.")
    kind: JobKind = column("The kind of job that it queues: SYNC or SCRIPT.")
    work: ScheduleWork = derived("What it queues.", _work, "kind", Pick("options", "options", str))
    cron: str = column("When: minute, hour, day of the month, month and day of the week.")
    time_zone: str = column("Where that time is meant: a name of the IANA database.")
    is_enabled: bool = column("False while it is paused.")
    next_run_at: DateTime | None = derived(
        "When it runs next; null while it is paused.", _next_run, "is_enabled", "next_run_ms"
    )
    last_run_at: DateTime | None = column("When it last queued a job.")
    last_job: Job | None = link(
        "The job of that time: a sync that was under way then, where there was one; null once the job is removed.",
        "last_job_id",
        scoped=True,
    )
    last_error: SourceError | None = derived(
        "Why the last tick queued nothing; null where it did.",
        stored_error,
        Pick("stored_error", "error", str),
    )
    data_source: Annotated[DataSource, strawberry.lazy("graph.sources.types")] = link(
        "The data source it is about.", "data_source_id"
    )
    project: Annotated[Project, strawberry.lazy("graph.projects.types")] = link(
        "The project it belongs to.", "project_id"
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who made it, or last changed it: in that name and with those rights its jobs are queued.",
        "creator_id",
    )
    created_at: DateTime = column("When it was made.")
    updated_at: DateTime = column("When it was last changed.")


@strawberry.type(description="A schedule.")
class SchedulePayload:
    """The schedule with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    schedule = one(Schedule, "pk", "The schedule, as it is now.")


def of_what_is_there() -> list[Condition]:
    """Schedules go with their source, at once."""
    there = (IsNull("deleted_at"),)
    return [Within("data_source_id", models.DataSource, there)]
