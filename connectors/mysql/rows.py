"""Rows of MySQL's binary protocol as Arrow, without a Python object a cell.

Where a cell begins depends on the lengths of those before it in its row, so the columns are gone through one after the
other, each for all rows at once: https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_binary_resultset.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pymysql import err
from pymysql.constants import CR, FIELD_TYPE

HEADER_BYTES = 4  # of each packet: three of its length, one of its number
PADDING_BYTES = 16  # behind the last row: what is read of a cell at once may reach out of it
_TWO, _THREE, _EIGHT = 0xFC, 0xFD, 0xFE  # a longer length follows
_LENGTH_BYTES = {_TWO: 2, _THREE: 3, _EIGHT: 8}
_LENGTH_MAX = 0xFA  # of those that are one byte
_FIRST_NULL_BIT = 2

_INTEGER_BYTES = {
    FIELD_TYPE.TINY: 1,
    FIELD_TYPE.SHORT: 2,
    FIELD_TYPE.YEAR: 2,
    FIELD_TYPE.INT24: 4,
    FIELD_TYPE.LONG: 4,
    FIELD_TYPE.LONGLONG: 8,
}
_FLOAT_BYTES = {FIELD_TYPE.FLOAT: 4, FIELD_TYPE.DOUBLE: 8}
_MOMENTS = {FIELD_TYPE.DATE, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP}
_MOMENT_BYTES = [0, 4, 7, 11]  # parts at the end that are all zero are left out
_TIME_BYTES = [0, 8, 12]

_YEARS = 10_000
_YEAR_MONTHS = 12
# The first day of each month from the year 0 on, in days since 1970, and of the one after the last.
_MONTHS = np.arange("0000-01", f"{_YEARS}-02", dtype="M8[M]").astype("M8[D]").astype(np.int64)
_SECOND_US = 10**6
_DAY_US = 86_400 * _SECOND_US

Positions = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a result as the wire has it."""

    code: int  # of pymysql's FIELD_TYPE
    is_unsigned: bool

    @property
    def number(self) -> np.dtype[Any] | None:
        """The type of a number; None for what has a length of its own in each row."""
        if self.code in _FLOAT_BYTES:
            return np.dtype(f"<f{_FLOAT_BYTES[self.code]}")
        if self.code in _INTEGER_BYTES:
            return np.dtype(f"<{'u' if self.is_unsigned else 'i'}{_INTEGER_BYTES[self.code]}")
        return None


@dataclass(frozen=True, slots=True)
class _Cells:
    """A column's cells: where each value begins, how long it is, and which are NULL, if any."""

    begin: Positions
    length: Positions
    nulls: Flags | None


@dataclass(frozen=True, slots=True)
class Rows:
    """Whole rows as they came: each begins in `data` at one of `starts`; padding is behind the last one."""

    data: memoryview
    starts: Positions

    def columns(self, fields: list[Field]) -> list[pa.Array]:
        """An array a column: numbers, dates (days), timestamps and durations (microseconds), or bytes.

        A date that is none, such as 0000-00-00, is the least value there is. Raises the driver's error for rows that
        are not made of such cells.
        """
        data = np.frombuffer(self.data, np.uint8)
        found = self._cells(data, fields)
        texts = iter(self._bytes([c for c, f in zip(found, fields, strict=True) if _has_bytes(f)]))
        return [
            next(texts) if _has_bytes(field) else _values(data, cells, field)
            for cells, field in zip(found, fields, strict=True)
        ]

    def _cells(self, data: Bytes, fields: list[Field]) -> list[_Cells]:
        mask_bytes = (len(fields) + _FIRST_NULL_BIT + 7) // 8
        position = self.starts + 1 + mask_bytes
        found = []
        mask = data[:0]
        for place, field in enumerate(fields):
            byte, bit = divmod(place + _FIRST_NULL_BIT, 8)
            if bit == 0 or place == 0:
                mask = data.take(self.starts + 1 + byte, mode="clip")
            nulls = mask & (1 << bit) != 0
            cells = _lengths(data, position, field, nulls if nulls.any() else None)
            position = cells.begin + cells.length
            found.append(cells)
        # No length is below 0: where the last cell ends with its row, no other reaches out of it.
        if not np.array_equal(position, self._ends()):
            raise malformed("a cell that is longer than its row")
        return found

    def _ends(self) -> Positions:
        """Where each row ends: before the next one's header."""
        last = len(self.data) - PADDING_BYTES
        return np.append(self.starts[1:] - HEADER_BYTES, last)[: len(self.starts)]

    def _bytes(self, columns: list[_Cells]) -> list[pa.Array]:
        """Columns of bytes, copied out of one array with all of their cells, each followed by what lies behind it.

        One array for all columns: of one whose values are few of its bytes Arrow would take too much memory.
        """
        rows = len(self.starts)
        bounds = np.empty((len(columns), rows, 2), np.int32)
        valid: Flags | None = None
        for place, cells in enumerate(columns):
            bounds[place, :, 0] = cells.begin
            np.add(cells.begin, cells.length, out=bounds[place, :, 1], casting="unsafe")
            if cells.nulls is not None:
                valid = np.ones(bounds.shape, np.bool_) if valid is None else valid
                valid[place, :, 0] = ~cells.nulls
        offsets = np.append(bounds.reshape(-1), np.int32(len(self.data)))
        validity = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
        buffers = [validity, pa.py_buffer(offsets), pa.py_buffer(self.data)]
        everything = pa.Array.from_buffers(pa.binary(), bounds.size, buffers)
        of_first = np.arange(0, 2 * rows, 2)
        return [
            pc.take(everything, pa.array(of_first + place * 2 * rows), boundscheck=False)
            for place in range(len(columns))
        ]


def malformed(what: str) -> err.OperationalError:
    """What the driver raises for a server that does not keep to the protocol."""
    return err.OperationalError(CR.CR_MALFORMED_PACKET, what)


def _has_bytes(field: Field) -> bool:
    return field.number is None and field.code not in _MOMENTS | {FIELD_TYPE.TIME, FIELD_TYPE.NULL}


def _lengths(data: Bytes, position: Positions, field: Field, nulls: Flags | None) -> _Cells:
    """The cells at these positions. NULL takes no bytes.

    What lies behind the data's end, where a hostile length may point, is read as its last byte.
    """
    number = field.number
    if number is not None or field.code == FIELD_TYPE.NULL:
        length = np.full(len(position), number.itemsize if number else 0, np.int64)
        if nulls is not None:
            length[nulls] = 0
        return _Cells(position, length, nulls)
    first = data.take(position, mode="clip")
    begin = position + 1
    if nulls is not None:
        first[nulls] = 0
        begin[nulls] -= 1
    length = first.astype(np.int64)
    if len(first) and first.max() > _LENGTH_MAX:
        _lengthen(data, position, first, begin, length)
    return _Cells(begin, length, nulls)


def _lengthen(
    data: Bytes, position: Positions, first: Bytes, begin: Positions, length: Positions
) -> None:
    """Set what the lengths of more than one byte are, and where their cells begin."""
    longer = 0
    for mark, width in _LENGTH_BYTES.items():
        marked = np.flatnonzero(first == mark)
        longer += marked.size
        if marked.size:
            begin[marked] += width
            at = position[marked, None] + np.arange(1, width + 1)
            eight = np.zeros((marked.size, 8), np.uint8)
            eight[:, :width] = data.take(at, mode="clip")
            long = eight.view("<u8")[:, 0]
            if long.max() > len(data):
                raise malformed("a cell that is longer than its row")
            length[marked] = long
    if longer < np.count_nonzero(first > _LENGTH_MAX):
        raise malformed("a cell without a length")


def _values(data: Bytes, cells: _Cells, field: Field) -> pa.Array:
    if field.number is not None:
        return pa.array(_at(data, cells.begin, field.number), mask=cells.nulls)
    if field.code == FIELD_TYPE.NULL:
        return pa.nulls(len(cells.begin))
    if field.code == FIELD_TYPE.TIME:
        return pa.array(_durations(data, cells), pa.duration("us"), mask=cells.nulls)
    days, of_day, is_date = _moments(data, cells)
    if field.code == FIELD_TYPE.DATE:
        dates = np.where(is_date, days, np.iinfo(np.int32).min).astype(np.int32)
        return pa.array(dates, mask=cells.nulls).view(pa.date32())
    moments = np.where(is_date, days * _DAY_US + of_day, np.iinfo(np.int64).min)
    return pa.array(moments, mask=cells.nulls).view(pa.timestamp("us"))


def _at(data: Bytes, begin: Positions, kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The values of a type that begin there, at whatever byte."""
    everywhere = np.ndarray((len(data) - kind.itemsize + 1,), kind, data, strides=(1,))
    return everywhere[begin]


def _parts(
    data: Bytes, cells: _Cells, lengths: list[int], micros_at: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """What is before a moment's microseconds, as a number of up to 8 bytes, and those; what is left out is zero."""
    if not np.isin(cells.length, lengths).all():
        raise malformed("a moment of another length")
    width = np.minimum(cells.length, micros_at)
    kept = np.array([(1 << 8 * min(n, 8)) - 1 for n in range(9)], np.uint64)[width]
    parts = _at(data, cells.begin, np.dtype("<u8")) & kept
    micros = _at(data, cells.begin + micros_at, np.dtype("<u4")).astype(np.int64)
    micros[cells.length <= micros_at] = 0
    return parts.view(np.int64), micros


def _moments(data: Bytes, cells: _Cells) -> tuple[Positions, Positions, Flags]:
    """Days since 1970, microseconds of the day, and which are dates at all."""
    parts, of_day = _parts(data, cells, _MOMENT_BYTES, 7)
    year, month, day = parts & 0xFFFF, (parts >> 16) & 0xFF, (parts >> 24) & 0xFF
    seconds = (((parts >> 32) & 0xFF) * 60 + ((parts >> 40) & 0xFF)) * 60 + ((parts >> 48) & 0xFF)
    of_day += seconds * _SECOND_US
    is_date = (year < _YEARS) & (month >= 1) & (month <= _YEAR_MONTHS) & (day >= 1)
    months = np.where(is_date, year * _YEAR_MONTHS + month - 1, 0)
    days = _MONTHS[months] + day - 1
    return days, of_day, is_date & (days < _MONTHS[months + 1])


def _durations(data: Bytes, cells: _Cells) -> Positions:
    """Microseconds, below zero for negative ones."""
    parts, micros = _parts(data, cells, _TIME_BYTES, 8)
    hours = ((parts >> 8) & 0xFFFF_FFFF) * 24 + ((parts >> 40) & 0xFF)
    seconds = (hours * 60 + ((parts >> 48) & 0xFF)) * 60 + ((parts >> 56) & 0xFF)
    micros += seconds * _SECOND_US
    micros[parts & 0xFF != 0] *= -1
    return micros
