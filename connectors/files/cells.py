"""What a spreadsheet's column of cells is, and its cells as Arrow.

A spreadsheet types cells, not columns: each number is a double, a date is a number with a format, and midnight makes a
timestamp look like a date. A column takes a type if all its cells agree on it, else the text of each cell.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa

from base.tables import ColumnType
from connectors.files import durations

EXACT_MAX = 2**53  # whole numbers up to here are exact in a double
EMPTY = ""  # what the parser hands out for no cell, an empty text and an error

_NAMES: dict[type, str] = {
    float: "numbers",
    int: "numbers",
    str: "texts",
    bool: "booleans",
    date: "dates",
    datetime: "timestamps",
    time: "times",
    timedelta: "durations",
}
_TYPES: dict[frozenset[str], ColumnType] = {
    frozenset({"texts"}): ColumnType.TEXT,
    frozenset({"booleans"}): ColumnType.BOOLEAN,
    frozenset({"dates"}): ColumnType.DATE,
    frozenset({"timestamps"}): ColumnType.TIMESTAMP,
    frozenset({"dates", "timestamps"}): ColumnType.TIMESTAMP,
    frozenset({"times"}): ColumnType.TIME,
    frozenset({"durations"}): ColumnType.DURATION,
}


class SeenCells:
    """What the cells of one column were."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._is_whole = True

    @property
    def count(self) -> int:
        """How many cells were not empty."""
        return self._counts.total()

    def observe(self, cells: Sequence[Any]) -> None:
        """Count some cells by what they are."""
        for kind, number in Counter(map(type, cells)).items():
            self._counts[_NAMES[kind]] += number
        self._counts["texts"] -= cells.count(EMPTY)
        if self._is_whole:
            self._is_whole = all(
                each.is_integer() and -EXACT_MAX <= each <= EXACT_MAX
                for each in cells
                if type(each) is float
            )

    def decide(self) -> tuple[ColumnType, str]:
        """The column's type, and why."""
        present = {name: number for name, number in self._counts.items() if number}
        if not present:
            return ColumnType.TEXT, "text: no values"
        if set(present) == {"numbers"}:
            kind = ColumnType.INTEGER if self._is_whole else ColumnType.FLOAT
            how = "whole" if self._is_whole else "not all whole"
            return kind, f"{kind}: {present['numbers']:,} numbers, {how}"
        kind = _TYPES.get(frozenset(present), ColumnType.TEXT)
        listed = " and ".join(f"{number:,} {name}" for name, number in present.items())
        return kind, f"{kind}: {listed}"


def shown(cell: Any) -> str:
    """The exact text of a cell, as a spreadsheet or ISO 8601 writes it."""
    if isinstance(cell, bool):
        return str(cell).upper()
    if isinstance(cell, float):
        is_short = cell.is_integer() and abs(cell) <= EXACT_MAX
        return str(int(cell)) if is_short else repr(cell)
    if isinstance(cell, timedelta):
        return durations.text(cell // timedelta(microseconds=1), 10**6)
    return cell.isoformat() if isinstance(cell, date | time) else str(cell)


def stored(kind: ColumnType, cells: Sequence[Any]) -> pa.Array:
    """Cells of a column of that type as Arrow."""
    convert, arrow = _STORES[kind]
    if convert is None:
        return pa.array([None if each == EMPTY else each for each in cells], arrow)
    return pa.array([None if each == EMPTY else convert(each) for each in cells], arrow)


def _timestamp(cell: date) -> datetime:
    """Midnight for what the parser took for a date."""
    if isinstance(cell, datetime):
        return cell
    return datetime(cell.year, cell.month, cell.day, tzinfo=UTC).replace(tzinfo=None)


_STORES: dict[ColumnType, tuple[Callable[[Any], Any] | None, pa.DataType]] = {
    ColumnType.INTEGER: (int, pa.int64()),
    ColumnType.FLOAT: (float, pa.float64()),
    ColumnType.TEXT: (shown, pa.string()),
    ColumnType.BOOLEAN: (None, pa.bool_()),
    ColumnType.DATE: (None, pa.date32()),
    ColumnType.TIMESTAMP: (_timestamp, pa.timestamp("us")),
    ColumnType.TIME: (None, pa.time64("us")),
    ColumnType.DURATION: (shown, pa.string()),
}
