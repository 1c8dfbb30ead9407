"""Taking data sources away: gone for everybody at once, and what is stored of them soon after, by a job."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from models import DataSource, JobKind
from services import jobs

AT_ONCE = 10_000  # sources in one statement; a database takes so many values, not any number


async def remove_sources(
    project_pk: int, source_pks: Sequence[int], creator_pk: int | None
) -> list[int]:
    """Soft-delete those sources that are still there, cancel their work, and queue their cleanup; the keys of the gone.

    In the caller's transaction; after it: `dispatch.wake()`.
    """
    gone: list[int] = []
    asked = sorted(set(source_pks))  # one order, so no deadlock
    for start in range(0, len(asked), AT_ONCE):
        gone += await _remove(asked[start : start + AT_ONCE])
    await jobs.enqueue(
        kind=JobKind.CLEANUP,
        project_id=project_pk,
        data_source_id=None,
        creator_id=creator_pk,
        options={"data_source_ids": gone},
    )
    return gone


async def _remove(source_pks: list[int]) -> list[int]:
    there = DataSource.filter(id__in=source_pks, deleted_at=None).order_by("id")
    gone = [source.id for source in await there.select_for_update(no_key=True).only("id")]
    await DataSource.filter(id__in=gone).update(deleted_at=datetime.now(UTC))
    await jobs.cancel_work(gone)
    return gone
