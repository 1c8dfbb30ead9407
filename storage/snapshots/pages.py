"""What a page of rows is asked for, and what it is. Light: no engine is loaded by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from base.tables import Column

FIRST_MAX = 1000


class RowOp(StrEnum):
    """What a filter asks of a column."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    CONTAINS = "contains"
    STARTS_WITH = "starts_with"
    IS_NULL = "is_null"
    NOT_NULL = "not_null"


@dataclass(frozen=True, slots=True)
class RowFilter:
    """One condition. `value` is a JSON value: a list for IN, nothing for IS_NULL and NOT_NULL."""

    column: str
    op: RowOp
    value: Any = None


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Sort by one column."""

    column: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class RowQuery:
    """What a page is asked for. No columns means all; `after` is the cursor of the row before the page.

    `count` asks for the number of rows that match, which is free without a filter and a scan with one.
    """

    columns: Sequence[str] | None = None
    where: Sequence[RowFilter] = ()
    order_by: Sequence[RowOrder] = ()
    first: int = 50
    after: str | None = None
    count: bool = False


@dataclass(frozen=True, slots=True)
class Page:
    """A page: `rows_json` is a JSON array of arrays of cells, in the order of `columns`."""

    columns: tuple[Column, ...]
    rows_json: bytes
    row_count: int
    has_next: bool = False
    has_previous: bool = False
    start_cursor: str | None = None
    end_cursor: str | None = None
    total: int | None = None
