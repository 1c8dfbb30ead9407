"""Queries about scripts."""

from __future__ import annotations

import strawberry

from graph.context import Info
from graph.fields import query
from graph.lookup import Id, find_one
from graph.scripts.types import Script, predefined
from models import Role
from models.rows import Row


@strawberry.type
class ScriptQueries:
    """Root fields."""

    @query(needs=Role.READ, returns=Script | None)
    @staticmethod
    async def script(info: Info, id: Id) -> Row | None:
        """A script by its id; null for one that does not exist or is not your team's."""
        return await find_one(info, Script, id)

    @query(needs=Role.READ, returns=list[Script])
    @staticmethod
    async def predefined_scripts(info: Info) -> list[Row]:
        """The scripts that ship with Headwater, by their keys: `createJob` runs them over any data source."""
        return await predefined(info)
