"""Queries about schedules."""

from __future__ import annotations

from typing import Annotated

import strawberry

import models
from graph.context import Info
from graph.fields import query
from graph.filters import key_is
from graph.lookup import Id, find_one
from graph.pages import (
    After,
    Before,
    Connection,
    First,
    Last,
    Listing,
    Offset,
    PageRow,
    page,
    window,
)
from graph.schedules.types import OLDEST_SCHEDULES_FIRST, Schedule
from models import Role
from models.rows import Row
from services.access import visible


@strawberry.type
class ScheduleQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=Schedule | None)
    @staticmethod
    async def schedule(info: Info, id: Id) -> Row | None:
        """A schedule by its id; null for one that does not exist or is not your team's."""
        return await find_one(info, Schedule, id)

    @query(needs=Role.READ, returns=Connection[Schedule])
    @staticmethod
    async def schedules(
        info: Info,
        project_id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The project; all of your teams when left out."),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> PageRow:
        """The schedules of your teams' projects, the oldest first."""
        scope = visible(info.context.actor(info), models.Schedule)
        conditions = (*scope, *key_is("project_id", "project", project_id))
        where = window(first, after, last, before, offset)
        return await page(info, Listing(Schedule, OLDEST_SCHEDULES_FIRST, where, conditions))
