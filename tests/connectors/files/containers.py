"""Writes OLE2 containers and PPT files, as no program does that is at hand here."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

_SECTOR = 512
_END, _FREE, _FAT = 0xFFFFFFFE, 0xFFFFFFFF, 0xFFFFFFFD
_CUTOFF = 4096


def container(streams: Mapping[str, bytes]) -> bytes:
    """A container of these streams, each padded to a size that needs no small sectors."""
    padded = {name: data.ljust(_CUTOFF, b"\0") for name, data in streams.items()}
    fat = [_FAT, _END]  # the table itself, then the directory
    body = b""
    entries = _entry("Root Entry", 5, _END, 0, child=1)
    for number, (name, data) in enumerate(padded.items(), 1):
        start, count = len(fat), -(-len(data) // _SECTOR)
        fat += [*range(start + 1, start + count), _END]
        body += data.ljust(count * _SECTOR, b"\0")
        right = number + 1 if number < len(padded) else _FREE
        entries += _entry(name, 2, start, len(data), right=right)
    table = struct.pack(f"<{len(fat)}I", *fat).ljust(_SECTOR, b"\xff")
    assert len(table) == len(entries.ljust(_SECTOR, b"\0")) == _SECTOR
    magic = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".ljust(24, b"\0")
    sizes = struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    places = struct.pack("<9I", 0, 1, 1, 0, _CUTOFF, _END, 0, _END, 0)
    return magic + sizes + places + struct.pack("<109I", 0, *[_FREE] * 108) + table + entries.ljust(_SECTOR, b"\0") + body  # fmt: skip


def _entry(
    name: str, kind: int, start: int, size: int, *, child: int = _FREE, right: int = _FREE
) -> bytes:
    encoded = name.encode("utf-16-le")
    links = struct.pack("<III", _FREE, right, child)
    head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded) + 2, kind, 1) + links
    return head + bytes(36) + struct.pack("<IQ", start, size)


@dataclass(frozen=True)
class Shown:
    """A slide of a show: a title that is in the outline, a text that is not, and notes."""

    title: str
    text: str = ""
    notes: str = ""
    number: int = field(default=0)


def _record(kind: int, data: bytes, *, instance: int = 0, holds: bool = False) -> bytes:
    version = (0xF if holds else 0) | instance << 4
    return struct.pack("<HHI", version, kind, len(data)) + data


def _text(text: str) -> bytes:
    if text.isascii():
        return _record(0x0FA8, text.encode())
    return _record(0x0FA0, text.encode("utf-16-le"))


def _typed(kind: int, text: bytes) -> bytes:
    return _record(0x0F9F, struct.pack("<I", kind)) + text


def _drawing(*boxes: bytes) -> bytes:
    shapes = b"".join(
        _record(0xF004, _record(0xF00D, box, holds=True), holds=True) for box in boxes
    )
    return _record(
        0x040C, _record(0xF002, _record(0xF003, shapes, holds=True), holds=True), holds=True
    )


def presentation(show: Sequence[Shown]) -> bytes:
    """A PPT file of these slides, which are stored in the opposite order."""
    document = b""
    offsets: dict[int, int] = {}

    def put(number: int, record: bytes) -> None:
        nonlocal document
        offsets[number] = len(document)
        document += record

    for at, slide in reversed(list(enumerate(show))):
        notes_id = 500 + at if slide.notes else 0
        atom = _record(0x03EF, bytes(16) + struct.pack("<II", notes_id, 0))
        boxes = [_record(0x0F9E, struct.pack("<I", 0)), _typed(4, _text(slide.text))]
        put(10 + at, _record(0x03EE, atom + _drawing(*boxes), holds=True))
        if slide.notes:
            said = _drawing(_typed(2, _text(slide.notes)), _typed(4, _text("*")))
            put(50 + at, _record(0x03F0, said, holds=True))
    listed = noted = b""
    for at, slide in enumerate(show):
        listed += _record(0x03F3, struct.pack("<IIIII", 10 + at, 0, 1, 256 + at, 0))
        listed += _typed(0, _text(slide.title))
        if slide.notes:
            noted += _record(0x03F3, struct.pack("<IIIII", 50 + at, 0, 0, 500 + at, 0))
    lists = _record(0x0FF0, listed, holds=True) + _record(0x0FF0, noted, instance=2, holds=True)
    put(1, _record(0x03E8, lists, holds=True))
    directory = len(document)
    document += _record(0x1772, b"".join(struct.pack("<II", number | 1 << 20, offset) for number, offset in offsets.items()))  # fmt: skip
    edit = len(document)
    document += _record(0x0FF5, struct.pack("<IIIII", 0, 0, 0, directory, 1) + bytes(8))
    user = _record(0x0FF6, struct.pack("<III", 20, 0xE391C05F, edit) + bytes(12))
    return container({"Current User": user, "PowerPoint Document": document})


def entangled(count: int) -> bytes:
    """A PPT file of so many records, each of which holds all that follow, as does what is behind it."""
    text = "x" * 16 * count
    whole = presentation([Shown("first", text)])
    units = b"".join(
        struct.pack("<HHIHHI", 0xF, 0xF00D, 8, 0xF, 0xF00D, 16 * left)
        for left in reversed(range(count))
    )
    plain = _text(text)
    assert whole.count(plain) == 1
    return whole.replace(plain, struct.pack("<HHI", 0xF, 0xF00D, len(units)) + units)
