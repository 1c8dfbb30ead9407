"""Queries about jobs."""

from __future__ import annotations

import strawberry

import models
from graph.context import Info
from graph.fields import query
from graph.jobs.types import NEWEST_JOBS_FIRST, Job, JobFilter, job_conditions
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
    Which,
    page,
    window,
)
from models import Role
from models.rows import Row
from services.access import visible


@strawberry.type
class JobQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=Job | None)
    @staticmethod
    async def job(info: Info, id: Id) -> Row | None:
        """A job by its id; null for one that does not exist or is not your team's."""
        return await find_one(info, Job, id)

    @query(needs=Role.READ, returns=Connection[Job])
    @staticmethod
    async def jobs(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[JobFilter] = None,
    ) -> PageRow:
        """The jobs of your teams' projects, newest first."""
        scope = visible(info.context.actor(info), models.Job)
        conditions = (*scope, *job_conditions(filter))
        listing = Listing(
            Job, NEWEST_JOBS_FIRST, window(first, after, last, before, offset), conditions
        )
        return await page(info, listing)
