"""Making, changing and removing schedules."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from base.errors import Conflict, InvalidInput, NotFound
from models import DataSource, Schedule
from models.database import transaction
from services import idempotency, values
from services.access import Viewer, find
from services.idempotency import Result
from services.platform import Platform
from services.schedules import cron
from services.schedules.ticks import NEVER_MS
from services.schedules.work import Work, checked
from services.statements import fetch

SCHEDULES_MAX = 100  # of one data source
UTC_NAME = "UTC"


async def create(
    platform: Platform,
    viewer: Viewer,
    source_id: str,
    *,
    name: str,
    expression: str,
    work: Work,
    time_zone: str | None = None,
    is_enabled: bool = True,
    idempotency_key: str | None = None,
) -> int:
    """Have a job queued at each tick of a cron expression, in the viewer's name; the schedule's key.

    Raises InvalidInput, also for an expression that has no tick to come.
    """
    source = await find(viewer, DataSource, source_id, field="input.dataSourceId")
    source_pk: int = source.id
    given = {
        "source": source_pk,
        "name": name,
        "cron": expression,
        "time_zone": time_zone,
        "work": [type(work).__name__, work],
        "is_enabled": is_enabled,
    }

    async def prepare() -> dict[str, Any]:
        kind, options = await checked(work, source)
        text = cron.expression(expression, "input.cron")
        zone = cron.time_zone(UTC_NAME if time_zone is None else time_zone, "input.timeZone")
        return {
            "name": values.name(name, "input.name"),
            "kind": kind,
            "options": options,
            "cron": text,
            "time_zone": zone,
            "next_run_ms": await _next(text, zone, is_enabled=is_enabled),
        }

    async def commit(row: dict[str, Any]) -> Result:
        await _make_room(source_pk)
        schedule = await Schedule.create(
            project_id=source.project_id,  # type: ignore[attr-defined]
            data_source_id=source_pk,
            creator_id=viewer.user_id,
            is_enabled=is_enabled,
            **row,
        )
        return {"schedule": schedule.id}

    done = await idempotency.once(
        platform,
        viewer,
        "createSchedule",
        idempotency_key,
        given,
        prepare=prepare,
        commit=commit,
    )
    schedule_pk: int = done["schedule"]
    return schedule_pk


async def update(viewer: Viewer, schedule_id: str, changes: Mapping[str, Any]) -> int:
    """Change the given ones of `name`, `cron`, `time_zone`, `work` and `is_enabled`; the schedule's key.

    From then on its jobs are queued in the viewer's name. What it missed while it was disabled is not made up for.
    """
    found = await find(viewer, Schedule, schedule_id, field="input.id")
    schedule_pk: int = found.id
    new = _checked(changes)
    if "work" in changes:
        source = await DataSource.get_or_none(id=found.data_source_id)  # type: ignore[attr-defined]
        if source is None:
            raise NotFound(
                "There is no such schedule.",
                hint="Its data source was just cleaned up.",
                field="input.id",
            )
        new["kind"], new["options"] = await checked(changes["work"], source)
    if not new:
        return schedule_pk
    async with transaction():
        row = Schedule.filter(id=schedule_pk).select_for_update(no_key=True)
        schedule = await row.first()
        if schedule is None:
            raise Conflict("The schedule was just deleted.", field="input.id")
        if {"cron", "time_zone", "is_enabled"} & new.keys():
            new["next_run_ms"] = await _next(
                new.get("cron", schedule.cron),
                new.get("time_zone", schedule.time_zone),
                is_enabled=new.get("is_enabled", schedule.is_enabled),
            )
        now = datetime.now(UTC)
        await Schedule.filter(id=schedule_pk).update(
            **new, creator_id=viewer.user_id, updated_at=now
        )
    return schedule_pk


async def delete(viewer: Viewer, schedule_id: str) -> None:
    """Remove a schedule. The jobs that it queued stay."""
    schedule = await find(viewer, Schedule, schedule_id, field="input.id")
    await Schedule.filter(id=schedule.id).delete()


def _checked(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The columns to change, with the values to store."""
    for given in ("cron", "work", "is_enabled"):
        if given in changes and changes[given] is None:
            place = {"is_enabled": "isEnabled"}.get(given, given)
            raise InvalidInput(f"`input.{place}` cannot be null.", field=f"input.{place}")
    new: dict[str, Any] = {}
    if "name" in changes:
        new["name"] = values.name(changes["name"], "input.name")
    if "cron" in changes:
        new["cron"] = cron.expression(changes["cron"], "input.cron")
    if "time_zone" in changes:
        new["time_zone"] = cron.time_zone(changes["time_zone"] or UTC_NAME, "input.timeZone")
    if "is_enabled" in changes:
        new["is_enabled"] = changes["is_enabled"]
    return new


async def _next(expression: str, zone: str, *, is_enabled: bool) -> int:
    """The next tick, by the database's clock; raises InvalidInput where none will ever come."""
    (row,) = await fetch("SELECT {now} AS now_ms")
    next_ms = cron.following(expression, zone, row["now_ms"])
    if next_ms is None:
        raise InvalidInput(
            "The cron expression never comes round: there is no such day.",
            hint="Check the day of the month against the month.",
            field="input.cron",
        )
    return next_ms if is_enabled else NEVER_MS


async def _make_room(source_pk: int) -> None:
    """Lock the source, and see that it takes another schedule."""
    there = DataSource.filter(id=source_pk, deleted_at=None).select_for_update(no_key=True)
    if await there.first() is None:
        raise Conflict("The data source was just deleted.", field="input.dataSourceId")
    if await Schedule.filter(data_source_id=source_pk).count() >= SCHEDULES_MAX:
        raise Conflict(
            f"The data source has {SCHEDULES_MAX:,} schedules, which is the limit.",
            hint="Delete one of them.",
            field="input.dataSourceId",
        )
