"""Inputs about jobs."""

from __future__ import annotations

import strawberry


@strawberry.input(description="Which job to cancel.")
class CancelJobInput:
    """For `cancelJob`."""

    id: strawberry.ID = strawberry.field(description="The job.")


@strawberry.input(description="Which job to try again.")
class RetryJobInput:
    """For `retryJob`."""

    id: strawberry.ID = strawberry.field(description="The job, FAILED or CANCELLED.")
