"""PDF, DOC and PPT files, by kreuzberg: no OCR, no cache, no network."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import kreuzberg
from kreuzberg import ConcurrencyConfig, ExtractionConfig, ExtractionResult, PageConfig
from kreuzberg.exceptions import KreuzbergError

from base.errors import PayloadTooLarge
from connectors.connector import Connection
from connectors.errors import MISNAMED_HINT, FileInvalid, is_panic
from connectors.files import archive, compound, slides
from connectors.files.parts import Part, Parts, without_nothing
from connectors.files.source import named

DOCUMENT_BYTES_MAX = 256 * 1024**2  # the whole file is in memory, and more than once
_HEAD_BYTES = 1024  # in which a PDF has to say that it is one
_WHY_CHARS = 200
_TYPES = {
    "pdf": "application/pdf",
    "doc": "application/msword",
    "ppt": "application/vnd.ms-powerpoint",
}
_LINE_HYPHEN = "\x02"  # what PDFium makes of a hyphen and the line end behind it
_EMPTY_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj
trailer<</Root 1 0 R>>
%%EOF"""


class Extracted(Parts):
    """An open document, parsed once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        kind = named(self._kind)
        size = self._path.stat().st_size
        if size > DOCUMENT_BYTES_MAX:
            raise PayloadTooLarge(
                f"The {kind} file has {size:,} bytes; the limit is {DOCUMENT_BYTES_MAX:,}.",
                hint="Split it into several documents.",
            )
        data = self._path.read_bytes()
        is_such = b"%PDF-" in data[:_HEAD_BYTES] if self._kind == "pdf" else compound.is_one(data)
        if not is_such:
            raise FileInvalid(f"The file is named like {kind}, but is none.", hint=MISNAMED_HINT)
        compound.check(self._path, kind)
        with _translated(kind):
            if self._kind == "pdf":
                _load_pdfium()
            self._result = _extract(data, self._kind)

    def _details(self) -> dict[str, Any]:
        said = self._result.metadata
        names = ("title", "subject", "authors", "keywords", "language", "producer", "pdf_version")
        details: dict[str, Any] = {name: said.get(name) for name in names}
        details["author"] = details.pop("authors")
        details |= {
            "created": said.get("created_at"),
            "modified": said.get("modified_at"),
            "modified_by": said.get("modified_by"),
            "page_count": said.get("page_count") if self._kind == "pdf" else None,
        }
        return without_nothing(details)


class Pdf(Extracted):
    """A PDF file: a part a page. Pages without text have none; pictures are not read."""

    _words = "pages"
    _page = "the number of the page"

    def _parts(self) -> Iterator[Part]:
        size = self._path.stat().st_size
        for page in self._result.pages or []:
            text = page["content"].replace(_LINE_HYPHEN, "-\n")
            yield Part(text, page["page_number"], size)

    def _without_text(self) -> FileInvalid:
        pages = self._details().get("page_count", 0)
        return FileInvalid(
            f"None of the {pages} pages of the PDF file holds text: they may be pictures, which are not read.",
            hint="Bring the document from where it was written, or run OCR over it first.",
        )


class OldDocument(Extracted):
    """A DOC file: a part a paragraph."""

    def _parts(self) -> Iterator[Part]:
        size = self._path.stat().st_size
        text = self._result.content.replace("\r\n", "\n").replace("\r", "\n")
        for paragraph in text.split("\n\n"):
            yield Part(paragraph, None, size)


class OldPresentation(OldDocument):
    """A PPT file: a part a slide with its speaker notes, or a paragraph where slides cannot be told apart."""

    _words = "slides"
    _page = "the number of the slide, null where it cannot be told"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._slides = slides.read(self._path.read_bytes())

    def _details(self) -> dict[str, Any]:
        count = {} if self._slides is None else {"slide_count": len(self._slides)}
        return {**super()._details(), **count}

    def _parts(self) -> Iterator[Part]:
        if self._slides is None:
            yield from super()._parts()
        for number, slide in enumerate(self._slides or (), 1):
            notes = f"\n\nNotes:\n{slide.notes}" if slide.notes else ""
            yield Part(slide.text + notes, number, self._path.stat().st_size)


def _extract(data: bytes, kind: str) -> ExtractionResult:
    options: dict[str, Any] = {
        "use_cache": False,
        "disable_ocr": True,
        "enable_quality_processing": False,  # it changes the text
        "pages": PageConfig(extract_pages=True),
        "concurrency": ConcurrencyConfig(max_threads=1),
    }
    return kreuzberg.extract_bytes_sync(data, _TYPES[kind], ExtractionConfig(**options))


def _load_pdfium() -> None:
    """Have the library unpacked into a private folder, which is gone before any foreign byte is looked at.

    By itself it would go to one path that every user of the machine may write to first.
    """
    folder = tempfile.mkdtemp(prefix="headwater-pdf-")
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = folder
    try:
        _extract(_EMPTY_PDF, "pdf")
    finally:
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _translated(kind: str) -> Iterator[None]:
    """The parser's errors, and its panics, as ours."""
    try:
        yield
    except KreuzbergError as error:
        why = str(error).split(": ", 1)[-1].splitlines() or [""]
        if "password" in str(error).lower() or "encrypted" in str(error).lower():
            raise archive.encrypted(kind) from error
        raise _broken(kind, why[0][:_WHY_CHARS]) from error
    except BaseException as error:
        if not is_panic(error):
            raise
        raise _broken(kind, "it is damaged") from error


def _broken(kind: str, why: str) -> FileInvalid:
    return FileInvalid(
        f"The {kind} file cannot be read: {why.rstrip('.')}.",
        hint="Open it in the program that it was written with and save it again, or upload it again.",
    )
