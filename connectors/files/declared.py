"""Forms that a user asked for by `column_types`: every text has to hold such a value, however it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation

import pyarrow as pa
import pyarrow.compute as pc

from base.tables import ColumnType
from connectors.files.form import Form
from connectors.files.forms import TEXT

_DIGITS_MAX = 38
_SCALES = (0, 1, 2, 3, 4, 6, 9, 12, 18)  # of a DECIMAL; the least that holds every value is taken
_NUMBER = "-?[0-9]+"
_CLOCK = rf"(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}(?:\.[0-9]+)?S)?"
_CALENDAR = rf"(?:{_NUMBER}Y)?(?:{_NUMBER}M)?(?:{_NUMBER}W)?(?:{_NUMBER}D)?"
_DURATION = rf"^[+-]?P{_CALENDAR}(?:T{_CLOCK})?$"
_UUID = "^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"
_TRUE = ["true", "t", "yes", "y", "1"]
_FALSE = ["false", "f", "no", "n", "0"]


def declared_forms(kind: ColumnType) -> Sequence[Form]:
    """Forms for a type of `connectors.files.settings.TYPES`, best first."""
    if kind is ColumnType.TEXT:
        return [TEXT]
    if kind is ColumnType.DECIMAL:
        return [_form(kind, pa.decimal128(_DIGITS_MAX, scale), _read_decimal) for scale in _SCALES]
    stored, read = _READS[kind]
    return [_form(kind, stored, read)]


_Read = Callable[[pa.Array, pa.DataType], pa.Array]


def _form(kind: ColumnType, stored: pa.DataType, read: _Read) -> Form:
    return Form(
        f"declared {kind.value} {stored}",
        kind,
        stored,
        kind.name,
        kind.name,
        lambda texts: read(pc.utf8_trim_whitespace(texts), stored),
        lambda texts, values: pc.or_(pc.is_valid(values), pc.is_null(texts)),
    )


def _cast(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    return pc.cast(texts, stored)


def _read_integer(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    plain = pc.replace_substring_regex(texts, r"^(?:\+|(-)|)0*([0-9]+)(?:\.0*)?$", r"\1\2")
    if pc.any(pc.match_substring_regex(plain, "[^0-9-]")).as_py():
        raise pa.ArrowInvalid("not a whole number")
    return pc.cast(plain, stored)


def _read_float(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    values = pc.cast(pc.replace_substring_regex(texts, r"^\+([^-])", r"\1"), stored)
    is_number = pc.match_substring_regex(texts, "[0-9]")
    if pc.any(pc.and_(pc.is_inf(values), is_number)).as_py():  # `1e400`, which only looks endless
        raise pa.ArrowInvalid("too large")
    return values


def _read_decimal(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    plain = texts
    if pc.any(pc.match_substring_regex(texts, "[eE]")).as_py():
        plain = pa.array([None if each is None else _plain(each) for each in texts.to_pylist()])
    # What has more digits than there is room for is wrapped around by the cast of pyarrow 26, without an error.
    digits = stored.precision - stored.scale
    fits = pc.match_substring_regex(plain, rf"^[+-]?0*[0-9]{{0,{digits}}}(?:\.[0-9]*)?$")
    if pc.all(fits).as_py() is False:
        raise pa.ArrowInvalid("too large")
    return pc.cast(plain, stored)


def _plain(text: str) -> str:
    """A number without its exponent; as it is where that would be no decimal of ours."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    is_near = number.is_finite() and abs(number.adjusted()) <= _DIGITS_MAX
    return f"{number:f}" if is_near else text


def _read_boolean(texts: pa.Array, _stored: pa.DataType) -> pa.Array:
    lower = pc.utf8_lower(texts)
    values = pc.is_in(lower, pa.array(_TRUE))
    known = pc.or_(values, pc.is_in(lower, pa.array(_FALSE)))
    return pc.if_else(known, values, None)


def _read_time(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    moments = pc.cast(pc.binary_join_element_wise("1970-01-01", texts, " "), pa.timestamp("us"))
    return moments.cast(pa.int64()).cast(stored)


def _matching(shape: str) -> _Read:
    """Texts as they are, where they match and end in no `P` or `T`."""

    def read(texts: pa.Array, _stored: pa.DataType) -> pa.Array:
        matches = pc.match_substring_regex(texts, shape)
        is_open = pc.match_substring_regex(texts, "[PT]$")
        return pc.if_else(pc.and_not(matches, is_open), texts, None)

    return read


_read_any_uuid = _matching(_UUID)


def _read_uuid(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    return pc.ascii_lower(_read_any_uuid(texts, stored))


def _read_json(texts: pa.Array, stored: pa.DataType) -> pa.Array:
    return pa.array([each if _is_json(each) else None for each in texts.to_pylist()], stored)


def _is_json(text: str | None) -> bool:
    try:
        json.loads(text or "", parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and infinities are JSON for Python alone


_READS: Mapping[ColumnType, tuple[pa.DataType, _Read]] = {
    ColumnType.BOOLEAN: (pa.bool_(), _read_boolean),
    ColumnType.INTEGER: (pa.int64(), _read_integer),
    ColumnType.FLOAT: (pa.float64(), _read_float),
    ColumnType.DATE: (pa.date32(), _cast),
    ColumnType.TIME: (pa.time64("us"), _read_time),
    ColumnType.TIMESTAMP: (pa.timestamp("us"), _cast),
    ColumnType.TIMESTAMP_TZ: (pa.timestamp("us", "UTC"), _cast),
    ColumnType.DURATION: (pa.string(), _matching(_DURATION)),
    ColumnType.UUID: (pa.string(), _read_uuid),
    ColumnType.JSON: (pa.string(), _read_json),
}
