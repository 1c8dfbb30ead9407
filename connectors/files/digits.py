"""Numbers that a float does not hold as they are written.

A text is held by a float if it is that float, rounded to as many digits as the text has: `0.1`, `1.10` and what `%.17g`
writes are, `0.1234567890123456789` is not.
"""

from __future__ import annotations

import re
from decimal import Decimal

_SHORT_CHARS = 16  # with a point; 15 digits are held whatever they are
_DIGITS_MAX = 800  # of a float that is written to its end
_LONG = re.compile(rb"[0-9][0-9.]{15,}(?:[eE][+-]?[0-9]+)?")
_EXTREME = re.compile(rb"[0-9][eE][+-]?[0-9]{3}")  # too small or too large, perhaps


class Number(float):
    """A number as it is written, for whoever wants all its digits."""

    text: str

    @property
    def is_held(self) -> bool:
        """Whether the float alone would do."""
        return is_held(self.text)


def number(text: str) -> Number:
    """The number of a text."""
    made = Number(text)
    made.text = text
    return made


def is_held(text: str) -> bool:
    """Whether a float holds the number with all its digits."""
    if len(text) <= _SHORT_CHARS and "e" not in text.lower():
        return True
    value = float(text)
    if repr(value) == text:
        return True
    written = Decimal(text)
    count = len(written.as_tuple().digits)
    if written == Decimal(repr(value)):
        return True
    return count <= _DIGITS_MAX and Decimal(f"{value:.{count - 1}e}") == written


def may_be_lost(data: bytes) -> bool:
    """Whether JSON text may hold a number that is changed where it is read as a float."""
    if _EXTREME.search(data):
        return True
    return any(not _is_safe(found) for found in _LONG.findall(data))


def _is_safe(found: bytes) -> bool:
    """False for whole numbers, too: past 16 digits they have a type of their own."""
    text = found.decode()
    if "." not in text and "e" not in text.lower():
        return False
    try:
        return is_held(text)
    except (ArithmeticError, ValueError):  # in a text, such as an address
        return False
