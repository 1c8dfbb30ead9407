"""Filters that several lists share, as conditions on rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import strawberry

from base.errors import InvalidInput
from base.ids import key_of
from models.rows import AnyOf, Compare, Condition, Contains, Eq, In

FILTER_VALUES_MAX = 200


@strawberry.input(description="Restricts a text; every part that is given has to hold.")
class StringFilter:
    """A filter of one text column."""

    eq: str | None = strawberry.field(default=None, description="Exactly this text.")
    contains: str | None = strawberry.field(
        default=None, description="Contains this text, in any case."
    )
    in_: list[str] | None = strawberry.field(
        default=None, name="in", description="One of these texts; none at all matches nothing."
    )


def text_is(column: str, filter: StringFilter | None, field: str) -> list[Condition]:
    """The conditions of a `StringFilter`; `field` is its input path."""
    if filter is None:
        return []
    conditions: list[Condition] = []
    if filter.eq is not None:
        conditions.append(Eq(column, clean(filter.eq, f"{field}.eq")))
    if filter.contains is not None:
        conditions.append(Contains(column, clean(filter.contains, f"{field}.contains")))
    if filter.in_ is not None:
        bounded(filter.in_, f"{field}.in")
        conditions.append(In(column, [clean(text, f"{field}.in") for text in filter.in_]))
    return conditions


def one_of(column: str, values: Sequence[str] | None, field: str) -> list[Condition]:
    """The column is one of these enum values; None leaves it open."""
    return [] if values is None else [In(column, bounded(values, field))]


def key_is(column: str, kind: str, public_id: str | None) -> list[Condition]:
    """The column is the key that this id names; an id of another kind matches nothing, like a missing one."""
    if public_id is None:
        return []
    key = key_of(kind, public_id)
    return [AnyOf(()) if key is None else Eq(column, key)]


def between(column: str, after: datetime | None, before: datetime | None) -> list[Condition]:
    """The column is later than `after` and earlier than `before`; None leaves an end open."""
    later: list[Condition] = [] if after is None else [Compare(column, ">", after)]
    return later if before is None else [*later, Compare(column, "<", before)]


def bounded(values: Sequence[str], field: str) -> Sequence[str]:
    """The values, if they are not too many."""
    if len(values) > FILTER_VALUES_MAX:
        raise InvalidInput(f"`{field}` takes up to {FILTER_VALUES_MAX} values.", field=field)
    return values


def clean(text: str, field: str) -> str:
    """The text, if a database can hold it."""
    if "\x00" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise InvalidInput("A text has no NUL characters and no lone surrogates.", field=field)
    return text
