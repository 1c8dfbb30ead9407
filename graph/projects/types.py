"""Projects: what a team works on."""

from __future__ import annotations

from collections.abc import Awaitable
from enum import StrEnum
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
from graph.enums import Direction, expose
from graph.fields import Node, column, link, node, returns
from graph.filters import StringFilter, between, key_is, text_is
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
    Sort,
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
from models.rows import Condition, IsNull, Pick

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
    ) -> Awaitable[PageRow]:
        """What is done in it by the clock, the oldest schedule first."""
        listing = Listing(
            Schedule,
            OLDEST_SCHEDULES_FIRST,
            window(first, after, last, before),
            tuple(of_what_is_there()),
            "project_id",
        )
        return page_below(info, listing, _open(parent))


def _open(project: Any) -> int:
    """The key to look below a project with; one that no row has where the project is soft-deleted."""
    pk: int = project.pk
    return pk if project.hidden is None else -pk


class ProjectOrderField(StrEnum):
    """What projects can be sorted by; the value is the column."""

    CREATED_AT = "created_at"
    NAME = "name"


expose(
    ProjectOrderField,
    "What projects can be sorted by.",
    CREATED_AT="When they were made.",
    NAME="Their names.",
)


@strawberry.input(description="The order of a list of projects; ties are in the order of making.")
class ProjectOrder:
    """An order of projects."""

    field: ProjectOrderField = strawberry.field(description="What to sort by.")
    direction: Direction | None = strawberry.field(
        default=Direction.ASC, description="Which end comes first."
    )


@strawberry.input(description="Restricts a list of projects; every part that is given has to hold.")
class ProjectFilter:
    """A filter of projects."""

    team_id: strawberry.ID | None = strawberry.field(
        default=None, description="Projects of this team."
    )
    name: StringFilter | None = strawberry.field(default=None, description="By their name.")
    deleted: bool | None = strawberry.field(
        default=False, description="True: the soft-deleted projects, in place of the active ones."
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Made after this time."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Made before this time."
    )


def project_conditions(filter: ProjectFilter | None) -> list[Condition]:
    """The conditions of a `ProjectFilter`."""
    if filter is None:
        return [IsNull("deleted_at")]
    return [
        IsNull("deleted_at", null=not filter.deleted),
        *key_is("team_id", "team", filter.team_id),
        *text_is("name", filter.name, "filter.name"),
        *between("created_at", filter.created_after, filter.created_before),
    ]


def project_sort(order: ProjectOrder | None) -> Sort:
    """The order that is asked for; by default the order of making."""
    if order is None:
        return Sort.by("projects", "created_at", Direction.ASC)
    return Sort.by("projects", order.field, order.direction)
