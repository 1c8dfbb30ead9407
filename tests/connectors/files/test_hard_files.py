"""Hard files as data: what each is read as, or how it is refused. What is broken hurts nobody but its own child."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from base import process
from base.errors import PlatformError
from base.forks import ChildDied
from base.tables import ColumnType
from tests.connectors.files import malformed
from tests.connectors.files.containers import entangled
from tests.connectors.files.malformed import GOOD, HARD, pdf_of, zipped
from tests.connectors.files.reading import connection, read, write
from workers.messages import PRELOAD

B, I, D, F, T, DATE = (  # noqa: E741 - short, for tables of cases
    ColumnType.BOOLEAN,
    ColumnType.INTEGER,
    ColumnType.DECIMAL,
    ColumnType.FLOAT,
    ColumnType.TEXT,
    ColumnType.DATE,
)
MANY = 50_000
WIDE = "x" * 30  # so that what is behind many rows is not in the sample


@pytest.fixture(autouse=True, scope="module")
def _preloaded() -> Iterator[None]:
    """As in a worker: or each child would spend a second or two on imports."""
    process.start([*PRELOAD, malformed.__name__])
    yield
    process.start([])


@dataclass(frozen=True)
class Hard:
    """A file; its types and its last row as texts, and how many rows; or words of the error; lines of rejects."""

    name: str
    content: Callable[[], bytes]
    types: list[ColumnType] = field(default_factory=list)
    last: list[Any] = field(default_factory=list)
    count: int = 1
    error: list[str] = field(default_factory=list)
    rejects: list[int] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)


def _late(first: str, last: str, count: int = MANY) -> Callable[[], bytes]:
    return ("a,b\n" + f"{first},{WIDE}\n" * count + f"{last},y\n").encode


def _as(text: str, encoding: str = "utf-8") -> Callable[[], bytes]:
    return lambda: text.encode(encoding)


TABLE = [
    Hard("integers, then a fraction", _late("1", "1.5"), [T, T], ["1.5", "y"], MANY + 1),
    Hard("integers, then leading zeros", _late("1", "00045"), [T, T], ["00045", "y"], MANY + 1),
    Hard("leading zeros throughout", _late("00123", "00124", 3), [T, T], ["00124", "y"], 4),
    Hard("integers, then a word", _late("1", "abc"), [T, T], ["abc", "y"], MANY + 1),
    Hard("the same, declared", _late("1", "abc"), [I, T], ["1", WIDE], MANY, rejects=[MANY + 2], settings={"column_types": {"a": "integer"}}),
    Hard("dates, then n/a", _late("2020-01-01", "n/a"), [T, T], ["n/a", "y"], MANY + 1),
    Hard("more than 64 bits", _as("a\n1\n123456789012345678901234567890\n"), [D], ["123456789012345678901234567890"], 2),
    Hard("exponents as codes", _as("a\n1E5\n2E7\n"), [T], ["2E7"], 2),
    Hard("a short row in a small file", _as("a,b,c\n1,2,3\n4,5\n"), error=["line 3 has 2 values", "line 1 has 3"]),
    Hard("a long row in a small file", _as("a,b,c\n1,2,3\n4,5,6,7\n"), error=["line 3 has 4 values", "line 1 has 3"]),
    Hard("a long row at the end", _late("1", "2,3"), [I, T], ["1", WIDE], MANY, rejects=[MANY + 2]),
    Hard("a short row among many", lambda: b"a,b\n" + b"1,x\n" * 50 + b"2\n" + b"3,y\n" * 50, [I, T], ["3", "y"], 100, rejects=[52]),
    Hard("semicolons", _as("a;b\n1,5;2\n"), [T, I], ["1,5", "2"]),
    Hard("pipes", _as("a|b\n1|2\n"), [I, I], ["1", "2"]),
    Hard("tabs", _as("a\tb\n1\t2\n"), [I, I], ["1", "2"]),
    Hard("text before the header", _as("Report 2020\n\na,b\n1,2\n"), error=["line 3 has 2 values", "line 1 has 1 value"]),
    Hard("Latin-1", _as("a\ncafé\n", "latin-1"), error=["line 2", "0xE9", "encoding"]),
    Hard("Latin-1, said so", _as("a\ncafé\n", "latin-1"), [T], ["café"], settings={"encoding": "latin-1"}),
    Hard("Windows-1252, said so", _as("a\n€\n", "cp1252"), [T], ["€"], settings={"encoding": "cp1252"}),
    Hard("UTF-16 with a mark", _as("a\né\n", "utf-16"), [T], ["é"]),
    Hard("UTF-16 without a mark", _as("a\né\n", "utf-16-le"), error=["NUL byte in line 1"]),
    Hard("the same, said so", _as("a\né\n", "utf-16-le"), [T], ["é"], settings={"encoding": "utf-16-le"}),
    Hard("line ends of CR", _as("a,b\r1,2\r3,4\r"), [I, I], ["3", "4"], 2),
    Hard("line ends of both kinds", _as("a,b\r\n1,2\n3,4\r\n"), [I, I], ["3", "4"], 2),
    Hard("a quote that is never closed", _as('a,b\n1,"x\n3,4\n'), error=["quote opened in line 2 is never closed"]),
    Hard("text behind a closing quote", _as('a,b\n1,"ok"tail\n'), error=["line 2", "'tail'"]),
    Hard("a field of 5 MB", lambda: b"a,b\n1," + b"x" * 5_000_000 + b"\n", [I, T], ["1", "x" * 5_000_000]),
    Hard("a field of 200,000 characters", lambda: b'a,b\n1,"' + b"x" * 200_000 + b'"\n', [I, T], ["1", "x" * 200_000]),
    Hard("a field over the limit", lambda: b"a\n" + b"x" * (16 * 1024**2 + 1) + b"\n", error=["line 2", "16 MiB"]),
    Hard("a date of two meanings", _as("a\n01/02/2020\n"), [T], ["01/02/2020"]),
    Hard("Namibia", _as("a\nDE\nNA\n"), [T], ["NA"], 2),
    Hard("the word NULL", _as("a\nNULL\n"), [T], ["NULL"]),
    Hard("decimals of 20 digits", _as("a\n0.12345678901234567890\n"), [D], ["0.12345678901234567890"]),
    Hard("a header twice", _as("a,a\n1,2\n"), [I, I], ["1", "2"]),
    Hard("an empty header", _as("a,\n1,2\n"), [I, I], ["1", "2"]),
    Hard("a blank line in one column", _as("a\n1\n\n3\n"), [I], ["3"], 3),
    Hard("an empty text and nothing", _as('a,b\n"",\n'), [T, T], ["", None]),
]  # fmt: skip


@pytest.mark.parametrize("hard", TABLE, ids=lambda hard: hard.name)
def test_a_hard_table_is_read_unchanged_or_refused_with_its_place(
    tmp_path: Path, hard: Hard
) -> None:
    path = write(tmp_path / "t.csv", hard.content())
    if hard.error:
        with pytest.raises(PlatformError) as refused:
            read(path, **hard.settings)
        assert [word for word in hard.error if word not in refused.value.message] == []
        return

    table = read(path, **hard.settings)

    shown = [None if cell is None else str(cell) for cell in table.rows[-1]]
    assert (table.types, shown, len(table.rows)) == (hard.types, hard.last, hard.count)
    assert [reject.line for reject in table.rejects] == hard.rejects


SPECTRUM = HARD / "csv-spectrum"


@pytest.mark.parametrize("name", sorted(path.stem for path in (SPECTRUM / "csvs").iterdir()))
def test_csv_spectrum_is_read_as_its_json_says(name: str) -> None:
    expected = json.loads((SPECTRUM / "json" / f"{name}.json").read_bytes())

    if name == "location_coordinates":  # one object, with another number than the file
        expected = [{**expected, "Contact Phone Number": "2095257564"}]

    table = read(SPECTRUM / "csvs" / f"{name}.csv")

    rows = [[str(cell) for cell in row] for row in table.rows]
    assert [dict(zip(table.names, row, strict=True)) for row in rows] == expected
    assert table.rejects == []


NEITHER = (
    "It contains neither macros nor dde links nor embedded viruses nor links to evil web pages. "
    "Not even a single insult. Boring!"
)
COLOURS = (
    "Just to make things slightly interesting, however, we add some ünicöde-ßtringß and different "
    "text sizes, colors and fonts"
)
OFFICE: dict[str, list[str] | str] = {
    "test-ole-file.doc": ["Test OLE file, saved as Word 97-2003 Document."],
    "harmless-clean.doc": [
        "Test",
        "This is a harmless test document.",
        NEITHER,
        COLOURS,
    ],
    "embedded-simple-2007.ppt": [
        "Embedded Objects\nThis slide contains an embedded object\nIt is a simple harmless ASCII text file",
    ],
    "encrypted.doc": "The DOC file is encrypted.",
    "encrypted.docx": "The DOCX file is encrypted.",
    "encrypted.ppt": "The PPT file is encrypted.",
    "encrypted.pptx": "The PPTX file is encrypted.",
    "encrypted.xls": "The XLS file is encrypted.",
    "encrypted.xlsx": "The XLSX file is encrypted.",
}


@pytest.mark.parametrize("name", OFFICE)
def test_documents_of_office_programs_are_read_or_refused(name: str) -> None:
    expected = OFFICE[name]
    if isinstance(expected, str):
        with pytest.raises(PlatformError) as refused:
            read(HARD / "office" / name)
        assert refused.value.message == expected
    else:
        assert [row[2] for row in read(HARD / "office" / name).rows] == expected


# What is the same on every machine, to the last byte: of these, what became of each broken file is known.
EXPECTED: dict[str, dict[str, str]] = json.loads((HARD / "malformed.json").read_bytes())


@pytest.mark.parametrize("suffix", GOOD)
async def test_a_malformed_file_is_a_table_or_an_error_with_words(
    tmp_path: Path, suffix: str
) -> None:
    limits = process.Limits(wall_seconds=300, memory_bytes=2 * 1024**3)

    found: dict[str, str] = await process.run(
        "tests.connectors.files.malformed:outcomes",
        tmp_path,
        suffix,
        limits=limits,
        isolation=process.Isolation(folder=tmp_path),
    )

    assert len(found) > 50
    assert found["first 0 bytes"] == "The file is empty (0 bytes)."
    foreign = {name: words for name, words in found.items() if name.startswith("is ")}
    assert [name for name, words in foreign.items() if words.startswith("read")] == []
    assert [name for name, words in found.items() if len(words) < len("read 0")] == []
    assert [name for name, words in found.items() if str(tmp_path) in words] == []
    if suffix in EXPECTED:
        shown = {
            name: words if words.startswith("read") else "refused" for name, words in found.items()
        }
        assert shown == EXPECTED[suffix]


def _entities() -> str:
    more = "".join(f'<!ENTITY a{at} "{f"&a{at - 1};" * 10}">' for at in range(1, 9))
    return f'<!DOCTYPE a [<!ENTITY a0 "ha">{more}]><a>&a8;</a>'


def _nested() -> str:
    depth, name = 100_000, "<w:tbl><w:tr><w:tc><w:p>"
    end = "</w:p></w:tc></w:tr></w:tbl>"
    return (
        f'<w:document xmlns:w="w">{name * depth}<w:r><w:t>x</w:t></w:r>{end * depth}</w:document>'
    )


NUMBERS = "".join(map(str, range(400_000)))
BOMBS: dict[str, tuple[str, Callable[[], bytes], str]] = {
    # its name's extension, how it is made, how the error starts; or `read`
    "ratio": ("docx", lambda: zipped({"word/document.xml": f"<x>{' ' * 40 * 1024**2}</x>"}, GOOD["docx"]()), "The DOCX file unpacks to "),
    "parts": ("xlsx", lambda: zipped({f"x{at}": "" for at in range(10_001)}, GOOD["xlsx"]()), "The XLSX file has 10,0"),
    "lying size": ("docx", lambda: malformed.lying(zipped({"word/document.xml": f"<x>{NUMBERS}</x>"}), "word/document.xml"), "The DOCX file is damaged or cut off"),
    "entities of docx": ("docx", lambda: zipped({"word/document.xml": _entities()}, GOOD["docx"]()), "The DOCX file's part 'word/document.xml' has a document type"),
    "entities of xlsx": ("xlsx", lambda: zipped({"xl/sharedStrings.xml": _entities()}, GOOD["xlsx"]()), "The XLSX file's part 'xl/sharedStrings.xml' has a document type"),
    "entities of pptx": ("pptx", lambda: zipped({"ppt/slides/slide1.xml": _entities()}, GOOD["pptx"]()), "The PPTX file's part 'ppt/slides/slide1.xml' has a document type"),
    "archive in archive": ("docx", lambda: zipped({"word/document.xml": GOOD["docx"]()}), "The DOCX file's part 'word/document.xml' is not XML"),
    "sheet without its name": ("xlsx", lambda: _sheet_called("xl/worksheets/sheet1.bin"), "A sheet spans 17,179,869,184 cells"),
    "nested tables": ("docx", lambda: zipped({"word/document.xml": _nested()}, GOOD["docx"]()), "read"),
    "nested arrays of json": ("json", lambda: b'[{"a":' + b"[" * 5_000_000, "The JSON ends in line 1"),
    "nested arrays of pdf": ("pdf", lambda: pdf_of(b"BT ET", extra=b"/X " + b"[" * 100_000 + b"]" * 100_000), "None of the 1 pages"),
    "records in each other": ("ppt", lambda: entangled(40), "read"),
    "paragraphs of a cell": ("docx", lambda: zipped({"word/document.xml": _cell(400_000)}, GOOD["docx"]()), "read"),
    "columns": ("csv", lambda: b"a," * 1_000_000 + b"a\n", "There are 1,000,001 columns"),
    "quoted line ends": ("csv", lambda: b'a\n"' + b"\n" * 34 * 1024**2, "The value that starts in line 2 is larger than the limit"),
    "a line of 50 MB": ("txt", lambda: b"x" * 50 * 1024**2, "read"),
}  # fmt: skip


def _cell(paragraphs: int) -> str:
    inside = "<w:p><w:r><w:t>x</w:t></w:r></w:p>" * paragraphs
    return f'<w:document xmlns:w="w"><w:tbl><w:tr><w:tc>{inside}</w:tc></w:tr></w:tbl></w:document>'


def _sheet_called(part: str) -> bytes:
    """A workbook whose sheet is a part that is not named like XML, and spans all cells there can be."""
    cells = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    link = '<Relationship Id="rId1" Target="/{}" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet"/>'
    return zipped(
        {
            "xl/_rels/workbook.xml.rels": f"<Relationships>{link.format(part)}</Relationships>",
            part: f"<worksheet><sheetData>{cells}</sheetData></worksheet>",
        },
        GOOD["xlsx"](),
    )


@pytest.mark.parametrize("name", BOMBS)
async def test_a_bomb_is_refused_or_defused(tmp_path: Path, name: str) -> None:
    suffix, make, message = BOMBS[name]
    made = connection(write(tmp_path / f"bomb.{suffix}", make()))
    limits = process.Limits(wall_seconds=300, memory_bytes=1024**3)
    isolation = process.Isolation(folder=tmp_path)

    if message == "read":
        assert await process.run("connectors:tables", made, limits=limits, isolation=isolation)
        return
    with pytest.raises(PlatformError) as refused:
        await process.run("connectors:tables", made, limits=limits, isolation=isolation)
    assert refused.value.message.startswith(message)
    assert not isinstance(refused.value, ChildDied)


@pytest.mark.parametrize(
    ("content", "limits", "words"),
    [
        (lambda: pdf_of(b"BT /F 1 Tf " + b"(xxxxxxxxxx) Tj " * 2_000_000 + b"ET"), process.Limits(60, 700 * 1024**2), "memory"),
        (lambda: pdf_of(b"BT /F 9 Tf (x) Tj ET", pages=200_000), process.Limits(3, 2 * 1024**3), "longer than its limit"),
    ],
    ids=["text", "pages"],
)  # fmt: skip
async def test_a_pdf_that_outgrows_its_child_ends_with_it(
    tmp_path: Path, content: Callable[[], bytes], limits: process.Limits, words: str
) -> None:
    made = connection(write(tmp_path / "bomb.pdf", content()))
    isolation = process.Isolation(folder=tmp_path)

    with pytest.raises(PlatformError) as refused:
        await process.run("connectors:tables", made, limits=limits, isolation=isolation)
    assert words in refused.value.message
    assert refused.value.retryable is False

    good = connection(write(tmp_path / "good.pdf", GOOD["pdf"]()))
    (table,) = await process.run(
        "connectors:tables", good, limits=process.Limits(60), isolation=isolation
    )
    assert table.row_estimate == 3
