"""CSV and TSV files.

The first row that is not blank holds the column names; a line `sep=;` before it, meant for Excel, names the delimiter.
A quoted value may hold delimiters, line ends and doubled quotes; `""` is an empty text, nothing at all is no value.
Blank lines are skipped, but in a file of one column each is a row without a value. Rows of another length than the
first are rejects, and so are those with a value that is not of the type that the user set for its column: nothing is
filled up, cut off or left out of a row.

Types are proposed from the first rows and proved on every value. Where a value disproves one, the whole file is looked
through, so that a table is read again at most once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import pyarrow as pa

from base.tables import ColumnType, TableSchema
from connectors.connector import Batch, Connection, Health, Reading, Reject, Selection, Unseen
from connectors.errors import FileInvalid, ReadAgain
from connectors.files import rejects
from connectors.files.batches import sliced
from connectors.files.columns import TextColumn
from connectors.files.dialect import propose_delimiter, said_delimiter
from connectors.files.names import chosen, refuse_other_table, refuse_unknown, unique_names
from connectors.files.pipeline import in_order
from connectors.files.rows import Chunk, Scanner
from connectors.files.source import TextFile, check_utf8, line_ends, stored_file, table_name
from connectors.files.tokens import Texts, Tokenizer

SAMPLE_BYTES = 1024**2  # after which no more chunks are looked at to propose types
_BAD_ROW = "Correct the row, or set the delimiter or the encoding."
_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class _Known:
    """What was learnt from the first rows, which took so many bytes, or from all of them."""

    delimiter: str
    tokens: Tokenizer
    columns: list[TextColumn]
    rows: int = 0
    bytes_read: int = 0
    is_whole: bool = True
    rejects: tuple[Reject, ...] = ()


@dataclass(frozen=True, slots=True)
class _Converted:
    """A chunk's typed columns, None where a value is not of its column's form; a tally for each column."""

    data: pa.RecordBatch | None
    tallies: list[int]
    rejects: list[Reject]


class Delimited:
    """A CSV or TSV file, whose table is called like the file."""

    def __init__(self, connection: Connection) -> None:
        settings = connection.settings
        self._kind = connection.kind
        self._limits = connection.limits
        self._name = table_name(connection)
        said = settings.get("encoding"), settings.get("charset")
        self._file = TextFile(stored_file(connection), *said)
        self._delimiter = settings.get("delimiter")
        self._types: dict[str, str] = dict(settings.get("column_types") or {})
        self._known: _Known | None = None

    def check(self) -> Health:
        """Read the header and the first rows."""
        known = self._learn()
        rejects.refuse_many(known.rejects, known.rows, _BAD_ROW)
        delimiter = "tab" if known.delimiter == "\t" else repr(known.delimiter)
        columns = len(known.columns)
        charset = f", in {self._file.charset} as its server says" if self._file.charset else ""
        return Health(
            f"{self._kind.upper()} file, {columns} columns, delimiter {delimiter}{charset}."
        )

    def tables(self) -> list[TableSchema]:
        """The one table. What is said of its columns holds for the first rows, or for all if all were seen."""
        known = self._learn()
        rejects.refuse_many(known.rejects, known.rows, _BAD_ROW)
        scope = "" if known.is_whole else f" (in the first {known.rows:,} rows)"
        columns = tuple(column.describe(scope, column.count) for column in known.columns)
        estimate = known.rows
        if not known.is_whole:
            estimate = known.rows * self._file.size_bytes // known.bytes_read
        return [TableSchema(self._name, columns, row_estimate=estimate)]

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """The rows in their order. `after` is `[byte, line, form of each selected column]`."""
        refuse_other_table(selection.name, selection.schema, [self._name])
        known = self._learn()
        names = [column.name for column in known.columns]
        places = chosen(self._name, names, selection.columns)
        columns = [known.columns[place] for place in places]
        for column in columns:
            column.keep_as(selection.stored.get(column.name))
        if after is not None:
            for column, key in zip(columns, after[2], strict=True):
                column.assume(key)
        chunks = self._chunks(known) if after is None else self._chunks_from(known, *after[:2])
        counts = [0 for _ in columns]

        def schema(counted: Sequence[int] | None) -> TableSchema:
            described = [column.describe() for column in columns]
            if counted is not None and after is None:  # what goes on has not seen all rows
                pairs = zip(columns, counted, strict=True)
                described = [column.describe(count=count) for column, count in pairs]
            return TableSchema(self._name, tuple(described))

        return Reading(
            schema([column.count for column in columns] if known.is_whole else None),
            self._batches(known, chunks, places, counts),
            bytes_total=self._file.size_bytes,
            final=lambda: schema(counts),
            unseen=None if known.rows or not known.is_whole else Unseen.TYPES,
        )

    def close(self) -> None:
        """Nothing is held open between reads."""

    def _learn(self) -> _Known:
        """Read the first chunk, once."""
        if self._known is None:
            self._known = self._first_look()
        return self._known

    def _first_look(self) -> _Known:
        blocks = self._file.blocks()
        head = next(blocks, None)
        start = head.data if head else b""
        delimiter = self._delimiter or said_delimiter(start) or self._propose(start)
        scanner = Scanner(delimiter, self._limits.cell_bytes_max)
        chunks = scanner.chunks(chain([head] if head else [], blocks))
        for chunk in chunks:
            check_utf8(chunk.data, chunk.line, chunk.start)
            if header := _split(chunk, delimiter):
                break
        else:
            raise FileInvalid("The file holds nothing but blank lines.")
        line, given, body = header
        names = unique_names(given)
        tokens = Tokenizer(delimiter, len(names), line, self._limits.cell_bytes_max)
        columns = [TextColumn(name, kind) for name, kind in self._declared(names)]
        known = _Known(delimiter, tokens, columns)
        for chunk in chain([body], chunks):
            if known.bytes_read >= SAMPLE_BYTES:
                return replace(known, is_whole=False)
            known = _observe(known, chunk, tokens.texts(chunk, range(len(names))))
        return known

    def _propose(self, head: bytes) -> str:
        return "\t" if self._kind == "tsv" and b"\t" in head else propose_delimiter(head)

    def _declared(self, names: list[str]) -> Iterator[tuple[str, ColumnType | None]]:
        """Each column with the type that was asked for."""
        refuse_unknown(self._types, names)
        for name in names:
            yield name, ColumnType(self._types[name]) if name in self._types else None

    def _chunks(self, known: _Known) -> Iterator[Chunk]:
        """All rows. The chunk with the header comes again: only what is behind it is kept."""
        scanner = Scanner(known.delimiter, self._limits.cell_bytes_max)
        is_behind = False
        for chunk in scanner.chunks(self._file.blocks()):
            if is_behind:
                yield chunk
            elif header := _split(chunk, known.delimiter):
                is_behind = True
                yield header[2]

    def _chunks_from(self, known: _Known, start: int, line: int) -> Iterator[Chunk]:
        scanner = Scanner(known.delimiter, self._limits.cell_bytes_max, line)
        yield from scanner.chunks(self._file.blocks(start))

    def _batches(
        self, known: _Known, chunks: Iterator[Chunk], places: Sequence[int], counts: list[int]
    ) -> Iterator[Batch]:
        columns = [known.columns[place] for place in places]
        keys = [column.form.key for column in columns]

        def convert(chunk: Chunk) -> _Converted:
            return _convert(columns, known.tokens, chunk, known.tokens.texts(chunk, places))

        for chunk, converted in in_order(chunks, convert):
            if converted.data is None:
                self._learn_all(known)
                raise ReadAgain
            for place, tally in enumerate(converted.tallies):
                counts[place] += tally
            next_line = chunk.line + line_ends(chunk.data)
            position = None if chunk.end is None else [chunk.end, next_line, keys]
            last = Batch(converted.data, position, chunk.bytes_read)
            yield from rejects.told_first(self._cut(last), converted.rejects, last)

    def _cut(self, batch: Batch) -> Iterator[Batch]:
        """The batch in pieces within the limits, the last with its position."""
        pieces = list(sliced(batch.data, self._limits))
        for piece in pieces[:-1]:
            yield Batch(piece, None, batch.bytes_read)
        for piece in pieces[-1:]:
            yield Batch(piece, batch.position, batch.bytes_read)

    def _learn_all(self, known: _Known) -> None:
        """Show the whole file to all columns anew, so that the next read meets nothing unknown."""
        fresh = [
            TextColumn(name, kind) for name, kind in self._declared([c.name for c in known.columns])
        ]
        everything = range(len(fresh))
        whole = _Known(known.delimiter, known.tokens, fresh)
        for chunk, texts in in_order(
            self._chunks(known), lambda chunk: known.tokens.texts(chunk, everything)
        ):
            whole = _observe(whole, chunk, texts)
        self._known = whole


def _split(chunk: Chunk, delimiter: str) -> tuple[int, list[str], Chunk] | None:
    """The header's line and names, and the chunk behind it; None if all its lines are blank."""
    rows = (row for row in chunk.rows(delimiter) if row.values)
    header = next(rows, None)
    if header and header.line == 1 and said_delimiter(header.text.encode()):
        header = next(rows, None)
    if header is None:
        return None
    following = next(rows, None)
    line = following.line if following else chunk.line + line_ends(chunk.data)
    skipped = line - chunk.line
    at = 0
    for _, end in zip(range(skipped), _LINE_END.finditer(chunk.data), strict=False):
        at = end.end()
    start = None if chunk.start is None else chunk.start + at
    return header.line, header.values, replace(chunk, data=chunk.data[at:], line=line, start=start)


def _observe(known: _Known, chunk: Chunk, texts: Texts) -> _Known:
    """What is known with these rows, too."""
    line_of = known.tokens.lines_of(chunk)
    for column, values in zip(known.columns, texts.columns, strict=True):
        column.observe(values, line_of)
    flaws = rejects.flaws(known.columns, texts.columns)
    found = _bad_rows(known.tokens, chunk, flaws, known.columns, texts)
    rows = known.rows + len(texts.columns[0]) - len(flaws)
    so_far = (*known.rejects, *found)[: rejects.AT_ONCE_MAX]
    return replace(known, rows=rows, bytes_read=chunk.bytes_read, rejects=so_far)


def _convert(
    columns: Sequence[TextColumn], tokens: Tokenizer, chunk: Chunk, texts: Texts
) -> _Converted:
    flaws = rejects.flaws(columns, texts.columns)
    found = _bad_rows(tokens, chunk, flaws, columns, texts)
    good = rejects.without(texts.columns, list(flaws))
    typed = []
    for column, values in zip(columns, good, strict=True):
        converted = column.form.convert(values)
        if converted is None:
            return _Converted(None, [], [])
        typed.append(converted)
    schema = pa.schema([(column.name, column.form.stored) for column in columns])
    data = pa.RecordBatch.from_arrays(typed, schema=schema)
    tallies = [column.tally(values) for column, values in zip(columns, good, strict=True)]
    return _Converted(data, tallies, found)


def _bad_rows(
    tokens: Tokenizer,
    chunk: Chunk,
    flaws: Mapping[int, TextColumn],
    columns: Sequence[TextColumn],
    texts: Texts,
) -> list[Reject]:
    """The chunk's rejects in the order of their lines."""
    if not flaws:
        return texts.rejects
    rows = dict(zip(flaws, tokens.rows_at(chunk, list(flaws)), strict=True))
    misfits = rejects.misfits(
        columns, texts.columns, flaws, lambda index: ("line", rows[index].line, rows[index].text)
    )
    found = [*texts.rejects, *misfits]
    rejects.refuse_flood(found)
    return sorted(found, key=lambda reject: reject.line or 0)
