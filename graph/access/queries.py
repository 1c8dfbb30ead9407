"""Queries about the viewer, teams and this server, and the lookup by id."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from importlib.metadata import version
from typing import Annotated

import strawberry

import connectors
from base import isolation
from base.errors import InvalidInput
from graph.access.types import ApiToken, Team, User
from graph.context import Info
from graph.enums import Direction
from graph.fields import ANYONE, SIGNED_IN, Node, query
from graph.filters import clean
from graph.lookup import Id, PublicId, find_nodes, find_one, find_where
from graph.orders import Sort
from graph.pages import (
    PAGE_ROWS,
    PAGE_ROWS_MAX,
    After,
    Before,
    Connection,
    First,
    Last,
    Listing,
    Offset,
    PageRow,
    Window,
    page,
    window,
)
from graph.projects.filters import TeamFilter, UserFilter, team_conditions, user_conditions
from graph.projects.types import Project
from graph.scalars import JSON
from graph.selection import Selection, by_keys, shape_of
from models import Role
from models.rows import Condition, Eq, Row
from services import access
from services.access import visible

NODES_MAX = 200


@strawberry.type(description="What this server is and takes.")
class ServerInfo:
    """Made from the settings and the registry of connectors."""

    version: str = strawberry.field(description="The version of Headwater.")
    sandbox: str = strawberry.field(
        description="How scripts and parsers are held apart from the server: `strict`, `limited` or "
        "`unavailable` (then none runs), and by which mechanisms."
    )
    limits: JSON = strawberry.field(
        description="The limits that requests meet, by name; the unit is in the name."
    )
    connection_kinds: list[str] = strawberry.field(
        description="The kinds of sources that can be connected, as in `ConnectionInfo.kind`."
    )
    file_extensions: list[str] = strawberry.field(
        description="The endings of file names that can be read, with their dots."
    )


@strawberry.type
class AccessQueries:
    """Root fields."""

    @query(needs=SIGNED_IN, returns=User)
    @staticmethod
    async def viewer(info: Info) -> Row | None:
        """You: the user whose token this request carries."""
        viewer = info.context.actor(info)
        found = await by_keys(viewer, shape_of(User), [viewer.user_id], Selection.of(info))
        return found.get(viewer.user_id)

    @query(needs=SIGNED_IN, returns=ApiToken | None)
    @staticmethod
    async def viewer_token(info: Info) -> Row | None:
        """The API token that this request carries, or that its session was made with."""
        key = info.context.actor(info).token_id
        return None if key is None else await find_one(info, ApiToken, str(key))

    @query(needs=Role.READ, returns=Project | None)
    @staticmethod
    async def default_project(info: Info) -> Row | None:
        """The project that is meant where a request names none.

        It is the one that the token is held to, else the oldest active one of the teams that you are a member of.
        Null where there is none.
        """
        key = await access.default_project(info.context.actor(info))
        return None if key is None else await find_one(info, Project, str(key))

    @query(needs=ANYONE)
    @staticmethod
    async def server_info(info: Info) -> ServerInfo:
        """What this server is and takes. Needs no token."""
        settings = info.context.platform.settings
        limits: dict[str, int] = {
            _camel(each.name): getattr(settings, each.name)
            for each in fields(settings)
            if each.name.endswith(("_max", "_kept", "_kept_days"))
        }
        kinds = connectors.kinds()
        extensions = {suffix for kind in kinds.values() for suffix in kind.extensions}
        return ServerInfo(
            version=version("headwater"),
            sandbox=await asyncio.to_thread(isolation.describe),
            limits=JSON(limits | {"pageRows": PAGE_ROWS, "pageRowsMax": PAGE_ROWS_MAX}),
            connection_kinds=sorted(kinds),
            file_extensions=sorted(extensions),
        )

    @query(needs=SIGNED_IN, returns=Node | None)
    @staticmethod
    async def node(info: Info, id: PublicId) -> Row | None:
        """Anything by its id; null for what does not exist and for what you may not see."""
        return (await find_nodes(info, [id]))[0]

    @query(needs=SIGNED_IN, returns=list[Node | None])
    @staticmethod
    async def nodes(
        info: Info,
        ids: Annotated[
            list[strawberry.ID], strawberry.argument(description="Public ids, up to 200.")
        ],
    ) -> list[Row | None]:
        """Many things by their ids, in that order, with nulls in the gaps."""
        if len(ids) > NODES_MAX:
            raise InvalidInput(f"`ids` takes up to {NODES_MAX} ids.", field="ids")
        return await find_nodes(info, ids)

    @query(needs=Role.READ, returns=Team | None)
    @staticmethod
    async def team(info: Info, id: Id) -> Row | None:
        """A team by its id; null for one that does not exist or is not yours."""
        return await find_one(info, Team, id)

    @query(needs=Role.READ, returns=User | None)
    @staticmethod
    async def user(
        info: Info,
        id: Annotated[
            strawberry.ID | None,
            strawberry.argument(description="The public id, or the integer key `pk`."),
        ] = None,
        username: Annotated[
            str | None, strawberry.argument(description="The user's name, exactly.")
        ] = None,
    ) -> Row | None:
        """You or a member of your teams, by id or by name; null for everybody else."""
        if id is not None and username is None:
            return await find_one(info, User, id)
        if username is not None and id is None:
            return await find_where(info, User, Eq("username", clean(username, "username")))
        raise InvalidInput("Say either `id` or `username`.", field="username")

    @query(needs=Role.READ, returns=Connection[Team])
    @staticmethod
    async def teams(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Annotated[
            TeamFilter | None, strawberry.argument(description="Which teams to list.")
        ] = None,
    ) -> PageRow:
        """The teams that you are in, the oldest first; for staff, every team."""
        where = team_conditions(filter)
        place = window(first, after, last, before, offset)
        return await page(info, _listing(info, Team, place, where))

    @query(needs=Role.READ, returns=Connection[User])
    @staticmethod
    async def users(
        info: Info,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
        offset: Offset = None,
        filter: Annotated[
            UserFilter | None, strawberry.argument(description="Which users to list.")
        ] = None,
    ) -> PageRow:
        """You and the members of your teams, the oldest first; for staff, every user."""
        where = user_conditions(filter)
        place = window(first, after, last, before, offset)
        return await page(info, _listing(info, User, place, where))


def _listing(
    info: Info, graph_type: type[Team | User], window: Window, where: list[Condition]
) -> Listing:
    model = graph_type.model
    sort = Sort.by(model.__name__, "id", Direction.ASC)
    seen = visible(info.context.actor(info), model)
    return Listing(graph_type, sort, window, (*seen, *where))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))
