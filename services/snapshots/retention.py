"""Retention: snapshots that are old and many leave the catalogue, and an hour later the database.

RULE. Of a source stay the newest `snapshots_kept`, whatever is younger than `snapshots_kept_days`, the current one
(which a sync may be going on from), one that is held, one that a script job reads which is not over, and one that a
link or a download pins; nothing else. Snapshots that scripts made are counted apart, by the same rule. Removed is
first only `removed_at`, so that whoever is reading finishes; the row goes `GRACE_SECONDS` later, and what then no
snapshot names is nobody's object: `workers.housekeeping` removes it. Each step is one transaction that decides by
what is there: any number of workers may do it at once, and one that dies leaves nothing half done.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from tortoise.expressions import Q

from models import DataSource, Job, JobStatus, Snapshot, SnapshotStatus
from models.database import Dialect, transaction
from services.platform import Platform

GRACE_SECONDS = 3600
SOURCES_AT_ONCE = 1_000
SNAPSHOTS_AT_ONCE = 200
PINNED_MAX = 1_000  # older snapshots of one source that links hold
_ACTIVE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING)

# What `_doomed` looks for, coarsely: of either kind, an old snapshot with as many newer ones as stay; the oldest one
# tells for all. `snapshot_count` never goes down, so it only tells the sources that are not worth a look.
_ONE_MAY_GO = """(
    SELECT COUNT(*) FROM snapshots k
    WHERE k.data_source_id = s.id AND k.status = 'published' AND k.removed_at IS NULL AND k.is_derived IS {derived}
      AND k.number > (
        SELECT MIN(n.number) FROM snapshots n
        WHERE n.data_source_id = s.id AND n.status = 'published' AND n.removed_at IS NULL AND n.is_derived IS {derived}
          AND n.published_at < {days_ago} AND n.id <> COALESCE(s.current_snapshot_id, 0))
  ) >= COALESCE(s.snapshots_kept, CAST($2 AS INTEGER))"""
_CANDIDATES = """SELECT s.id, ({own} OR {derived}) AS one_may_go FROM data_sources s
WHERE s.id > $1 AND s.deleted_at IS NULL AND s.snapshot_count > COALESCE(s.snapshots_kept, CAST($2 AS INTEGER))
ORDER BY s.id LIMIT $4"""
_DAYS_AGO: dict[Dialect, str] = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || COALESCE(s.snapshots_kept_days, $3) || ' days')",
    "postgresql": "now() - COALESCE(s.snapshots_kept_days, CAST($3 AS INTEGER)) * INTERVAL '1 day'",
}


async def retain(platform: Platform) -> int:
    """One round over all sources; how many snapshots left the catalogue."""
    removed = 0
    async for source_pk in _sources(platform):
        while gone := await _remove(platform, source_pk):
            removed += gone
            if gone < SNAPSHOTS_AT_ONCE:
                break
    return removed


async def forget() -> int:
    """Delete the rows of snapshots that left the catalogue a while ago; how many."""
    forgotten = 0
    limit = datetime.now(UTC) - timedelta(seconds=GRACE_SECONDS)
    while True:
        some = Snapshot.filter(removed_at__lt=limit).exclude(id__in=await _inputs())
        some = some.order_by("removed_at", "id").limit(SNAPSHOTS_AT_ONCE)
        pks = [each.id for each in await some.only("id")]
        if not pks:
            return forgotten
        forgotten += await Snapshot.filter(id__in=pks, removed_at__lt=limit).delete()


async def _sources(platform: Platform) -> AsyncIterator[int]:
    """Sources that have a snapshot which may go: one statement looks at `SOURCES_AT_ONCE`."""
    connection = Snapshot._meta.db  # noqa: SLF001 - Tortoise keeps the connection of the moment there
    text = _candidates("sqlite" if connection.capabilities.dialect == "sqlite" else "postgresql")
    settings, last = platform.settings, 0
    while True:
        given = [last, settings.snapshots_kept, settings.snapshots_kept_days, SOURCES_AT_ONCE]
        found = await connection.execute_query_dict(text, given)
        for row in found:
            if row["one_may_go"]:
                yield row["id"]
        if len(found) < SOURCES_AT_ONCE:
            return
        last = found[-1]["id"]


def _candidates(dialect: Dialect) -> str:
    own, derived = (
        _ONE_MAY_GO.format(derived=which, days_ago=_DAYS_AGO[dialect])
        for which in ("FALSE", "TRUE")
    )
    text = _CANDIDATES.format(own=own, derived=derived)
    return text.replace("$", "?") if dialect == "sqlite" else text


async def _remove(platform: Platform, source_pk: int) -> int:
    """Take some snapshots of a source out of the catalogue; how many."""
    async with transaction():
        query = DataSource.filter(id=source_pk, deleted_at=None).select_for_update(no_key=True)
        source = await query.first()
        if source is None:
            return 0
        gone = await _doomed(platform, source, is_derived=False)
        made = await _doomed(platform, source, is_derived=True)
        if gone or made:
            now = datetime.now(UTC)
            await Snapshot.filter(id__in=[each.id for each in gone + made]).update(removed_at=now)
        if gone:
            await _mark_replaced(source_pk, gone)
    return len(gone) + len(made)


async def _inputs(**of: object) -> list[int]:
    """What script jobs that are not over read."""
    jobs = Job.filter(status__in=_ACTIVE, input_snapshot_id__isnull=False, **of)
    return [job.input_snapshot_id for job in await jobs.only("id", "input_snapshot_id")]


async def _doomed(platform: Platform, source: DataSource, *, is_derived: bool) -> list[Snapshot]:
    """Snapshots that are beyond the count and the age, oldest first, and that nobody needs; locked."""
    settings, now = platform.settings, datetime.now(UTC)
    kept = source.snapshots_kept or settings.snapshots_kept
    days = source.snapshots_kept_days
    days = settings.snapshots_kept_days if days is None else days
    published = Snapshot.filter(
        data_source_id=source.id,
        status=SnapshotStatus.PUBLISHED,
        removed_at=None,
        is_derived=is_derived,
    )
    last_kept = await published.order_by("-number").offset(kept - 1).limit(1).only("number")
    if not last_kept:
        return []
    newest = [source.current_snapshot_id or 0, source.derived_snapshot_id or 0]
    # A link pins with an update of the row: whoever is first decides, and the other sees it.
    return (
        await published.filter(
            Q(pinned_until=None) | Q(pinned_until__lt=now),
            number__lt=last_kept[0].number,
            published_at__lt=now - timedelta(days=days),
        )
        .exclude(id__in=[*newest, *await _inputs(data_source_id=source.id)])
        .order_by("number")
        .limit(SNAPSHOTS_AT_ONCE)
        .select_for_update()
        .only("id", "published_at")
    )


async def _mark_replaced(source_pk: int, gone: list[Snapshot]) -> None:
    """Say of older snapshots that stay when they were replaced: the one that did it is gone."""
    times = [each.published_at for each in gone]
    staying = (
        await Snapshot.filter(
            # One that stayed between them may go later than the one behind it.
            Q(replaced_at=None) | Q(replaced_at__gt=min(times)),
            data_source_id=source_pk,
            status=SnapshotStatus.PUBLISHED,
            is_derived=False,
            removed_at=None,
            published_at__lt=max(times),
        )
        .order_by("-published_at")
        .limit(PINNED_MAX)
        .only("id", "published_at", "replaced_at")
    )
    for each in staying:
        after = min(time for time in times if time > each.published_at)
        if each.replaced_at is None or after < each.replaced_at:
            await Snapshot.filter(id=each.id).update(replaced_at=after)
