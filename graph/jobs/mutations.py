"""Mutations of jobs."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graph.context import Info
from graph.fields import mutation, one
from graph.jobs.inputs import CancelJobInput, RetryJobInput
from graph.jobs.types import Job
from models import Role
from services import dispatch, jobs


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
