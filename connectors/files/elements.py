"""Cuts JSON text into chunks of whole elements without parsing them: lines, or the elements of arrays of any size.

What brackets, braces and commas mean follows from where the strings are, and that from where their quotes are: vector
operations over a block. Whether an element is JSON is found out by whoever parses it.
"""

from __future__ import annotations

import json
import math
import sys
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from connectors.errors import FileInvalid
from connectors.files import digits
from connectors.files.batches import too_large
from connectors.files.source import Block

_COMMA, _OPEN, _QUOTE = b',["'
_STEPS = np.zeros(256, np.int8)  # how a byte outside strings changes the depth
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1
_IS_MARK = _STEPS != 0
_IS_MARK[_COMMA] = True
_IN_ARRAY, _IN_OBJECT = 1, 2  # how deep the elements of a document's arrays are
_KEY_BYTES_MAX = 64 * 1024
_SHOWN_CHARS = 60
_LINES = "A JSON file is one value. Files of one value a line end in .ndjson or .jsonl."
_TOO_LONG = "integer string conversion"  # what Python says of a whole number that it does not read


@dataclass(frozen=True, slots=True)
class Elements:
    """JSON texts one after the other: one a line or, with `splits`, parted at those places (blanks in `data`)."""

    data: bytes
    line: int
    bytes_read: int
    splits: Sequence[int] | None = None

    def texts(self) -> Iterator[tuple[int, bytes]]:
        """Each element with the number of the line it starts in; blank lines are none."""
        if self.splits is None:
            for number, text in enumerate(self.data.split(b"\n"), self.line):
                if text.strip():
                    yield number, text
            return
        start, line = 0, self.line
        for end in [*self.splits, len(self.data)]:
            text = self.data[start:end]
            lead = len(text) - len(text.lstrip())
            yield line + text.count(b"\n", 0, lead), text[lead:]
            line += text.count(b"\n")
            start = end


def lines(blocks: Iterator[Block], bytes_max: int) -> Iterator[Elements]:
    """The lines of a file, in chunks. Raises CellTooLarge for a longer line."""
    rest, line, block = b"", 1, None
    for block in blocks:
        cut = block.data.rfind(b"\n") + 1
        data, rest = (
            (rest + block.data[:cut], block.data[cut:]) if cut else (b"", rest + block.data)
        )
        for number, text in enumerate(data.split(b"\n") if len(data) > bytes_max else (), line):
            if len(text) > bytes_max:
                raise too_large(f"in line {number}", bytes_max)
        if data:
            yield Elements(data, line, block.bytes_read - len(rest))
        line += data.count(b"\n")
        if len(rest) > bytes_max:
            raise too_large(f"in line {line}", bytes_max)
    if rest and block:
        yield Elements(rest, line, block.bytes_read)


@dataclass(frozen=True, slots=True)
class Array:
    """An array of a document: its key, and where its `[` is. `start` is None where no read can start there."""

    name: str
    start: int | None
    line: int


@dataclass(frozen=True, slots=True)
class _Region:
    """A stretch of a document: outside arrays, up to a `[`, or inside one, up to its `]`. `commas` part elements.

    `end` is where it ends in the stored file.
    """

    data: bytes
    line: int
    end: int | None
    bytes_read: int
    is_inside: bool
    is_end: bool = False
    commas: Sequence[int] = ()


class _Marks:
    """Where brackets, braces and commas outside strings are, block after block."""

    def __init__(self) -> None:
        self._depth = 0
        self.is_in_string = False

    def find(self, data: bytes, level: int) -> tuple[list[int], list[int], npt.NDArray[np.intp]]:
        """Places of what opens an array of that depth, what closes one, and the commas in one."""
        plain = data.replace(rb"\\", b"__").replace(rb"\"", b"__")
        values = np.frombuffer(plain, np.uint8)
        is_mark = _IS_MARK[values]
        quotes = values == _QUOTE
        if self.is_in_string or quotes.any():
            in_string = np.logical_xor.accumulate(quotes) ^ self.is_in_string
            is_mark &= ~in_string
            self.is_in_string = bool(in_string[-1]) if len(in_string) else self.is_in_string
        places = np.flatnonzero(is_mark)
        kinds = values[places]
        depths = np.cumsum(_STEPS[kinds], dtype=np.int64) + self._depth
        self._depth = int(depths[-1]) if len(depths) else self._depth
        is_level = depths == level
        opens = places[is_level & (kinds == _OPEN)]
        closes = places[(depths == level - 1) & (_STEPS[kinds] < 0)]
        return opens.tolist(), closes.tolist(), places[is_level & (kinds == _COMMA)]


def _regions(blocks: Iterator[Block], level: int, line: int = 1) -> Iterator[_Region]:
    """The document, which starts in that line, in order. Raises FileInvalid where it ends too early."""
    marks, is_inside, held = _Marks(), False, b""
    for block in blocks:
        data = held + block.data
        held = b"\\" if (len(data) - len(data.rstrip(b"\\"))) % 2 else b""
        data = data[: len(data) - len(held)]
        opens, closes, commas = marks.find(data, level)
        at = 0
        while at < len(data):
            ends = closes if is_inside else opens
            next_end = bisect_left(ends, at)
            is_end = next_end < len(ends)
            end = ends[next_end] + (not is_inside) if is_end else len(data)
            low, high = np.searchsorted(commas, (at, end))
            parts = (commas[low:high] - at).tolist() if is_inside else ()
            left = len(data) - end + len(held)
            behind = None if block.end is None else block.end - left
            yield _Region(data[at:end], line, behind, block.bytes_read, is_inside, is_end, parts)
            line += data.count(b"\n", at, end)
            is_inside ^= is_end
            at = end
    if is_inside or marks.is_in_string:
        raise FileInvalid(
            f"The JSON ends in line {line}, in the middle of an array or a text.",
            hint="The file may be cut off: upload it again.",
        )


def outline(blocks: Iterator[Block], bytes_max: int) -> list[Array]:
    """The arrays of objects in an object. Raises FileInvalid for what is no JSON outside arrays."""
    outside = bytearray()
    arrays = []
    start, line, is_begun = None, 1, False
    for region in _regions(blocks, _IN_OBJECT):
        if not region.is_inside:
            outside += region.data
            start = None if region.end is None else region.end - 1
            line, is_begun = region.line + region.data.count(b"\n"), False
            if len(outside) > bytes_max:
                raise too_large("outside the arrays", bytes_max)
        elif not is_begun and (first := region.data.lstrip()[:1]):
            is_begun = True
            if first == b"{":
                arrays.append(Array(_name(outside), start, line))
    parse(bytes(outside), 1)
    return arrays


def elements_at(blocks: Iterator[Block], line: int, bytes_max: int) -> Iterator[Elements]:
    """The elements of the array that starts there, in chunks; what follows it is not looked at."""
    left = _Left()
    for region in _regions(blocks, _IN_ARRAY, line):
        if region.is_inside:
            yield from left.take(region, bytes_max)
            if region.is_end:
                return


def elements(blocks: Iterator[Block], key: str | None, bytes_max: int) -> Iterator[Elements]:
    """The elements of the array at that key, in chunks; without a key, of the array that the document is.

    Raises FileInvalid for what is no JSON outside the elements, CellTooLarge for a larger element.
    """
    outside = bytearray()
    left = None
    for region in _regions(blocks, _IN_ARRAY if key is None else _IN_OBJECT):
        if not region.is_inside:
            outside += region.data
            is_wanted = region.is_end and (key is None or _name(outside) == key)
            left = _Left() if is_wanted else None
            if len(outside) > bytes_max:
                raise too_large("outside the arrays", bytes_max)
        elif left:
            yield from left.take(region, bytes_max)
    parse(bytes(outside), 1)


class _Left:
    """What is left of an array's last region: the start of an element."""

    def __init__(self) -> None:
        self._data = b""
        self._line = 0
        self._is_first = True

    def take(self, region: _Region, bytes_max: int) -> Iterator[Elements]:
        """The elements that end in this region."""
        line = self._line if self._data else region.line
        if region.commas:
            cut = region.commas[-1]
            data = bytearray(self._data + region.data[:cut])
            splits = [len(self._data) + place for place in region.commas[:-1]]
            np.frombuffer(data, np.uint8)[splits] = ord(" ")
            yield Elements(bytes(data), line, region.bytes_read, splits)
            self._is_first = False
            line += data.count(b"\n")
            self._data = region.data[cut + 1 :]
        else:
            self._data += region.data
        self._line = line
        if len(self._data) > bytes_max:
            raise too_large(f"that starts near line {line}", bytes_max)
        if region.is_end and (self._data.strip() or not self._is_first):
            yield Elements(self._data, line, region.bytes_read, ())


def _name(outside: bytearray) -> str:
    """The key of the array that opens behind this text."""
    tail = bytes(outside[-_KEY_BYTES_MAX:]).rstrip(b"[").rstrip().removesuffix(b":").rstrip()
    start = len(tail) - 1
    while start > 0:
        start = tail.rfind(b'"', 0, start)
        before = tail[: max(start, 0)]
        if (len(before) - len(before.rstrip(b"\\"))) % 2 == 0:
            break
    return str(parse(tail[max(start, 0) :], 1))


def parse(text: bytes, line: int, *, keeps_digits: bool = False) -> Any:
    """A JSON text that starts in that line. Raises FileInvalid, also for keys that repeat."""
    if not text.strip():
        raise FileInvalid(f"Broken JSON in line {line}: a value is missing beside a comma.")
    try:
        read = _number if keeps_digits else _float
        return json.loads(text, object_pairs_hook=_unique, parse_float=read)
    except json.JSONDecodeError as error:
        where = line + error.lineno - 1
        seen = error.doc[error.pos : error.pos + _SHOWN_CHARS].split("\n")[0]
        raise FileInvalid(
            f"Broken JSON in line {where}: {error.msg}, at {seen!r}."
            if seen
            else f"Broken JSON in line {where}: the text ends too early.",
            hint=_LINES if error.msg == "Extra data" else "Correct it, or export it again.",
        ) from error
    except RecursionError as error:
        raise FileInvalid(f"The JSON in line {line} is nested too deeply.") from error
    except ValueError as error:
        if _TOO_LONG in str(error):
            limit = f"{sys.get_int_max_str_digits():,}"
            raise FileInvalid(
                f"The JSON in line {line} holds a whole number of more than {limit} digits.",
                hint="Write it as a text, in quotes.",
            ) from error
        raise FileInvalid(f"Broken JSON in line {line}: {error}.") from error


def _float(text: str) -> float:
    """A float where it holds the number as it is written."""
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:_SHOWN_CHARS]} is larger than a float can be")
    return value if digits.is_held(text) else digits.number(text)


def _number(text: str) -> float:
    return digits.number(text) if math.isfinite(float(text)) else _float(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice[:_SHOWN_CHARS]!r} occurs twice in one object")
    return found
