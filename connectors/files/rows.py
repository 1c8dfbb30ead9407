"""Cuts delimited text into chunks of whole rows, and refuses broken quotes.

The CSV tokenizer of pyarrow is fast and lenient: text after a closing quote is glued on, an unclosed quote swallows the
rest of the file. So the quotes are checked here first, by looking at the bytes beside each of them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from connectors.errors import CellTooLarge, FileInvalid
from connectors.files.source import Block, line_ends

ROW_CELLS_MAX = 4  # how many cells of the largest size a row may hold
_QUOTE, _LF, _CR = b'"\n\r'
_TAIL_BYTES = 64 * 1024  # the last row mostly ends in it
_SHOWN_CHARS = 60
_MORE = "If it is right as it is, raise HEADWATER_CELL_BYTES_MAX."
_VECTOR_BYTES_MAX = (
    8 * 1024**2
)  # where every byte is a quote, their positions take eight times as much


@dataclass(frozen=True, slots=True)
class Chunk:
    """Whole rows. `line` is the number of their first line, `row` that of their first row if rows were counted.

    `end` is where the chunk ends in the stored file, None where no read can start there.
    """

    data: bytes
    line: int
    start: int | None
    end: int | None
    bytes_read: int

    def rows(self, delimiter: str) -> Iterator[Row]:
        """Each row that is not a blank line, and each blank line. Slow: for headers and what is wrong."""
        text = io.StringIO(self.data.decode(errors="replace"), newline="")
        csv.field_size_limit(max(csv.field_size_limit(), len(self.data)))
        taken: list[str] = []
        reader = csv.reader(_recorded(text, taken), delimiter=delimiter)
        before = 0
        for values in reader:
            yield Row(self.line + before, values, "".join(taken))
            taken.clear()
            before = reader.line_num


@dataclass(frozen=True, slots=True)
class Row:
    """Values of a row, none of a blank line; `line` is the number of its first line, `text` the row as it is."""

    line: int
    values: list[str]
    text: str


class Scanner:
    """Makes chunks of blocks. `line` is where the first block starts."""

    def __init__(self, delimiter: str, cell_bytes_max: int, line: int = 1) -> None:
        self._delimiter = ord(delimiter)
        self._cell_bytes_max = cell_bytes_max
        self._line = line
        self._marks = np.zeros(256, np.bool_)
        self._marks[[self._delimiter, _LF, _CR, _QUOTE]] = True
        mark = re.escape(delimiter.encode())
        end = rb"(?:\r\n|\n|\r)"
        closed = rb'"[^"]*+(?:""[^"]*+)*+"'
        field = rb"(?>" + closed + rb'|[^"\r\n' + mark + rb"][^\r\n" + mark + rb"]*+|)"
        self._closed = re.compile(closed)
        self._fields = re.compile(rb"(?>" + field + rb"(?:" + mark + rb"|" + end + rb"))*+")
        self._rows = re.compile(rb"(?>(?:" + field + mark + rb")*+" + field + end + rb")*+")

    def chunks(self, blocks: Iterator[Block]) -> Iterator[Chunk]:
        """Chunks of whole rows, in order. Raises FileInvalid and CellTooLarge with the line."""
        rest = b""
        block = None
        wanted = 0  # a row that did not end is looked at again when its bytes have doubled
        for block in blocks:
            if b"\0" in block.data:
                at = block.data.index(b"\0")
                raise self._not_text(rest + block.data[:at])
            buffer = rest + block.data
            if len(buffer) < wanted:
                rest = buffer
                continue
            cut = self._cut(buffer)
            if cut:
                yield self._chunk(buffer[:cut], block, len(buffer) - cut)
            elif len(buffer) > self._cell_bytes_max:
                self._refuse_oversized(buffer)
            rest = buffer[cut:]
            wanted = 2 * len(rest)
        if rest and block is not None:
            last = rest if rest.endswith((b"\n", b"\r")) else rest + b"\n"
            if self._cut(last, at_end=True) < len(last):
                raise self._unclosed(last)
            yield self._chunk(last, block, 0, added=len(last) - len(rest))

    def _chunk(self, data: bytes, block: Block, left: int, added: int = 0) -> Chunk:
        end = None if block.end is None else block.end - left
        start = None if end is None else end - len(data) + added
        chunk = Chunk(data, self._line, start, end, block.bytes_read - left)
        self._line += line_ends(data)
        return chunk

    def _cut(self, buffer: bytes, *, at_end: bool = False) -> int:
        """Where the last whole row ends; 0 if none does."""
        usable = len(buffer)
        if not at_end and buffer.endswith(b"\r"):
            usable -= 1  # half of a CRLF, perhaps
        if _QUOTE not in buffer:
            return max(buffer.rfind(b"\n", 0, usable), buffer.rfind(b"\r", 0, usable)) + 1
        if len(buffer) > _VECTOR_BYTES_MAX:
            return self._cut_by_row(buffer, usable)
        data = np.frombuffer(buffer, np.uint8)
        quotes = np.flatnonzero(data == _QUOTE)
        if self._are_regular(data, quotes):
            return _last_end(data[:usable], quotes)
        return self._cut_by_row(buffer, usable)

    def _are_regular(self, data: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp]) -> bool:
        """Whether every quote opens at a field's start, closes at a field's end, or is one of a doubled pair."""
        opening, closing = quotes[::2], quotes[1::2]
        opening = opening[1:] if opening[0] == 0 else opening
        closing = closing[:-1] if len(closing) and closing[-1] == len(data) - 1 else closing
        before, after = data.take(opening - 1), data.take(closing + 1)
        return bool(self._marks.take(before).all() and self._marks.take(after).all())

    def _cut_by_row(self, buffer: bytes, usable: int) -> int:
        """The same, field by field: quotes inside an unquoted field are text, anything else irregular is broken."""
        row_end = _reached(self._rows, buffer, 0, usable)
        self._refuse_tail(buffer, _reached(self._fields, buffer, row_end, usable))
        return row_end

    def _refuse_tail(self, buffer: bytes, reached: int) -> None:
        """Raise if the field at `reached` is quoted and text follows its closing quote."""
        closed = self._closed.match(buffer, reached)
        if closed is None:
            return
        is_complete = closed.end() < len(buffer)
        if is_complete and buffer[closed.end()] not in (self._delimiter, _LF, _CR):
            opened, ended = (self._line_at(buffer, at) for at in (reached, closed.end()))
            where = "in the same line" if opened == ended else f"in line {ended}"
            raise FileInvalid(
                f"Broken quote: the quote opened in line {opened} is closed {where} with text "
                f"right behind it ({_shown(buffer[closed.end() :])}).",
                hint='A quoted value ends before a delimiter or line end; quotes inside it are doubled ("").',
            )

    def _unclosed(self, buffer: bytes) -> FileInvalid:
        at = _reached(self._fields, buffer, 0, len(buffer))
        return FileInvalid(
            f"Broken quote: the quote opened in line {self._line_at(buffer, at)} is never closed "
            f"({_shown(buffer[at:])}).",
            hint='A quoted value ends with a quote; quotes inside it are doubled ("").',
        )

    def _refuse_oversized(self, buffer: bytes) -> None:
        """Raise if the unfinished cell or row at the buffer's end is over its limit."""
        at = _reached(self._fields, buffer, 0, len(buffer))
        line = self._line_at(buffer, at)
        limit = _mebibytes(self._cell_bytes_max)
        if len(buffer) - at > self._cell_bytes_max:
            is_quoted = buffer[at] == _QUOTE
            raise CellTooLarge(
                f"The value that starts in line {line} is larger than the limit of {limit}.",
                hint=f"{'Its quote may never be closed.' if is_quoted else 'Is this a text file?'} {_MORE}",
            )
        if len(buffer) > ROW_CELLS_MAX * self._cell_bytes_max:
            whole = _mebibytes(ROW_CELLS_MAX * self._cell_bytes_max)
            raise CellTooLarge(
                f"The row that starts in line {self._line} is larger than the limit of {whole}.",
                hint=f"{_MORE} A row may have {ROW_CELLS_MAX} times as much.",
            )

    def _not_text(self, before: bytes) -> FileInvalid:
        return FileInvalid(
            f"There is a NUL byte in line {self._line_at(before, len(before))}, so this is not UTF-8 text.",
            hint="If the file is UTF-16, set the encoding to utf-16-le or utf-16-be.",
        )

    def _line_at(self, buffer: bytes, at: int) -> int:
        return self._line + line_ends(buffer[:at])


def _recorded(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    """The lines, each put into `taken`, too."""
    for line in lines:
        taken.append(line)
        yield line


def _reached(pattern: re.Pattern[bytes], buffer: bytes, start: int, end: int) -> int:
    """How far a pattern that matches anything gets."""
    found = pattern.match(buffer, start, end)
    return found.end() if found else start


def _last_end(data: npt.NDArray[np.uint8], quotes: npt.NDArray[np.intp]) -> int:
    """Behind the last line end that is outside quotes."""
    end = len(data)
    while end > 0:
        start = max(0, end - _TAIL_BYTES)
        tail = data[start:end]
        ends = np.flatnonzero((tail == _LF) | (tail == _CR)) + start
        outside = ends[np.searchsorted(quotes, ends) % 2 == 0]
        if len(outside):
            return int(outside[-1]) + 1
        end = start
    return 0


def _shown(data: bytes) -> str:
    text = data[: 4 * _SHOWN_CHARS].decode(errors="replace").splitlines()
    return repr(text[0][:_SHOWN_CHARS]) if text else "nothing"


def _mebibytes(size: int) -> str:
    return f"{size / 1024**2:g} MiB"
