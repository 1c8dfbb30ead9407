"""Inputs about jobs."""

from __future__ import annotations

import strawberry

from graph.scalars import JSON
from services.scripts import StepGiven


@strawberry.input(description="One step of a script job.")
class JobStepInput:
    """For `createJob`."""

    key: str = strawberry.field(
        description="The key of a script of the data source, or of a predefined one (`local:…`). The same one may "
        "stand in several steps."
    )
    exec_order: int | None = strawberry.field(
        default=0,
        description="Steps run from the smallest to the largest, and where it is the same as they stand here.",
    )
    parameters: JSON | None = strawberry.field(
        default=None,
        description="What the script finds in `context.parameters`: an object, up to 64 KB. Everybody who sees the job "
        "sees it, so it is no place for secrets.",
    )
    partitioned: bool | None = strawberry.field(
        default=False,
        description="The step sees one partition of the table at a time: the table's parts are shared out, and workers "
        "run it on them side by side. Only for scripts that look at each row, or batch, on its own. Partitioned steps "
        "come first; the steps behind them see what they made in one piece.",
    )


@strawberry.input(description="Scripts to run over a table of a data source.")
class CreateJobInput:
    """For `createJob`."""

    data_source_id: strawberry.ID = strawberry.field(description="The data source.")
    steps: list[JobStepInput] = strawberry.field(
        description="What to run, 1 to 100 steps: each sees what the step before made of the table."
    )
    table: str | None = strawberry.field(
        default=None,
        description="The table that the first step sees, if need be with its schema before a point; may be left out "
        "where there is only one.",
    )
    schema: str | None = strawberry.field(
        default=None,
        description="The schema of the table, where several have a table of that name.",
    )
    snapshot_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="The snapshot whose table it is; the current one when left out.",
    )
    partitions: int | None = strawberry.field(
        default=None,
        description="In how many partitions the partitioned steps see the table, 1 to 64, as far as it has parts; as "
        "many as are worth it when left out.",
    )
    reuse: bool | None = strawberry.field(
        default=True,
        description="Whether an earlier job's result may be taken, of the same texts with the same parameters over the "
        "same snapshot. False runs scripts again that depend on the time or on chance.",
    )
    idempotency_key: str | None = strawberry.field(
        default=None,
        description="Makes the request safe to repeat for a day: the same key and input give the same answer.",
    )


def step_given(step: JobStepInput) -> StepGiven:
    """A step as services take it."""
    return StepGiven(step.key, step.exec_order or 0, step.parameters, bool(step.partitioned))


@strawberry.input(description="Which job to cancel.")
class CancelJobInput:
    """For `cancelJob`."""

    id: strawberry.ID = strawberry.field(description="The job.")


@strawberry.input(description="Which job to try again.")
class RetryJobInput:
    """For `retryJob`."""

    id: strawberry.ID = strawberry.field(description="The job, FAILED or CANCELLED.")
