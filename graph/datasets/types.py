"""Datasets: groups of data sources."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import strawberry

import models
from graph.context import Info, load
from graph.enums import DataSourceStatus, Direction, expose
from graph.fields import Node, column, link, node, returns
from graph.filters import StringFilter, clean, key_is, text_is
from graph.orders import Sort
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
from graph.sources.filters import (
    DataSourceFilter,
    DataSourceOrder,
    source_conditions,
    source_sort,
)
from graph.sources.types import DataSource
from models import rows
from models.rows import AnyOf, Condition, Contains, In, IsNull, Pick

if TYPE_CHECKING:
    from graph.access.types import User
    from graph.projects.types import Project


@strawberry.type(description="How many data sources there are in each state.")
class DataSourceStatusCounts:
    """Made of a `CountsRow`."""

    draft: int = strawberry.field(description="Which have no file yet.")
    pending: int = strawberry.field(description="Connected, never synced.")
    syncing: int = strawberry.field(description="Being synced, or about to be.")
    synced: int = strawberry.field(description="Synced.")
    failed: int = strawberry.field(description="Whose last sync failed.")


class CountsRow(NamedTuple):
    """What a `DataSourceStatusCounts` is made of; the statuses in their order."""

    draft: int
    pending: int
    syncing: int
    synced: int
    failed: int


@node
@strawberry.type(description="A group of data sources within a project, which has one by default.")
class Dataset(Node):
    """Rows of `models.Dataset`."""

    model: ClassVar[type[models.Dataset]] = models.Dataset

    pk: BigInt = column("The dataset's integer key.", reads=Pick("pk", "id"))
    name: str = column("What people call it.")
    description: str | None = column("What it is about.")
    project: Annotated[Project, strawberry.lazy("graph.projects.types")] = link(
        "The project it belongs to.", "project_id"
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who made it.", "creator_id"
    )
    created_at: DateTime = column("When it was made.")
    updated_at: DateTime = column("When it was last changed.")

    @returns(Connection[DataSource])
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
        """The data sources in it."""
        conditions = (IsNull("deleted_at"), *source_conditions(filter))
        listing = Listing(
            DataSource,
            source_sort(order_by),
            window(first, after, last, before, offset),
            conditions,
            "dataset_id",
        )
        return page_below(info, listing, parent.pk)

    @returns(DataSourceStatusCounts)
    @staticmethod
    def status_counts(parent: strawberry.Parent[Any], info: Info) -> Awaitable[CountsRow]:
        """How many of its data sources are in each state."""
        return load(info, parent.pk, _status_counts)


async def _status_counts(datasets: Sequence[int]) -> Mapping[int, CountsRow]:
    counted = await rows.tally(
        models.DataSource,
        ("dataset_id", "status"),
        In("dataset_id", datasets),
        IsNull("deleted_at"),
    )
    return {
        pk: CountsRow(*(counted.get((pk, status.value), 0) for status in DataSourceStatus))
        for pk in datasets
    }


class DatasetOrderField(StrEnum):
    """What datasets can be sorted by; the value is the column."""

    CREATED_AT = "created_at"
    NAME = "name"


expose(
    DatasetOrderField,
    "What datasets can be sorted by.",
    CREATED_AT="When they were made.",
    NAME="Their names.",
)


@strawberry.input(description="The order of a list of datasets; ties are in the order of making.")
class DatasetOrder:
    """An order of datasets."""

    field: DatasetOrderField = strawberry.field(description="What to sort by.")
    direction: Direction | None = strawberry.field(
        default=Direction.ASC, description="Which end comes first."
    )


@strawberry.input(description="Restricts a list of datasets; every part that is given has to hold.")
class DatasetFilter:
    """A filter of datasets."""

    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="Datasets of this project."
    )
    name: StringFilter | None = strawberry.field(default=None, description="By their name.")
    search: str | None = strawberry.field(
        default=None, description="Contains this text in its name or description, in any case."
    )


def dataset_conditions(filter: DatasetFilter | None) -> list[Condition]:
    """The conditions of a `DatasetFilter`."""
    if filter is None:
        return []
    conditions = [
        *key_is("project_id", "project", filter.project_id),
        *text_is("name", filter.name, "filter.name"),
    ]
    if filter.search is not None:
        text = clean(filter.search, "filter.search")
        conditions.append(AnyOf((Contains("name", text), Contains("description", text))))
    return conditions


def dataset_sort(order: DatasetOrder | None) -> Sort:
    """The order that is asked for; by default the order of making."""
    if order is None:
        return Sort.by("datasets", "created_at", Direction.ASC)
    return Sort.by("datasets", order.field, order.direction)
