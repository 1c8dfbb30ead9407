"""Users, teams, memberships and API tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, ClassVar

import strawberry

import models
from graph.context import Info, load
from graph.enums import Role
from graph.fields import Node, column, link, node, returns
from graph.filters import clean
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
    page_below,
    window,
)
from graph.projects.filters import (
    ProjectFilter,
    ProjectOrder,
    project_conditions,
    project_sort,
)
from graph.projects.types import Project
from graph.scalars import BigInt, DateTime
from graph.selection import Selection, read, shape_of
from models import rows
from models.rows import Condition, Eq, IsNull, Order, Pick, Row, Within
from services.access import visible

MEMBERS_MAX = 1000  # members of a team, or teams of a user, that are shown
TOKENS_MAX = 200  # tokens that are shown, the newest


@node
@strawberry.type(
    description="A credential for the API. Its secret was shown once; only a hash is kept."
)
class ApiToken(Node):
    """Rows of `models.ApiToken`."""

    model: ClassVar[type[models.ApiToken]] = models.ApiToken

    pk: BigInt = column("The token's integer key.", reads=Pick("pk", "id"))
    name: str = column("What its owner calls it.")
    prefix: str = column("The first characters of its secret, to recognise it by.")
    role: Role = column("The most that it may do, whatever its owner may.")
    project: Project | None = link(
        "The only project it reaches; null for all of its owner's.", "project_id", scoped=True
    )
    created_at: DateTime = column("When it was made.")
    expires_at: DateTime | None = column("When it stops working; null for never.")
    last_used_at: DateTime | None = column("When it was last used, to the minute.")


@strawberry.type(description="A user's place in a team.")
class Membership:
    """Rows of `models.Membership`."""

    model: ClassVar[type[models.Membership]] = models.Membership

    team: Team = link("The team.", "team_id")
    user: User = link("The user.", "user_id")
    role: Role = column("What the user may do in the team.")
    created_at: DateTime = column("When the user joined.")


@node
@strawberry.type(description="A person or a program that uses Headwater.")
class User(Node):
    """Rows of `models.User`."""

    model: ClassVar[type[models.User]] = models.User

    pk: BigInt = column("The user's integer key.", reads=Pick("pk", "id"))
    username: str = column("The name that is unique on this server.")
    email: str | None = column("The e-mail address, where one is known.")
    created_at: DateTime = column("When the user was made.")
    is_staff: bool = column(
        "Whether the user runs this server: reaches every team, and may delete for good."
    )

    @returns(list[Membership])
    @staticmethod
    def teams(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[Row]]:
        """The user's teams; of another user, those that you may see."""
        return load(info, parent.pk, partial(_memberships, info, "user_id"))

    @returns(list[ApiToken])
    @staticmethod
    def tokens(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[Row]]:
        """Your own API tokens that are not revoked, newest first; of another user, none."""
        return load(info, parent.pk, partial(_tokens, info))


@node
@strawberry.type(
    description="The tenant: every project belongs to exactly one team, and only its members see it."
)
class Team(Node):
    """Rows of `models.Team`."""

    model: ClassVar[type[models.Team]] = models.Team

    pk: BigInt = column("The team's integer key.", reads=Pick("pk", "id"))
    name: str = column("What people call it.")
    creator: User | None = link("Who made it; null where that user is gone.", "creator_id")
    created_at: DateTime = column("When it was made.")

    @returns(list[Membership])
    @staticmethod
    def members(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[Row]]:
        """Its members and their roles, in the order of joining."""
        return load(info, parent.pk, partial(_memberships, info, "team_id"))

    @returns(Membership | None)
    @staticmethod
    async def member(
        parent: strawberry.Parent[Any],
        info: Info,
        username: Annotated[str, strawberry.argument(description="The user's name.")],
    ) -> Row | None:
        """One member and the role; null for a user who is not in the team."""
        of_user = Within("user_id", models.User, (Eq("username", clean(username, "username")),))
        found = await load(
            info, parent.pk, partial(_memberships, info, "team_id", conditions=(of_user,))
        )
        return found[0] if found else None

    @returns(Connection[Project])
    @staticmethod
    def projects(
        parent: strawberry.Parent[Any],
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Annotated[
            ProjectFilter | None,
            strawberry.argument(description="Which of them; the active ones when left out."),
        ] = None,
        order_by: OldestFirst[list[ProjectOrder]] = None,
    ) -> Awaitable[PageRow]:
        """Its projects."""
        viewer = info.context.actor(info)
        conditions = (
            *visible(viewer, models.Project, deleted=True),
            *project_conditions(filter),
        )
        listing = Listing(
            Project,
            project_sort(order_by),
            window(first, after, last, before, offset),
            conditions,
            "team_id",
        )
        return page_below(info, listing, parent.pk)


async def _memberships(
    info: Info, parent: str, parents: Sequence[int], *, conditions: tuple[Condition, ...] = ()
) -> Mapping[int, list[Row]]:
    viewer = info.context.actor(info)

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        return rows.top_columns(
            models.Membership,
            picks,
            *visible(viewer, models.Membership),
            *conditions,
            parent=parent,
            parents=parents,
            order=Order(("id",)),
            limit=MEMBERS_MAX,
        )

    extra = (Pick("parent_key", parent),)
    found: dict[int, list[Row]] = {key: [] for key in parents}
    for row in await read(viewer, shape_of(Membership), Selection.of(info), fetch, extra):
        found[row.parent_key].append(row)
    return found


async def _tokens(info: Info, users: Sequence[int]) -> Mapping[int, list[Row]]:
    viewer = info.context.actor(info)

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        own = visible(viewer, models.ApiToken)
        order = Order(("id",), descending=True)
        return rows.select_columns(
            models.ApiToken, picks, *own, IsNull("revoked_at"), order=order, limit=TOKENS_MAX
        )

    none: dict[int, list[Row]] = {key: [] for key in users}
    if viewer.user_id not in users:
        return none
    mine = await read(viewer, shape_of(ApiToken), Selection.of(info), fetch)
    return {**none, viewer.user_id: mine}
