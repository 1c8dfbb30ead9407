"""Moments as texts: in a column that became one, a moment has the text that it was shown with before.

Else rows that are read again would look changed, and an APPEND would keep them twice. What is no moment of the column's
type stays as the source has it.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

_DAY = r"(?:000[1-9]|00[1-9]\d|0[1-9]\d\d|[1-9]\d{3})-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_FRACTION = r"(?:(\.\d*[1-9])0*|\.0+)?"
_MOMENT = rf"^({_DAY}) (\d\d:\d\d:\d\d){_FRACTION}(?:\+00)?$"
_TIME = rf"^((?:[01]\d|2[0-3]):\d\d:\d\d){_FRACTION}$"


def naive(texts: pa.Array) -> pa.Array:
    """Texts of timestamps without a zone."""
    return pc.replace_substring_regex(texts, _MOMENT, r"\1T\2\3")


def zoned(texts: pa.Array) -> pa.Array:
    """Texts of timestamps in UTC."""
    return pc.replace_substring_regex(texts, _MOMENT, r"\1T\2\3Z")


def clock(texts: pa.Array) -> pa.Array:
    """Texts of times of the day."""
    return pc.replace_substring_regex(texts, _TIME, r"\1\2")
