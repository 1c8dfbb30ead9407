"""The slides of a PPT file in the order of the show, out of its records (see [MS-PPT]): texts of shapes, and notes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.errors import FileInvalid
from connectors.files.compound import Container

_HEADER = struct.Struct("<HHI")  # version and instance, type, bytes that follow
_LONG = struct.Struct("<I")
_CONTAINER = 0xF  # the version of a record of records
_DEPTH_MAX = 64
_EDITS_MAX = 10_000
_CURRENT_EDIT_AT = 16  # in the stream `Current User`
_EDIT = struct.Struct("<8xIII")  # the edit before, the directory, the document's number
_PERSISTED = struct.Struct("<I8xI")  # a slide's place in the directory, and its id

_SLIDE_ATOM, _PERSIST, _LIST, _USER_EDIT = 0x03EF, 0x03F3, 0x0FF0, 0x0FF5
_OUTLINE_TEXT, _TEXT_TYPE, _CHARS, _BYTES = 0x0F9E, 0x0F9F, 0x0FA0, 0x0FA8
_SLIDES, _NOTES = 0, 2  # instances of the lists
_NOTES_ID_AT = 16
_NOTES_TEXT = 2
_SLIDE_NUMBER = "*"


@dataclass(frozen=True, slots=True)
class Slide:
    """What is on a slide, and said to it."""

    text: str
    notes: str


@dataclass(frozen=True, slots=True)
class _Record:
    """`start` and `end` are those of what follows its header."""

    type: int
    instance: int
    is_container: bool
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Listed:
    """A slide of a list: where it is in the directory, its id, and its texts in the outline."""

    persist: int
    id: int
    texts: list[str]


def read(data: bytes) -> list[Slide] | None:
    """The slides; None where the records cannot be followed."""
    try:
        container = Container(data)
        user, document = container.stream("Current User"), container.stream("PowerPoint Document")
        return list(_Show(document, user).slides()) if user and document else None
    except (FileInvalid, struct.error, ValueError, KeyError, IndexError):
        return None


class _Show:
    """The current edit of a presentation. Whatever is not where it should be raises one of the errors above."""

    def __init__(self, data: bytes, user: bytes) -> None:
        self._data = data
        self._left = (
            len(data) // 2
        )  # records: twice those that there can be, as some are looked at twice
        self._offsets: dict[int, int] = {}
        self._document = self._edits(_LONG.unpack_from(user, _CURRENT_EDIT_AT)[0])

    def slides(self) -> Iterator[Slide]:
        """In the order of the show."""
        lists = {
            record.instance: list(self._listed(record))
            for record in self._records(self._at(self._document))
            if record.type == _LIST
        }
        notes = {each.id: each for each in lists.get(_NOTES, [])}
        for listed in lists.get(_SLIDES, []):
            slide = self._at(listed.persist)
            text = "\n".join(text for _, text in self._texts(slide, listed.texts))
            said = notes.get(self._notes_id(slide))
            yield Slide(text, self._notes(said) if said else "")

    def _notes(self, listed: _Listed) -> str:
        found = self._texts(self._at(listed.persist), listed.texts)
        return "\n".join(text for kind, text in found if kind == _NOTES_TEXT)

    def _edits(self, at: int) -> int:
        """Follow the edits from the newest back; the number of the document in the newest."""
        document = 0
        for _ in range(_EDITS_MAX):
            record = self._record(at)
            if record.type != _USER_EDIT:
                raise ValueError("no edit")
            before, directory, found = _EDIT.unpack_from(self._data, record.start)
            document = document or found
            self._directory(self._record(directory))
            if not before:
                return document
            at = before
        raise ValueError("edits without end")

    def _directory(self, record: _Record) -> None:
        """Where objects are, by their numbers; those of newer edits stay."""
        at = record.start
        while at + _LONG.size <= record.end:
            (entry,) = _LONG.unpack_from(self._data, at)
            first, count = entry & 0xFFFFF, entry >> 20
            offsets = struct.unpack_from(f"<{count}I", self._data, at + _LONG.size)
            for number, offset in enumerate(offsets, first):
                self._offsets.setdefault(number, offset)
            at += _LONG.size * (1 + count)

    def _at(self, number: int) -> _Record:
        return self._record(self._offsets[number])

    def _record(self, at: int) -> _Record:
        self._left -= 1
        if self._left < 0:
            raise ValueError("records that hold each other")
        version, kind, size = _HEADER.unpack_from(self._data, at)
        start = at + _HEADER.size
        if start + size > len(self._data):
            raise ValueError("cut off")
        is_container = version & 0xF == _CONTAINER
        return _Record(kind, version >> 4, is_container, start, start + size)

    def _records(self, parent: _Record) -> Iterator[_Record]:
        at = parent.start
        while at + _HEADER.size <= parent.end:
            record = self._record(at)
            yield record
            at = record.end

    def _listed(self, parent: _Record) -> Iterator[_Listed]:
        latest: _Listed | None = None
        for record in self._records(parent):
            if record.type == _PERSIST:
                if latest:
                    yield latest
                persist, number = _PERSISTED.unpack_from(self._data, record.start)
                latest = _Listed(persist, number, [])
            elif latest and record.type in {_CHARS, _BYTES}:
                latest.texts.append(self._text(record))
        if latest:
            yield latest

    def _notes_id(self, slide: _Record) -> int:
        for record in self._records(slide):
            if record.type == _SLIDE_ATOM:
                return int(_LONG.unpack_from(self._data, record.start + _NOTES_ID_AT)[0])
        return 0

    def _texts(
        self, parent: _Record, outline: list[str], depth: int = 0
    ) -> Iterator[tuple[int | None, str]]:
        """The texts of shapes with their types; those in the outline are named by their place there."""
        kind: int | None = None
        for record in self._records(parent):
            text = ""
            if record.is_container and depth < _DEPTH_MAX:
                yield from self._texts(record, outline, depth + 1)
            elif record.type == _TEXT_TYPE:
                (kind,) = _LONG.unpack_from(self._data, record.start)
            elif record.type in {_CHARS, _BYTES}:
                text = self._text(record)
            elif record.type == _OUTLINE_TEXT:
                (place,) = _LONG.unpack_from(self._data, record.start)
                text = outline[place]
            if text.strip() and text != _SLIDE_NUMBER:
                yield kind, text

    def _text(self, record: _Record) -> str:
        data = self._data[record.start : record.end]
        text = data.decode("utf-16-le") if record.type == _CHARS else data.decode("latin-1")
        return text.replace("\r", "\n").replace("\v", "\n")
