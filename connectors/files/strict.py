"""Workbooks that the parser refuses for a word: those of strict Open XML, and error values that came after Excel 2007.

They are written anew, the words alone being others; what is no XML is left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from connectors.files import archive

_NAMES = (
    (b"spreadsheetml/main", b"http://schemas.openxmlformats.org/spreadsheetml/2006/main"),
    (
        b"officeDocument/relationships",
        b"http://schemas.openxmlformats.org/officeDocument/2006/relationships",
    ),
)
_NAMED = tuple(  # in a tag, and not in a text
    (re.compile(rb"""(<[^<>]*=["'])""" + re.escape(archive.STRICT + old)), rb"\g<1>" + new)
    for old, new in _NAMES
)
_ERROR = re.compile(
    rb"""(<[^<>]* t=["']e["'][^<>]*>(?:<[^<>/]*f(?:/>|[ >][^<]*(?:</[^<>]*f>)?))?<[^<>/]*v>)(#[^<]*)"""
)
_CELL_BYTES_MAX = 64 * 1024  # in which a formula has 8,192 characters


def rewritten(path: Path) -> BinaryIO:
    """A checked workbook, as the parser takes it."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        for part in filter(archive.is_xml, old.infolist()):
            with new.open(part.filename, "w", force_zip64=True) as file:
                for block in _whole_cells(archive.blocks(old, part)):
                    file.write(_written(block))
    made.seek(0)
    return made


def _whole_cells(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """The blocks, none of which ends in the middle of a cell."""
    rest = b""
    for block in blocks:
        data = rest + block
        cell = max(data.rfind(b"<c "), data.rfind(b":c "))
        cut = max(data.rfind(b"<", 0, cell + 1), 0)
        if len(data) - cut > _CELL_BYTES_MAX:
            cut = len(data)
        yield data[:cut]
        rest = data[cut:]
    yield rest


def _written(block: bytes) -> bytes:
    if archive.STRICT in block:
        for pattern, name in _NAMED:
            block, found = pattern.subn(name, block)
            while found:  # several in a tag
                block, found = pattern.subn(name, block)
    return _ERROR.sub(_error, block) if b">#" in block else block


def _error(found: re.Match[bytes]) -> bytes:
    return found[1] + (found[2] if found[2] in archive.ERRORS else b"#N/A")
