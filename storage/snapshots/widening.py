"""Which type holds the values of two types without loss."""

from __future__ import annotations

import pyarrow as pa

from base.tables import ColumnType
from storage.snapshots.drifts import WITHOUT_TEXT

Held = tuple[ColumnType, pa.DataType]
_INTEGER_DIGITS = {8: 3, 16: 5, 32: 10, 64: 19}
_UNSIGNED_64_DIGITS = 20
_DECIMAL_DIGITS_MAX = 38
_INTEGERS = {
    (bits, signed): of
    for signed, types in (
        (True, (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
        (False, (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
    )
    for bits, of in zip((8, 16, 32, 64), types, strict=True)
}
_NUMBERS = frozenset({ColumnType.INTEGER, ColumnType.DECIMAL})
_DAYS = frozenset({ColumnType.DATE, ColumnType.TIMESTAMP})


def wider(one: Held, other: Held) -> Held | None:
    """Our type and the Arrow type that hold both; None where none does."""
    if one == other or pa.types.is_null(other[1]):
        return one
    if pa.types.is_null(one[1]):
        return other
    kinds = {one[0], other[0]}
    if len(kinds) == 1 or kinds in (_NUMBERS, _DAYS):
        stored = common(one[1], other[1])
        if stored is None and kinds <= _NUMBERS:
            stored = (
                pa.string()
            )  # more digits than a decimal has; or one side has its digits as text
        if stored is not None:
            return _kind(kinds, stored), stored
    if kinds & WITHOUT_TEXT:
        return None
    # What is a text already on both sides stays what it is.
    return (one[0] if len(kinds) == 1 else ColumnType.TEXT), pa.string()


def common(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The Arrow type that holds both as they are, and not as texts; None where none does."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    for holds in (_integers, _decimals, _floats, _days, _nested, _sized):
        held = holds(one, other)
        if held is not None:
            return held
    return None


def _kind(kinds: set[ColumnType], stored: pa.DataType) -> ColumnType:
    if kinds == _DAYS:
        return ColumnType.TIMESTAMP
    if kinds <= _NUMBERS:
        return ColumnType.INTEGER if pa.types.is_integer(stored) else ColumnType.DECIMAL
    (kind,) = kinds
    return kind


def _integers(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if not (pa.types.is_integer(one) and pa.types.is_integer(other)):
        return None
    signed = {pa.types.is_signed_integer(of) for of in (one, other)}
    if len(signed) == 1:
        return max(one, other, key=lambda of: of.bit_width)
    # A signed type twice as wide holds every unsigned one.
    bits = max(of.bit_width * (1 if pa.types.is_signed_integer(of) else 2) for of in (one, other))
    return _INTEGERS.get((bits, True))


def _decimals(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    digits = [_digits(of) for of in (one, other)]
    if None in digits:
        return None
    whole, scale = (max(column) for column in zip(*(each for each in digits if each), strict=True))
    return pa.decimal128(whole + scale, scale) if whole + scale <= _DECIMAL_DIGITS_MAX else None


def _digits(of: pa.DataType) -> tuple[int, int] | None:
    """Digits before and behind the point."""
    if pa.types.is_integer(of):
        is_longest = of == pa.uint64()
        return (_UNSIGNED_64_DIGITS if is_longest else _INTEGER_DIGITS[of.bit_width]), 0
    return (of.precision - of.scale, of.scale) if pa.types.is_decimal(of) else None


def _floats(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    are = pa.types.is_floating(one) and pa.types.is_floating(other)
    return max(one, other, key=lambda of: of.bit_width) if are else None


def _days(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    moment = one if pa.types.is_timestamp(one) else other
    day = other if moment is one else one
    fits = pa.types.is_timestamp(moment) and moment.tz is None and pa.types.is_date32(day)
    return moment if fits else None


def _nested(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    if pa.types.is_list(one) and pa.types.is_list(other):
        item = common(one.value_type, other.value_type)
        return None if item is None else pa.list_(item)
    if not (pa.types.is_struct(one) and pa.types.is_struct(other)):
        return None
    fields = {field.name: field.type for field in one}
    for field in other:
        held = common(fields[field.name], field.type) if field.name in fields else field.type
        if held is None:
            return None
        fields[field.name] = held
    return pa.struct(list(fields.items()))


def _sized(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """The same with longer offsets."""
    for short, long in ((pa.string(), pa.large_string()), (pa.binary(), pa.large_binary())):
        if {one, other} == {short, long}:
            return long
    return None
