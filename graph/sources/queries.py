"""Queries about data sources."""

from __future__ import annotations

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
    Which,
    page,
    window,
)
from graph.sources.filters import (
    DataSourceFilter,
    DataSourceOrder,
    source_conditions,
    source_sort,
)
from graph.sources.types import DataSource
from models import Role
from models.rows import Row
from services.access import visible


@strawberry.type
class SourceQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=DataSource | None)
    @staticmethod
    async def data_source(info: Info, id: Id) -> Row | None:
        """A data source by its id; null for one that does not exist, is deleted, or is not your team's."""
        return await find_one(info, DataSource, id)

    @query(needs=Role.READ, returns=Connection[DataSource])
    @staticmethod
    async def data_sources(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Which[DataSourceFilter] = None,
        order_by: OldestFirst[DataSourceOrder] = None,
    ) -> PageRow:
        """The data sources of your teams' projects."""
        scope = visible(info.context.actor(info), models.DataSource)
        conditions = (*scope, *source_conditions(filter))
        listing = Listing(
            DataSource,
            source_sort(order_by),
            window(first, after, last, before, offset),
            conditions,
        )
        return await page(info, listing)
