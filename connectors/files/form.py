"""One reading of a column of texts, and the proof that no text is changed by it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType

_FIRST_SECOND = -62_135_596_800  # 0001-01-01T00:00:00, in seconds of the epoch
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Form:
    """One reading of texts. `key` names it for good; `noun`, `plural` and `pattern` are for people.

    `shape` is what every text of the form matches, though not all that match it are of the form.
    """

    key: str
    type: ColumnType
    stored: pa.DataType
    noun: str
    plural: str
    read: Callable[[pa.Array], pa.Array]
    is_same: Callable[[pa.Array, pa.Array], pa.Array]
    shape: str = ""
    pattern: str | None = None

    def convert(self, texts: pa.Array) -> pa.Array | None:
        """The typed values, or None if any text is not in this form."""
        try:
            values = self.read(texts)
        except pa.ArrowInvalid:
            return None
        fits = pc.all(self.is_same(texts, values)).as_py()
        return None if fits is False else values

    def misfits(self, texts: pa.Array) -> list[int]:
        """Where the texts are that are not in this form. For few misfits, or small arrays."""
        try:
            same = self.is_same(texts, self.read(texts))
        except pa.ArrowInvalid:
            if len(texts) == 1:
                return [0]
            half = len(texts) // 2
            right = self.misfits(texts[half:])
            return self.misfits(texts[:half]) + [half + at for at in right]
        found: list[int] = pc.indices_nonzero(pc.invert(pc.fill_null(same, True))).to_pylist()
        return found

    def count_misfits(self, texts: pa.Array) -> int:
        """How many texts are not in this form."""
        has_shape = pc.match_substring_regex(texts, f"^(?:{self.shape})$")
        shaped = texts.filter(has_shape)
        unshaped: int = len(texts) - texts.null_count - len(shaped)
        return unshaped + len(self.misfits(shaped))


def same_text(texts: pa.Array, values: pa.Array) -> pa.Array:
    """Where a value, written as Arrow writes it, is its text."""
    return pc.equal(texts, pc.cast(values, pa.string()))


def refuse_year_zero(values: pa.Array, counts: pa.Array, per_second: float) -> pa.Array:
    """`values`, whose counts since 1970 are given; raises ArrowInvalid: year 0 and before have no common spelling."""
    least = pc.min(counts).as_py()
    if least is not None and least < _FIRST_SECOND * per_second:
        raise pa.ArrowInvalid("before year 1")
    return values


def refuse_day_zero(values: pa.Array, days: pa.Array) -> pa.Array:
    """The same for counts of days."""
    return refuse_year_zero(values, days, 1 / _DAY_SECONDS)
