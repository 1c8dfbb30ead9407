"""Columns as 64-bit values that sort as the column does: whole numbers, short decimals, floats, dates and times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from storage.snapshots.cells import INTEGERS, SAFE_INTEGER_MAX, TIMESTAMP_TZ
from storage.snapshots.counting import Values
from storage.snapshots.engine import Cursor
from storage.snapshots.filters import Stored

BINS_MAX = 20
_DECIMAL_DIGITS_MAX = 18  # that fit in 64 bits
_ENDLESS_DATES = {2**31 - 1: "infinity", 1 - 2**31: "-infinity"}
_ENDLESS_TIMES = {2**63 - 1: "infinity", 1 - 2**63: "-infinity"}


@dataclass(frozen=True, slots=True)
class Code:
    """How one column is read as 64-bit values, and how such a value is shown.

    `sql` gives the values; `scale` are a decimal's digits behind the point. A value's cell comes from `cell`, or from
    DuckDB as the text `cell_sql`, in which `v` is the value. `endless` names the values that stand for infinities.
    """

    sql: str
    read: Callable[[pa.ChunkedArray], Values]
    cell: Callable[[Any], Any] | None = None
    cell_sql: str = ""
    endless: dict[int, str] = field(default_factory=dict)
    scale: int = 0
    is_number: bool = False
    has_bins: bool = True

    def finite(self, block: Values, special: dict[str, int]) -> Values:
        """The block without NaN and infinities, which are counted in `special` by their cells."""
        if not len(block) or not self._may_be_endless(block):
            return block
        if block.dtype == np.float64:
            names = {
                "NaN": np.isnan(block),
                "Infinity": block == np.inf,
                "-Infinity": block == -np.inf,
            }
        else:
            names = {name: block == value for value, name in self.endless.items()}
        for name, found in names.items():
            if found.any():
                special[name] = special.get(name, 0) + int(np.count_nonzero(found))
        kept: Values = block[~np.any(list(names.values()), axis=0)]
        return kept

    def _may_be_endless(self, block: Values) -> bool:
        """By its ends, which takes no memory; NaN is both ends of a block that holds one."""
        low, high = block.min().item(), block.max().item()
        if block.dtype == np.float64:
            return not (math.isfinite(low) and math.isfinite(high))
        return any(low <= value <= high for value in self.endless)

    def cells(self, cursor: Cursor, values: Sequence[Any]) -> list[Any]:
        """How rows show these values."""
        if self.cell is not None:
            return [self.cell(value) for value in values]
        if not values:
            return []
        listed = ", ".join(map(str, values))
        sql = f"select {self.cell_sql} from (select unnest([{listed}]::bigint[]) v)"  # noqa: S608 - numbers
        return [cell for (cell,) in cursor.rows(sql, [])]

    def exact(self, value: Any) -> Fraction:
        """The number that a value stands for."""
        number: Fraction = Fraction(value) / 10**self.scale
        return number


def code_of(stored: Stored) -> Code | None:
    """The column as 64-bit values; None for one that is not."""
    kind, name = stored.type.id, stored.sql
    if kind in _INTEGERS:
        dtype = np.uint64 if kind == "ubigint" else np.int64
        return Code(name, partial(_whole, dtype=dtype), _integer_cell, is_number=True)
    if kind == "decimal":
        return _decimal(stored)
    make = _BY_KIND.get(kind)
    return make(name) if make else None


def doubles(sql: str) -> Code:
    """Numbers that are wider than 64 bits, by the nearest double."""
    return Code(sql, _floats, _double_cell, is_number=True)


_INTEGERS = INTEGERS - {"hugeint", "uhugeint"}
_BY_KIND: dict[str, Callable[[str], Code]] = {
    "float": lambda name: Code(name, _floats, _single_cell, is_number=True),
    "double": doubles,
    "boolean": lambda name: Code(
        f"{name}::utinyint", partial(_whole, dtype=np.int64), bool, has_bins=False
    ),
    "date": lambda name: Code(
        name, _days, None, "hw_date(date '1970-01-01' + v::integer)", _ENDLESS_DATES
    ),
    "time": lambda name: Code(
        name, _microseconds, None, "(time '00:00' + to_microseconds(v))::varchar"
    ),
    "timestamp": lambda name: Code(
        name, _microseconds, None, "hw_timestamp(make_timestamp(v))", _ENDLESS_TIMES
    ),
    TIMESTAMP_TZ: lambda name: Code(
        name, _microseconds, None, "hw_timestamp(make_timestamp(v)) || 'Z'", _ENDLESS_TIMES
    ),
}


def edges(low: Any, high: Any) -> list[Any]:
    """The lower edges of up to `BINS_MAX` bins of equal width from `low` to `high`, both of which are in a bin."""
    if isinstance(low, int):
        width = -(-(high - low + 1) // BINS_MAX)
        return list(range(low, high + 1, width))
    if low == high:
        return [low]
    shares = [at / BINS_MAX for at in range(BINS_MAX)]
    found = [low] + [low * (1 - share) + high * share for share in shares[1:]]
    return sorted({min(max(edge, low), high) for edge in found} - {high})


def _decimal(stored: Stored) -> Code | None:
    digits = {name: int(str(value)) for name, value in stored.type.children}
    if digits["precision"] > _DECIMAL_DIGITS_MAX:
        return None
    scale = digits["scale"]
    cell = partial(_decimal_cell, scale=scale)
    return Code(stored.sql, _decimals, cell, scale=scale, is_number=True)


def _whole(column: pa.ChunkedArray, dtype: Any) -> Values:
    return _joined([chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks], dtype)


def _floats(column: pa.ChunkedArray) -> Values:
    block = _joined([chunk.to_numpy(zero_copy_only=False) for chunk in column.chunks], np.float64)
    block += 0.0  # -0.0 is the same number as 0.0
    return block


def _days(column: pa.ChunkedArray) -> Values:
    return _joined([chunk.view(pa.int32()).to_numpy() for chunk in column.chunks], np.int64)


def _microseconds(column: pa.ChunkedArray) -> Values:
    return _joined([chunk.view(pa.int64()).to_numpy() for chunk in column.chunks], np.int64)


def _decimals(column: pa.ChunkedArray) -> Values:
    """The lower half of each 128-bit number, which holds all of it."""
    halves = []
    for chunk in column.chunks:
        words = np.frombuffer(chunk.buffers()[1], np.int64)
        halves.append(words[2 * chunk.offset : 2 * (chunk.offset + len(chunk)) : 2])
    return _joined(halves, np.int64)


def _joined(chunks: Sequence[Values], dtype: Any) -> Values:
    """One array of its own."""
    block = np.empty(sum(map(len, chunks)), dtype)
    start = 0
    for chunk in chunks:
        block[start : start + len(chunk)] = chunk
        start += len(chunk)
    return block


def _integer_cell(value: int) -> Any:
    return value if abs(value) <= SAFE_INTEGER_MAX else str(value)


def _double_cell(value: float) -> Any:
    return value


def _single_cell(value: float) -> Any:
    """The shortest text that is this float32, as a number; edges of bins, which lie between them, stay as they are."""
    single = np.float32(value)
    return float(str(single)) if float(single) == value else value


def _decimal_cell(value: int, scale: int) -> str:
    return f"{Decimal(value).scaleb(-scale):f}"
