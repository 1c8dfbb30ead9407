"""Which projects a list gives, and in which order."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import strawberry

from base.errors import InvalidInput
from graph.enums import Direction, NullsOrder, expose
from graph.filters import (
    Counted,
    DateTimeFilter,
    KeyFilter,
    StringFilter,
    between,
    key_is,
    key_within,
    null_is,
    text_is,
    time_is,
)
from graph.orders import ORDERS_MAX, Sort
from graph.scalars import DateTime
from models import Team, User
from models.rows import AllOf, AnyOf, Condition, IsNull, Key, Not, Within


class ProjectOrderField(StrEnum):
    """What projects can be sorted by; the value is the column."""

    CREATED_AT = "created_at"
    NAME = "name"
    PK = "id"
    DELETED_AT = "deleted_at"
    TEAM = "team_id"
    TEAM_NAME = "team.name"
    CREATOR = "creator_id"
    CREATOR_USERNAME = "creator.username"


expose(
    ProjectOrderField,
    "What projects can be sorted by.",
    CREATED_AT="When they were made.",
    NAME="Their names.",
    PK="Their integer keys.",
    DELETED_AT="When they were soft-deleted; null for the active ones.",
    TEAM="The integer keys of their teams.",
    TEAM_NAME="The names of their teams.",
    CREATOR="The integer keys of those who made them; null where nobody is named.",
    CREATOR_USERNAME="The usernames of those who made them; null where nobody is named.",
)


@strawberry.input(
    description="The order of a list of projects. Ties are sorted by what comes next in `orderBy`, at last by integer "
    "key, in the direction of the last one given."
)
class ProjectOrder:
    """An order of projects."""

    field: ProjectOrderField = strawberry.field(description="What to sort by.")
    direction: Direction | None = strawberry.field(
        default=Direction.ASC, description="Which end comes first."
    )
    nulls: NullsOrder | None = strawberry.field(
        default=None,
        description="Where those without a value are: when left out, last if ASC, first if DESC.",
    )


@strawberry.input(
    description="Restricts teams, or what belongs to one; every part that is given has to hold."
)
class TeamFilter:
    """A filter of teams, or by the team that a row belongs to."""

    pk: KeyFilter | None = strawberry.field(default=None, description="By its integer key.")
    name: StringFilter | None = strawberry.field(default=None, description="By its name.")
    created_at: DateTimeFilter | None = strawberry.field(
        default=None, description="By when it was made."
    )


@strawberry.input(
    description="Restricts users, or what names one; every part that is given has to hold."
)
class UserFilter:
    """A filter of users, or by the user that a row names."""

    pk: KeyFilter | None = strawberry.field(default=None, description="By the integer key.")
    username: StringFilter | None = strawberry.field(default=None, description="By the username.")
    is_null: bool | None = strawberry.field(
        default=None,
        description="True: nobody is named. False: somebody is, as for any condition on the user.",
    )


@strawberry.input(
    description="Restricts a list of projects; every part that is given has to hold. Up to 200 conditions in all, with "
    "`and`, `or` and `not` within each other up to 8 levels deep."
)
class ProjectFilter:
    """A filter of projects."""

    team_id: strawberry.ID | None = strawberry.field(
        default=None, description="Projects of this team."
    )
    name: StringFilter | None = strawberry.field(default=None, description="By their name.")
    deleted: bool | None = strawberry.field(
        default=strawberry.UNSET,
        description="False: the active projects. True: the soft-deleted ones. Null: both. When left out, it is false "
        "for the list as a whole; within `and`, `or` and `not`, which let in no more than that, it restricts nothing.",
    )
    created_after: DateTime | None = strawberry.field(
        default=None, description="Made after this time."
    )
    created_before: DateTime | None = strawberry.field(
        default=None, description="Made before this time."
    )
    pk: KeyFilter | None = strawberry.field(default=None, description="By their integer key.")
    team: TeamFilter | None = strawberry.field(default=None, description="By their team.")
    creator: UserFilter | None = strawberry.field(default=None, description="By who made them.")
    created_at: DateTimeFilter | None = strawberry.field(
        default=None, description="By when they were made."
    )
    deleted_at: DateTimeFilter | None = strawberry.field(
        default=None,
        description="By when they were soft-deleted. Say `deleted: true` or `deleted: null` as well, or the list has "
        "the active projects only.",
    )
    and_: list[ProjectFilter] | None = strawberry.field(
        default=None, name="and", description="All of these hold; none at all matches everything."
    )
    or_: list[ProjectFilter] | None = strawberry.field(
        default=None,
        name="or",
        description="At least one of these holds; none at all matches nothing.",
    )
    not_: ProjectFilter | None = strawberry.field(
        default=None,
        name="not",
        description="This does not hold: exactly the projects that it would leave out, those without a value included.",
    )


def project_conditions(filter: ProjectFilter | None) -> list[Condition]:
    """The conditions of a `ProjectFilter`. What one may not see, the list's own conditions have to leave out."""
    if filter is None:
        return [IsNull("deleted_at")]
    active: list[Condition] = [IsNull("deleted_at")] if filter.deleted is strawberry.UNSET else []
    return [*active, *_conditions(filter, "filter", 0, Counted())]


def _conditions(
    filter: ProjectFilter, field: str, levels: int, counted: Counted
) -> list[Condition]:
    """What one filter asks for; `field` is its input path, `levels` how deep it is nested."""
    deleted = None if filter.deleted is strawberry.UNSET else filter.deleted
    conditions = [
        *null_is("deleted_at", null=None if deleted is None else not deleted),
        *key_is("team_id", "team", filter.team_id),
        *text_is("name", filter.name, f"{field}.name"),
        *between("created_at", filter.created_after, filter.created_before),
        *key_within("id", filter.pk, f"{field}.pk"),
        *_team_is(filter.team, f"{field}.team"),
        *_creator_is(filter.creator, f"{field}.creator"),
        *time_is("created_at", filter.created_at),
        *time_is("deleted_at", filter.deleted_at),
    ]
    sizes = (len(each.conditions) if isinstance(each, Within) else 1 for each in conditions)
    counted.add(sum(sizes), levels, field)
    if filter.and_ is not None:
        conditions.append(AllOf(_each(filter.and_, f"{field}.and", levels, counted)))
    if filter.or_ is not None:
        conditions.append(AnyOf(_each(filter.or_, f"{field}.or", levels, counted)))
    if filter.not_ is not None:
        inner = _conditions(filter.not_, f"{field}.not", levels + 1, counted)
        conditions.append(Not(AllOf(tuple(inner))))
    return conditions


def _each(
    filters: list[ProjectFilter], field: str, levels: int, counted: Counted
) -> tuple[Condition, ...]:
    return tuple(
        AllOf(tuple(_conditions(each, f"{field}[{index}]", levels + 1, counted)))
        for index, each in enumerate(filters)
    )


def _team_is(filter: TeamFilter | None, field: str) -> list[Condition]:
    """The team of a project that one sees is seen too: asking for it tells nothing more."""
    if filter is None:
        return []
    team = (
        *text_is("name", filter.name, f"{field}.name"),
        *time_is("created_at", filter.created_at),
    )
    key = key_within("team_id", filter.pk, f"{field}.pk")
    return [*key, Within("team_id", Team, team)] if team else key


def _creator_is(filter: UserFilter | None, field: str) -> list[Condition]:
    """A project shows who made it, whoever sees the project: asking for it tells nothing more."""
    if filter is None:
        return []
    conditions = [
        *null_is("creator_id", null=filter.is_null),
        *key_within("creator_id", filter.pk, f"{field}.pk"),
    ]
    user = text_is("username", filter.username, f"{field}.username")
    return [*conditions, Within("creator_id", User, tuple(user))] if user else conditions


def team_conditions(filter: TeamFilter | None) -> list[Condition]:
    """The conditions of a list of teams. What one may not see, the list's own conditions have to leave out."""
    if filter is None:
        return []
    return [
        *key_within("id", filter.pk, "filter.pk"),
        *text_is("name", filter.name, "filter.name"),
        *time_is("created_at", filter.created_at),
    ]


def user_conditions(filter: UserFilter | None) -> list[Condition]:
    """The same of a list of users."""
    if filter is None:
        return []
    return [
        *null_is("id", null=filter.is_null),
        *key_within("id", filter.pk, "filter.pk"),
        *text_is("username", filter.username, "filter.username"),
    ]


def project_sort(orders: Sequence[ProjectOrder] | None) -> Sort:
    """The order that is asked for; by default the order of making."""
    if not orders:
        return Sort.by("projects", "created_at", Direction.ASC)
    if len(orders) > ORDERS_MAX:
        raise InvalidInput(f"`orderBy` takes up to {ORDERS_MAX} orders.", field="orderBy")
    return Sort.of("projects", [_key(order) for order in orders])


def _key(order: ProjectOrder) -> Key:
    nulls_first = None if order.nulls is None else order.nulls is NullsOrder.FIRST
    return Key(order.field, order.direction is Direction.DESC, nulls_first)
