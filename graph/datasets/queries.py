"""Queries about datasets."""

from __future__ import annotations

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
    Which,
    page,
    window,
)
from models import Role
from models.rows import Row
from services.access import visible


@strawberry.type
class DatasetQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=Dataset | None)
    @staticmethod
    async def dataset(info: Info, id: Id) -> Row | None:
        """A dataset by its id; null for one that does not exist, is deleted, or is not your team's."""
        return await find_one(info, Dataset, id)

    @query(needs=Role.READ, returns=Connection[Dataset])
    @staticmethod
    async def datasets(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[DatasetFilter] = None,
        order_by: OldestFirst[DatasetOrder] = None,
    ) -> PageRow:
        """The datasets of your teams' projects."""
        scope = visible(info.context.actor(info), models.Dataset)
        conditions = (*scope, *dataset_conditions(filter))
        listing = Listing(
            Dataset, dataset_sort(order_by), window(first, after, last, before, offset), conditions
        )
        return await page(info, listing)
