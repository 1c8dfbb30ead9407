"""Office documents are ZIP archives of XML; their bounds are checked here before a parser sees them.

A parser trusts what it reads: a few megabytes can unpack to gigabytes, and one cell in the last row and column makes a
sheet of 17 billion cells. So every XML part is unpacked once in a stream, which also proves its size and checksum.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import numpy.typing as npt

from base.errors import PayloadTooLarge
from connectors.errors import FileInvalid, misnamed
from connectors.files import styles

PARTS_MAX = 10_000
UNPACKED_BYTES_MAX = 1024**3
RATIO_MAX = 100  # unpacked to packed bytes; sheets of real use have 5 to 30
RATIO_FREE_BYTES = 16 * 1024**2  # unpacked, that any ratio may have
CELLS_MAX = (
    32_000_000  # of the rectangle around a sheet's cells: the parser takes 32 bytes for each
)
INDEX_BYTES_MAX = 4 * 1024**2  # of the parts that list the sheets
BLOCK_BYTES = 1024**2
_IS_ENCRYPTED = 1
_NOUNS = {"XLSX": "workbook", "DOCX": "text document", "PPTX": "presentation"}
MAIN_PARTS = {  # what a document of each kind has, and no other
    "XLSX": "xl/workbook.xml",
    "DOCX": "word/document.xml",
    "PPTX": "ppt/presentation.xml",
}
_MAIN_PART = re.compile(r"xl/workbook\.xml|(?:word/document|ppt/presentation)[0-9]*\.xml")
_LETTERS, _DIGITS = 26, 10

# All of these look at blocks in one notation, see `_normal`.
_NOTATION = bytes.maketrans(b"\t\n\r'", b'   "')
# In a text of blanks, colons or attributes without end, no pattern may begin to look again at each of them.
_SPACED = re.compile(rb"(?<! ) *+= *+")
_PLACE = b' r="'
_LETTERS_MAX, _DIGITS_MAX = 7, 10  # of a cell's place; what is longer counts as that long
_CELL = re.compile(rb' r="([A-Za-z]{1,7})([0-9]{1,10})"')
_CELL_TAGS = (b"<c ", b"<c>", b"<c/", b":c ", b":c>", b":c/")  # one too many in a text does no harm
_ROW_TAGS = (b"<row ", b"<row>", b"<row/", b":row ", b":row>", b":row/")
_PREFIX = rb"<(?:[^<>:/ ]*+:)?"  # of a tag of any name space
_ROW_TAG = re.compile(_PREFIX + rb"row[ />]")
_UNPLACED_CELL = re.compile(_PREFIX + rb"c(?=[ />])(?![^<>]* r=)")
_UNPLACED_ROW = re.compile(_PREFIX + rb"row(?=[ />])(?![^<>]* r=)")
_ERROR = re.compile(rb'<(?>[^<>]*? t="e")[^<>]*+>')
_VALUE = re.compile(rb"v>(#[^<]*)")
ERRORS = frozenset({b"#DIV/0!", b"#N/A", b"#NAME?", b"#NULL!", b"#NUM!", b"#REF!", b"#VALUE!"})
STRICT = b"http://purl.oclc.org/ooxml/"  # how the names of strict Open XML start
_NAME = rb"(?:[A-Za-z0-9_]{1,19}:)?"  # what may be before a tag's name
_UNCOMPUTED = re.compile(  # a formula without a value; of one whose value is an empty text, the type is `str`
    rb"<" + _NAME + rb'c(?= )(?![^<>]* t="str")([^<>]*)>'
    rb"<" + _NAME + rb"f(?: [^<>]*)?(?:/>|>[^<]*</" + _NAME + rb"f>)"
    rb"(?:<" + _NAME + rb"v ?/>|<" + _NAME + rb"v></" + _NAME + rb"v>)?</" + _NAME + rb"c>"
)
_FORMULA = re.compile(rb"[<:]f[ />]")
_LONG = re.compile(rb"v>(-?[0-9]{16,300})(?![0-9.eE])")
_PREFIX_CHARS_MAX = 20
_FORMULA_BYTES_MAX = 64 * 1024  # a cell's, of which a spreadsheet program takes 8,192 characters
_FORBIDDEN = re.compile(rb"<!(?:DOCTYPE|ENTITY)", re.IGNORECASE)


@dataclass(slots=True)
class SheetScan:
    """What a sheet's XML says of its size, and of cells that look empty.

    Of error cells (`#DIV/0!`) and formulas that no program has computed: by column letters how many, and the first.
    """

    column_min: int = 0  # 0 while there is none
    column_max: int = 0
    row_min: int = 0
    row_max: int = 0
    rows_unplaced: int = (
        0  # rows, and the most cells of a row, that name no place: they follow the one before
    )
    cells_unplaced: int = 0
    errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    uncomputed: dict[str, tuple[int, str]] = field(default_factory=dict)
    error_row_max: int = 0
    is_odd: bool = False  # what the parser takes for something else, or not at all: see `strict`
    may_be_odd: bool = False  # by its numbers, if they have the format of a date
    _run: int = 0
    _open: bytes = b""

    @property
    def cells(self) -> int:
        """Cells of the smallest rectangle around all of them."""
        width = self.cells_unplaced
        if self.column_max:
            width += self.column_max - self.column_min + 1
        return (self.row_max - self.row_min + 1 + self.rows_unplaced) * width

    def see(self, block: bytes) -> None:
        """Look at whole tags."""
        block = _normal(block)
        columns, rows = _places(block)
        if len(columns):
            self.column_min = min(self.column_min or columns.min(), columns.min())
            self.column_max = max(self.column_max, columns.max())
        if len(rows):
            self.row_min = min(self.row_min or rows.min(), rows.min())
            self.row_max = max(self.row_max, rows.max())
        if sum(map(block.count, _ROW_TAGS)) > block.count(b"<row r="):
            self.rows_unplaced += len(_UNPLACED_ROW.findall(block))
        if sum(map(block.count, _CELL_TAGS)) > block.count(b"<c r="):
            self._count_unplaced(block)
        self._count_errors(block)
        self._count_uncomputed(block)
        self.may_be_odd |= b"v>-" in block or b"v>60" in block
        self.is_odd |= any(map(styles.is_rounded, _LONG.findall(block)))
        if STRICT in block or (b">#" in block and not ERRORS.issuperset(_VALUE.findall(block))):
            self.is_odd = True

    def _count_unplaced(self, block: bytes) -> None:
        """The most cells without a place in one row, which may have begun in a block before."""
        for at, row in enumerate(_ROW_TAG.split(block)):
            unplaced = len(_UNPLACED_CELL.findall(row))
            self._run = self._run + unplaced if at == 0 else unplaced
            self.cells_unplaced = max(self.cells_unplaced, self._run)

    def _count_errors(self, block: bytes) -> None:
        if b' t="e"' in block:
            for tag in _ERROR.findall(block):
                cell = _CELL.search(tag)
                if cell:
                    self.add_error(cell[1].decode().upper(), int(cell[2]))

    def _count_uncomputed(self, block: bytes) -> None:
        block = self._open + block
        if _FORMULA.search(block):
            for attributes in _UNCOMPUTED.findall(block):
                cell = _CELL.search(attributes)
                if cell:
                    _count(self.uncomputed, cell[1].decode().upper(), int(cell[2]))
        start = max(block.rfind(b"<c "), block.rfind(b":c "))
        is_open = start >= 0 and b"c>" not in block[start:]
        is_open &= len(block) - start < _FORMULA_BYTES_MAX
        self._open = block[max(start - _PREFIX_CHARS_MAX, 0) :] if is_open else b""

    def add_error(self, letters: str, row: int) -> None:
        """Note an error cell, the next of the sheet."""
        self.error_row_max = max(self.error_row_max, row)
        _count(self.errors, letters, row)


def _count(cells: dict[str, tuple[int, str]], letters: str, row: int) -> None:
    """One more cell of a column, the next of the sheet."""
    number, first = cells.get(letters, (0, f"{letters}{row}"))
    cells[letters] = (number + 1, first)


def scan(path: Path) -> list[SheetScan]:
    """Check an XLSX file, and say what its sheets hold, in the workbook's order.

    Raises FileInvalid, or PayloadTooLarge for what is larger than we take.
    """
    with checked(path, "XLSX") as office:
        # A sheet is found by its relationship: its part need not be named like XML.
        return [
            office.scans.get(part) or office.scan_sheet(part) for part in _sheet_parts(office.zip)
        ]


@dataclass(frozen=True, slots=True)
class Office:
    """An open document whose bounds were checked; `scans` by the names of its XML parts."""

    kind: str
    zip: zipfile.ZipFile
    scans: dict[str, SheetScan]

    def scan_sheet(self, part: str) -> SheetScan:
        """The same of a sheet that is not named like XML; nothing of one that is not there."""
        if part not in self.zip.namelist():
            return SheetScan()
        return _scan_part(self.zip, self.zip.getinfo(part), self.kind, is_xml=True)

    def blocks(self, part: str) -> Iterator[bytes]:
        """An XML part in blocks, nothing of one that is not there."""
        if part in self.scans:
            yield from blocks(self.zip, self.zip.getinfo(part))


@contextlib.contextmanager
def checked(path: Path, kind: str) -> Iterator[Office]:
    """An `XLSX`, `DOCX` or `PPTX` file, once all of it was unpacked in a stream and found harmless.

    Raises FileInvalid, or PayloadTooLarge for what is larger than we take; what is damaged while it is used, too.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _check_directory(archive, kind)
            scans = {}
            for info in archive.infolist():
                found = _scan_part(archive, info, kind, is_xml=is_xml(info))
                if is_xml(info):
                    scans[info.filename] = found
            yield Office(kind, archive, scans)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise FileInvalid(
            f"The {kind} file is damaged or cut off ({error}).",
            hint="Open it in an office program and save it again, or upload it again.",
        ) from error


def is_xml(info: zipfile.ZipInfo) -> bool:
    """Whether a part is named like XML."""
    return info.filename.lower().endswith((".xml", ".rels"))


def encrypted(kind: str) -> FileInvalid:
    """The error for a document with a password."""
    return FileInvalid(
        f"The {kind} file is encrypted.", hint="Save it without a password, then upload it again."
    )


def column_number(letters: str) -> int:
    """1 for `A`, 27 for `AA`."""
    number = 0
    for letter in letters.upper():
        number = number * _LETTERS + ord(letter) - ord("A") + 1
    return number


def column_letters(number: int) -> str:
    """The inverse of `column_number`."""
    letters = ""
    while number:
        number, rest = divmod(number - 1, _LETTERS)
        letters = chr(ord("A") + rest) + letters
    return letters


def _normal(block: bytes) -> bytes:
    """The XML with one kind of space and quote, and no space around equals signs."""
    block = block.translate(_NOTATION)
    return _SPACED.sub(b"=", block) if b" =" in block or b"= " in block else block


def _places(block: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Column and row numbers of all places (`r="AB12"`, `r="12"`) in the block."""
    data = np.frombuffer(block + bytes(_LETTERS_MAX + _DIGITS_MAX + 1), np.uint8)
    starts = data[: len(block)] == _PLACE[0]
    for offset, byte in enumerate(_PLACE[1:], 1):
        starts &= data[offset : len(block) + offset] == byte
    at = np.flatnonzero(starts) + len(_PLACE)
    columns, at = _numbers(data, at, _LETTERS_MAX, "a", _LETTERS)
    rows, _ = _numbers(data, at, _DIGITS_MAX, "0", _DIGITS)
    return columns[columns > 0], rows[rows > 0]


def _numbers(
    data: npt.NDArray[np.uint8], at: npt.NDArray[np.intp], length_max: int, first: str, base: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Numbers written from each of these offsets on in letters (A is 1) or in digits, and where they end."""
    is_letters = base == _LETTERS
    numbers = np.zeros(len(at), np.int64)
    ends = at.copy()
    goes_on = np.ones(len(at), bool)
    for _ in range(length_max):
        byte = data[ends] | np.uint8(32 * is_letters)  # lower case
        digit = byte.astype(np.int64) - ord(first)
        goes_on &= (digit >= 0) & (digit < base)
        if not goes_on.any():
            break
        numbers = np.where(goes_on, numbers * base + digit + is_letters, numbers)
        ends += goes_on
    return numbers, ends


def _check_directory(archive: zipfile.ZipFile, kind: str) -> None:
    """Refuse by the table of contents what must not be unpacked."""
    parts = archive.infolist()
    names = {part.filename for part in parts}
    folder = MAIN_PARTS[kind].partition("/")[0] + "/"
    hint = (
        "Export its sheets as CSV." if kind == "XLSX" else "Split it, or save it without pictures."
    )
    if len(parts) > PARTS_MAX:
        raise PayloadTooLarge(
            f"The {kind} file has {len(parts):,} parts; the limit is {PARTS_MAX:,}.", hint=hint
        )
    if len(names) < len(parts):
        raise FileInvalid(f"The {kind} file is damaged: two of its parts have one name.")
    if any(part.flag_bits & _IS_ENCRYPTED for part in parts):
        raise encrypted(kind)
    if not any(_MAIN_PART.fullmatch(name) and name.startswith(folder) for name in names):
        raise misnamed(kind, _other(names, kind))
    unpacked = sum(part.file_size for part in parts)
    packed = sum(part.compress_size for part in parts)
    if unpacked > UNPACKED_BYTES_MAX:
        raise PayloadTooLarge(
            f"The {kind} file unpacks to {unpacked:,} bytes; the limit is {UNPACKED_BYTES_MAX:,}.",
            hint=hint,
        )
    if unpacked > max(RATIO_FREE_BYTES, RATIO_MAX * packed):
        raise FileInvalid(
            f"The {kind} file unpacks to {unpacked // max(packed, 1):,} times its size; the limit is {RATIO_MAX}.",
            hint=hint,
        )


def _other(names: set[str], kind: str) -> str:
    if "xl/workbook.bin" in names:
        return "a binary workbook (XLSB)"
    if "xl/workbook.xml" in names:
        return "a workbook (XLSX)"
    if "word/document.xml" in names:
        return "a text document (DOCX)"
    if "ppt/presentation.xml" in names:
        return "a presentation (PPTX)"
    return (
        "an OpenDocument file"
        if "content.xml" in names
        else f"a ZIP archive without a {_NOUNS[kind]}"
    )


def _scan_part(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, kind: str, *, is_xml: bool
) -> SheetScan:
    """Unpack a part once: its size and checksum have to be what the table of contents says."""
    found = SheetScan()
    is_first = True
    for block in blocks(archive, info):
        if not is_xml:  # a picture or an embedded file, which nobody parses
            continue
        if is_first and not block.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
            raise FileInvalid(
                f"The {kind} file's part {info.filename[:100]!r} is not XML in UTF-8."
            )
        is_first = False
        if _FORBIDDEN.search(block):
            raise FileInvalid(
                f"The {kind} file's part {info.filename[:100]!r} has a document type, which no {_NOUNS[kind]} needs."
            )
        if kind == "XLSX":
            found.see(block)
    if found.cells > CELLS_MAX:
        raise PayloadTooLarge(
            f"A sheet spans {found.cells:,} cells, most of them empty or not; the limit is {CELLS_MAX:,}.",
            hint="Remove stray cells far from the data, or export the sheet as CSV.",
        )
    return found


def blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The part in blocks that end between tags, unless a tag is as long as a block."""
    rest = b""
    with archive.open(info) as part:
        while data := part.read(BLOCK_BYTES):
            data = rest + data
            cut = data.rfind(b"<")
            if cut <= 0 or len(data) - cut > BLOCK_BYTES:
                cut = len(data)
            yield data[:cut]
            rest = data[cut:]
    if rest:
        yield rest


def _sheet_parts(archive: zipfile.ZipFile) -> list[str]:
    """Names of the sheets' parts, in the order of the workbook."""
    targets = {}
    for element in _elements(archive, "xl/_rels/workbook.xml.rels", "Relationship"):
        target = element.get("Target", "")
        targets[element.get("Id")] = posixpath.normpath(posixpath.join("/xl", target)).lstrip("/")
    ids = [
        next((value for name, value in element.items() if name.endswith("}id")), None)
        for element in _elements(archive, "xl/workbook.xml", "sheet")
    ]
    return [targets.get(each, "") for each in ids]


def _elements(archive: zipfile.ZipFile, part: str, name: str) -> list[ET.Element]:
    try:
        info = archive.getinfo(part)
        if info.file_size > INDEX_BYTES_MAX:
            raise FileInvalid(
                f"The XLSX file's part {part} is larger than {INDEX_BYTES_MAX:,} bytes."
            )
        root = ET.fromstring(archive.read(info))  # noqa: S314 - document types are refused before
    except (KeyError, ET.ParseError) as error:
        raise FileInvalid(f"The XLSX file's part {part} is missing or broken.") from error
    return [element for element in root.iter() if element.tag.rpartition("}")[2] == name]
