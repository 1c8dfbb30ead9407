"""Forms of times and timestamps: one pattern for a whole column, so that its texts can be rebuilt."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from connectors.files.form import Form, refuse_year_zero

_EPOCH_DAY = "1970-01-01 "
_WHOLE_CHARS = len("1970-01-01 00:00:00")
_MINUTE_CHARS = len("1970-01-01 00:00")
_MINUTES = "none"
_CLOCK = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2}(?P<gap>[ T]))?[0-9]{2}:[0-9]{2}"
    r"(?P<seconds>:[0-9]{2}(?P<fraction>\.[0-9]{1,6})?)?(?P<zone>Z|\+00:00|\+00)?"
)


@dataclass(frozen=True, slots=True)
class _Clock:
    """How a column writes moments; `digits` is the rule of the fraction of a second."""

    has_day: bool
    gap: str
    zone: str
    # "0", "3", "6": so many; "trimmed": no zeros at the end; "or none": six, or none for whole seconds;
    # "none": there are no seconds
    digits: str

    @property
    def unit(self) -> str:
        """The least unit of Arrow that holds the fraction."""
        return {"0": "s", "3": "ms", _MINUTES: "s"}.get(self.digits, "us")

    def read(self, texts: pa.Array) -> pa.Array:
        """Timestamps of the least unit that holds them, without a zone."""
        whole = texts if self.has_day else pc.binary_join_element_wise(_EPOCH_DAY, texts, "")
        if self.zone:
            moments = pc.cast(whole, pa.timestamp(self.unit, "UTC"))
            moments = moments.cast(pa.timestamp(self.unit))
        else:
            moments = pc.cast(whole, pa.timestamp(self.unit))
        per_second = {"s": 1, "ms": 10**3, "us": 10**6}[self.unit]
        return refuse_year_zero(moments, pc.cast(moments, pa.int64()), per_second)

    def write(self, moments: pa.Array) -> pa.Array:
        """The texts again."""
        texts = pc.cast(moments, pa.string())
        if self.digits == "trimmed":
            texts = pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
            seconds = pc.cast(pc.cast(moments, pa.timestamp("s"), safe=False), pa.string())
            texts = pc.if_else(pc.less_equal(pc.binary_length(texts), _WHOLE_CHARS), seconds, texts)
        elif self.digits == _MINUTES:
            texts = pc.utf8_slice_codeunits(texts, 0, _MINUTE_CHARS)
        elif self.digits == "or none":
            texts = pc.replace_substring_regex(texts, r"\.000000$", "")
        if not self.has_day:
            texts = pc.utf8_slice_codeunits(texts, len(_EPOCH_DAY))
        elif self.gap == "T":
            texts = pc.binary_replace_slice(texts, 10, 11, "T")
        return pc.binary_join_element_wise(texts, self.zone, "") if self.zone else texts

    @property
    def pattern(self) -> str:
        """For people; with the fraction's rule."""
        fraction = {"0": "", "3": ".fff", "6": ".ffffff", "trimmed": "[.f]", "or none": "[.ffffff]"}
        day = f"YYYY-MM-DD{self.gap}" if self.has_day else ""
        clock = "HH:MM" if self.digits == _MINUTES else f"HH:MM:SS{fraction[self.digits]}"
        return f"{day}{clock}{self.zone}"

    @property
    def shape(self) -> str:
        """What every text of this pattern matches."""
        day = f"[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}{self.gap}" if self.has_day else ""
        seconds = "" if self.digits == _MINUTES else r":[0-9]{2}(?:\.[0-9]{1,6})?"
        return rf"{day}[0-9]{{2}}:[0-9]{{2}}{seconds}{re.escape(self.zone)}"

    def form(self) -> Form:
        """The form of columns that are written so."""
        kind, stored, noun = self._kind()

        def read(texts: pa.Array) -> pa.Array:
            moments = self.read(texts)
            return _stored_moments(moments, stored)

        def is_same(texts: pa.Array, values: pa.Array) -> pa.Array:
            moments = values
            if pa.types.is_time(stored):
                moments = values.cast(pa.int64()).cast(pa.timestamp("us"))
            return pc.equal(texts, self.write(moments.cast(pa.timestamp(self.unit))))

        key = f"{kind.value}:{self.pattern}"
        return Form(
            key, kind, stored, f"a {noun}", f"{noun}s", read, is_same, self.shape, self.pattern
        )

    def _kind(self) -> tuple[ColumnType, pa.DataType, str]:
        if not self.has_day:
            return ColumnType.TIME, pa.time64("us"), "time"
        if self.zone:
            return ColumnType.TIMESTAMP_TZ, pa.timestamp("us", "UTC"), "UTC timestamp"
        return ColumnType.TIMESTAMP, pa.timestamp("us"), "timestamp"


def _stored_moments(moments: pa.Array, stored: pa.DataType) -> pa.Array:
    exact = moments.cast(pa.timestamp("us"))
    if pa.types.is_time(stored):
        return exact.cast(pa.int64()).cast(stored)
    return exact.cast(stored)


def clock_forms(text: str) -> list[Form]:
    """The forms that a column with this first value can have, best first; none if it is no time or timestamp."""
    found = _CLOCK.fullmatch(text)
    if found is None:
        return []
    has_day = found["day"] is not None
    if not has_day and (found["zone"] or not found["seconds"]):  # 10:30 may be minutes and seconds
        return []
    if not found["seconds"]:
        return [_Clock(has_day, found["gap"] or "", found["zone"] or "", _MINUTES).form()]
    digits = len(found["fraction"] or ".") - 1
    rules = [str(digits)] if digits in {0, 3, 6} else []
    if not (found["fraction"] or "").endswith("0"):
        rules.append("trimmed")
    if digits in {0, 6}:
        rules.append("or none")
    return [_Clock(has_day, found["gap"] or "", found["zone"] or "", rule).form() for rule in rules]


def every_clock_form() -> Iterator[Form]:
    """All there are."""
    return (
        _Clock(bool(gap), gap, zone, digits).form()
        for gap in ("", " ", "T")
        for zone in (("", "Z", "+00:00", "+00") if gap else ("",))
        for digits in ("0", "3", "6", "trimmed", "or none", *((_MINUTES,) if gap else ()))
    )
