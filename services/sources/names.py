"""Names of data sources that are to be the only ones of their project."""

from __future__ import annotations

from collections.abc import Mapping

from base.errors import Conflict
from models import DataSource, Project


async def refuse_taken(
    project_pk: int, names: Mapping[str, str], *, besides: int | None = None
) -> None:
    """Raise Conflict where the project has a source of one of these names already, the source `besides` left aside.

    `names` are input paths by name. Call it in the transaction that writes them, before it holds anything else: until
    that ends, whoever else asks this of the project waits.
    """
    await Project.filter(id=project_pk).select_for_update(no_key=True).first()
    there = DataSource.filter(project_id=project_pk, deleted_at=None, name__in=list(names))
    others = there if besides is None else there.exclude(id=besides)
    taken = {source.name for source in await others.only("name")}
    for name, path in names.items():
        if name in taken:
            raise refusal(path)


def refusal(path: str) -> Conflict:
    """What is said of a name that is taken."""
    return Conflict(
        "The project has a data source of this name already.",
        hint="Choose another name, or leave out that it has to be the only one.",
        field=path,
    )
