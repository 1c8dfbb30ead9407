"""XLSX and XLS workbooks: a table for each sheet that has cells, its first row that is not empty being the header.

An error cell (`#DIV/0!`) has no value, and its column says so; an empty text is no cell. Of XLSX, a number with a
date's format that is no date (`connectors.files.styles`) is the number, and a whole number that no double holds its
text. Where the user set a column's type, its cells' texts are read as that; a row with one that is not of it is a
reject.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import pyarrow as pa
from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

from base.tables import Column, ColumnType, TableSchema
from connectors import sql
from connectors.connector import (
    Batch,
    Connection,
    Health,
    Reading,
    ReadLimits,
    Reject,
    Selection,
    Unseen,
)
from connectors.errors import FileInvalid, is_panic
from connectors.files import archive, biff, cells, compound, rejects, strict
from connectors.files.columns import TextColumn
from connectors.files.names import chosen, refuse_other_table, refuse_unknown, unique_names
from connectors.files.source import stored_file

CHUNK_CELLS = 1_000_000  # that are Python objects at a time
WHY_CHARS = 200
_BAD_ROW = "Correct the row."
CELL_BYTES = 32  # about what a cell takes beside its text

Row = list[Any]


@dataclass(frozen=True, slots=True)
class _Sheet:
    """`places` are the table's columns, from 0 in the sheet's rows; `row_count` leaves out the header."""

    sheet: CalamineSheet
    header_at: int
    row_count: int
    places: tuple[int, ...]
    table: TableSchema
    declared: Mapping[str, TextColumn]
    rejects: tuple[Reject, ...] = ()

    @property
    def first_row(self) -> int:
        """The number of the first row below the header, as a spreadsheet counts."""
        return self.header_at + 2  # the parser hands out the empty rows above, too

    def rows(self, after: int = 0) -> Iterator[Row]:
        """The rows below the header, from a row on."""
        start = self.header_at + 1
        return islice(self.sheet.iter_rows(), start + after, start + self.row_count)


class Workbook:
    """An open workbook. One sheet is held in memory at a time."""

    def __init__(self, connection: Connection) -> None:
        kind = connection.kind.upper()
        path = stored_file(connection)
        compound.check(path, kind)
        self._limits = connection.limits
        self._types: dict[str, str] = dict(connection.settings.get("column_types") or {})
        self._scans = archive.scan(path) if connection.kind == "xlsx" else biff.scan(path)
        is_odd = strict.is_needed(path, self._scans)
        self._file = strict.rewritten(path) if is_odd else path.open("rb")
        self._latest: tuple[str, _Sheet | None] | None = None
        try:
            with _translated(kind):
                self._book = CalamineWorkbook.from_filelike(self._file)
        except BaseException:
            self._file.close()
            raise
        self._kind = kind

    def check(self) -> Health:
        """Say which sheets have rows and which have none."""
        filled = [table.name for table in self.tables()]
        message = f"The workbook has {len(filled):,} sheets with cells."
        if len(filled) < len(self._book.sheet_names):
            left_out = [repr(each) for each in self._book.sheet_names if each not in filled]
            message += f" Without cells, and left out: {', '.join(left_out[:20])}."
        return Health(message)

    def tables(self) -> list[TableSchema]:
        """The sheets that have cells, in the workbook's order."""
        self._refuse_unknown()
        found = []
        for name in self._names():
            sheet = self._sheet(name)
            if sheet:
                bad = sheet.rejects
                rejects.refuse_many(bad, sheet.row_count - len(bad), _BAD_ROW)
                found.append(sheet.table)
        if not found:
            raise FileInvalid(
                f"The {self._kind} file has no sheet with cells.",
                hint="Upload it again, with its rows.",
            )
        return found

    def read(self, selection: Selection, after: list[Any] | None = None) -> Reading:
        """Read a sheet; a position is the number of rows done."""
        names = self._names()
        refuse_other_table(selection.name, selection.schema, names)
        self._refuse_unknown()
        sheet = self._sheet(selection.name)
        if sheet is None:
            filled = [name for name in names if name != selection.name]
            refuse_other_table(selection.name, selection.schema, filled)
            raise AssertionError  # the name is not among them
        columns = sheet.table.columns
        places = chosen(selection.name, [column.name for column in columns], selection.columns)
        table = sheet.table.with_columns(tuple(columns[place] for place in places))
        cells_at = [sheet.places[place] for place in places]
        return Reading(
            table,
            self._batches(sheet, table, cells_at, after[0] if after else 0),
            unseen=None if sheet.row_count else Unseen.TYPES,
        )

    def close(self) -> None:
        """Free the workbook; safe to call twice."""
        self._latest = None
        if not self._file.closed:
            self._book.close()
            self._file.close()

    def _names(self) -> list[str]:
        """Names of the sheets that can have cells."""
        return [
            each.name for each in self._book.sheets_metadata if each.typ == SheetTypeEnum.WorkSheet
        ]

    def _sheet(self, name: str) -> _Sheet | None:
        """The parsed sheet; None if it has no cells."""
        if self._latest is None or self._latest[0] != name:
            self._latest = None  # frees the one before
            with _translated(self._kind):
                parsed = self._book.get_sheet_by_name(name)
                self._latest = (name, self._examined(parsed, name))
        return self._latest[1]

    def _examined(self, sheet: CalamineSheet, name: str) -> _Sheet | None:
        """Look at every cell once: where the table is, and what its columns are."""
        header_at, header = next(
            ((at, row) for at, row in enumerate(sheet.iter_rows()) if _is_filled(row)), (0, [])
        )
        if not header:
            return None
        seen = [cells.SeenCells() for _ in header]
        row_count = done = 0
        for chunk in _chunks(islice(sheet.iter_rows(), header_at + 1, None), self._limits):
            for column, found in zip(seen, zip(*chunk, strict=True), strict=True):
                column.observe(found)
            filled = (at for at in range(len(chunk) - 1, -1, -1) if _is_filled(chunk[at]))
            last = next(filled, None)
            row_count = row_count if last is None else done + last + 1
            done += len(chunk)
        # Rows at the end that hold errors alone are rows.
        row_count = max(row_count, min(self._scan(name).error_row_max - header_at - 1, done))
        # A column is there if it has a header or a value; formats alone make none.
        places = [at for at, cell in enumerate(header) if cell != cells.EMPTY or seen[at].count]
        names = unique_names([cells.shown(header[at]) for at in places])
        columns = tuple(
            self._column(sheet, name, title, at, seen[at])
            for title, at in zip(names, places, strict=True)
        )
        table = TableSchema(name, columns, row_estimate=row_count, details=self._details(name))
        declared = {
            column.name: TextColumn(column.name, ColumnType(self._types[column.name]))
            for column in columns
            if column.name in self._types
        }
        examined = _Sheet(sheet, header_at, row_count, tuple(places), table, declared)
        return self._with_declared(examined) if declared else examined

    def _with_declared(self, sheet: _Sheet) -> _Sheet:
        """Look at the cells again of the columns whose type was set."""
        columns = list(sheet.declared.values())
        bad: list[Reject] = []
        done = 0
        for chunk in _chunks(sheet.rows(), self._limits):
            texts = _texts(sheet, chunk)
            for column, values in zip(columns, texts, strict=True):
                column.observe(values, lambda at: at)
            bad += _rejects(sheet, chunk, texts, done)[1]
            rejects.refuse_flood(bad)
            done += len(chunk)
        described = tuple(
            replace(sheet.declared[column.name].describe(), native_type=None)
            if column.name in sheet.declared
            else column
            for column in sheet.table.columns
        )
        return replace(sheet, table=sheet.table.with_columns(described), rejects=tuple(bad))

    def _refuse_unknown(self) -> None:
        """A type may be set for a column of any sheet."""
        if not self._types:
            return
        found = {
            column.name
            for name in self._names()
            if (sheet := self._sheet(name))
            for column in sheet.table.columns
        }
        refuse_unknown(self._types, found)

    def _column(
        self, sheet: CalamineSheet, name: str, title: str, at: int, seen: cells.SeenCells
    ) -> Column:
        kind, reason = seen.decide()
        errors = self._scan(name).errors
        letters = archive.column_letters(at + 1 + (sheet.start or (0, 0))[1])
        if letters in errors:
            number, first = errors[letters]
            reason += f"; {number:,} error cells have no value, first {first}"
        uncomputed = self._scan(name).uncomputed
        if letters in uncomputed:
            number, first = uncomputed[letters]
            reason += (
                f"; {number:,} formulas have no value, first {first}: "
                "no spreadsheet program has computed and saved them"
            )
        return Column(title, kind, inference=reason)

    def _scan(self, name: str) -> archive.SheetScan:
        index = self._book.sheet_names.index(name)
        return self._scans[index] if index < len(self._scans) else archive.SheetScan()

    def _details(self, name: str) -> dict[str, Any]:
        found = next(each for each in self._book.sheets_metadata if each.name == name)
        return {} if found.visible == SheetVisibleEnum.Visible else {"hidden": True}

    def _batches(
        self, sheet: _Sheet, table: TableSchema, places: Sequence[int], done: int
    ) -> Iterator[Batch]:
        names = [column.name for column in table.columns]
        for chunk in _chunks(sheet.rows(done), self._limits):
            texts = _texts(sheet, chunk)
            flaws, bad = _rejects(sheet, chunk, texts, done)
            good = [row for at, row in enumerate(chunk) if at not in flaws]
            found = list(zip(*good, strict=True)) or [()] * len(chunk[0])
            typed = dict(zip(sheet.declared, rejects.without(texts, list(flaws)), strict=True))
            arrays = [
                sheet.declared[column.name].form.convert(typed[column.name])
                if column.name in typed
                else cells.stored(column.type, found[place])
                for column, place in zip(table.columns, places, strict=True)
            ]
            data = pa.RecordBatch.from_arrays(arrays, names=names)
            done += len(chunk)
            pieces = sql.bounded(data, self._limits, f"the sheet {table.name}")
            batches = (Batch(piece, [done]) for piece in pieces)
            yield from rejects.told_first(batches, bad, Batch(data, [done]))


def _texts(sheet: _Sheet, chunk: Sequence[Row]) -> list[pa.Array]:
    """The columns whose type was set, as texts."""
    place_of = {
        column.name: place for column, place in zip(sheet.table.columns, sheet.places, strict=True)
    }
    return [
        pa.array(
            [None if row[at] == cells.EMPTY else cells.shown(row[at]) for row in chunk], pa.string()
        )
        for at in (place_of[name] for name in sheet.declared)
    ]


def _rejects(
    sheet: _Sheet, chunk: Sequence[Row], texts: Sequence[pa.Array], done: int
) -> tuple[Mapping[int, TextColumn], list[Reject]]:
    """The rows with a cell that is not of a type that was set, `done` rows being before the chunk."""
    columns = list(sheet.declared.values())
    flaws = rejects.flaws(columns, texts)

    def place(at: int) -> tuple[str, int, str]:
        return "row", sheet.first_row + done + at, "\t".join(map(cells.shown, chunk[at]))

    return flaws, rejects.misfits(columns, texts, flaws, place)


def _chunks(rows: Iterator[Row], limits: ReadLimits) -> Iterator[list[Row]]:
    """Rows in lists within the limits, by what their cells take in Python."""
    chunk: list[Row] = []
    size = 0
    for row in rows:
        chunk.append(row)
        size += CELL_BYTES * len(row) + sum(len(cell) for cell in row if type(cell) is str)
        is_full = len(chunk) >= limits.batch_rows or size >= limits.batch_bytes
        if is_full or len(chunk) * len(row) >= CHUNK_CELLS:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _is_filled(row: Row) -> bool:
    return any(cell != cells.EMPTY for cell in row)


@contextlib.contextmanager
def _translated(kind: str) -> Iterator[None]:
    """The parser's errors, and its panics, as ours."""
    try:
        yield
    except PasswordError as error:
        raise archive.encrypted(kind) from error
    except CalamineError as error:
        raise _broken(kind, str(error)) from error
    except OverflowError as error:
        raise _broken(kind, "a duration is longer than two million years") from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise _broken(kind, "it is damaged") from error


def _broken(kind: str, why: str) -> FileInvalid:
    return FileInvalid(
        f"The {kind} file cannot be read: {why[:WHY_CHARS].rstrip('.')}.",
        hint="Open it in a spreadsheet program and save it again.",
    )
