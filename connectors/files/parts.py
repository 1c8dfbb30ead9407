"""Documents as tables: a row for each part of the text, in order, each of bounded size.

Columns are `part` (1, 2, …), `page` (of a PDF, or the slide of a presentation; null where a format has no pages) and
`text`, whose lines end in LF. What a document says of itself (title, author, …) is in the table's `details`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import pyarrow as pa

from base.tables import Column, ColumnType, TableSchema
from connectors.connector import Batch, Connection, Health, Reading, Selection
from connectors.errors import FileInvalid
from connectors.files.names import chosen, refuse_other_table
from connectors.files.source import named, stored_file, table_name

PART_CHARS_MAX = 10_000
SAMPLE_BYTES = 4 * 1024**2  # of a file that is read in a stream, to estimate its parts
DETAIL_CHARS_MAX = 2_000
_NAMES = ("part", "page", "text")
_SCHEMA = pa.schema([("part", pa.int64()), ("page", pa.int64()), ("text", pa.string())])
_CUTS = ("\n\n", "\n", ". ", " ")  # where a text that is too long is cut, best first


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a document's text. `bytes_read` of the file so far."""

    text: str
    page: int | None = None
    bytes_read: int = 0


class Parts(ABC):
    """An open document, whose table is called like the file. `_words` says where its parts end."""

    _words = "paragraphs"
    _page = "always null, as the format has no pages"

    def __init__(self, connection: Connection) -> None:
        self._path = stored_file(connection)
        self._kind = connection.kind
        self._limits = connection.limits
        self._name = table_name(connection)
        self._count: int | None = None

    def check(self) -> Health:
        """Read the first part."""
        next(self._bounded())
        title = self._details().get("title")
        called = f" {title!r}" if title else ""
        return Health(f"{named(self._kind)} document{called}, a row for each of its {self._words}.")

    def tables(self) -> list[TableSchema]:
        """The one table, with the number of its parts, estimated for a large text."""
        if self._count is None:
            self._count = self._counted()
        return [self._table(self._count)]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """The parts in order. A position is the number of parts done."""
        refuse_other_table(selection.name, selection.schema, [self._name])
        places = chosen(self._name, _NAMES, selection.columns)
        table = self._table(self._count)
        return Reading(
            table.with_columns(tuple(table.columns[place] for place in places)),
            self._batches(places, after[0] if after else 0),
            bytes_total=self._path.stat().st_size,
        )

    def close(self) -> None:  # noqa: B027 - there is nothing to free
        """Nothing is held open between reads."""

    @abstractmethod
    def _parts(self) -> Iterator[Part]:
        """The parts in order, of any size."""

    @abstractmethod
    def _details(self) -> dict[str, Any]:
        """What the document says of itself."""

    def _bounded(self) -> Iterator[Part]:
        """Parts with text, none too long. Raises FileInvalid where there is none."""
        is_empty = True
        for part in self._parts():
            for text in bounded(part.text):
                is_empty = False
                yield Part(text, part.page, part.bytes_read)
        if is_empty:
            raise self._without_text()

    def _counted(self) -> int:
        count = before = 0
        for part in self._bounded():
            if part.bytes_read > before > SAMPLE_BYTES:  # `count` parts were in so many bytes
                return count * self._path.stat().st_size // before
            before = part.bytes_read
            count += 1
        return count

    def _without_text(self) -> FileInvalid:
        return FileInvalid(f"The {named(self._kind)} file holds no text.")

    def _table(self, count: int | None) -> TableSchema:
        integer, text = ColumnType.INTEGER, ColumnType.TEXT
        columns = (
            Column("part", integer, nullable=False, inference="integer: parts count from 1"),
            Column("page", integer, inference=f"integer: {self._page}"),
            Column("text", text, nullable=False, inference=f"text: parted by {self._words}"),
        )
        return TableSchema(self._name, columns, row_estimate=count, details=self._details())

    def _batches(self, places: list[int], done: int) -> Iterator[Batch]:
        parts = islice(self._bounded(), done, None)
        rows = min(self._limits.batch_rows, max(1, self._limits.batch_bytes // PART_CHARS_MAX))
        while listed := list(islice(parts, rows)):
            numbers = range(done + 1, done + len(listed) + 1)
            done += len(listed)
            data = pa.RecordBatch.from_arrays(
                [
                    pa.array(numbers, pa.int64()),
                    pa.array([part.page for part in listed], pa.int64()),
                    pa.array([part.text for part in listed], pa.string()),
                ],
                schema=_SCHEMA,
            )
            yield Batch(data.select(places), [done], listed[-1].bytes_read)


def bounded(text: str) -> Iterator[str]:
    """The text in pieces of at most `PART_CHARS_MAX`, without blank lines around them; none of blanks alone."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    start = 0
    while start < len(text):
        end = start + PART_CHARS_MAX
        if end < len(text):
            places = (text.rfind(cut, start + 1, end) + len(cut) for cut in _CUTS)
            end = next((place for place in places if place > start + PART_CHARS_MAX // 2), end)
        piece = _without_blank_lines(text[start:end])
        if piece:
            yield piece
        start = end


def _without_blank_lines(text: str) -> str:
    text = text.rstrip()
    lead = text[: len(text) - len(text.lstrip())]
    return text[lead.rfind("\n") + 1 :]


def detail(value: Any) -> str | int | bool | None:
    """A detail as it may be kept: short, and None for what is empty or was not decoded."""
    if isinstance(value, list):
        value = "; ".join(str(each) for each in value)
    if isinstance(value, bool | int):
        return value
    text = "" if value is None else str(value).strip()
    return text[:DETAIL_CHARS_MAX] if text and "\N{REPLACEMENT CHARACTER}" not in text else None


def without_nothing(details: dict[str, Any]) -> dict[str, Any]:
    """The details that there are."""
    found = {name: detail(value) for name, value in details.items()}
    return {name: value for name, value in found.items() if value is not None}
