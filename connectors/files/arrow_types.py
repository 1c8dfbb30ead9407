"""Arrow types of any file into those that are stored, without changing a value.

What is kept in microseconds may come in nanoseconds, and decimals with more than 38 digits: a column is stored in its
natural type as long as every value fits, and as text from the first that does not. Those that fit have the text then
that they were shown with before.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from base.errors import Unsupported
from base.tables import ColumnType
from connectors import moments
from connectors.errors import FileInvalid
from connectors.files import durations

_DECIMAL_DIGITS = 38
_PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_UUID = "arrow.uuid"

Path = tuple[
    str, ...
]  # of a value inside nested ones: the column, then `item` of a list, the name of a field
TextPaths = frozenset[Path]  # of values that are stored as text because one of them does not fit


class Inexact(Exception):
    """A value at this path does not fit the natural type."""

    def __init__(self, path: Path) -> None:
        super().__init__(".".join(path))
        self.path = path


def stored(found: pa.DataType, path: Path, as_text: TextPaths) -> pa.DataType:
    """The Arrow type that holds a found one."""
    if path in as_text:
        return pa.string()
    if isinstance(found, pa.BaseExtensionType):
        is_uuid = found.extension_name == _UUID
        return pa.string() if is_uuid else stored(found.storage_type, path, as_text)
    if pa.types.is_dictionary(found):
        return stored(found.value_type, path, as_text)
    if pa.types.is_map(found):
        found = pa.list_(_entry(found))
    if _is_list(found) or _is_view(found):
        return pa.list_(stored(found.value_type, (*path, "item"), as_text))
    if pa.types.is_struct(found):
        _refuse_like_names(found, path)
        return pa.struct(
            [(each.name, stored(each.type, (*path, each.name), as_text)) for each in found]
        )
    for matches, target in _PLAIN:
        if matches(found):
            return target(found)
    raise Unsupported(f"{'.'.join(path)!r} is of the type {found}, which cannot be stored.")


def convert(values: pa.Array, path: Path, as_text: TextPaths) -> pa.Array:
    """The values as `stored` says; raises Inexact where one does not fit."""
    found, target = values.type, stored(values.type, path, as_text)
    if found.equals(target):
        return values
    plainer = _plainer(values)
    if plainer is not None:
        return convert(plainer, path, as_text)
    if _is_list(found):
        return _convert_list(values, path, as_text)
    if pa.types.is_struct(found):
        fields = [
            convert(child, (*path, each.name), as_text)
            for child, each in zip(values.flatten(), found, strict=True)
        ]
        return pa.StructArray.from_arrays(fields, fields=list(target), mask=values.is_null())
    try:
        return _texts(values) if pa.types.is_string(target) else values.cast(target)
    except pa.ArrowInvalid as error:
        raise Inexact(path) from error


def _plainer(values: pa.Array) -> pa.Array | None:
    """The same values without what Arrow wraps around them; None if nothing is."""
    found = values.type
    if isinstance(found, pa.BaseExtensionType):
        is_uuid = found.extension_name == _UUID
        return _uuids(values.storage) if is_uuid else values.storage
    if pa.types.is_dictionary(found):
        return values.dictionary_decode()
    if pa.types.is_map(found):
        return values.cast(pa.list_(_entry(found)))
    if _is_view(found):  # casts of slices of these lose items in pyarrow 26
        return pa.array(values.to_pylist(), pa.list_(found.value_type))
    return None


def _convert_list(values: pa.Array, path: Path, as_text: TextPaths) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    ends = np.concatenate(([0], np.cumsum(lengths)))
    offsets = pa.array(ends, pa.int32(), mask=np.append(values.is_null().to_numpy(False), False))
    items = convert(pc.list_flatten(values), (*path, "item"), as_text)
    return pa.ListArray.from_arrays(offsets, items)


def column_type(found: pa.DataType, target: pa.DataType) -> ColumnType:
    """Our type of a column that was found so and is stored so."""
    if isinstance(found, pa.BaseExtensionType) and pa.types.is_string(target):
        named = {_UUID: ColumnType.UUID, "arrow.json": ColumnType.JSON}
        return named.get(found.extension_name, ColumnType.TEXT)
    if pa.types.is_duration(found):
        return ColumnType.DURATION
    if pa.types.is_decimal(found) and pa.types.is_string(target):
        return ColumnType.DECIMAL
    if pa.types.is_timestamp(target):
        return ColumnType.TIMESTAMP_TZ if target.tz else ColumnType.TIMESTAMP
    return next(ours for matches, ours in _OURS if matches(target))


def _entry(found: pa.DataType) -> pa.DataType:
    """A map is stored as a list of these."""
    return pa.struct([("key", found.key_type), ("value", found.item_type)])


def _is_list(found: pa.DataType) -> bool:
    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(found) for test in tests)


def _is_view(found: pa.DataType) -> bool:
    return bool(pa.types.is_list_view(found) or pa.types.is_large_list_view(found))


def _refuse_like_names(found: pa.DataType, path: Path) -> None:
    """Fields are told apart without regard to case when they are queried."""
    names = [each.name.casefold() for each in found]
    if len(set(names)) < len(names):
        where = ".".join(path)
        raise FileInvalid(f"The fields of {where!r} have names that differ in nothing but case.")


def _timestamp(found: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", "UTC" if found.tz else None)


def _decimal(found: pa.DataType) -> pa.DataType:
    fits = found.precision <= _DECIMAL_DIGITS and found.scale >= 0
    return pa.decimal128(found.precision, found.scale) if fits else pa.string()


def _same(found: pa.DataType) -> pa.DataType:
    return found


_Test = Callable[[pa.DataType], bool]

_PLAIN: Sequence[tuple[_Test, Callable[[pa.DataType], pa.DataType]]] = (
    (pa.types.is_timestamp, _timestamp),
    (pa.types.is_time, lambda _: pa.time64("us")),
    (pa.types.is_date, lambda _: pa.date32()),
    (pa.types.is_decimal, _decimal),
    (pa.types.is_float16, lambda _: pa.float32()),
    (pa.types.is_large_string, lambda _: pa.string()),
    (pa.types.is_string_view, lambda _: pa.string()),
    (pa.types.is_large_binary, lambda _: pa.binary()),
    (pa.types.is_binary_view, lambda _: pa.binary()),
    (pa.types.is_fixed_size_binary, lambda _: pa.binary()),
    (pa.types.is_null, lambda _: pa.string()),
    (pa.types.is_duration, lambda _: pa.string()),
    (pa.types.is_boolean, _same),
    (pa.types.is_integer, _same),
    (pa.types.is_floating, _same),
    (pa.types.is_string, _same),
    (pa.types.is_binary, _same),
)
_OURS: Sequence[tuple[_Test, ColumnType]] = (
    (pa.types.is_boolean, ColumnType.BOOLEAN),
    (pa.types.is_integer, ColumnType.INTEGER),
    (pa.types.is_floating, ColumnType.FLOAT),
    (pa.types.is_decimal, ColumnType.DECIMAL),
    (pa.types.is_string, ColumnType.TEXT),
    (pa.types.is_date, ColumnType.DATE),
    (pa.types.is_time, ColumnType.TIME),
    (pa.types.is_binary, ColumnType.BINARY),
    (pa.types.is_list, ColumnType.LIST),
    (pa.types.is_struct, ColumnType.STRUCT),
)


def _texts(values: pa.Array) -> pa.Array:
    """Values without a type of ours, in words that lose nothing."""
    found = values.type
    if pa.types.is_duration(found):
        counts, unit = values.cast(pa.int64()).to_pylist(), _PER_SECOND[found.unit]
        return _each(counts, lambda count: durations.text(count, unit))
    if pa.types.is_decimal(found):
        return _each(values.to_pylist(), lambda number: f"{number:f}")
    if pa.types.is_timestamp(found):
        in_utc = values.cast(pa.int64()).cast(pa.timestamp(found.unit))
        texts = moments.naive(in_utc.cast(pa.string()))
        return pc.binary_join_element_wise(texts, "Z", "") if found.tz else texts
    texts = values.cast(pa.string())
    return moments.clock(texts) if pa.types.is_time(found) else texts


def _each(values: Sequence[Any], words: Callable[[Any], str]) -> pa.Array:
    return pa.array([None if each is None else words(each) for each in values], pa.string())


def _uuids(storage: pa.Array) -> pa.Array:
    return _each(storage.to_pylist(), lambda value: str(uuid.UUID(bytes=value)))
