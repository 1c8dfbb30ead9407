"""When ticks are: the rules of Debian's cron, to the instant, also where clocks are put forward and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from base.errors import InvalidInput
from services.schedules import cron

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def ms(text: str) -> int:
    """Milliseconds since 1970 of a point in time with its zone."""
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def ticks(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next ticks in UTC, each counted from the one before, as minutes."""
    found, at = [], ms(after)
    for _ in range(count):
        following = cron.following(expression, zone, at)
        assert following is not None
        assert following > at
        at = following
        found.append(datetime.fromtimestamp(at / 1000, UTC).strftime("%m-%dT%H:%M"))
        assert at % 60_000 == 0
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # Berlin, 29 March 2026: 02:00 +01:00 becomes 03:00 +02:00 (01:00 UTC)
        ("30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", ["03-29T01:00", "03-30T00:30"]),
        ("0 2,3 * * *", BERLIN, "2026-03-29T00:30+01:00", ["03-29T01:00", "03-30T00:00"]),
        ("15,45 2 * * *", BERLIN, "2026-03-29T00:30+01:00", ["03-29T01:00", "03-30T00:15"]),
        ("59 1 * * *", BERLIN, "2026-03-28T12:00+01:00", ["03-29T00:59", "03-29T23:59"]),
        ("0 3 * * *", BERLIN, "2026-03-28T12:00+01:00", ["03-29T01:00", "03-30T01:00"]),
        ("0 * * * *", BERLIN, "2026-03-29T00:30+01:00", ["03-29T00:00", "03-29T01:00"]),
        ("*/30 * * * *", BERLIN, "2026-03-29T01:15+01:00", ["03-29T00:30", "03-29T01:00"]),
        ("*/30 2 * * *", BERLIN, "2026-03-28T12:00+01:00", ["03-30T00:00", "03-30T00:30"]),
        ("0 0 * * *", BERLIN, "2026-03-28T12:00+01:00", ["03-28T23:00", "03-29T22:00"]),
        # Berlin, 25 October 2026: 03:00 +02:00 becomes 02:00 +01:00 (01:00 UTC)
        ("30 2 * * *", BERLIN, "2026-10-24T12:00+02:00", ["10-25T00:30", "10-26T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:30+02:00", ["10-26T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:10+01:00", ["10-26T01:30"]),
        ("30 2 * * *", BERLIN, "2026-10-25T02:30+01:00", ["10-26T01:30"]),
        ("1-59 2 * * *", BERLIN, "2026-10-25T02:58+02:00", ["10-25T00:59", "10-26T01:01"]),
        ("0 3 * * *", BERLIN, "2026-10-25T02:30+02:00", ["10-25T02:00", "10-26T02:00"]),
        ("0 * * * *", BERLIN, "2026-10-25T01:30+02:00", ["10-25T00:00", "10-25T01:00"]),
        ("*/30 2 * * *", BERLIN, "2026-10-25T02:10+02:00", ["10-25T00:30", "10-25T01:00"]),
        # New York, 8 March 2026: 02:00 -05:00 becomes 03:00 -04:00 (07:00 UTC)
        ("30 2 * * *", NEW_YORK, "2026-03-07T12:00-05:00", ["03-08T07:00", "03-09T06:30"]),
        ("30 2 * * SUN", NEW_YORK, "2026-03-07T12:00-05:00", ["03-08T07:00", "03-15T06:30"]),
        ("0 * * * *", NEW_YORK, "2026-03-08T01:30-05:00", ["03-08T07:00", "03-08T08:00"]),
        ("0 12 * * *", NEW_YORK, "2026-03-07T12:00-05:00", ["03-08T16:00", "03-09T16:00"]),
        # New York, 1 November 2026: 02:00 -04:00 becomes 01:00 -05:00 (06:00 UTC)
        ("30 1 * * *", NEW_YORK, "2026-10-31T12:00-04:00", ["11-01T05:30", "11-02T06:30"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01T01:15-05:00", ["11-02T06:30"]),
        ("*/20 1 * * *", NEW_YORK, "2026-11-01T01:30-04:00", ["11-01T05:40", "11-01T06:00"]),
        ("0 0 1 * *", NEW_YORK, "2026-10-15T00:00-04:00", ["11-01T04:00", "12-01T05:00"]),
        # clocks that change at midnight: Cairo, 24 April 2026, has no 00:00 but 01:00 (22:00 UTC)
        ("0 0 * * *", "Africa/Cairo", "2026-04-23T12:00+02:00", ["04-23T22:00", "04-24T21:00"]),
    ],
)
def test_ticks_around_changes_of_the_clock(
    expression: str, zone: str, after: str, expected: list[str]
) -> None:
    assert ticks(expression, zone, after, len(expected)) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("* * * * *", ["01-01T00:01", "01-01T00:02"]),
        ("*/15 9-10 * * MON-FRI", ["01-01T09:00", "01-01T09:15"]),
        ("0 6 L * *", ["01-31T06:00", "02-28T06:00"]),
        ("0 6 LW * *", ["01-30T06:00", "02-27T06:00"]),
        ("0 0 * * MON#1", ["01-05T00:00", "02-02T00:00"]),
        ("0 0 * * 5L", ["01-30T00:00", "02-27T00:00"]),
        ("0 0 13 * FRI", ["01-02T00:00", "01-09T00:00"]),  # two restricted days: either
        ("0 0 1 jan *", ["01-01T00:00"]),
        ("0 0 * * 7", ["01-04T00:00", "01-11T00:00"]),
    ],
)
def test_ticks_in_utc(expression: str, expected: list[str]) -> None:
    assert ticks(expression, "UTC", "2026-01-01T00:00+00:00", len(expected)) == expected


def test_the_next_tick_is_after_the_moment_and_not_at_it() -> None:
    noon = ms("2026-06-01T12:00+00:00")

    assert cron.following("0 12 * * *", "UTC", noon - 1) == noon
    assert cron.following("0 12 * * *", "UTC", noon) == noon + 24 * 3_600_000


def test_a_leap_day_is_found_and_a_day_that_never_comes_is_not() -> None:
    after = ms("2026-06-01T12:00+00:00")

    assert cron.following("0 0 29 2 *", "UTC", after) == ms("2028-02-29T00:00+00:00")
    assert cron.following("0 0 31 2,4 1#5", "UTC", after) is not None  # or a fifth Monday
    assert cron.following("0 0 30 2 1#5", "UTC", after) is not None


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, "Asia/Kathmandu", "America/Havana"])
@pytest.mark.parametrize("expression", ["*/40 * * * *", "0 */3 * * *", "30 1-3 * * *"])
def test_a_year_of_ticks_is_one_after_the_other(zone: str, expression: str) -> None:
    at, end, count = ms("2026-01-01T00:00+00:00"), ms("2027-01-01T00:00+00:00"), 0
    while at < end:
        following = cron.following(expression, zone, at)
        assert following is not None
        assert 0 < following - at <= timedelta(hours=26) / timedelta(milliseconds=1)
        at, count = following, count + 1
    assert count >= 3 * 364


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("", "5 parts; this one has 0"),
        ("* * * *", "has 4"),
        ("0 * * * * *", "has 6"),
        ("@daily", "has 1"),
        ("60 * * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 0 0 * *", "day-of-month"),
        ("0 0 31 2 *", "day-of-month"),
        ("0 0 31 4,6 *", "day-of-month"),
        ("0 0 1 13 *", "month"),
        ("0 0 * * 8", "day-of-week"),
        ("0 0 * * MON#6", "day-of-week"),
        ("5-1 * * * *", "minute"),
        ("*/0 * * * *", "minute"),
        ("1,, * * * *", "minute"),
        ("\u0661 * * * *", "minute"),
        (f"{'9' * 100} * * * *", "minute"),
        ("0 " * 200, "200 characters"),
        ("0 0 \x00 * *", "NUL"),
    ],
)
def test_what_is_no_expression_is_refused_in_words(expression: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as caught:
        cron.expression(expression, "input.cron")

    assert caught.value.field == "input.cron"


def test_blanks_between_the_parts_do_not_matter() -> None:
    assert cron.expression("  0\t2 * *\n MON-FRI ", "input.cron") == "0 2 * * MON-FRI"


@pytest.mark.parametrize(
    "name",
    ["", "Europe", "Europe/Bonn", "europe/berlin", "../../etc/passwd", "/etc/localtime", "localtime",
     "Factory", "CET+1", "x" * 65, "Europe/Berlin\x00"],
)  # fmt: skip
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        cron.time_zone(name, "input.timeZone")

    assert caught.value.field == "input.timeZone"


@pytest.mark.parametrize("name", ["UTC", BERLIN, NEW_YORK, "Etc/GMT+5", "Asia/Kolkata"])
def test_zones_of_the_iana_database_are_taken(name: str) -> None:
    assert cron.time_zone(name, "input.timeZone") == name
