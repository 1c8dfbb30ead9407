"""Inputs about schedules."""

from __future__ import annotations

import strawberry

from graph.jobs.inputs import JobStepInput, step_given
from graph.sources.inputs import SyncOptions
from services.schedules import ScriptsWork, SyncWork, Work

_CRON = (
    "When: minute, hour, day of the month, month and day of the week, such as `30 2 * * MON-FRI`. Where both days are "
    "restricted, either is enough; `L`, `LW`, `5L` and `MON#1` are the last day, the last working day, the last Friday "
    "and the first Monday. A time that the clocks skip runs right after it, one that comes twice runs once; where "
    "minute or hour begins with `*`, it follows the time that passes."
)
_ZONE = "Where that time is meant, by its name in the IANA database, such as `Europe/Berlin`"


@strawberry.input(description="A job of scripts that a schedule queues.")
class ScheduledJobInput:
    """Of `ScheduleWorkInput`."""

    table: str | None = strawberry.field(
        default=None,
        description="The table that the first step sees; may be left out where there is only one.",
    )
    schema: str | None = strawberry.field(
        default=None,
        description="The schema of the table, where several have a table of that name.",
    )
    steps: list[JobStepInput] = strawberry.field(
        description="What to run, 1 to 100 steps, with the scripts' texts of each tick; up to 64 KB in all."
    )
    partitions: int | None = strawberry.field(
        default=None,
        description="In how many partitions the partitioned steps see the table, at most; 1 to 64.",
    )
    reuse: bool | None = strawberry.field(
        default=True,
        description="Whether the result of the same scripts over the same snapshot may be taken again.",
    )


@strawberry.input(one_of=True, description="What a schedule queues: exactly one of these.")
class ScheduleWorkInput:
    """A sync or scripts."""

    sync: strawberry.Maybe[SyncOptions] = strawberry.field(
        description="A sync of the data source. One that is under way when the time comes is that tick's."
    )
    job: strawberry.Maybe[ScheduledJobInput] = strawberry.field(
        description="Scripts over a table of the snapshot that is the current one when the time comes."
    )


@strawberry.input(description="A new schedule.")
class CreateScheduleInput:
    """For `createSchedule`."""

    data_source_id: strawberry.ID = strawberry.field(
        description="The data source; up to 100 schedules each."
    )
    name: str = strawberry.field(description="What people call it; up to 200 characters.")
    cron: str = strawberry.field(description=_CRON)
    time_zone: str | None = strawberry.field(default="UTC", description=f"{_ZONE}.")
    work: ScheduleWorkInput = strawberry.field(description="What it queues.")
    is_enabled: bool | None = strawberry.field(
        default=True, description="False makes it paused, to be enabled later."
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


@strawberry.input(description="Changes of a schedule; what is left out stays.")
class UpdateScheduleInput:
    """For `updateSchedule`."""

    id: strawberry.ID = strawberry.field(description="The schedule.")
    name: strawberry.Maybe[str | None] = strawberry.field(description="Its new name.")
    cron: strawberry.Maybe[str | None] = strawberry.field(description=_CRON)
    time_zone: strawberry.Maybe[str | None] = strawberry.field(
        description=f"{_ZONE}; null for UTC."
    )
    work: strawberry.Maybe[ScheduleWorkInput | None] = strawberry.field(
        description="What it queues, in place of the whole of what it was."
    )
    is_enabled: strawberry.Maybe[bool | None] = strawberry.field(
        description="False pauses it, true resumes it: what it missed is not made up for."
    )


@strawberry.input(description="Which schedule to delete.")
class DeleteScheduleInput:
    """For `deleteSchedule`."""

    id: strawberry.ID = strawberry.field(description="The schedule.")


def work_given(work: ScheduleWorkInput) -> Work:
    """The work as services take it."""
    if work.sync is not None:
        sync = work.sync.value
        return SyncWork(incremental=sync.incremental is not False, batch_rows=sync.batch_size)
    assert work.job is not None, "exactly one is given"
    job = work.job.value
    return ScriptsWork(
        tuple(map(step_given, job.steps)),
        table=job.table,
        schema=job.schema,
        partitions=job.partitions,
        reuse=job.reuse is not False,
    )
