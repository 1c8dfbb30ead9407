"""Scalars: exact on the way out, strict on the way in."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from graphql import GraphQLError, GraphQLScalarType

from graph.scalars import rfc3339
from graph.schema import schema

KINDS: Any = schema._schema.type_map
MOMENT = datetime(2026, 3, 4, 5, 6, 7, 891_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (MOMENT, "2026-03-04T05:06:07.891Z"),
        (MOMENT.replace(microsecond=0), "2026-03-04T05:06:07.000Z"),
        (MOMENT.astimezone(timezone(timedelta(hours=5, minutes=30))), "2026-03-04T05:06:07.891Z"),
        ("2026-03-04 05:06:07.891999+00:00", "2026-03-04T05:06:07.891Z"),
        ("2026-03-04 05:06:07+00:00", "2026-03-04T05:06:07.000Z"),
        ("2026-03-04 10:36:07.891999+05:30", "2026-03-04T05:06:07.891Z"),
        ("2026-03-04 05:06:07.891", "2026-03-04T05:06:07.891Z"),
    ],
)
def test_points_in_time_are_written_in_utc_with_milliseconds(
    value: datetime | str, text: str
) -> None:
    assert rfc3339(value) == text


def scalar(name: str) -> GraphQLScalarType:
    kind = KINDS[name]
    assert isinstance(kind, GraphQLScalarType)
    return kind


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-03-04T05:06:07Z", 0),
        ("2026-03-04T05:06:07.891Z", 891_000),
        ("2026-03-04t05:06:07.891999z", 891_999),
        ("2026-03-04T10:36:07.5+05:30", 500_000),
        ("2026-03-04 05:06:07.123456789Z", 123_456),
    ],
)
def test_points_in_time_are_read_from_any_zone(text: str, microsecond: int) -> None:
    read = scalar("DateTime").coerce_input_value(text)

    assert read == datetime(2026, 3, 4, 5, 6, 7, microsecond, tzinfo=UTC)
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "yesterday",
        "2026-03-04",
        "2026-03-04T05:06:07",
        "2026-13-04T05:06:07Z",
        "2026-02-30T05:06:07Z",
        "0001-01-01T00:00:00+23:59",
        "2026-03-04T05:06:07Z\n",
        1_700_000_000,
        None,
        True,
    ],
)
def test_what_is_no_point_in_time_is_refused(value: Any) -> None:
    with pytest.raises(GraphQLError):
        scalar("DateTime").coerce_input_value(value)


@pytest.mark.parametrize("value", [0, -1, 2**53 - 1, -(2**53) + 1, 5.0])
def test_big_ints_are_whole_numbers(value: Any) -> None:
    assert scalar("BigInt").coerce_input_value(value) == value


@pytest.mark.parametrize(
    "value", [2**53, -(2**53), 1.5, "1", True, None, float("inf"), float("nan")]
)
def test_what_json_readers_would_round_is_no_big_int(value: Any) -> None:
    with pytest.raises(GraphQLError):
        scalar("BigInt").coerce_input_value(value)
