"""Old Office documents and encrypted new ones are OLE2 containers: a small file system with a directory of streams."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from connectors.errors import FileInvalid, misnamed
from connectors.files.archive import encrypted

MAGIC = b"\xd0\xcf\x11\xe0"
_SECTOR_BYTES = 512
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_STREAMS = {  # by what the directory lists, what the container is
    "WordDocument": ("DOC", "a text document (DOC)"),
    "PowerPoint Document": ("PPT", "a presentation (PPT)"),
    "Workbook": ("XLS", "a workbook (XLS)"),
    "Book": ("XLS", "a workbook (XLS)"),
}
_WORD_MAGIC = b"\xec\xa5"
_WORD_FLAGS_AT = 10
_WORD_IS_ENCRYPTED = 0x01  # of the flags' second byte
_POWERPOINT_IS_ENCRYPTED = b"\xdf\xc4\xd1\xf3"  # of the stream `Current User`


_WORKBOOK_IS_ENCRYPTED = b"\x2f\x00"  # FILEPASS
_HEADER = struct.Struct("<8s16sHHHHH6sIIIIIIIII")
_ENTRY = struct.Struct("<64sHB49xIQ")
_SHIFTS = (9, 12)  # sectors of 512 or 4096 bytes
_MINI_SHIFT = 6
_DIFAT_OF_HEADER = 109
_END = 0xFFFFFFFA  # sector numbers from here on mean something else
_STREAM, _ROOT = 2, 5


def is_one(data: bytes) -> bool:
    """Whether a file that starts so is a container."""
    return data.startswith(MAGIC)


def check(path: Path, kind: str) -> None:
    """Raise FileInvalid for a container that is encrypted, or of another kind than that (`DOC`, `XLSX`, …).

    What is no container at all passes: its parser says why.
    """
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(_ENCRYPTED) >= 0:
                raise encrypted(kind)
            found = [each for name, each in _STREAMS.items() if _lists(data, name)]
            if all(each != kind for each, _ in found):
                what = found[0][1] if found else "an old Office document of another kind"
                raise misnamed(kind, what)
            if _has_password(data, kind):
                raise encrypted(kind)


def _lists(data: mmap.mmap, name: str) -> bool:
    """Whether a directory entry has this name: 64 bytes of UTF-16, zeros behind it, on a sector's 128 bytes."""
    wanted = name.encode("utf-16-le").ljust(64, b"\0")
    at = data.find(wanted)
    while at >= 0:
        if at % 128 == 0:
            return True
        at = data.find(wanted, at + 1)
    return False


def _has_password(data: mmap.mmap, kind: str) -> bool:
    if kind == "PPT":
        return data.find(_POWERPOINT_IS_ENCRYPTED) >= 0
    if kind == "DOC":
        at = data.find(_WORD_MAGIC)
        while at >= 0:
            if at % _SECTOR_BYTES == 0:
                return bool(data[at + _WORD_FLAGS_AT + 1] & _WORD_IS_ENCRYPTED)
            at = data.find(_WORD_MAGIC, at + 1)
    if kind == "XLS":  # the second record of the workbook says how it is encrypted
        try:
            book = Container(data).stream("Workbook") or b""
        except (FileInvalid, struct.error, ValueError):
            return False  # the parser says what is wrong with it
        second = 4 + int.from_bytes(book[2:4], "little")
        return book[second : second + 2] == _WORKBOOK_IS_ENCRYPTED
    return False


@dataclass(frozen=True, slots=True)
class _Entry:
    """A stream of the directory: where it starts, and its bytes."""

    name: str
    kind: int
    start: int
    size: int


class Container:
    """The streams of a container. What is broken in one ends it: nothing is read twice."""

    def __init__(self, data: bytes | mmap.mmap) -> None:
        if len(data) < _HEADER.size:
            raise _broken()
        header = _HEADER.unpack_from(data)
        shift, mini_shift = header[5:7]
        _, fats, directory, _, cutoff, minis, _, difat, _ = header[8:]
        if shift not in _SHIFTS or mini_shift != _MINI_SHIFT:
            raise _broken()
        self._data = data
        self._sector = 1 << shift
        self._cutoff = cutoff
        self._fat = self._table(fats, difat)
        self._entries = list(self._directory(directory))
        root = next((each for each in self._entries if each.kind == _ROOT), None)
        self._mini = b"".join(self._chain(root.start, self._fat)) if root else b""
        self._mini_fat = np.frombuffer(b"".join(self._chain(minis, self._fat)), "<u4")

    def stream(self, name: str) -> bytes | None:
        """A stream's bytes by its name; None where there is none."""
        found = next(
            (each for each in self._entries if each.name == name and each.kind == _STREAM), None
        )
        if found is None:
            return None
        if found.size >= self._cutoff:
            return b"".join(self._chain(found.start, self._fat))[: found.size]
        pieces = (
            self._mini[at << _MINI_SHIFT : (at + 1) << _MINI_SHIFT]
            for at in _linked(found.start, self._mini_fat)
        )
        return b"".join(pieces)[: found.size]

    def _table(self, count: int, difat: int) -> npt.NDArray[np.uint32]:
        """Which sector follows each: its own sectors are listed in the header, then in a chain."""
        listed = list(struct.unpack_from(f"<{_DIFAT_OF_HEADER}I", self._data, _HEADER.size))
        seen: set[int] = set()
        while difat < _END and difat not in seen:
            seen.add(difat)
            *more, difat = struct.unpack(f"<{self._sector // 4}I", self._at(difat))
            listed += more
        sectors = [self._at(each) for each in listed[:count] if each < _END]
        return np.frombuffer(b"".join(sectors), "<u4")

    def _at(self, sector: int) -> bytes:
        start = (sector + 1) * self._sector
        data = self._data[start : start + self._sector]
        if not data:
            raise _broken()
        return data.ljust(self._sector, b"\0")

    def _chain(self, start: int, table: npt.NDArray[np.uint32]) -> Iterator[bytes]:
        return (self._at(sector) for sector in _linked(start, table))

    def _directory(self, start: int) -> Iterator[_Entry]:
        for sector in self._chain(start, self._fat):
            for at in range(0, self._sector, _ENTRY.size):
                name, length, kind, first, size = _ENTRY.unpack_from(sector, at)
                if kind:
                    text = name[: max(length - 2, 0)].decode("utf-16-le", errors="replace")
                    yield _Entry(text, kind, first, size)


def opened(data: bytes | mmap.mmap) -> Container | None:
    """The container, or None where it is broken. Its streams may be broken nonetheless."""
    try:
        return Container(data)
    except (FileInvalid, struct.error, ValueError):
        return None


def _linked(start: int, table: npt.NDArray[np.uint32]) -> Iterator[int]:
    """Sectors from one on. Raises FileInvalid for a chain that leads nowhere or round in a circle."""
    steps = 0
    while start < _END:
        if start >= len(table) or steps > len(table):
            raise _broken()
        yield start
        start = int(table[start])
        steps += 1


def _broken() -> FileInvalid:
    return FileInvalid("The file is damaged or cut off.", hint="Save it again, or upload it again.")
