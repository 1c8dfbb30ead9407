"""Moments as texts look as they did as moments."""

from __future__ import annotations

import pyarrow as pa
import pytest

from connectors import moments


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-01-01 09:00:00+00", "2026-01-01T09:00:00Z"),
        ("2026-01-01 09:00:00.5+00", "2026-01-01T09:00:00.5Z"),
        ("2026-01-01 09:00:00.500000", "2026-01-01T09:00:00.5Z"),
        ("2026-01-01 09:00:00.000000", "2026-01-01T09:00:00Z"),
        ("9999-12-31 23:59:59.999999", "9999-12-31T23:59:59.999999Z"),
        ("infinity", "infinity"),
        ("10000-01-01 00:00:00+00", "10000-01-01 00:00:00+00"),
        ("0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"),
        ("0000-00-00 00:00:00", "0000-00-00 00:00:00"),
        ("2026-00-01 00:00:00", "2026-00-01 00:00:00"),
        (None, None),
    ],
)
def test_a_moment_is_written_as_rows_show_it(text: str | None, shown: str | None) -> None:
    texts = pa.array([text], pa.string())

    assert moments.zoned(texts).to_pylist() == [shown]
    assert moments.naive(texts).to_pylist() == [shown and shown.removesuffix("Z")]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("10:00:00.500000", "10:00:00.5"),
        ("10:00:00", "10:00:00"),
        ("24:00:00.000000", "24:00:00.000000"),
        ("-01:00:00.500000", "-01:00:00.500000"),
        ("100:00:00.0", "100:00:00.0"),
    ],
)
def test_a_time_of_the_day_is_written_as_rows_show_it(text: str, shown: str) -> None:
    assert moments.clock(pa.array([text])).to_pylist() == [shown]
