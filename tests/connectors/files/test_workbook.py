"""Workbooks: cells as they are, columns of one type or of texts, hostile files refused before they are parsed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
import xlwt

import connectors
from base.errors import PlatformError
from base.tables import ColumnType, TableSchema
from connectors.connector import Connection, ReadLimits, Selection
from connectors.errors import FileInvalid, TableMissing
from connectors.files import archive

SHEET = "xl/worksheets/sheet1.xml"
_HEAD = '<?xml version="1.0"?><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stored"


def _at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


def _connection(path: Path, kind: str = "xlsx", limits: ReadLimits | None = None) -> Connection:
    return Connection(kind, {"file_name": f"book.{kind}"}, path=path, limits=limits or ReadLimits())


def _save(path: Path, sheets: dict[str, list[list[Any]]]) -> None:
    book = openpyxl.Workbook()
    book.remove(book.active)  # type: ignore[arg-type]
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    book.save(path)


def _read(
    path: Path, name: str, *columns: str, kind: str = "xlsx"
) -> tuple[TableSchema, list[dict[str, Any]]]:
    with closing(connectors.open(_connection(path, kind))) as source:
        reading = source.read(Selection(name, columns=columns))
        return reading.table, [row for batch in reading.batches for row in batch.data.to_pylist()]


def _with_sheet(path: Path, xml: str, name: str = SHEET) -> None:
    """A workbook whose one sheet is that XML."""
    whole = io.BytesIO()
    _save_to(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for part in old.namelist():
            if part != name:
                new.writestr(part, old.read(part))
        new.writestr(name, xml)


def _save_to(target: io.BytesIO) -> None:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.title = "s"
    book.save(target)


def test_each_kind_of_cell_keeps_its_value(path: Path) -> None:
    rows: list[list[Any]] = [
        ["int", "float", "text", "date", "at", "time", "duration", "bool"],
        [
            1,
            0.1,
            "00123",
            date(2024, 2, 29),
            _at(2024, 2, 29, 23, 59, 59, 123000),
            time(12, 30, 15),
            timedelta(hours=30, seconds=1.5),
            True,
        ],
        [
            -(2**53),
            2,
            " x\ny",
            date(1999, 12, 31),
            _at(2024, 3, 1),
            time(0, 0, 1),
            timedelta(minutes=-90),
            False,
        ],
        [None] * 8,
        [9007199254740992, 1e300, "", None, None, None, None, None],
    ]
    _save(path, {"Sheet One": rows})

    table, found = _read(path, "Sheet One")

    assert [column.type for column in table.columns] == [
        *(ColumnType.INTEGER, ColumnType.FLOAT, ColumnType.TEXT, ColumnType.DATE),
        *(ColumnType.TIMESTAMP, ColumnType.TIME, ColumnType.DURATION, ColumnType.BOOLEAN),
    ]
    assert [tuple(row.values()) for row in found] == [
        (
            1,
            0.1,
            "00123",
            date(2024, 2, 29),
            _at(2024, 2, 29, 23, 59, 59, 123000),
            time(12, 30, 15),
            "PT30H1.5S",
            True,
        ),
        (
            -(2**53),
            2.0,
            " x\ny",
            date(1999, 12, 31),
            _at(2024, 3, 1),
            time(0, 0, 1),
            "PT-1H-30M",
            False,
        ),
        (None,) * 8,
        (9007199254740992, 1e300, *(None,) * 6),
    ]
    assert table.row_estimate == 4
    assert [column.inference for column in table.columns][:5] == [
        "integer: 3 numbers, whole",
        "float: 3 numbers, not all whole",
        "text: 2 texts",
        "date: 2 dates",
        "timestamp: 1 timestamps and 1 dates",
    ]


def test_a_mixed_column_is_the_exact_text_of_its_cells(path: Path) -> None:
    cells = [
        "00123",
        3,
        0.1,
        1e300,
        True,
        date(2024, 2, 29),
        _at(2024, 2, 29, 1),
        time(1, 2),
        timedelta(hours=25),
    ]
    _save(path, {"s": [["mixed"], *([cell] for cell in cells)]})

    table, rows = _read(path, "s")

    assert table.columns[0].type is ColumnType.TEXT
    assert table.columns[0].inference == (
        "text: 1 texts and 3 numbers and 1 booleans and 1 dates and 1 timestamps and 1 times and 1 durations"
    )
    assert [row["mixed"] for row in rows] == [
        *("00123", "3", "0.1", "1e+300", "TRUE"),
        *("2024-02-29", "2024-02-29T01:00:00", "01:02:00", "PT25H"),
    ]


def test_error_cells_have_no_value_and_are_told(path: Path) -> None:
    _save(
        path,
        {
            "empty": [],
            "s": [[None, None], [None, "n"], [None, 1], [None, "#DIV/0!"], [None, "#N/A"]],
        },
    )

    table, rows = _read(path, "s")

    assert rows == [{"n": 1}, {"n": None}, {"n": None}]
    assert (
        table.columns[0].inference
        == "integer: 1 numbers, whole; 2 error cells have no value, first B4"
    )


@pytest.mark.parametrize("prefix", ["", "x:"])
@pytest.mark.parametrize("block_bytes", [archive.BLOCK_BYTES, 100, 160, 230])
def test_formulas_that_nothing_has_computed_are_told(
    path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str, block_bytes: int
) -> None:
    monkeypatch.setattr(archive, "BLOCK_BYTES", block_bytes)
    cells = [
        "<c r='A1' t='str'><v>n</v></c><c r='B1' t='str'><v>twice</v></c><c r='C1' t='str'><v>t</v></c>",
        "<c r='A2'><v>1</v></c><c r='B2'><f>A2*2</f><v>2</v></c><c r='C2' t='str'><f>\"\"</f><v></v></c>",
        "<c r='A3'><v>2</v></c><c r='B3'><f>A3*2</f><v></v></c><c r='C3' t='str'><f>\"x\"</f><v>x</v></c>",
        "<c r='A4'><v>3</v></c><c r='B4' s='0'><f t='shared' si='0'/></c><c r='C4' s='0'/>",
        "<c r='A5'><v>4</v></c><c r='B5'><f>A5&lt;2</f><v/></c>",
    ]
    rows = "".join(f"<row r='{at}'>{each}</row>" for at, each in enumerate(cells, 1))
    xml = f"<sheetData>{rows}</sheetData></worksheet>"
    head = _HEAD
    if prefix:
        xml = xml.replace("</", "\0").replace("<", "<x:").replace("\0", "</x:")
        head = _HEAD.replace("<worksheet xmlns=", "<x:worksheet xmlns:x=")
    _with_sheet(path, head + xml)

    table, found = _read(path, "s")

    assert [row["twice"] for row in found] == [2, None, None, None]
    numbers, twice, texts = (column.inference for column in table.columns)
    assert (numbers, texts) == ("integer: 4 numbers, whole", "text: 1 texts")
    assert twice == (
        "integer: 1 numbers, whole; 3 formulas have no value, first B3: "
        "no spreadsheet program has computed and saved them"
    )


def test_headers_become_unique_names_and_formats_make_no_columns(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet: Any = book.active
    sheet.title = "s"
    for row in ([None, " a ", "A", None, 2024, None, True], [1, 2, 3, 4, 5, None, 7]):
        sheet.append(row)
    sheet["F9"].number_format = "0.00"
    sheet["K1"].number_format = "0.00"
    book.save(path)

    table, rows = _read(path, "s")

    assert rows == [{"column_1": 1, "a": 2, "A_2": 3, "column_4": 4, "2024": 5, "TRUE": 7}]
    assert table.row_estimate == 1


def test_sheets_are_tables_and_those_without_cells_are_told(path: Path) -> None:
    book = openpyxl.Workbook()
    first: Any = book.active
    first.title = "first"
    first["C3"] = "x"
    first["C4"] = 5
    book.create_sheet("nothing")
    hidden = book.create_sheet("head only")
    hidden.sheet_state = "hidden"
    hidden.append(["a"])
    book.create_chartsheet("chart")
    book.save(path)

    tables = connectors.tables(_connection(path))

    assert [(table.name, table.row_estimate, table.details) for table in tables] == [
        ("first", 1, {}),
        ("head only", 0, {"hidden": True}),
    ]
    assert _read(path, "first")[1] == [{"x": 5}]
    assert _read(path, "head only")[1] == []
    assert connectors.check(_connection(path)).message == (
        "The workbook has 2 sheets with cells. Without cells, and left out: 'nothing', 'chart'."
    )
    for name in ("nothing", "chart", "First"):
        with pytest.raises(TableMissing):
            _read(path, name)


def test_columns_are_chosen_and_missing_ones_refused(path: Path) -> None:
    _save(path, {"s": [["a", "b", "c"], [1, "x", True]]})

    assert _read(path, "s", "c", "a")[1] == [{"c": True, "a": 1}]
    with pytest.raises(TableMissing, match="'d'"):
        _read(path, "s", "d")


def test_a_read_goes_on_behind_any_batch(path: Path) -> None:
    _save(path, {"s": [["n"], *([n] for n in range(7))]})
    source = connectors.open(_connection(path, limits=ReadLimits(batch_rows=3)))

    batches = list(source.read(Selection("s")).batches)
    rest = [
        batch.data.column(0).to_pylist()
        for batch in source.read(Selection("s"), batches[0].position).batches
    ]
    source.close()

    assert [(batch.data.num_rows, batch.position) for batch in batches] == [
        (3, [3]),
        (3, [6]),
        (1, [7]),
    ]
    assert rest == [[3, 4, 5], [6]]


def test_old_workbooks_are_read(path: Path) -> None:
    book = xlwt.Workbook()
    sheet = book.add_sheet("X")
    for at, title in enumerate(["i", "f", "t", "d", "b"]):
        sheet.write(0, at, title)
    dated = xlwt.XFStyle()
    dated.num_format_str = "yyyy-mm-dd"
    for at, (cell, style) in enumerate(
        [(1, None), (1.5, None), ("007", None), (date(2024, 1, 1), dated), (True, None)]
    ):
        sheet.write(1, at, cell, *([style] if style else []))
    book.save(str(path))

    table, rows = _read(path, "X", kind="xls")

    assert rows == [{"i": 1, "f": 1.5, "t": "007", "d": date(2024, 1, 1), "b": True}]
    assert [column.type.value for column in table.columns] == [
        "integer",
        "float",
        "text",
        "date",
        "boolean",
    ]


def test_an_encrypted_workbook_is_refused_as_such(path: Path) -> None:
    path.write_bytes(
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504) + "EncryptedPackage".encode("utf-16-le")
    )

    with pytest.raises(FileInvalid) as caught:
        connectors.check(_connection(path))
    assert caught.value.message == "The XLSX file is encrypted."


def _foreign(*parts: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for part in parts:
            made.writestr(part, "<x/>")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "content", "message"),
    [
        ("xlsx", b"", "The file is empty (0 bytes)."),
        ("xlsx", b"a,b\n1,2\n", "The file is named like XLSX, but looks like a text file."),
        ("xls", "Stra\xdfe\tb\n1\t2\n".encode(), "The file is named like XLS, but looks like a text file."),
        ("xlsx", b"\x01\x02,b\n1,2\n", "The XLSX file is damaged or cut off (File is not a zip file)."),
        ("xls", b"\x01\x02,b\n1,2\n", "The XLS file cannot be read: "),
        ("xls", b"PK\3\4", "The file is named like XLS, but looks like a ZIP archive or an Office document such as XLSX."),
        ("xlsx", b"\xd0\xcf\x11\xe0" + bytes(600), "The file is named like XLSX, but looks like an old Office document"),
        ("xlsx", _foreign("word/document.xml"), "The file is named like XLSX, but looks like a text document (DOCX)."),
        ("xlsx", _foreign("xl/workbook.bin"), "The file is named like XLSX, but looks like a binary workbook (XLSB)."),
        ("xlsx", _foreign("content.xml"), "The file is named like XLSX, but looks like an OpenDocument file."),
        ("xlsx", _foreign("a.txt"), "The file is named like XLSX, but looks like a ZIP archive without a workbook."),
        ("xlsx", _foreign("xl/workbook.xml"), "The XLSX file's part xl/_rels/workbook.xml.rels is missing or broken."),
    ],
)  # fmt: skip
def test_other_files_are_refused(path: Path, kind: str, content: bytes, message: str) -> None:
    path.write_bytes(content)

    with pytest.raises(FileInvalid) as caught:
        connectors.check(_connection(path, kind))
    assert caught.value.message.startswith(message)
    assert caught.value.hint or "is missing or broken" in message


def test_a_workbook_without_a_cell_is_refused(path: Path) -> None:
    _save(path, {"first": [], "second": []})

    for look in (connectors.check, connectors.tables):
        with pytest.raises(FileInvalid) as caught:
            look(_connection(path))
        assert caught.value.message == "The XLSX file has no sheet with cells."


def test_a_cut_off_or_damaged_workbook_is_refused(path: Path) -> None:
    _save(path, {"s": [["a"], *([f"text {n}"] for n in range(500))]})
    whole = path.read_bytes()
    flipped = bytearray(whole)
    with zipfile.ZipFile(path) as made:
        flipped[made.getinfo(SHEET).header_offset + 200] ^= 0xFF

    for content in (whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(FileInvalid, match=r"^The XLSX file is damaged or cut off"):
            connectors.check(_connection(path))


def _bombs() -> Iterator[tuple[str, str, str]]:
    rows = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="{}"><v>1</v></c></row>'
    yield "corner", rows.format("XFD1048576"), "A sheet spans 17,179,869,184 cells"
    yield (
        "quotes",
        rows.format("XFD1048576").replace('"', "'"),
        "A sheet spans 17,179,869,184 cells",
    )
    yield (
        "spaces",
        rows.format("XFD1048576").replace("=", " = "),
        "A sheet spans 17,179,869,184 cells",
    )
    yield "far", rows.format("A4294967295"), "A sheet spans 4,294,967,295 cells"
    yield (
        "unplaced",
        f'<row r="1"><c/></row><row r="1048576">{"<c/>" * 16_384}</row>',
        "A sheet spans 17,179,869,184 cells",
    )
    cell = '<c t="inlineStr"><is><t>:row </t></is></c>'
    yield (
        "rows in texts",
        f'<row r="1">{cell * 16_384}</row><row r="1048576"/>',
        "A sheet spans 17,179,869,184 cells",
    )
    yield (
        "next rows",
        f'<row r="1"><c r="A1"/></row>{"<row/>" * 100}<row><c r="XFD1000000"/></row>',
        "A sheet spans 16,385,",
    )
    yield (
        "entities",
        '<!DOCTYPE x [<!ENTITY a "b">]>',
        "The XLSX file's part 'xl/worksheets/sheet1.xml' has a document type",
    )


@pytest.mark.parametrize(
    ("rows", "message"), [pytest.param(rows, message, id=name) for name, rows, message in _bombs()]
)
def test_bombs_are_refused_before_they_are_parsed(path: Path, rows: str, message: str) -> None:
    _with_sheet(path, f"{_HEAD}<sheetData>{rows}</sheetData></worksheet>")

    with pytest.raises(PlatformError) as caught:
        connectors.check(_connection(path))
    assert caught.value.message.startswith(message)


@pytest.mark.parametrize(
    "text", [":c " * 300_000, "= x" + " " * 900_000 + "x"], ids=["colons", "blanks"]
)
def test_a_text_that_looks_like_tags_is_looked_at_once(path: Path, text: str) -> None:
    cells = [f'<c r="A{at}" t="str"><v>{each}</v></c>' for at, each in enumerate(("a", text), 1)]
    rows = "".join(f"<row>{cell}</row>" for cell in cells)
    _with_sheet(path, f"{_HEAD}<sheetData>{rows}</sheetData></worksheet>")

    assert [row["a"].strip() for row in _read(path, "s")[1]] == [text.strip()]


def test_a_tag_of_errors_without_end_is_looked_at_once(path: Path) -> None:
    errors = ' t="e"' * 150_000
    _with_sheet(path, f"{_HEAD}<sheetData><row><c{errors}")

    with pytest.raises(FileInvalid, match="cannot be read"):
        connectors.check(_connection(path))


def test_a_workbook_that_unpacks_to_too_much_is_refused(path: Path) -> None:
    _with_sheet(path, f"{_HEAD}<sheetData>{' ' * 20 * 1024**2}</sheetData></worksheet>")

    with pytest.raises(
        FileInvalid, match=r"^The XLSX file unpacks to [\d,]+ times its size; the limit is 100\.$"
    ):
        connectors.check(_connection(path))


def test_wide_utf16_parts_are_refused(path: Path) -> None:
    _with_sheet(path, "\N{BYTE ORDER MARK}")

    with pytest.raises(FileInvalid, match="is not XML in UTF-8"):
        connectors.check(_connection(path))


def test_a_boundless_dimension_does_no_harm(path: Path) -> None:
    cell = '<row r="1"><c r="A1" t="str"><v>a</v></c></row><row r="2"><c r="A2"><v>1</v></c></row>'
    _with_sheet(
        path, f'{_HEAD}<dimension ref="A1:XFD1048576"/><sheetData>{cell}</sheetData></worksheet>'
    )

    assert _read(path, "s")[1] == [{"a": 1}]


def test_cells_without_places_are_read(path: Path) -> None:
    row = '<row><c t="str"><v>{}</v></c><c t="str"><v>b</v></c></row>'
    _with_sheet(
        path, f"{_HEAD}<sheetData>{row.format('a')}{row.format('x') * 3}</sheetData></worksheet>"
    )

    assert _read(path, "s")[1] == [{"a": "x", "b": "b"}] * 3


@pytest.mark.parametrize(("number", "letters"), [(1, "A"), (26, "Z"), (27, "AA"), (16_384, "XFD")])
def test_column_letters_count_in_26(number: int, letters: str) -> None:
    assert archive.column_letters(number) == letters
    assert archive.column_number(letters.lower()) == number


def test_types_are_stored_as_the_contract_says(path: Path) -> None:
    _save(path, {"s": [["i", "t", "at", "d"], [1, time(1), _at(2024, 1, 1, 1), timedelta(1)]]})
    source = connectors.open(_connection(path))

    batch = next(source.read(Selection("s")).batches)
    source.close()

    assert batch.data.schema.types == [pa.int64(), pa.time64("us"), pa.timestamp("us"), pa.string()]
