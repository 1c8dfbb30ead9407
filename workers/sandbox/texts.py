"""Columns stored as text that are more, such as UUIDs: in a result they stay that while every value is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType

Check = Callable[[pa.Array], bool]


def _matches(pattern: str) -> Check:
    def check(values: pa.Array) -> bool:
        return bool(pc.all(pc.match_substring_regex(values, pattern), min_count=0).as_py())

    return check


def _is_json(values: pa.Array) -> bool:
    try:
        for value in values:
            if value.is_valid:
                orjson.loads(memoryview(value.as_buffer()))
    except ValueError:
        return False
    return True


# The types of such columns, and whether all of some texts are values of one; a null is.
CHECKS: Mapping[ColumnType, Check] = {
    ColumnType.UUID: _matches(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"),
    ColumnType.DECIMAL: _matches(
        r"(?i)^([+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf(inity)?)$"
    ),
    ColumnType.TIME: _matches(
        r"^[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?(Z|[+-][0-9]{2}(:?[0-9]{2}){0,2})?$"
    ),
    ColumnType.DURATION: _matches(r"^[+-]?P[-+0-9.YMWDTHS]+$"),
    ColumnType.JSON: _is_json,
    ColumnType.UNKNOWN: lambda _: True,
}
