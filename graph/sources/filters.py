"""Which data sources a list gives, and in which order."""

from __future__ import annotations

from enum import StrEnum

import strawberry

from graph.enums import DataSourceStatus, DataSourceType, Direction, expose
from graph.filters import StringFilter, clean, key_is, keys_in, one_of, text_is
from graph.orders import Sort
from models.rows import Condition, Eq


class DataSourceOrderField(StrEnum):
    """What data sources can be sorted by; the value is the column."""

    CREATED_AT = "created_at"
    NAME = "name"
    STATUS = "status"


expose(
    DataSourceOrderField,
    "What data sources can be sorted by.",
    CREATED_AT="When they were connected.",
    NAME="Their names.",
    STATUS="Their states, by the alphabet.",
)


@strawberry.input(
    description="The order of a list of data sources; ties are in the order of connecting."
)
class DataSourceOrder:
    """An order of data sources."""

    field: DataSourceOrderField = strawberry.field(description="What to sort by.")
    direction: Direction | None = strawberry.field(
        default=Direction.ASC, description="Which end comes first."
    )


@strawberry.input(
    description="Restricts a list of data sources; every part that is given has to hold."
)
class DataSourceFilter:
    """A filter of data sources."""

    id: list[strawberry.ID] | None = strawberry.field(
        default=None, description="These data sources, as far as they are in the list at all."
    )
    project_id: strawberry.ID | None = strawberry.field(
        default=None, description="Data sources of this project."
    )
    dataset_id: strawberry.ID | None = strawberry.field(
        default=None, description="Data sources of this dataset."
    )
    type: list[DataSourceType] | None = strawberry.field(
        default=None, description="Data sources of these families."
    )
    status: list[DataSourceStatus] | None = strawberry.field(
        default=None, description="Data sources in one of these states."
    )
    kind: list[str] | None = strawberry.field(
        default=None,
        description="Data sources of these connectors, such as `csv` or `postgresql`: `connection { kind }`.",
    )
    name: StringFilter | None = strawberry.field(default=None, description="By their name.")
    scope: str | None = strawberry.field(
        default=None, description="Data sources with exactly this scope."
    )


def source_conditions(filter: DataSourceFilter | None) -> list[Condition]:
    """The conditions of a `DataSourceFilter`."""
    if filter is None:
        return []
    scope = filter.scope
    return [
        *keys_in("id", "datasource", filter.id, "filter.id"),
        *key_is("project_id", "project", filter.project_id),
        *key_is("dataset_id", "dataset", filter.dataset_id),
        *one_of("type", filter.type, "filter.type"),
        *one_of("status", filter.status, "filter.status"),
        *one_of("kind", _cleaned(filter.kind), "filter.kind"),
        *text_is("name", filter.name, "filter.name"),
        *([] if scope is None else [Eq("scope", clean(scope, "filter.scope"))]),
    ]


def _cleaned(kinds: list[str] | None) -> list[str] | None:
    return None if kinds is None else [clean(kind, "filter.kind") for kind in kinds]


def source_sort(order: DataSourceOrder | None) -> Sort:
    """The order that is asked for; by default the order of connecting."""
    if order is None:
        return Sort.by("sources", "created_at", Direction.ASC)
    return Sort.by("sources", order.field, order.direction)
