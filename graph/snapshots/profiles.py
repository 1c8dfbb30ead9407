"""Statistics of a table's columns."""

from __future__ import annotations

import strawberry

from graph.scalars import BigInt, Cell


@strawberry.type(description="A value and how often it occurs.")
class ValueCount:
    """Shown from `services.snapshots.profiles.ValueCount` as it is."""

    value: Cell | None = strawberry.field(
        description="The value, as rows show it; the text of a long one is cut and ends with `…`."
    )
    count: BigInt = strawberry.field(description="How many rows have it.")


@strawberry.type(
    description="An interval of values, from `lower` up to, but without, `upper`; the last one includes it."
)
class Bin:
    """Shown from `services.snapshots.profiles.Bin` as it is."""

    lower: Cell = strawberry.field(description="Where it begins.")
    upper: Cell = strawberry.field(description="Where it ends.")
    count: BigInt = strawberry.field(description="How many values lie in it.")


@strawberry.type(
    description="Statistics of one column over every row, computed in the sync. NaN and infinities are no part of "
    "mean, stddev, median and histogram."
)
class ColumnProfile:
    """Shown from `services.snapshots.profiles.ColumnProfile` as it is."""

    column: str = strawberry.field(description="The column's name.")
    count: BigInt = strawberry.field(description="How many values it has, nulls not counted.")
    nulls: BigInt = strawberry.field(description="How many rows have no value in it.")
    distinct: BigInt | None = strawberry.field(description="How many different values it has.")
    distinct_is_exact: bool = strawberry.field(
        description="Whether `distinct` is certain; `method` says how it was counted otherwise."
    )
    min: Cell | None = strawberry.field(
        description="The smallest value, NaN left aside; null for a column without an order."
    )
    max: Cell | None = strawberry.field(
        description="The largest value, NaN left aside; null for a column without an order."
    )
    mean: float | None = strawberry.field(description="The mean of numbers.")
    stddev: float | None = strawberry.field(
        description="The standard deviation of numbers as of a sample; null for fewer than two."
    )
    median: float | None = strawberry.field(description="The median of numbers.")
    top: list[ValueCount] = strawberry.field(
        description="The most frequent values, up to 10. Values that occur once are left out where there are more than "
        "10 different ones."
    )
    histogram: list[Bin] = strawberry.field(
        description="Up to 20 bins of equal width, the last may be narrower, for numbers, dates and times."
    )
    method: str | None = strawberry.field(
        description="What of this is exact, what is approximate, and how it was found."
    )
