"""DOCX and PPTX files: their XML is read in a stream, the text as it is, in the order of the document.

What is shown is read: insertions but not deletions, text boxes, tables (a line a row, tabs between cells), footnotes,
headers, speaker notes. Embedded files and pictures are not opened.
"""

from __future__ import annotations

import contextlib
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from connectors.connector import Connection
from connectors.errors import FileInvalid
from connectors.files import archive, compound
from connectors.files.parts import Part, Parts, without_nothing
from connectors.files.source import named

_HEADING = re.compile(r"(?:heading [1-9]|title)", re.IGNORECASE)
_RELATED = ("footnotes", "endnotes", "header", "footer")  # read behind a text document's body
_FIXED = frozenset(
    {"sldNum", "dt", "ftr", "hdr", "sldImg"}
)  # placeholders that repeat on slides and notes
_HIDDEN = frozenset(
    {"Fallback", "moveFrom", "del"}
)  # what is shown otherwise, elsewhere, or no more
_CHARACTERS = {"br": "\n", "cr": "\n", "noBreakHyphen": "\N{NON-BREAKING HYPHEN}"}
_BODY_LEVEL = "9"  # of the outline
_CORE = {
    "title": "title",
    "creator": "author",
    "subject": "subject",
    "keywords": "keywords",
    "description": "description",
    "language": "language",
    "created": "created",
    "modified": "modified",
    "lastModifiedBy": "modified_by",
}


@dataclass(frozen=True, slots=True)
class _Paragraph:
    """`style` is the id of its style, `is_outlined` whether it is in the outline by itself."""

    text: str
    style: str = ""
    is_outlined: bool = False


class _Paragraphs:
    """Takes XML events of WordprocessingML or DrawingML, and puts paragraphs into `found`."""

    def __init__(self, found: list[_Paragraph]) -> None:
        self._found = found
        self._texts: list[list[str]] = []  # of the open paragraphs: a text box is inside one
        self._style = ""
        self._is_outlined = False
        self._tables: list[list[list[list[str]]]] = []  # rows of the open tables, cells, paragraphs
        self._skipped = 0  # depth in what is not shown
        self._takes_text = False
        self._placeholder = ""

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        """An element begins."""
        name = tag.rpartition("}")[2]
        if self._skipped or name in _HIDDEN:
            self._skipped += 1
        elif name in _CHARACTERS:
            self._add(_CHARACTERS[name])
        elif name == "tab" and not attributes:  # with attributes it is a tab stop
            self._add("\t")
        elif name in {"tbl", "tr", "tc"}:
            self._open_table(name)
        elif name == "p":
            self._texts.append([])
            self._style, self._is_outlined = "", False
        elif name == "t":
            self._takes_text = True
        else:
            self._note(name, attributes)

    def _note(self, name: str, attributes: Mapping[str, str]) -> None:
        """What is said of a paragraph or shape."""
        if name == "sp":
            self._placeholder = ""
        elif name == "ph":
            self._placeholder = attributes.get("type", "")
        elif name == "pStyle":
            self._style = _value(attributes)
        elif name == "outlineLvl":
            self._is_outlined = _value(attributes) != _BODY_LEVEL

    def end(self, tag: str) -> None:
        """An element ends."""
        if self._skipped:
            self._skipped -= 1
            return
        name = tag.rpartition("}")[2]
        if name == "t":
            self._takes_text = False
        elif name == "p" and self._texts:
            self._end_paragraph("".join(self._texts.pop()))
        elif name == "tbl" and self._tables:
            rows = self._tables.pop()
            text = "\n".join("\t".join(" ".join(cell).strip() for cell in row) for row in rows)
            self._style, self._is_outlined = "", False
            self._end_paragraph(text)

    def data(self, text: str) -> None:
        """Characters inside an element."""
        if self._takes_text and not self._skipped:
            self._add(text)

    def close(self) -> None:
        """The part ends."""

    def _add(self, text: str) -> None:
        if self._texts:
            self._texts[-1].append(text)

    def _open_table(self, name: str) -> None:
        if name == "tbl":
            self._tables.append([])
        elif name == "tr" and self._tables:
            self._tables[-1].append([])
        elif self._tables and self._tables[-1]:
            self._tables[-1][-1].append([])

    def _end_paragraph(self, text: str) -> None:
        if self._placeholder in _FIXED:
            return
        row = self._tables[-1][-1] if self._tables and self._tables[-1] else None
        if row:  # inside a cell, whose paragraphs make one line
            if line := " ".join(text.split("\n")).rstrip():
                row[-1].append(line)
        elif row is None and text.strip():
            self._found.append(_Paragraph(text, self._style, self._is_outlined))


class _Office(Parts):
    """What DOCX and PPTX have in common: an archive that is checked once, and open until `close`."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        compound.check(self._path, named(self._kind))
        self._size = self._path.stat().st_size
        self._said: dict[str, Any] = {}
        with contextlib.ExitStack() as opened:
            checked = archive.checked(self._path, named(self._kind))
            self._office = opened.enter_context(checked)
            self._main = _main(self._office)
            self._prepare()
            self._opened = opened.pop_all()

    def close(self) -> None:
        """Close the archive; safe to call twice."""
        self._opened.close()

    def _prepare(self) -> None:
        """Read what the document says of itself."""
        self._said = _core(self._office)

    def _details(self) -> dict[str, Any]:
        return self._said

    def _related(self, part: str, kind: str) -> list[str]:
        """The parts of that kind that a part leads to."""
        related = _related(self._office, part).values()
        return [target for type_, target in related if type_ == kind]


class WordDocument(_Office):
    """A DOCX file: a part a heading with what is below it, then footnotes, headers and footers."""

    _words = "headings"

    def _parts(self) -> Iterator[Part]:
        headings = _heading_styles(self._office)
        section: list[str] = []
        chars = 0
        for each in _paragraphs(self._office, self._main):
            is_heading = each.is_outlined or each.style in headings
            if is_heading or chars > archive.BLOCK_BYTES:
                yield self._part(section)
                section, chars = [], 0
            section.append(each.text)
            chars += len(each.text)
        yield self._part(section)
        seen = set()
        for kind in _RELATED:
            for target in self._related(self._main, kind):
                text = _joined(self._office, target, "\n\n")
                if text not in seen:
                    seen.add(text)
                    yield self._part([text])

    def _part(self, section: list[str]) -> Part:
        return Part("\n\n".join(section), None, self._size)


class Presentation(_Office):
    """A PPTX file: a part a slide, in the order of the show, with its speaker notes."""

    _words = "slides"
    _page = "the number of the slide"

    def _prepare(self) -> None:
        super()._prepare()
        self._slides = _slides(self._office, self._main)
        self._said["slide_count"] = len(self._slides)

    def _parts(self) -> Iterator[Part]:
        for number, slide in enumerate(self._slides, 1):
            text = _joined(self._office, slide, "\n")
            for target in self._related(slide, "notesSlide"):
                notes = _joined(self._office, target, "\n")
                text += f"\n\nNotes:\n{notes}" if notes.strip() else ""
            yield Part(text, number, self._size)


def _paragraphs(office: archive.Office, part: str) -> Iterator[_Paragraph]:
    """The paragraphs of a part; none of one that is not there."""
    found: list[_Paragraph] = []
    parser = ET.XMLParser(target=_Paragraphs(found))  # noqa: S314 - document types are refused before
    is_there = False
    try:
        for block in office.blocks(part):
            is_there = True
            parser.feed(block)
            yield from found
            found.clear()
        if is_there:
            parser.close()
    except ET.ParseError as error:
        raise _broken(office, part) from error
    yield from found


def _joined(office: archive.Office, part: str, between: str) -> str:
    return between.join(paragraph.text for paragraph in _paragraphs(office, part))


def _tree(office: archive.Office, part: str) -> Iterator[ET.Element]:
    """The elements of a small part; none of one that is not there."""
    data = b"".join(office.blocks(part))
    if not data:
        return iter(())
    if len(data) > archive.INDEX_BYTES_MAX:
        raise FileInvalid(
            f"The {office.kind} file's part {part[:100]} is larger than {archive.INDEX_BYTES_MAX:,} bytes."
        )
    try:
        return ET.fromstring(data).iter()  # noqa: S314 - document types are refused before
    except ET.ParseError as error:
        raise _broken(office, part) from error


def _broken(office: archive.Office, part: str) -> FileInvalid:
    return FileInvalid(
        f"The {office.kind} file's part {part[:100]} is broken.",
        hint="Open it in an office program and save it again, or upload it again.",
    )


def _related(office: archive.Office, part: str) -> dict[str, tuple[str, str]]:
    """By the id of the relationship, its type's last word and the part that it leads to."""
    folder, _, name = part.rpartition("/")
    found = {}
    for element in _tree(office, f"{folder}/_rels/{name}.rels".lstrip("/")):
        if element.get("TargetMode") != "External" and element.get("Target"):
            target = posixpath.normpath(posixpath.join("/", folder, element.get("Target", "")))
            type_ = element.get("Type", "").rpartition("/")[2]
            found[element.get("Id", "")] = (type_, target.lstrip("/"))
    return found


def _main(office: archive.Office) -> str:
    """The part that holds the document: some programs call it `word/document2.xml`."""
    related = _related(office, "").values()
    found = next((target for type_, target in related if type_ == "officeDocument"), "")
    return found if found in office.scans else archive.MAIN_PARTS[office.kind]


def _slides(office: archive.Office, main: str) -> list[str]:
    """The slides' parts in the order of the show."""
    related = _related(office, main)
    ids = [
        next((value for name, value in element.items() if name.endswith("}id")), "")
        for element in _tree(office, main)
        if element.tag.rpartition("}")[2] == "sldId"
    ]
    slides = [related[each][1] for each in ids if each in related]
    if any(slide not in office.scans for slide in slides) or len(slides) < len(ids):
        raise FileInvalid("The PPTX file is damaged: a slide is missing.", hint="Save it again.")
    return slides


def _heading_styles(office: archive.Office) -> set[str]:
    """Ids of the paragraph styles that are headings: by their name, or their place in the outline."""
    found: set[str] = set()
    style = ""
    for element in _tree(office, "word/styles.xml"):
        name = element.tag.rpartition("}")[2]
        if name == "style":
            style = next((value for key, value in element.items() if key.endswith("}styleId")), "")
        elif (name == "name" and _HEADING.fullmatch(_value(element.attrib))) or (
            name == "outlineLvl" and _value(element.attrib) != _BODY_LEVEL
        ):
            found.add(style)
    return found


def _core(office: archive.Office) -> dict[str, Any]:
    """What the document says of itself."""
    texts = {
        element.tag.rpartition("}")[2]: element.text
        for element in _tree(office, "docProps/core.xml")
    }
    return without_nothing({ours: texts.get(theirs) for theirs, ours in _CORE.items()})


def _value(attributes: Mapping[str, str]) -> str:
    return next((value for name, value in attributes.items() if name.endswith("}val")), "")
