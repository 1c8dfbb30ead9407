"""Error cells of XLS files (`#DIV/0!`), which the parser hands out like empty ones, found in the workbook's records."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from pathlib import Path

from connectors.errors import FileInvalid
from connectors.files import archive, compound

_RECORD = struct.Struct("<HH")  # type, bytes that follow
_CELL = struct.Struct("<HH")  # row, column
_SHEET_AT = struct.Struct("<I")
_BOUND_SHEET, _END_OF_SHEET, _FORMULA, _BOOL_OR_ERROR = 0x0085, 0x000A, 0x0006, 0x0205
_STARTS = frozenset({0x0009, 0x0209, 0x0409, 0x0809})  # of a sheet, by the versions of the format
_VALUE_AT = 6  # behind row, column and format
_IS_ERROR = 1
_ERROR_RESULT = re.compile(rb"\x02.[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]...\xff\xff", re.DOTALL)
_MAY_HOLD_ERRORS = re.compile(
    rb"\x05\x02\x08\x00.{6}[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]\x01"
    rb"|\x06\x00..{7}\x02.[\x00\x07\x0f\x17\x1d\x24\x2a\x2b]...\xff\xff",
    re.DOTALL,
)  # most workbooks have none, and their records need not be walked


def scan(path: Path) -> list[archive.SheetScan]:
    """The error cells of each sheet in the workbook's order; nothing where the records cannot be told."""
    container = compound.opened(path.read_bytes())
    try:
        book = container and (container.stream("Workbook") or container.stream("Book"))
        if not book or not _MAY_HOLD_ERRORS.search(book):
            return []
        return [_errors(book, start) for start in _sheets(book)]
    except (FileInvalid, struct.error):
        return []  # the parser says what is wrong with it


def _sheets(book: bytes) -> Iterator[int]:
    """Where the sheets start."""
    for kind, at, _ in _records(book, 0):
        if kind == _BOUND_SHEET:
            yield _SHEET_AT.unpack_from(book, at)[0]


def _errors(book: bytes, start: int) -> archive.SheetScan:
    found = archive.SheetScan()
    for kind, at, size in _records(book, start):
        is_error = (
            kind == _BOOL_OR_ERROR
            and size > _VALUE_AT + 1
            and book[at + _VALUE_AT + 1] == _IS_ERROR
        ) or (kind == _FORMULA and _ERROR_RESULT.match(book, at + _VALUE_AT) is not None)
        if is_error:
            row, column = _CELL.unpack_from(book, at)
            found.add_error(archive.column_letters(column + 1), row + 1)
    return found


def _records(book: bytes, start: int) -> Iterator[tuple[int, int, int]]:
    """Type, place and bytes of each record up to the end of the sheet; a chart in it is nested."""
    at, depth = start, 0
    while at + _RECORD.size <= len(book):
        kind, size = _RECORD.unpack_from(book, at)
        at += _RECORD.size
        depth += (kind in _STARTS) - (kind == _END_OF_SHEET)
        if depth <= 0:
            return
        if depth == 1:
            yield kind, at, size
        at += size
