"""A good file of every kind, and files that are broken in every way we know: made, always the same, from the good ones."""

from __future__ import annotations

import io
import json
import random
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import docx
import fpdf
import openpyxl
import pptx
import pyarrow as pa
import pyarrow.parquet as pq
import xlwt

import connectors
from base.errors import PlatformError
from connectors.connector import Connection, Selection
from connectors.errors import ReadAgain

HARD = Path(__file__).parents[1] / "hard"
ROWS = [(number, f"name {number}", number / 8) for number in range(200)]
READS_MAX = 3


def _text() -> bytes:
    return "\n\n".join(f"{number} {name}" for number, name, _ in ROWS).encode()


def _delimited(delimiter: str) -> bytes:
    rows = "".join(
        f'{number}{delimiter}"{name}"{delimiter}{score}\n' for number, name, score in ROWS
    )
    return f"id{delimiter}name{delimiter}score\n{rows}".encode()


def _objects() -> list[dict[str, Any]]:
    return [{"id": number, "name": name, "score": score} for number, name, score in ROWS]


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(_objects()), buffer, row_group_size=60)
    return buffer.getvalue()


def _xlsx() -> bytes:
    book, buffer = openpyxl.Workbook(), io.BytesIO()
    sheet: Any = book.active
    for row in ROWS:
        sheet.append(row)
    book.save(buffer)
    return buffer.getvalue()


def _xls() -> bytes:
    book, buffer = xlwt.Workbook(), io.BytesIO()
    sheet = book.add_sheet("s")
    for at, row in enumerate(ROWS):
        for place, cell in enumerate(row):
            sheet.write(at, place, cell)
    sheet.row(len(ROWS)).set_cell_error(0, "#DIV/0!")
    book.save(buffer)
    return buffer.getvalue()


def _pdf() -> bytes:
    made = fpdf.FPDF()
    made.set_font("helvetica", size=12)
    for number in range(3):
        made.add_page()
        made.multi_cell(0, text=f"page {number} " * 100)
    return bytes(made.output())


def _docx() -> bytes:
    made, buffer = docx.Document(), io.BytesIO()
    for number, name, _ in ROWS[:20]:
        made.add_heading(name, 1)
        made.add_paragraph(f"text {number}")
    made.save(buffer)
    return buffer.getvalue()


def _pptx() -> bytes:
    made, buffer = pptx.Presentation(), io.BytesIO()
    for _, name, _ in ROWS[:5]:
        slide: Any = made.slides.add_slide(made.slide_layouts[1])
        slide.shapes.title.text = name
        slide.notes_slide.notes_text_frame.text = f"note of {name}"
    made.save(buffer)
    return buffer.getvalue()


GOOD: Mapping[str, Callable[[], bytes]] = {
    "csv": lambda: _delimited(","),
    "tsv": lambda: _delimited("\t"),
    "json": lambda: json.dumps(_objects()).encode(),
    "ndjson": lambda: "".join(json.dumps(each) + "\n" for each in _objects()).encode(),
    "parquet": _parquet,
    "xlsx": _xlsx,
    "xls": _xls,
    "txt": _text,
    "md": lambda: b"# Head\n\n" + _text(),
    "mdx": lambda: b'import X from "x"\n\n# Head\n\n' + _text(),
    "pdf": _pdf,
    "docx": _docx,
    "doc": (HARD / "office" / "harmless-clean.doc").read_bytes,
    "pptx": _pptx,
    "ppt": (HARD / "office" / "embedded-simple-2007.ppt").read_bytes,
}
BINARY = frozenset(GOOD) - {"csv", "tsv", "json", "ndjson", "txt", "md", "mdx"}


def broken(suffix: str) -> Iterator[tuple[str, bytes]]:
    """The good file cut off, with bits flipped, bytes missing, doubled, zeroed or added; and files of other kinds."""
    good = GOOD[suffix]()
    chance = random.Random(suffix)
    for part in (0, 1, 7, 8, 100, 511, 512):
        yield f"first {part} bytes", good[:part]
    for tenth in range(1, 10):
        yield f"first {tenth} tenths", good[: len(good) * tenth // 10]
    yield "without the last byte", good[:-1]
    for number in range(12):
        flipped = bytearray(good)
        for _ in range(1 + number):
            flipped[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        yield f"{1 + number} bits flipped", bytes(flipped)
    for number in range(4):
        at = chance.randrange(len(good))
        yield f"zeros {number}", good[:at] + bytes(64) + good[at + 64 :]
        yield f"hole {number}", good[:at] + good[at + 37 :]
        yield f"noise {number}", good[:at] + chance.randbytes(64) + good[at + 64 :]
    yield "twice", good + good
    yield "end first", good[len(good) // 2 :] + good[: len(good) // 2]
    yield "noise alone", chance.randbytes(4096)
    yield "noise behind the head", good[:16] + chance.randbytes(4096)
    for other in sorted(BINARY - {suffix}):
        yield f"is {other}", GOOD[other]()


def zipped(parts: Mapping[str, bytes | str], base: bytes = b"") -> bytes:
    """A ZIP archive of these parts, and of those of another one that are not among them."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in parts.items():
            made.writestr(name, content)
        if base:
            with zipfile.ZipFile(io.BytesIO(base)) as old:
                for name in old.namelist():
                    if name not in parts:
                        made.writestr(name, old.read(name))
    return buffer.getvalue()


def lying(archive: bytes, name: str) -> bytes:
    """The archive, whose table of contents says that this part unpacks to 100 bytes."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        size = opened.getinfo(name).file_size.to_bytes(4, "little")
    return archive.replace(size, (100).to_bytes(4, "little"))


def pdf_of(content: bytes, *, pages: int = 1, extra: bytes = b"") -> bytes:
    """A PDF whose pages share this content, packed."""
    packed = zlib.compress(content, 9)
    kids = b"3 0 R " * pages
    return (
        b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R" + extra + b">>endobj\n"
        b"2 0 obj<</Type/Pages/Kids["
        + kids
        + b"]/Count %d>>endobj\n" % pages
        + b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R"
        b"/Resources<</Font<</F 5 0 R>>>>>>endobj\n"
        b"4 0 obj<</Filter/FlateDecode/Length %d>>stream\n"
        % len(packed)
        + packed
        + b"\nendstream endobj\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\n"
        b"trailer<</Root 1 0 R>>\n%%EOF"
    )


def outcomes(folder: Path, suffix: str) -> dict[str, str]:
    """By the name of each broken file what came of it: `read`, or an error's message. Runs in a child."""
    path = folder / f"broken.{suffix}"
    found = {}
    for name, content in broken(suffix):
        path.write_bytes(content)
        try:
            found[name] = f"read {_count(path)}"
        except PlatformError as error:
            found[name] = error.message
    return found


def _count(path: Path) -> int:
    """How many rows and rejects all tables have."""
    kind = connectors.kind_of_file(path.name).name
    connection = Connection(kind, {"file_name": path.name}, path=path)
    with closing(connectors.open(connection)) as source:
        return sum(_rows(source, table.name) for table in source.tables())


def _rows(source: Any, name: str) -> int:
    for _ in range(READS_MAX):
        try:
            batches = source.read(Selection(name)).batches
            return sum(batch.data.num_rows + len(batch.rejects) for batch in batches)
        except ReadAgain:
            continue
    raise AssertionError("a table is read again at most once")
