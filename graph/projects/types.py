"""Projects: what a team works on."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import strawberry

import models
from graph.context import Info
from graph.datasets.types import (
    Dataset,
    DatasetFilter,
    DatasetOrder,
    dataset_conditions,
    dataset_sort,
)
from graph.fields import Node, column, link, node, returns
from graph.jobs.types import NEWEST_JOBS_FIRST, Job, JobFilter, job_conditions
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
    Which,
    page_below,
    window,
)
from graph.scalars import BigInt, DateTime
from graph.schedules.types import OLDEST_SCHEDULES_FIRST, Schedule, of_what_is_there
from graph.sources.filters import (
    DataSourceFilter,
    DataSourceOrder,
    source_conditions,
    source_sort,
)
from graph.sources.types import DataSource
from models.rows import IsNull, Pick

if TYPE_CHECKING:
    from graph.access.types import Team, User

_HIDDEN = Pick("hidden", "deleted_at")  # a soft-deleted project hides all that is below it


@node
@strawberry.type(
    description="A named body of work of one team: datasets, their data sources, and jobs."
)
class Project(Node):
    """Rows of `models.Project`."""

    model: ClassVar[type[models.Project]] = models.Project

    pk: BigInt = column("The project's integer key.", reads=Pick("pk", "id"))
    name: str = column("What people call it.")
    description: str | None = column("What it is about.")
    team: Annotated[Team, strawberry.lazy("graph.access.types")] = link(
        "The team it belongs to.", "team_id"
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who made it.", "creator_id"
    )
    created_at: DateTime = column("When it was made.")
    updated_at: DateTime = column("When it was last changed.")
    deleted_at: DateTime | None = column("When it was soft-deleted; null while it is active.")

    @returns(Connection[Dataset], _HIDDEN)
    @staticmethod
    def datasets(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[DatasetFilter] = None,
        order_by: OldestFirst[DatasetOrder] = None,
    ) -> Awaitable[PageRow]:
        """The datasets in it."""
        conditions = (IsNull("deleted_at"), *dataset_conditions(filter))
        listing = Listing(
            Dataset,
            dataset_sort(order_by),
            window(first, after, last, before, offset),
            conditions,
            "project_id",
        )
        return page_below(info, listing, _open(parent))

    @returns(Connection[DataSource], _HIDDEN)
    @staticmethod
    def data_sources(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[DataSourceFilter] = None,
        order_by: OldestFirst[DataSourceOrder] = None,
    ) -> Awaitable[PageRow]:
        """The data sources of all its datasets."""
        conditions = (IsNull("deleted_at"), *source_conditions(filter))
        listing = Listing(
            DataSource,
            source_sort(order_by),
            window(first, after, last, before, offset),
            conditions,
            "project_id",
        )
        return page_below(info, listing, _open(parent))

    @returns(Connection[Job], _HIDDEN)
    @staticmethod
    def jobs(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[JobFilter] = None,
    ) -> Awaitable[PageRow]:
        """Its jobs, newest first."""
        listing = Listing(
            Job,
            NEWEST_JOBS_FIRST,
            window(first, after, last, before, offset),
            tuple(job_conditions(filter)),
            "project_id",
        )
        return page_below(info, listing, _open(parent))

    @returns(Connection[Schedule], _HIDDEN)
    @staticmethod
    def schedules(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
    ) -> Awaitable[PageRow]:
        """What is done in it by the clock, the oldest schedule first."""
        listing = Listing(
            Schedule,
            OLDEST_SCHEDULES_FIRST,
            window(first, after, last, before, offset),
            tuple(of_what_is_there()),
            "project_id",
        )
        return page_below(info, listing, _open(parent))


def _open(project: Any) -> int:
    """The key to look below a project with; one that no row has where the project is soft-deleted."""
    pk: int = project.pk
    return pk if project.hidden is None else -pk
