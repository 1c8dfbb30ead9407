"""Mutations of jobs."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graph.context import Info
from graph.fields import mutation, one
from graph.jobs.inputs import CancelJobInput, CreateJobInput, RetryJobInput, step_given
from graph.jobs.types import Job
from models import Role
from services import dispatch, jobs, scripts


@strawberry.type(description="A job.")
class JobPayload:
    """The job with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    job = one(Job, "pk", "The job, as it is now.")


@strawberry.type
class JobMutations:
    """Root fields."""

    @mutation(needs=Role.EXECUTE)
    @staticmethod
    async def create_job(
        info: Info,
        input: Annotated[CreateJobInput, strawberry.argument(description="What to run.")],
    ) -> JobPayload:
        """Run scripts over a table of a data source, in the background; the result is a derived snapshot of it.

        The texts of the scripts and the snapshot are those of now, whatever becomes of them later. Where an earlier job
        had the same, its result is taken and the job is SUCCEEDED at once (`Job.reused`).
        """
        pk = await scripts.create(
            info.context.platform,
            info.context.actor(info),
            input.data_source_id,
            [step_given(step) for step in input.steps],
            table=input.table,
            schema=input.schema,
            snapshot_id=input.snapshot_id,
            partitions=input.partitions,
            reuse=input.reuse is not False,
            idempotency_key=input.idempotency_key,
        )
        return JobPayload(pk=pk)

    @mutation(needs=Role.EXECUTE)
    @staticmethod
    async def cancel_job(
        info: Info,
        input: Annotated[CancelJobInput, strawberry.argument(description="Which one.")],
    ) -> JobPayload:
        """Stop a job: a queued one at once, a running one within seconds. One that is over stays as it is."""
        return JobPayload(pk=await jobs.cancel(info.context.actor(info), input.id))

    @mutation(needs=Role.EXECUTE)
    @staticmethod
    async def retry_job(
        info: Info,
        input: Annotated[RetryJobInput, strawberry.argument(description="Which one.")],
    ) -> JobPayload:
        """Queue the work of a failed or cancelled job again. The answer is the new job, for what is over stays over."""
        pk = await jobs.retry(info.context.actor(info), input.id)
        await dispatch.wake()
        return JobPayload(pk=pk)
