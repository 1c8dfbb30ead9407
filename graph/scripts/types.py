"""Scripts: Python that runs over the tables of a data source."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import strawberry

import models
from graph.context import Info
from graph.enums import ScriptContract
from graph.fields import Node, column, link, node, one, returns
from graph.scalars import BigInt, DateTime
from graph.scripts.texts import text_of
from graph.selection import Selection, read, shape_of
from models import rows
from models.rows import IsNull, Order, Pick, Row
from services.scripts import SCRIPTS_MAX

if TYPE_CHECKING:
    from graph.access.types import User
    from graph.sources.types import DataSource

_BY_KEY = Order(("key", "id"))


@node
@strawberry.type(
    description="Python that makes a table of a table: of one data source, or predefined for all of them. `createJob` "
    "runs it."
)
class Script(Node):
    """Rows of `models.Script`."""

    model: ClassVar[type[models.Script]] = models.Script

    pk: BigInt = column("The script's integer key.", reads=Pick("pk", "id"))
    key: str = column(
        "What it is called within its data source: a path such as `clean/trim.py`. Those of predefined scripts begin "
        "`local:`."
    )
    contract: ScriptContract = column("How it is called, told by what it defines.")
    sha256: str = column("The SHA-256 of its text in UTF-8, in hex.")
    data_source: Annotated[DataSource, strawberry.lazy("graph.sources.types")] | None = link(
        "The data source that it belongs to; null for a predefined one.",
        "data_source_id",
        scoped=True,
    )
    creator: Annotated[User, strawberry.lazy("graph.access.types")] | None = link(
        "Who brought it first; null for a predefined one.", "creator_id"
    )
    created_at: DateTime = column("When it was brought first.")
    updated_at: DateTime = column("When its text was last replaced.")

    @returns(str)
    @staticmethod
    def body(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Any]:
        """Its text. An operation reads up to 32 MB of such texts."""
        return text_of(info, models.Script, parent.pk)


@strawberry.type(description="A script that was brought.")
class ScriptPayload:
    """The script with the key `pk`, read after the commit."""

    pk: strawberry.Private[int]
    script = one(Script, "pk", "The script, as it is now.")


async def scripts_of(info: Info, sources: Sequence[int]) -> Mapping[int, list[Row]]:
    """The scripts of these data sources, by their keys; one statement."""

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        return rows.top_columns(
            models.Script,
            picks,
            parent="data_source_id",
            parents=sources,
            order=_BY_KEY,
            limit=SCRIPTS_MAX,
        )

    extra = (Pick("data_source_id", "data_source_id"),)
    found: dict[int, list[Row]] = {source: [] for source in sources}
    for row in await read(info.context.viewer, shape_of(Script), Selection.of(info), fetch, extra):
        found[row.data_source_id].append(row)
    return found


async def predefined(info: Info) -> list[Row]:
    """The scripts that ship with Headwater, by their keys."""

    def fetch(picks: Sequence[Pick]) -> Awaitable[list[list[Any]]]:
        own = IsNull("data_source_id")
        return rows.select_columns(models.Script, picks, own, order=_BY_KEY, limit=SCRIPTS_MAX)

    return await read(info.context.viewer, shape_of(Script), Selection.of(info), fetch)
