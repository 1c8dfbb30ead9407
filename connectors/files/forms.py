"""What a column of texts can be read as.

A form reads texts into typed values and then compares each value, written out again, with its text: `00123` is no
integer, `1.50` no float, `2020-02-30` no date. Where a form covers texts that are written alike by one rule for the
whole column (its scale, its pattern), the texts can be rebuilt from the stored column.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from connectors.files.clocks import clock_forms, every_clock_form
from connectors.files.form import Form, refuse_day_zero, same_text

_DIGITS_MAX = 38
_SHORT_DIGITS = 18  # a decimal of up to so many digits is stored as a plain integer
_SHORT_DIGITS_SEEN = 15  # the first value leaves this room for larger ones
_STRAYS_MAX = 10_000  # floats in one batch that are compared one by one

_INTEGER = r"-?[1-9][0-9]*|0"
_NUMBER = r"-?(?:0|[1-9][0-9]*)\.([0-9]+)"
_SCIENTIFIC = r"-?[0-9](?:\.[0-9]+)?e[+-][0-9]+"
_WHOLE = ("a whole number", "whole numbers")
_DATE = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"


def _cast(stored: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda texts: pc.cast(texts, stored)


def _same_float(texts: pa.Array, values: pa.Array) -> pa.Array:
    """Equal to the shortest text of the number, as Arrow (`3` for 3.0) or Python (`3.0`, `1e-05`) writes it."""
    shown = pc.cast(values, pa.string())
    # What is neither whole nor endless is written with a point or an exponent: mostly that is all there is to see.
    same = pc.and_(pc.equal(texts, shown), pc.less(pc.floor(values), values))
    others = pc.invert(pc.fill_null(same, True))
    if not pc.any(others).as_py():
        return same
    left = (texts.filter(others), values.filter(others), shown.filter(others))
    return pc.replace_with_mask(same, others, _same_whole(*left))


def _same_whole(texts: pa.Array, values: pa.Array, shown: pa.Array) -> pa.Array:
    """The same for any numbers, whose texts as Arrow writes them are given."""
    with_point = pc.binary_join_element_wise(shown, "0", ".")
    is_number = pc.and_(pc.match_substring_regex(texts, "[.e]"), pc.is_finite(values))
    same = pc.and_(pc.or_(pc.equal(texts, shown), pc.equal(texts, with_point)), is_number)
    strays = pc.indices_nonzero(pc.and_(pc.invert(same), is_number))
    if not 0 < len(strays) <= _STRAYS_MAX:
        return same
    listed = same.to_pylist()
    for at in strays.to_pylist():
        listed[at] = repr(values[at].as_py()) == texts[at].as_py()
    return pa.array(listed, pa.bool_())


def _read_date(texts: pa.Array) -> pa.Array:
    dates = pc.cast(texts, pa.date32())
    return refuse_day_zero(dates, pc.cast(dates, pa.int32()))


def _no_texts(texts: pa.Array) -> pa.Array:
    if texts.null_count < len(texts):
        raise pa.ArrowInvalid("a text")
    return texts


def _same(texts: pa.Array, values: pa.Array) -> pa.Array:
    return pc.equal(texts, values)


def _plain(
    key: str, kind: ColumnType, stored: pa.DataType, words: tuple[str, str], shape: str
) -> Form:
    return Form(key, kind, stored, *words, _cast(stored), same_text, shape)


def _decimal(digits: int, scale: int) -> Form:
    some = "1 decimal" if scale == 1 else f"{scale} decimals"
    words = (f"a number with {some}", f"numbers with {some}") if scale else _WHOLE
    shape = rf"-?[0-9]+\.[0-9]{{{scale}}}" if scale else _INTEGER
    stored = pa.decimal128(digits, scale)
    return _plain(f"decimal({digits},{scale})", ColumnType.DECIMAL, stored, words, shape)


TEXT = Form("text", ColumnType.TEXT, pa.string(), "a text", "texts", lambda texts: texts, _same)
NOTHING = Form("nothing", ColumnType.TEXT, pa.string(), "empty", "empty", _no_texts, _same)


def nothing_as(kind: ColumnType, stored: pa.DataType) -> Form:
    """No text at all, kept as nulls of a type."""

    def read(texts: pa.Array) -> pa.Array:
        return pa.nulls(len(_no_texts(texts)), stored)

    return replace(
        NOTHING, type=kind, stored=stored, read=read, is_same=lambda texts, _: _same(texts, texts)
    )


def _boolean(true: str, false: str) -> Form:
    """Texts that are one of these two."""
    both = f"{true} or {false}"

    def read(texts: pa.Array) -> pa.Array:
        values = pc.if_else(
            pc.equal(texts, true), True, pc.if_else(pc.equal(texts, false), False, None)
        )
        if values.null_count > texts.null_count:
            raise pa.ArrowInvalid("another text")
        return values

    def is_same(texts: pa.Array, values: pa.Array) -> pa.Array:
        return pc.equal(texts, pc.if_else(values, true, false))

    key, kind = f"boolean:{true}", ColumnType.BOOLEAN
    return Form(
        key, kind, pa.bool_(), both, both, read, is_same, f"{true}|{false}", f"{true}/{false}"
    )


BOOLEAN = _plain(
    "boolean", ColumnType.BOOLEAN, pa.bool_(), ("true or false", "true or false"), "true|false"
)
OTHER_BOOLEANS = (_boolean("TRUE", "FALSE"), _boolean("True", "False"))  # of Excel and R, of Python
INTEGER = _plain("integer", ColumnType.INTEGER, pa.int64(), _WHOLE, _INTEGER)
LONG_INTEGER = _decimal(_DIGITS_MAX, 0)
FLOAT = Form(
    "float",
    ColumnType.FLOAT,
    pa.float64(),
    "a number with a decimal point",
    "numbers with a decimal point",
    _cast(pa.float64()),
    _same_float,
    f"{_NUMBER}|{_SCIENTIFIC}",
)
DATE = Form(
    "date",
    ColumnType.DATE,
    pa.date32(),
    "a date",
    "dates",
    _read_date,
    same_text,
    _DATE,
    "YYYY-MM-DD",
)


def candidates(text: str) -> Sequence[Form]:
    """The forms that a column with this first value can have, best first."""
    if number := re.fullmatch(_NUMBER, text):
        return _numbers(len(number[1]), len(text) - 1)
    for shape, forms in _BY_SHAPE.items():
        if re.fullmatch(shape, text):
            return forms
    return clock_forms(text)


_BY_SHAPE: dict[str, Sequence[Form]] = {
    **{form.shape: [form] for form in (BOOLEAN, *OTHER_BOOLEANS)},
    _INTEGER: [INTEGER, LONG_INTEGER],
    _SCIENTIFIC: [FLOAT],
    _DATE: [DATE],
}


def _numbers(scale: int, digits: int) -> list[Form]:
    short = [_decimal(_SHORT_DIGITS, scale)] if digits <= _SHORT_DIGITS_SEEN else []
    long = [_decimal(_DIGITS_MAX, scale)] if scale <= _DIGITS_MAX else []
    return [*short, *long, FLOAT]


def by_key(key: str) -> Form:
    """The form of that key, for a read that goes on; raises KeyError."""
    if decimal := re.fullmatch(r"decimal\(([0-9]+),([0-9]+)\)", key):
        return _decimal(int(decimal[1]), int(decimal[2]))
    plain = (TEXT, NOTHING, BOOLEAN, *OTHER_BOOLEANS, INTEGER, FLOAT, DATE)
    return {form.key: form for form in (*plain, *every_clock_form())}[key]
