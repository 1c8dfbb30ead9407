"""Which character separates the values of a delimited file, proposed from its first rows."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator

_DELIMITERS = ",;\t|"
_SAMPLE_BYTES = 256 * 1024
_ROWS = 200
_SAID = re.compile(rb'"?sep=([^\w\s"]|\t)"?[\r\n]', re.IGNORECASE)


def said_delimiter(head: bytes) -> str | None:
    """What a first line `sep=;` says, as Excel understands it, and as programs write it that mean Excel."""
    said = _SAID.match(head)
    return said[1].decode() if said and said[1].isascii() else None


def propose_delimiter(head: bytes) -> str:
    """The delimiter under which most rows have the same number of values, the header best of all.

    A file of one column has none: then it is one that its rows do not hold.
    """
    sample = head[:_SAMPLE_BYTES]
    if len(head) > len(sample):
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    text = sample.decode(errors="replace")
    scores = {delimiter: _score(text, delimiter) for delimiter in _DELIMITERS}
    best = max(scores, key=lambda delimiter: scores[delimiter])  # the first of equals
    if scores[best]:
        return best
    return next((each for each in _DELIMITERS if each not in text), ",")


def _score(text: str, delimiter: str) -> tuple[bool, float, int] | tuple[()]:
    """Whether the header has as many values as most rows, how many rows have, and the number; empty for one column."""
    widths = list(_widths(text, delimiter))
    ((width, count),) = Counter(widths).most_common(1) or [(1, 0)]
    return (widths[0] == width, count / len(widths), width) if width > 1 else ()


def _widths(text: str, delimiter: str) -> Iterator[int]:
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))
    rows = (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row)
    for _, row in zip(range(_ROWS), rows, strict=False):
        yield len(row)
