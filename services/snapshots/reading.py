"""Reading what syncs stored: pages of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from base.errors import NotFound
from services.platform import Platform
from storage.snapshots.manifest import StoredTable
from storage.snapshots.pages import Page, RowFilter, RowOp, RowOrder, RowQuery


async def rows(
    platform: Platform,
    stored: StoredTable,
    *,
    first: int,
    after: str | None = None,
    columns: Sequence[str] | None = None,
    where: Sequence[tuple[str, str, Any]] = (),
    order_by: Sequence[tuple[str, bool]] = (),
    count: bool = False,
) -> Page:
    """A page of a stored table. `where` holds (column, `RowOp`, JSON value), `order_by` (column, descending).

    Raises InvalidInput with `field` relative to the arguments (`where[0].value`), TimedOut, QueryTooComplex, and
    NotFound where the table's snapshot was removed meanwhile.
    """
    query = RowQuery(
        columns=columns,
        where=[RowFilter(column, RowOp(op), value) for column, op, value in where],
        order_by=[RowOrder(column, descending) for column, descending in order_by],
        first=first,
        after=after,
        count=count,
    )
    try:
        parts = await platform.rows.local_parts(platform.store, stored.parts)
    except NotFound as error:
        raise NotFound(
            f"The rows of the table {stored.table.name!r} are no longer stored: its snapshot was removed.",
            hint="Read the current snapshot, from its first page on.",
        ) from error
    seconds = float(platform.settings.query_seconds_max)
    return await platform.rows.page(parts, stored.table, query, seconds=seconds)
