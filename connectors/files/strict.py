"""Workbooks that the parser refuses for a word, or of which it takes numbers for others, written anew for it.

It does not know the names of strict Open XML, nor error values that came after Excel 2007. A number that looks like a
moment and is none loses its format, and one that no double holds becomes a text. What is no XML is left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from connectors.files import archive, styles
from connectors.files.archive import SheetScan
from connectors.files.styles import Moments

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
_NUMBER = re.compile(  # a cell's tag, what is before its number, and that
    rb"(<(?:[A-Za-z0-9_]{1,19}:)?c(?: [^<>]*|\s[^<>]*)?>)"
    rb"((?:<[^<>/]*f(?:\s[^<>]*)?(?:/>|>[^<]*</[^<>]*f>))?<[^<>/]*v>)"
    rb"(-?[0-9][0-9.eE+-]{0,300})(?=</)"
)
_STYLE = re.compile(rb"""\ss\s*=\s*["']([0-9]+)["']""")
_TYPE = re.compile(rb"""\st\s*=\s*["']([^"']*)["']""")
_IS_LONG = re.compile(rb"-?[0-9]{16,300}")
_CELL_BYTES_MAX = 64 * 1024  # in which a formula has 8,192 characters


def is_needed(path: Path, scans: Sequence[SheetScan]) -> bool:
    """Whether a checked workbook has to be written anew."""
    if any(scan.is_odd for scan in scans):
        return True
    if not any(scan.may_be_odd for scan in scans):
        return False
    with zipfile.ZipFile(path) as book:
        moments = styles.moments_of(book)
        parts = filter(archive.is_xml, book.infolist()) if moments.styles else ()
        return any(
            moments.may_be_in(cells)
            for part in parts
            for cells in _whole_cells(archive.blocks(book, part))
        )


def rewritten(path: Path) -> BinaryIO:
    """A checked workbook, as the parser takes it."""
    made = io.BytesIO()
    with (
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
    ):
        moments = styles.moments_of(old)
        for part in filter(archive.is_xml, old.infolist()):
            with new.open(part.filename, "w", force_zip64=True) as file:
                for block in _whole_cells(archive.blocks(old, part)):
                    file.write(_written(block, moments))
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


def _written(block: bytes, moments: Moments) -> bytes:
    if archive.STRICT in block:
        for pattern, name in _NAMED:
            block, found = pattern.subn(name, block)
            while found:  # several in a tag
                block, found = pattern.subn(name, block)
    block = _ERROR.sub(_error, block) if b">#" in block else block
    return _NUMBER.sub(partial(_number, moments), block)


def _number(moments: Moments, found: re.Match[bytes]) -> bytes:
    tag, before, number = found.groups()
    type_ = _TYPE.search(tag)
    if type_ and type_[1] != b"n":
        return found[0]
    if _IS_LONG.fullmatch(number) and styles.is_rounded(number):
        tag = _TYPE.sub(b"", tag)[:-1] + b' t="str">'
    style = _STYLE.search(tag)
    if style and moments.is_none(style[1], number):
        tag = tag.replace(style[0], b"")
    return tag + before + number


def _error(found: re.Match[bytes]) -> bytes:
    return found[1] + (found[2] if found[2] in archive.ERRORS else b"#N/A")
