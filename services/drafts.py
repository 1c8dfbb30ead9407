"""Drafts: data sources of the type FILE that were connected before their file came."""

from __future__ import annotations

from base.errors import Conflict
from models import DataSource, DataSourceStatus


def refuse_draft(source: DataSource, field: str | None = None) -> None:
    """Raise Conflict where the source has no file yet; `field` is the input path of its id."""
    if source.status is DataSourceStatus.DRAFT:
        raise Conflict(
            f"{source.name!r} has no file yet.",
            hint="Upload one, and name its object key in `updateDataSource`.",
            field=field,
        )
