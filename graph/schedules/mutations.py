"""Mutations of schedules."""

from __future__ import annotations

from typing import Annotated

import strawberry

from graph.changes import changes
from graph.context import Info
from graph.datasets.mutations import DeletedPayload, deleted
from graph.fields import mutation
from graph.schedules.inputs import (
    CreateScheduleInput,
    DeleteScheduleInput,
    UpdateScheduleInput,
    work_given,
)
from graph.schedules.types import SchedulePayload
from models import Role
from services import schedules


@strawberry.type
class ScheduleMutations:
    """Root fields."""

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def create_schedule(
        info: Info,
        input: Annotated[CreateScheduleInput, strawberry.argument(description="The schedule.")],
    ) -> SchedulePayload:
        """Have a data source synced, or scripts run over it, by the clock, in your name."""
        pk = await schedules.create(
            info.context.platform,
            info.context.actor(info),
            input.data_source_id,
            name=input.name,
            expression=input.cron,
            work=work_given(input.work),
            time_zone=input.time_zone,
            is_enabled=input.is_enabled is not False,
            idempotency_key=input.idempotency_key,
        )
        return SchedulePayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def update_schedule(
        info: Info,
        input: Annotated[UpdateScheduleInput, strawberry.argument(description="The changes.")],
    ) -> SchedulePayload:
        """Change, pause or resume a schedule. From then on its jobs are queued in your name."""
        given = changes(
            name=input.name,
            cron=input.cron,
            time_zone=input.time_zone,
            work=input.work,
            is_enabled=input.is_enabled,
        )
        if given.get("work") is not None:
            given["work"] = work_given(given["work"])
        pk = await schedules.update(info.context.actor(info), input.id, given)
        return SchedulePayload(pk=pk)

    @mutation(needs=Role.WRITE)
    @staticmethod
    async def delete_schedule(
        info: Info,
        input: Annotated[DeleteScheduleInput, strawberry.argument(description="Which one.")],
    ) -> DeletedPayload:
        """Delete a schedule. The jobs that it queued stay."""
        await schedules.delete(info.context.actor(info), input.id)
        return deleted("schedule", input.id)
