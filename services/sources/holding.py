"""Keeping a source as it is while a transaction decides about it."""

from __future__ import annotations

from base.errors import NotFound
from models import DataSource


async def held(source_pk: int, field: str = "input.id") -> DataSource:
    """The source as it is now, and stays until the caller's transaction ends; NotFound where it was just deleted."""
    query = DataSource.filter(id=source_pk, deleted_at=None).select_for_update(no_key=True)
    source = await query.first()
    if source is None:
        raise NotFound("There is no such datasource.", hint="It was just cleaned up.", field=field)
    return source
