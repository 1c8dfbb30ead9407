"""Filters that several lists share, as conditions on rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import strawberry

from base.errors import InvalidInput
from base.ids import key_of
from graph.scalars import BigInt, DateTime
from models.rows import (
    AnyOf,
    Compare,
    CompareText,
    Condition,
    Contains,
    Eq,
    In,
    InAnyCase,
    IsNull,
    StartsWith,
)

FILTER_VALUES_MAX = 200
FILTER_CONDITIONS_MAX = 200  # of one filter, with all that is nested in it
FILTER_LEVELS_MAX = 8  # of `and`, `or` and `not` within each other
_RANGE = (("lt", "<"), ("lte", "<="), ("gt", ">"), ("gte", ">="))
_SHOWN = timedelta(milliseconds=1)  # what a DateTime is shown to


@strawberry.input(description="Restricts a text; every part that is given has to hold.")
class StringFilter:
    """A filter of one text column."""

    eq: str | None = strawberry.field(default=None, description="Exactly this text.")
    contains: str | None = strawberry.field(
        default=None, description="Contains this text, in any case unless `ignoreCase` is false."
    )
    in_: list[str] | None = strawberry.field(
        default=None, name="in", description="One of these texts; none at all matches nothing."
    )
    starts_with: str | None = strawberry.field(default=None, description="Starts with this text.")
    lt: str | None = strawberry.field(
        default=None, description="Before this text, by code points, whatever the language."
    )
    lte: str | None = strawberry.field(
        default=None, description="This text or one before it, by code points."
    )
    gt: str | None = strawberry.field(
        default=None, description="After this text, by code points, whatever the language."
    )
    gte: str | None = strawberry.field(
        default=None, description="This text or one after it, by code points."
    )
    is_null: bool | None = strawberry.field(
        default=None, description="True: there is no text. False: there is one, perhaps empty."
    )
    ignore_case: bool | None = strawberry.field(
        default=None,
        description="Whether case is ignored: when left out, it is by `contains` and not by the others.",
    )


@strawberry.input(description="Restricts an integer key; every part that is given has to hold.")
class KeyFilter:
    """A filter of one key column."""

    eq: BigInt | None = strawberry.field(default=None, description="Exactly this key.")
    in_: list[BigInt] | None = strawberry.field(
        default=None, name="in", description="One of these keys; none at all matches nothing."
    )
    lt: BigInt | None = strawberry.field(default=None, description="Below this key.")
    lte: BigInt | None = strawberry.field(default=None, description="This key or one below it.")
    gt: BigInt | None = strawberry.field(default=None, description="Above this key.")
    gte: BigInt | None = strawberry.field(default=None, description="This key or one above it.")


@strawberry.input(
    description="Restricts a time; every part that is given has to hold. A time in whole milliseconds is held against "
    "times as they are shown, so that `eq` finds what was shown; one with more digits is held against microseconds."
)
class DateTimeFilter:
    """A filter of one column of times."""

    eq: DateTime | None = strawberry.field(default=None, description="At exactly this time.")
    lt: DateTime | None = strawberry.field(default=None, description="Before this time.")
    lte: DateTime | None = strawberry.field(default=None, description="At this time or before it.")
    gt: DateTime | None = strawberry.field(default=None, description="After this time.")
    gte: DateTime | None = strawberry.field(default=None, description="At this time or after it.")
    is_null: bool | None = strawberry.field(
        default=None, description="True: it has not happened. False: it has."
    )


class Counted:
    """How much of what a filter may hold one filter has used."""

    __slots__ = ("conditions",)

    def __init__(self) -> None:
        self.conditions = 0

    def add(self, conditions: int, levels: int, field: str) -> None:
        """Count a filter's own conditions (a filter without any as one), `levels` deep in `and`, `or` and `not`."""
        if levels > FILTER_LEVELS_MAX:
            raise InvalidInput(
                f"A filter has up to {FILTER_LEVELS_MAX} levels of `and`, `or` and `not`.",
                hint="Write it flatter: all parts of one filter have to hold anyway.",
                field=field,
            )
        self.conditions += max(1, conditions)
        if self.conditions > FILTER_CONDITIONS_MAX:
            raise InvalidInput(
                f"A filter has up to {FILTER_CONDITIONS_MAX} conditions.",
                hint="Use `in` where one of many values is looked for.",
                field=field,
            )


def text_is(column: str, filter: StringFilter | None, field: str) -> list[Condition]:
    """The conditions of a `StringFilter`; `field` is its input path."""
    if filter is None:
        return []
    folds = bool(filter.ignore_case)
    conditions: list[Condition] = []
    if filter.eq is not None:
        text = clean(filter.eq, f"{field}.eq")
        conditions.append(CompareText(column, "=", text, folds) if folds else Eq(column, text))
    if filter.contains is not None:
        text = clean(filter.contains, f"{field}.contains")
        conditions.append(Contains(column, text, filter.ignore_case is not False))
    if filter.in_ is not None:
        bounded(filter.in_, f"{field}.in")
        texts = [clean(text, f"{field}.in") for text in filter.in_]
        conditions.append(InAnyCase(column, texts) if folds else In(column, texts))
    if filter.starts_with is not None:
        text = clean(filter.starts_with, f"{field}.startsWith")
        conditions.append(StartsWith(column, text, folds))
    for name, operator in _RANGE:
        given = getattr(filter, name)
        if given is not None:
            text = clean(given, f"{field}.{name}")
            conditions.append(CompareText(column, operator, text, folds))
    return [*conditions, *null_is(column, null=filter.is_null)]


def key_within(column: str, filter: KeyFilter | None, field: str) -> list[Condition]:
    """The conditions of a `KeyFilter`; `field` is its input path."""
    if filter is None:
        return []
    conditions: list[Condition] = [] if filter.eq is None else [Eq(column, filter.eq)]
    if filter.in_ is not None:
        conditions.append(In(column, bounded(filter.in_, f"{field}.in")))
    given = ((operator, getattr(filter, name)) for name, operator in _RANGE)
    return [
        *conditions,
        *(Compare(column, operator, key) for operator, key in given if key is not None),
    ]


def time_is(column: str, filter: DateTimeFilter | None) -> list[Condition]:
    """The conditions of a `DateTimeFilter`."""
    if filter is None:
        return []
    conditions: list[Condition] = []
    if filter.eq is not None:
        start, end = _shown_as(filter.eq)
        conditions += (
            [Eq(column, start)]
            if end == start
            else [Compare(column, ">=", start), Compare(column, "<", end)]
        )
    for name, operator in _RANGE:
        given = getattr(filter, name)
        if given is None:
            continue
        start, end = _shown_as(given)
        if end > start and operator in {"<=", ">"}:  # to the end of the millisecond, or from there
            conditions.append(Compare(column, "<" if operator == "<=" else ">=", end))
        else:
            conditions.append(Compare(column, operator, start))
    return [*conditions, *null_is(column, null=filter.is_null)]


def _shown_as(time: datetime) -> tuple[datetime, datetime]:
    """From when, and until before when, times are shown as this one; twice the same for one that none is shown as."""
    if time.microsecond % 1000 or time > datetime.max.replace(tzinfo=time.tzinfo) - _SHOWN:
        return time, time
    return time, time + _SHOWN


def null_is(column: str, *, null: bool | None) -> list[Condition]:
    """The column is null, or is not; None leaves it open."""
    return [] if null is None else [IsNull(column, null=null)]


def one_of(column: str, values: Sequence[str] | None, field: str) -> list[Condition]:
    """The column is one of these enum values; None leaves it open."""
    return [] if values is None else [In(column, bounded(values, field))]


def key_is(column: str, kind: str, public_id: str | None) -> list[Condition]:
    """The column is the key that this id names; an id of another kind matches nothing, like a missing one."""
    if public_id is None:
        return []
    key = key_of(kind, public_id)
    return [AnyOf(()) if key is None else Eq(column, key)]


def keys_in(
    column: str, kind: str, public_ids: Sequence[str] | None, field: str
) -> list[Condition]:
    """The column is one of the keys that these ids name; what names none of this kind matches nothing."""
    if public_ids is None:
        return []
    keys = [key_of(kind, public_id) for public_id in bounded(public_ids, field)]
    return [In(column, [key for key in keys if key is not None])]


def between(column: str, after: datetime | None, before: datetime | None) -> list[Condition]:
    """The column is later than `after` and earlier than `before`; None leaves an end open."""
    later: list[Condition] = [] if after is None else [Compare(column, ">", after)]
    return later if before is None else [*later, Compare(column, "<", before)]


def bounded(values: Sequence[Any], field: str) -> Sequence[Any]:
    """The values, if they are not too many."""
    if len(values) > FILTER_VALUES_MAX:
        raise InvalidInput(f"`{field}` takes up to {FILTER_VALUES_MAX} values.", field=field)
    return values


def clean(text: str, field: str) -> str:
    """The text, if a database can hold it."""
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidInput("A text has no NUL characters and no lone surrogates.", field=field)
    return text
