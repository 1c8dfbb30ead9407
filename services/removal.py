"""Taking data sources away: gone for everybody at once, and what is stored of them soon after, by a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from models import DataSource, JobKind
from services import jobs


async def remove_sources(
    project_pk: int, source_pks: Sequence[int], creator_pk: int | None
) -> list[int]:
    """Soft-delete those sources that are still there, cancel their work, and queue their cleanup; the keys of the gone.

    In the caller's transaction; after it: `dispatch.wake()`.
    """
    there = DataSource.filter(id__in=list(source_pks), deleted_at=None).order_by("id")
    gone = [source.id for source in await there.select_for_update(no_key=True)]
    await DataSource.filter(id__in=gone).update(deleted_at=datetime.now(UTC))
    await jobs.cancel_work(gone)
    await jobs.enqueue(
        kind=JobKind.CLEANUP,
        project_id=project_pk,
        data_source_id=None,
        creator_id=creator_pk,
        options={"data_source_ids": gone},
    )
    return gone
