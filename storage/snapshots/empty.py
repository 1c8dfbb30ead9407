"""The Arrow types of a table without rows, which has no part that would tell them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import pyarrow as pa

from base.tables import ColumnType

_DECIMAL = pa.decimal128(38, 10)  # the digits before and after the point that it has are not kept
_TYPES = {
    ColumnType.BOOLEAN: pa.bool_(),
    ColumnType.INTEGER: pa.int64(),
    ColumnType.DECIMAL: _DECIMAL,
    ColumnType.FLOAT: pa.float64(),
    ColumnType.DATE: pa.date32(),
    ColumnType.TIME: pa.time64("us"),
    ColumnType.TIMESTAMP: pa.timestamp("us"),
    ColumnType.TIMESTAMP_TZ: pa.timestamp("us", "UTC"),
    ColumnType.BINARY: pa.binary(),
    ColumnType.LIST: pa.list_(pa.string()),
    ColumnType.STRUCT: pa.struct([]),
}


class Typed(Protocol):
    """A column, of whatever kind."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def type(self) -> ColumnType:
        """Our type of it."""


def schema(columns: Iterable[Typed]) -> pa.Schema:
    """As what columns would be stored that have no values; see ARROW STORAGE in `connectors.connector`."""
    return pa.schema([(each.name, _TYPES.get(each.type, pa.string())) for each in columns])
