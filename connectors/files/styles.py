"""Numbers in a workbook that look like moments, and are none.

To a spreadsheet a date is a number with a format. It has no dates and times below zero, only durations, and its 60 is
the 29th of February 1900, a day that never was. Of such numbers the parser makes other moments.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO
from xml.etree import ElementTree as ET

_STYLES, _BOOK = "xl/styles.xml", "xl/workbook.xml"
_BOOK_BYTES_MAX = 4 * 1024**2
_OF_1904 = re.compile(rb"""workbookPr [^<>]*date1904\s*=\s*["'](?:1|true)["']""")
_BUILT_IN = frozenset({*range(14, 23), *range(27, 37), 45, 47, *range(50, 59)})  # some by country
_ASIDE = r'"[^"]*"|[\\_].|\[[^\]]*\]'  # of a format: texts, single characters, colours
_IS_DURATION = re.compile(rf'(?:{_ASIDE}|[^dmhys"\\_\[])*?\[(?:h+|m+|s+)\]', re.IGNORECASE)
_SIGNED = (  # a style, a formula, and a number below zero, or 60 and perhaps a fraction of a day
    rb"""\ss\s*=\s*["'](?:%s)["'][^<>]*>(?:<[^<>/]*f(?:\s[^<>]*)?(?:/>|>[^<]*</[^<>]*f>))?"""
    rb"<[^<>/]*v>(?:-|60(?:\.[0-9]*)?<)"
)
_LEAST_DAYS = 0.5e-6 / 86_400  # what is closer to zero is midnight, to the microsecond
_NEVER_WAS = 60


@dataclass(frozen=True, slots=True)
class Moments:
    """The styles, by their numbers, that make a moment of a number; in a calendar from 1904 on, of 60 as well."""

    styles: frozenset[bytes]
    is_of_1904: bool

    def may_be_in(self, cells: bytes) -> bool:
        """Whether one of the cells may hold a number that is none."""
        signed = _SIGNED % b"|".join(self.styles)  # compiled once, by the cache of `re`
        return (b"v>-" in cells or b"v>60" in cells) and re.search(signed, cells) is not None

    def is_none(self, style: bytes, number: bytes) -> bool:
        """Whether a number of that style looks like a moment, and is none."""
        if style not in self.styles:
            return False
        try:
            days = float(number)
        except ValueError:
            return False
        never_was = _NEVER_WAS <= days < _NEVER_WAS + 1 and not self.is_of_1904
        return never_was or days <= -_LEAST_DAYS


def moments_of(archive: zipfile.ZipFile) -> Moments:
    """What a checked workbook says of that; what is broken is the parser's to refuse."""
    try:
        with archive.open(_STYLES) as styles, archive.open(_BOOK) as book:
            is_of_1904 = _OF_1904.search(book.read(_BOOK_BYTES_MAX)) is not None
            return Moments(_of_moments(styles), is_of_1904)
    except (KeyError, ET.ParseError):
        return Moments(frozenset(), is_of_1904=False)


def is_rounded(number: bytes) -> bool:
    """Whether no double is equal to a whole number."""
    return int(float(number)) != int(number)


def _of_moments(file: IO[bytes]) -> frozenset[bytes]:
    """The styles whose format is that of a date or a time, and not of a duration."""
    codes: dict[str, str] = {}
    formats: list[str] = []
    for part, element in _parts(file):
        name = element.tag.rpartition("}")[2]
        if name == "numFmt":
            codes.setdefault(element.get("numFmtId", ""), element.get("formatCode", ""))
        elif name == "xf" and part == "cellXfs":
            formats.append(element.get("numFmtId", ""))
    made = {str(number) for number in _BUILT_IN} | {
        number for number, code in codes.items() if _is_moment(code)
    }
    return frozenset(b"%d" % place for place, number in enumerate(formats) if number in made)


def _parts(file: IO[bytes]) -> Iterator[tuple[str, ET.Element]]:
    """Every element behind its end, with the part of the document that it is in; it is emptied then."""
    path: list[str] = []
    for event, element in ET.iterparse(file, ("start", "end")):  # noqa: S314 - document types are refused before
        if event == "start":
            path.append(element.tag.rpartition("}")[2])
        else:
            path.pop()
            yield path[1] if len(path) > 1 else "", element
            element.clear()


def _is_moment(code: str) -> bool:
    if _IS_DURATION.match(code):
        return False
    return re.search(r"[dmhys]", re.sub(_ASIDE, "", code), re.IGNORECASE) is not None
