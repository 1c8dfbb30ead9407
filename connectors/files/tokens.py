"""Chunks of whole rows into columns of texts, with the line of whatever is wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from connectors.connector import Reject
from connectors.errors import FileInvalid
from connectors.files import rejects
from connectors.files.batches import too_large
from connectors.files.rows import Chunk, Row
from connectors.files.source import check_utf8


@dataclass(frozen=True, slots=True)
class Texts:
    """Columns of the rows that have as many values as the header, and the other rows."""

    columns: list[pa.Array]
    rejects: list[Reject]


class Tokenizer:
    """Takes apart rows of a known number of values. Safe to use from several threads."""

    def __init__(self, delimiter: str, width: int, header_line: int, cell_bytes_max: int) -> None:
        self._delimiter = delimiter
        self._width = width
        self._header_line = header_line
        self._cell_bytes_max = cell_bytes_max

    def texts(self, chunk: Chunk, places: Sequence[int]) -> Texts:
        """The columns at those places; raises FileInvalid and CellTooLarge with the line."""
        if not chunk.data or (self._width > 1 and not chunk.data.strip(b"\r\n")):
            return Texts([pa.array([], pa.string()) for _ in places], [])
        check_utf8(chunk.data, chunk.line, chunk.start)
        skipped = 0

        def skip(_: csv.InvalidRow) -> str:
            nonlocal skipped
            skipped += 1
            return "skip"

        try:
            table = self._parse(chunk, places, skip)
        except pa.ArrowInvalid as error:
            raise FileInvalid(f"The rows from line {chunk.line} on cannot be read.") from error
        columns = [column.combine_chunks() for column in table.columns]
        if len(chunk.data) > self._cell_bytes_max:
            self._check_sizes(chunk, columns)
        found = [self._ragged(row) for row in self._rows(chunk, fit=False)] if skipped else []
        rejects.refuse_flood(found)
        return Texts(columns, found)

    def rows_at(self, chunk: Chunk, indexes: Sequence[int]) -> list[Row]:
        """The rows at these indexes of the chunk's texts, which ascend."""
        wanted = iter(indexes)
        found: list[Row] = []
        at = next(wanted, None)
        for index, row in enumerate(self._rows(chunk, fit=True)):
            if at is None:
                break
            if index == at:
                found.append(row)
                at = next(wanted, None)
        return found

    def lines_of(self, chunk: Chunk) -> Callable[[int], int]:
        """Gives the first line of a row by its index in the chunk's texts; all columns ask, the rows are read once."""
        rows = self._rows(chunk, fit=True)
        known: list[int] = []

        def line_of(index: int) -> int:
            known.extend(row.line for row in islice(rows, max(0, index + 1 - len(known))))
            return known[index]

        return line_of

    def _rows(self, chunk: Chunk, *, fit: bool) -> Iterator[Row]:
        """Rows with as many values as the header, or the others; a blank line is a row in a file of one column."""
        for row in chunk.rows(self._delimiter):
            if row.values or self._width == 1:
                is_fit = len(row.values) == self._width or not row.values
                if is_fit is fit:
                    yield row

    def _parse(
        self, chunk: Chunk, places: Sequence[int], skip: Callable[[csv.InvalidRow], str]
    ) -> pa.Table:
        names = [str(place) for place in range(self._width)]
        wanted = [names[place] for place in places]
        return csv.read_csv(
            pa.BufferReader(chunk.data),
            csv.ReadOptions(column_names=names, use_threads=False, block_size=len(chunk.data) + 1),
            csv.ParseOptions(
                delimiter=self._delimiter,
                newlines_in_values=True,
                ignore_empty_lines=self._width > 1,
                invalid_row_handler=skip,
            ),
            csv.ConvertOptions(
                check_utf8=False,  # checked for the whole chunk
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )

    def _check_sizes(self, chunk: Chunk, columns: Sequence[pa.Array]) -> None:
        for column in columns:
            sizes = pc.binary_length(column)
            if (pc.max(sizes).as_py() or 0) > self._cell_bytes_max:
                at = pc.index(sizes, pc.max(sizes)).as_py()
                line = self.lines_of(chunk)(at)
                raise too_large(f"that starts in the row of line {line}", self._cell_bytes_max)

    def _ragged(self, row: Row) -> Reject:
        words = (
            f"The row in line {row.line} has {_values(len(row.values))}, but the header in line "
            f"{self._header_line} has {_values(self._width)}."
        )
        return rejects.reject(row.line, None, words, row.text)


def _values(count: int) -> str:
    return "1 value" if count == 1 else f"{count} values"
