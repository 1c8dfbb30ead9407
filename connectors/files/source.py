"""The bytes of a stored file: what they look like, and a text file's bytes as verified UTF-8."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from connectors.connector import Connection
from connectors.errors import FileInvalid, misnamed

BLOCK_BYTES = 2 * 1024**2
_HEAD_BYTES = 512

_ZIPPED = frozenset({"xlsx", "docx", "pptx"})
_COMPOUND = frozenset({"xls", "doc", "ppt"}) | _ZIPPED  # of those, the encrypted ones
_PLAIN = frozenset({"text", "markdown"})  # which may hold markup of any kind
_MAGIC: tuple[tuple[bytes, str, frozenset[str]], ...] = (
    # what a file starts with, what that is, and the kinds that start so
    (b"PAR1", "a Parquet file", frozenset({"parquet"})),
    (b"PK\x03\x04", "a ZIP archive or an Office document such as XLSX", _ZIPPED),
    (b"PK\x05\x06", "an empty ZIP archive", _ZIPPED),
    (b"\xd0\xcf\x11\xe0", "an old Office document (XLS) or an encrypted one", _COMPOUND),
    (b"SQLite format 3\0", "a SQLite database", frozenset({"sqlite"})),
    (b"\x1f\x8b", "a gzip archive", frozenset()),
    (b"BZh", "a bzip2 archive", frozenset()),
    (b"\xfd7zXZ\0", "an xz archive", frozenset()),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", frozenset()),
    (b"7z\xbc\xaf", "a 7z archive", frozenset()),
    (b"%PDF-", "a PDF document", frozenset({"pdf"})),
    (b"{\\rtf", "a rich text document (RTF)", frozenset()),
    (b"ARROW1\0\0", "an Arrow or Feather file", frozenset()),
    (b"Obj\x01", "an Avro file", frozenset()),
    (b"ORC\x01", "an ORC file", frozenset()),
    (b"\x89PNG", "a PNG picture", frozenset()),
    (b"\xff\xd8\xff", "a JPEG picture", frozenset()),
)
_BINARY = frozenset({"parquet", "xls", "doc", "ppt"}) | _ZIPPED
_TEXT_BYTES_MIN = 8  # so many bytes are a text, not the start of something else
_PAGES = (b"<!doctype", b"<html", b"<?xml")
_LF = 0x0A
_BOMS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, which it starts like
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def stored_file(connection: Connection) -> Path:
    """The connection's file, once it is there, not empty, and not plainly of another kind."""
    path = connection.path
    if path is None or not path.is_file():
        raise FileInvalid("The stored file is missing.", hint="Upload it again.")
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        raise FileInvalid("The file is empty (0 bytes).", hint="Upload it again, with its rows.")
    found = _looks_like(head, connection.kind)
    if found:
        raise misnamed(named(connection.kind), found)
    return path


def named(kind: str) -> str:
    """A kind of file, for people."""
    return {"text": "TXT", "markdown": "Markdown"}.get(kind, kind.upper())


def table_name(connection: Connection) -> str:
    """What the one table of a file is called: the file's name without its extension."""
    name = str(connection.settings.get("file_name") or "")
    return Path(name.replace("\\", "/")).stem.strip() or "data"


def _looks_like(head: bytes, kind: str) -> str | None:
    for magic, what, kinds in _MAGIC:
        if head.startswith(magic):
            return None if kind in kinds else what
    start = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if start.startswith(_PAGES) and kind not in _PLAIN:
        return "a web page or an XML document"
    return "a text file" if kind in _BINARY and _is_text(head) else None


def _is_text(head: bytes) -> bool:
    """Whether these are lines of text in UTF-8, the last character of which may be cut off."""
    text = codecs.getincrementaldecoder("utf-8")("replace").decode(head)
    is_long = len(head) >= _TEXT_BYTES_MIN
    return (
        is_long
        and all(sign.isprintable() or sign in "\t\r\n" for sign in text)
        and "\ufffd" not in text
    )


@dataclass(frozen=True, slots=True)
class Block:
    """UTF-8 bytes of a text file. `end` is where they end in the stored file, None where it was transcoded."""

    data: bytes
    end: int | None
    bytes_read: int


class TextFile:
    """A text file as UTF-8: by its byte order mark, else in the encoding the user gave, else it has to be UTF-8.

    What is not, but is text in the `charset` that a server named, is in that: of many files servers name one that they
    are not in, and hardly any text of another encoding is UTF-8. Bytes that are UTF-8 already are handed on as they
    are, for `check_utf8` to find a flaw in.
    """

    def __init__(self, path: Path, encoding: str | None = None, charset: str | None = None) -> None:
        self._path = path
        self.size_bytes = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(4)
        bom, found = next(
            ((bom, name) for bom, name in _BOMS if head.startswith(bom)), (b"", encoding)
        )
        self.charset = None  # that it is read in
        if found is None and charset and not _is_in(path, "utf-8") and _is_in(path, charset):
            self.charset = found = charset
        found = found or "utf-8"
        self._start = len(bom)
        self._encoding = codecs.lookup(found).name.removesuffix("-sig")
        if self.size_bytes == self._start:
            raise FileInvalid("The file is empty.", hint="Upload it again, with its rows.")

    def blocks(self, start: int | None = None) -> Iterator[Block]:
        """The file from its start, or from a block's `end` on. Raises FileInvalid for bytes outside the encoding."""
        begin = self._start if start is None else start
        with self._path.open("rb", buffering=0) as file:
            file.seek(begin)
            if self._encoding == "utf-8":
                at = begin
                while data := file.read(BLOCK_BYTES):
                    at += len(data)
                    yield Block(data, at, at - begin)
                return
            yield from self._transcoded(iter(lambda: file.read(BLOCK_BYTES), b""))

    def _transcoded(self, pieces: Iterator[bytes]) -> Iterator[Block]:
        decoder = codecs.getincrementaldecoder(self._encoding)()
        read, line = self._start, 1
        try:
            for piece in pieces:
                text = decoder.decode(piece)
                read += len(piece)
                line += text.count("\n")
                yield Block(text.encode(), None, read - self._start)
            yield Block(decoder.decode(b"", final=True).encode(), None, read - self._start)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].decode(self._encoding, "replace").count("\n")
            seen = error.object[error.start : error.end].hex(" ").upper()
            raise FileInvalid(
                f"The text in line {line} is not {self._encoding} (bytes {seen}: {error.reason}).",
                hint="Set the encoding that the file was written in.",
            ) from error


def _is_in(path: Path, encoding: str) -> bool:
    """Whether all of a file is text in an encoding; none holds NUL, and UTF-8 does not shift."""
    decoder = codecs.getincrementaldecoder(encoding)()
    with path.open("rb", buffering=0) as file:
        try:
            while data := file.read(BLOCK_BYTES):
                if "\0" in decoder.decode(data) or (encoding == "utf-8" and b"\x1b" in data):
                    return False
            decoder.decode(b"", final=True)
        except UnicodeError:
            return False
    return True


def check_utf8(data: bytes, line: int, offset: int | None = None, *, is_json: bool = False) -> None:
    """Raise FileInvalid for bytes that are not UTF-8; `line` and `offset` are where `data` starts."""
    ends = pa.py_buffer(np.array([0, len(data)], np.int32))
    try:
        pa.StringArray.from_buffers(1, ends, pa.py_buffer(data)).validate(full=True)
    except pa.ArrowInvalid as error:
        raise _invalid_utf8(data, line, offset, is_json=is_json) from error


def _invalid_utf8(data: bytes, line: int, offset: int | None, *, is_json: bool) -> FileInvalid:
    at = 0
    try:
        data.decode()
    except UnicodeDecodeError as error:
        at = error.start
    where = f", at byte {offset + at:,} of the file" if offset is not None else ""
    flaw = f"The text in line {line + line_ends(data[:at])} is not UTF-8 (byte 0x{data[at]:02X}{where})"
    if is_json:
        return FileInvalid(f"{flaw}, as JSON has to be.", hint="Write the file as UTF-8.")
    return FileInvalid(
        f"{flaw}: set the encoding that the file was written in.",
        hint="Often windows-1252 or iso-8859-15; elsewhere windows-1251, shift_jis, gb18030, big5.",
    )


def line_ends(data: bytes) -> int:
    """How many lines end in these bytes: by LF, CRLF or CR."""
    ends = int(np.count_nonzero(np.frombuffer(data, np.uint8) == _LF))  # faster than bytes.count
    if b"\r" in data:
        ends += data.count(b"\r") - data.count(b"\r\n")
    return ends
