"""When something runs next: cron expressions as Debian's cron reads them, in a time zone (docs/decisions/0017).

A time of day that the clocks skip runs when they have been put forward, one that they repeat runs the first time only.
Expressions whose minute or hour begins with `*` follow the time that passes: they run in both of two equal hours, and
not in one that there is not.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from cronsim import CronSim, CronSimError

from base.errors import InvalidInput
from services import values

CRON_CHARS_MAX = 200
ZONE_CHARS_MAX = 64
FIELDS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_OF_THE_MACHINE = {
    "Factory",
    "localtime",
}  # files beside the zones, which differ from machine to machine


def expression(text: str, field: str) -> str:
    """A cron expression, one blank between its parts; raises InvalidInput for one that is none."""
    parts = values.text(text, field, chars_max=CRON_CHARS_MAX).split()
    hint = "Write minute, hour, day of the month, month and day of the week: `30 2 * * MON-FRI`."
    if len(parts) != FIELDS:
        raise InvalidInput(
            f"A cron expression has {FIELDS} parts; this one has {len(parts)}.",
            hint=hint,
            field=field,
        )
    try:
        CronSim(" ".join(parts), _EPOCH)
    except CronSimError as error:
        part = str(error).removeprefix("Bad ")
        raise InvalidInput(
            f"The {part} of the cron expression is not valid.", hint=hint, field=field
        ) from error
    return " ".join(parts)


def time_zone(name: str, field: str) -> str:
    """The name of a time zone; raises InvalidInput for one that there is not."""
    if values.text(name, field, chars_max=ZONE_CHARS_MAX) not in _zones():
        raise InvalidInput(
            "There is no time zone of this name.",
            hint="Use a name of the IANA database, such as `Europe/Berlin` or `UTC`.",
            field=field,
        )
    return name


def following(cron: str, zone: str, after_ms: int) -> int | None:
    """The first tick after a moment, both in milliseconds since 1970; None where there is none for 50 years.

    None, too, where this machine has no such zone any more, or the library reads no such expression.
    """
    now = _EPOCH + timedelta(milliseconds=after_ms)
    try:
        ticks = CronSim(cron, now.astimezone(ZoneInfo(zone)))
    except (CronSimError, ZoneInfoNotFoundError):
        return None
    for tick in ticks:
        at_ms = (tick.astimezone(UTC) - _EPOCH) // timedelta(milliseconds=1)
        if (
            at_ms > after_ms
        ):  # in the second of two equal hours the library also gives the first one's
            return at_ms
    return None


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones() - _OF_THE_MACHINE)
