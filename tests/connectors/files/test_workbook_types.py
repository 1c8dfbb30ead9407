"""Workbooks: types that the user set, rows that do not fit them, and error cells of old workbooks."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlwt
from openpyxl.utils.datetime import CALENDAR_MAC_1904

import connectors
from base.errors import InvalidInput
from connectors.connector import ReadLimits, Reject
from connectors.errors import FileInvalid
from connectors.files import archive, biff
from tests.connectors.files.reading import connection, read


def _book(path: Path, *rows: list[Any], at: int = 1) -> Path:
    """A workbook with one sheet, whose header is in row `at`."""
    if path.suffix == ".xls":
        old = xlwt.Workbook()
        sheet = old.add_sheet("s")
        for row, cells in enumerate(rows, at - 1):
            for column, cell in enumerate(cells):
                if cell is not None:
                    sheet.write(row, column, cell)
        old.save(str(path))
        return path
    book = openpyxl.Workbook()
    new: Any = book.active
    new.title = "s"
    for row, cells in enumerate(rows, at):
        for column, cell in enumerate(cells, 1):
            new.cell(row, column, cell)
    book.save(path)
    return path


@pytest.mark.parametrize(
    ("kind", "cells", "stored"),
    [
        ("text", [1.0, 0.5, "007", True], ["1", "0.5", "007", "TRUE"]),
        ("integer", ["007", 5, " 8 "], [7, 5, 8]),
        ("decimal", ["1.10", 2, 0.25], [Decimal("1.10"), Decimal("2.00"), Decimal("0.25")]),
        ("float", [1, "2.5"], [1.0, 2.5]),
        ("boolean", [True, "no", 1], [True, False, True]),
        ("json", ["[1]", 5], ["[1]", "5"]),
    ],
)
@pytest.mark.parametrize("suffix", ["xlsx", "xls"])
def test_a_declared_type_takes_cells_however_they_are_stored(
    tmp_path: Path, suffix: str, kind: str, cells: list[Any], stored: list[Any]
) -> None:
    path = _book(tmp_path / f"a.{suffix}", ["b", "a"], *([1, cell] for cell in cells), [2])

    table = read(path, column_types={"a": kind})

    assert [row[1] for row in table.rows] == [*stored, None]
    assert (table.column("a").type, table.rejects) == (kind, [])
    assert table.column("a").inference == f"{kind}: as set in columnTypes"
    assert table.column("b").inference == f"integer: {len(cells) + 1} numbers, whole"


def test_moments_can_be_declared(tmp_path: Path) -> None:
    at = datetime(2024, 3, 1, 10, 30, tzinfo=UTC).replace(tzinfo=None)
    day = datetime(2024, 3, 1, tzinfo=UTC).replace(tzinfo=None)
    path = _book(
        tmp_path / "a.xlsx",
        ["date", "at", "time", "long"],
        [date(2024, 3, 1), date(2024, 3, 1), time(10, 30), timedelta(hours=30)],
        ["2024-03-02", at, "10:31", "PT1M"],
    )
    types = {"date": "date", "at": "timestamp", "time": "time", "long": "duration"}

    assert read(path, column_types=types).rows == [
        (date(2024, 3, 1), day, time(10, 30), "PT30H"),
        (date(2024, 3, 2), at, time(10, 31), "PT1M"),
    ]


@pytest.mark.parametrize("suffix", ["xlsx", "xls"])
def test_a_row_with_a_cell_of_another_type_is_a_reject_with_its_row(
    tmp_path: Path, suffix: str
) -> None:
    rows = [[number, number] for number in range(30)]
    rows[25] = [25, "x"]  # type: ignore[list-item]
    path = _book(tmp_path / f"a.{suffix}", ["b", "a"], *rows, at=4)

    table = read(path, limits=ReadLimits(batch_rows=10), column_types={"a": "integer"})

    assert table.rejects == [
        Reject(30, "a", "Column 'a' in row 30 is 'x', which is not INTEGER.", "25\tx")
    ]
    assert [row[0] for row in table.rows] == [*range(25), *range(26, 30)]
    assert [batch.position for batch in table.batches] == [[10], [20], [30]]
    assert read(path, after=[20], column_types={"a": "integer"}).rejects == table.rejects


def test_a_look_at_a_sheet_of_bad_rows_fails_with_the_first(tmp_path: Path) -> None:
    path = _book(tmp_path / "a.xlsx", ["a"], ["x"], [1])

    with pytest.raises(FileInvalid, match="Column 'a' in row 2 is 'x', which is not INTEGER"):
        connectors.tables(connection(path, column_types={"a": "integer"}))


def test_a_declared_column_is_of_any_sheet_but_has_to_be_there(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for name, title in (("one", "a"), ("two", "b")):
        sheet = book.create_sheet(name)
        sheet.append([title])
        sheet.append(["007"])
    path = tmp_path / "a.xlsx"
    book.save(path)

    assert read(path, "two", column_types={"b": "integer"}).rows == [(7,)]
    assert read(path, "one", column_types={"b": "integer"}).rows == [("007",)]
    with pytest.raises(InvalidInput) as refused:
        read(path, column_types={"c": "integer"})
    assert refused.value.field == "column_types.c"


def test_error_cells_of_an_old_workbook_are_told_from_empty_ones(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    book.add_sheet("first").write(0, 0, "x")
    sheet = book.add_sheet("s")
    for column, title in enumerate(["n", "t"]):
        sheet.write(1, column, title)
    sheet.write(2, 0, 1)
    sheet.row(3).set_cell_error(0, "#DIV/0!")
    sheet.row(5).set_cell_error(0, 0x2A)
    sheet.write(3, 1, "x")
    path = tmp_path / "a.xls"
    book.save(str(path))

    table = read(path, "s")

    assert table.rows == [(1, None), (None, "x"), (None, None), (None, None)]
    assert [column.inference for column in table.schema.columns] == [
        "integer: 1 numbers, whole; 2 error cells have no value, first A4",
        "text: 1 texts",
    ]
    assert read(path, "first").rows == []


def test_errors_that_formulas_gave_are_found_in_the_records(tmp_path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("s")
    sheet.write(0, 0, "n")
    sheet.write(1, 0, xlwt.Formula("1/0"))
    path = tmp_path / "a.xls"
    book.save(str(path))
    content = path.read_bytes()
    assert biff.scan(path) == []

    # What a spreadsheet stores once it has computed the formula: the result is an error, #DIV/0!.
    at = content.index(b"\x06\x00\x1d\x00")  # FORMULA, 29 bytes
    path.write_bytes(content[: at + 10] + b"\x02\x00\x07\x00\x00\x00\xff\xff" + content[at + 18 :])

    (scanned,) = biff.scan(path)
    assert scanned.errors == {"A": (1, "A2")}


def _rewritten(path: Path, *changes: tuple[bytes, bytes]) -> None:
    """The workbook with other words in its XML."""
    with zipfile.ZipFile(path) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, content in parts.items():
            changed = content
            for before, after in changes:
                changed = changed.replace(before, after)
            new.writestr(name, changed)


def test_strict_workbooks_are_read(tmp_path: Path) -> None:
    text = '"http://purl.oclc.org/ooxml/spreadsheetml/main"'
    path = _book(tmp_path / "a.xlsx", ["n", "t", "d"], [1, "x", date(2024, 3, 1)], [2, text, None])
    strict, usual = b"http://purl.oclc.org/ooxml/", b"http://schemas.openxmlformats.org/"
    _rewritten(
        path,
        (usual + b"spreadsheetml/2006/main", strict + b"spreadsheetml/main"),
        (usual + b"officeDocument/2006/relationships", strict + b"officeDocument/relationships"),
    )

    assert read(path).rows == [(1, "x", date(2024, 3, 1)), (2, text, None)]


@pytest.mark.parametrize("block_bytes", [archive.BLOCK_BYTES, 120, 170, 250])
def test_error_values_of_later_programs_are_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(archive, "BLOCK_BYTES", block_bytes)
    cells = ["#DIV/0!", "#NULL!", "#REF!", "#NUM!", "#NAME?"]
    path = _book(tmp_path / "a.xlsx", ["n", "t"], [1, "#5"], *([cell, "#x"] for cell in cells))
    _rewritten(
        path,
        (b"<v>#DIV/0!", b"<v>#SPILL!"),
        (b"<v>#NULL!", b"<f>a&lt;1</f><v>#CALC!"),
        (b"<v>#REF!", b'<f ca="1"/><v>#ERROR!'),
        (b"<v>#NUM!", b"<v>#GETTING_DATA"),
    )

    table = read(path)

    assert table.rows == [(1, "#5"), *[(None, "#x")] * 5]
    said = "integer: 1 numbers, whole; 5 error cells have no value, first A3"
    assert table.column("n").inference == said


def _formatted(path: Path, *cells: tuple[Any, str]) -> Path:
    """A column of numbers with formats."""
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.append(["n"])
    for number, (value, form) in enumerate(cells, 2):
        sheet.cell(number, 1, value).number_format = form
    book.save(path)
    return path


def _with_long_numbers(path: Path) -> Path:
    """The same with whole numbers as a program writes them that is no spreadsheet: with all their digits."""
    made = path.with_name("long.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(made, "w") as new:
        for part in old.namelist():
            new.writestr(part, old.read(part).replace(b">9007199254740992<", b">9007199254740993<"))
    return made


@pytest.mark.parametrize(
    ("cells", "kind", "stored"),
    [
        ([(-0.5, "hh:mm:ss"), (0.25, "hh:mm:ss")], "text", ["-0.5", "06:00:00"]),
        ([(-1, "yyyy-mm-dd"), (61, "yyyy-mm-dd")], "text", ["-1", "1900-03-01"]),
        ([(-1.25, "yyyy-mm-dd hh:mm"), (-3, "d/m/yy")], "float", [-1.25, -3.0]),
        ([(60, "yyyy-mm-dd"), (60.5, "yyyy-mm-dd hh:mm")], "float", [60.0, 60.5]),
        ([(59, "mmm d, yyyy"), (61, "yyyy-mm-dd")], "date", [date(1900, 2, 28), date(1900, 3, 1)]),
        ([(-0.0625, "[h]:mm:ss"), (60, "[mm]:ss")], "duration", ["PT-1H-30M", "PT1440H"]),
        ([(-0.25, "[Red][h]:mm"), (-0.25, '"day "[hh]')], "duration", ["PT-6H", "PT-6H"]),
        ([(-2, '0.00 "days"'), (-3, "[Red]0"), (60, "\\d0")], "integer", [-2, -3, 60]),
        ([(-1e-13, "hh:mm"), (0.5, "hh:mm")], "time", [time(0), time(12)]),
    ],
)
def test_a_number_with_the_format_of_a_moment_that_is_none_stays_a_number(
    tmp_path: Path, cells: list[tuple[Any, str]], kind: str, stored: list[Any]
) -> None:
    """Spreadsheets show no date below zero, and 60 is the 29th of February 1900, which never was."""
    table = read(_formatted(tmp_path / "a.xlsx", *cells))

    assert (table.types, [row[0] for row in table.rows]) == ([kind], stored)


def test_a_whole_number_that_no_double_holds_is_its_text(tmp_path: Path) -> None:
    path = _formatted(tmp_path / "a.xlsx", (2**53 - 1, "0"), (2**53, "General"), (7, "0"))

    table = read(_with_long_numbers(path))

    assert [row[0] for row in table.rows] == [str(2**53 - 1), str(2**53 + 1), "7"]


def test_odd_numbers_are_found_wherever_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A workbook is looked at in blocks, which end anywhere."""
    cells = [*((0.5, "hh:mm") for _ in range(40)), (-0.5, "hh:mm"), (2**53, "0")]
    path = _with_long_numbers(_formatted(tmp_path / "a.xlsx", *cells))
    for size in range(200, 300):
        monkeypatch.setattr(archive, "BLOCK_BYTES", size)

        table = read(path)

        assert [row[0] for row in table.rows][39:] == ["12:00:00", "-0.5", str(2**53 + 1)]


def test_60_is_a_day_of_the_calendar_that_begins_in_1904(tmp_path: Path) -> None:
    path = tmp_path / "a.xlsx"
    book = openpyxl.Workbook()
    book.epoch = CALENDAR_MAC_1904
    sheet: Any = book.active
    sheet.append(["day"])
    sheet.cell(2, 1, 60).number_format = "yyyy-mm-dd"
    book.save(path)

    table = read(path)

    assert (table.types, table.rows) == (["date"], [(date(1904, 3, 1),)])


def test_a_duration_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileInvalid, match="longer than"):
        read(_formatted(tmp_path / "a.xlsx", (1e12, "[h]:mm")))
