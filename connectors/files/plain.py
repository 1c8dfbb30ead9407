"""Text and Markdown files, read in a stream: a part a block between blank lines, or a section below a heading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from connectors.connector import Connection
from connectors.errors import FileInvalid
from connectors.files.parts import PART_CHARS_MAX, Part, Parts, without_nothing
from connectors.files.source import TextFile, check_utf8, line_ends

PIECE_CHARS = 1024**2  # after which a block or section without end is cut
_LINE_BYTES = 4 * 1024**2  # after which a line without end is cut
_HEAD_CHARS = 64 * 1024  # in which front matter and a title are looked for
_INSIDE = range(0x80, 0xC0)  # bytes of a character in UTF-8 behind its first
_FIRST_OF_MORE = (0xC0, 0xE0, 0xF0)  # first bytes of two, three, four from here on
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_BLANK = re.compile(r"\n(?:[ \t]*\n)+")
_HEADING = re.compile(r" {0,3}#{1,6}(?:[ \t]|$)")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-+)[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_ENTRY = re.compile(r"^([A-Za-z_][\w -]*):[ \t]++(?![|>\[{&*!])(\S.*)$", re.MULTILINE)
_TITLE = re.compile(r"^ {0,3}#[ \t]++(\S.*)$", re.MULTILINE)
_NOT_UNDERLINED = re.compile(r" {0,3}(?:[-*+>|#]|\d+[.)]|    )")  # a list, quote, table or code


@dataclass(frozen=True, slots=True)
class _Piece:
    """Verified text that ends with a line, unless the line has no end."""

    text: str
    bytes_read: int


class Text(Parts):
    """A text file: UTF-8, UTF-16 or UTF-32 with a mark, or in the encoding that the user gave, or its server."""

    _words = "blocks between blank lines"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        said = connection.settings.get("encoding"), connection.settings.get("charset")
        self._file = TextFile(self._path, *said)

    def _details(self) -> dict[str, Any]:
        return {}

    def _parts(self) -> Iterator[Part]:
        rest = ""
        read = 0
        for piece in self._pieces():
            *blocks, rest = _BLANK.split(rest + piece.text)
            yield from (Part(block, None, piece.bytes_read) for block in blocks)
            if len(rest) > PIECE_CHARS:
                yield Part(rest, None, piece.bytes_read)
                rest = ""
            read = piece.bytes_read
        yield Part(rest, None, read)

    def _pieces(self) -> Iterator[_Piece]:
        """The file in pieces of whole lines, which end in LF. Raises FileInvalid with the line of what is no text."""
        rest, line, read, start = b"", 1, 0, None
        for block in self._file.blocks():
            data = rest + block.data
            cut = data.rfind(b"\n") + 1
            if not cut and len(data) > _LINE_BYTES:
                cut = _whole_characters(data)
            start = None if block.end is None else block.end - len(data)
            read = block.bytes_read
            if cut:
                yield _Piece(_decoded(data[:cut], line, start), read - (len(data) - cut))
            line += line_ends(data[:cut])
            rest = data[cut:]
            start = None if start is None else start + cut
        if rest:
            yield _Piece(_decoded(rest, line, start), read)


class Markdown(Text):
    """A Markdown or MDX file. Its front matter is in the table's details, and no part."""

    _words = "headings"

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        head = "\n"
        for piece in self._pieces():
            head = piece.text[:_HEAD_CHARS]
            break
        found = _FRONT_MATTER.match(head)
        self._body_at = found.end() if found else 0
        self._front_matter = found[1] if found else ""
        title = _TITLE.search(head, self._body_at)
        self._title = _without_closing(title[1]) if title else None

    def _details(self) -> dict[str, Any]:
        found = _ENTRY.findall(self._front_matter)
        entries = {name.lower(): _unquoted(value.rstrip()) for name, value in found}
        wanted = ("title", "author", "date", "created", "description", "keywords", "language")
        details = {name: entries.get(name) for name in wanted}
        details["title"] = details["title"] or self._title
        details["language"] = details["language"] or entries.get("lang")
        return without_nothing({**details, "front_matter": self._front_matter})

    def _parts(self) -> Iterator[Part]:
        section = _Section()
        read = 0
        for number, piece in enumerate(self._pieces()):
            text = piece.text[self._body_at :] if number == 0 else piece.text
            read = piece.bytes_read
            for line in _LINE.findall(text):
                yield from (Part(done, None, read) for done in section.take(line))
        yield Part(section.end(), None, read)


class _Section:
    """Lines up to the next heading; none is looked for in fenced code."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._chars = 0
        self._fence = ""
        self._paragraph_at = 0  # the first line of the one that may go on

    def take(self, line: str) -> Iterator[str]:
        """The section that ends before this line or, by its underline, before the paragraph above it."""
        fence = _FENCE.match(line)
        goes_on = False
        if self._fence:
            if fence and fence[1].startswith(self._fence) and not line[fence.end() :].strip():
                self._fence = ""
        elif fence:
            self._fence = fence[1]
        elif _HEADING.match(line):
            yield self.end()
        elif _UNDERLINE.match(line):
            yield from self._end_above()
        else:
            goes_on = bool(line.strip())
        self._lines.append(line)
        self._chars += len(line)
        if not goes_on:
            self._paragraph_at = len(self._lines)
        if self._chars > PIECE_CHARS:
            yield self.end()

    def end(self) -> str:
        """What there is."""
        text = "".join(self._lines)
        self._lines, self._chars, self._paragraph_at = [], 0, 0
        return text

    def _end_above(self) -> Iterator[str]:
        """A paragraph that is underlined is a heading; one that cannot be (a list, quote or table) stays."""
        at = self._paragraph_at
        heading = self._lines[at:]
        chars = sum(map(len, heading))
        if not heading or chars > PART_CHARS_MAX or _NOT_UNDERLINED.match(heading[0]):
            return
        self._lines = self._lines[:at]
        yield self.end()
        self._lines, self._chars = heading, chars


def _without_closing(title: str) -> str:
    """A heading without the signs that may close it: `C #` is `C`, `C#` is as it is."""
    text = title.rstrip()
    open_text = text.rstrip("#")
    return open_text.rstrip() if not open_text or open_text[-1] in " \t" else text


def _unquoted(value: str) -> str:
    """A value without the quotes around it; one that begins or ends with one alone keeps it."""
    is_quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if is_quoted else value


def _decoded(data: bytes, line: int, start: int | None) -> str:
    check_utf8(data, line, start)
    if b"\0" in data:
        raise FileInvalid(
            f"There is a NUL byte in line {line + line_ends(data[: data.index(0)])}, so this is not UTF-8 text.",
            hint="If the file is UTF-16, set the encoding to utf-16-le or utf-16-be.",
        )
    return data.decode().replace("\r\n", "\n").replace("\r", "\n")


def _whole_characters(data: bytes) -> int:
    """Where the last whole character ends; a CR at the end may be half of a line end."""
    end = len(data)
    for back in range(1, 5):
        if data[-back] not in _INSIDE:
            width = 1 + sum(data[-back] >= least for least in _FIRST_OF_MORE)
            end -= back if width > back else 0
            break
    return end - 1 if data[end - 1 : end] == b"\r" else end
