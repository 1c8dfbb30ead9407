"""Queries about projects."""

from __future__ import annotations

from typing import Annotated

import strawberry

import models
from graph.context import Info
from graph.fields import query
from graph.lookup import Id, find_one
from graph.pages import (
    After,
    Before,
    Connection,
    First,
    Last,
    Listing,
    Offset,
    OldestFirst,
    PageRow,
    page,
    window,
)
from graph.projects.filters import (
    ProjectFilter,
    ProjectOrder,
    project_conditions,
    project_sort,
)
from graph.projects.types import Project
from models import Role
from models.rows import Row
from services.access import visible


@strawberry.type
class ProjectQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=Project | None)
    @staticmethod
    async def project(info: Info, id: Id) -> Row | None:
        """A project by its id; null for one that does not exist, is deleted, or is not your team's."""
        return await find_one(info, Project, id)

    @query(needs=Role.READ, returns=Connection[Project])
    @staticmethod
    async def projects(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Annotated[
            ProjectFilter | None,
            strawberry.argument(description="Which of them; the active ones when left out."),
        ] = None,
        order_by: OldestFirst[list[ProjectOrder]] = None,
    ) -> PageRow:
        """The projects of your teams."""
        scope = visible(info.context.actor(info), models.Project, deleted=True)
        conditions = (*scope, *project_conditions(filter))
        listing = Listing(
            Project, project_sort(order_by), window(first, after, last, before, offset), conditions
        )
        return await page(info, listing)
