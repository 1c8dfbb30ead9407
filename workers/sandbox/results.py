"""What a script gave as Arrow data: every column of one type that can be stored, or an error that names it."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from workers.sandbox.messages import ScriptFailed

COLUMNS_MAX = 10_000
NAME_CHARS_MAX = 1_000
_SHOWN = 60  # characters of a name or value in a message
_NAMES_SHOWN = 20

Warn = Callable[[str], None]


def arrow(result: object, what: str, warn: Warn) -> pa.Table:
    """A DataFrame's columns as they are found; raises ScriptFailed, whose message begins with `what`.

    A named index becomes the first columns, since a group's key is often there. Others are dropped, with a warning
    unless they only number the rows.
    """
    if not isinstance(result, pd.DataFrame):
        raise ScriptFailed(f"{what} {_no_frame(result)}.", hint="Give a pandas DataFrame.")
    frame = _with_index(result, what, warn)
    names = _names(frame, what)
    values = [
        _column(frame.iloc[:, at], f"{what}, column {name!r}") for at, name in enumerate(names)
    ]
    return pa.Table.from_arrays(values, names=names)


def _no_frame(result: object) -> str:
    if result is None:
        return "is missing: `return df` may be what lacks"
    if isinstance(result, pd.Series):
        return "is a Series, of one column; `.to_frame()` makes a DataFrame of it"
    return f"is of the type {type(result).__name__}, which is no DataFrame"


def _with_index(frame: pd.DataFrame, what: str, warn: Warn) -> pd.DataFrame:
    index = frame.index
    named = [name for name in index.names if name is not None]
    if not named:
        if not (isinstance(index, pd.RangeIndex) or pd.api.types.is_integer_dtype(index.dtype)):
            warn(f"{what} has an index without a name, which is left out; name it to keep it.")
        return frame
    taken = [name for name in named if name in frame.columns]
    if taken or len(set(named)) < len(named):
        raise ScriptFailed(
            f"{what} has an index called {_short(taken[0] if taken else named[0])}, and a column of that name.",
            hint="Name the index otherwise, or drop it: df.reset_index(drop=True).",
        )
    if len(named) < index.nlevels:
        unnamed: Any = [at for at, name in enumerate(index.names) if name is None]
        warn(f"{what} has an index with levels without a name, which are left out.")
        frame = frame.droplevel(unnamed)
    return frame.reset_index()


def _names(frame: pd.DataFrame, what: str) -> list[str]:
    if frame.shape[1] == 0:
        raise ScriptFailed(f"{what} has no columns.")
    if frame.shape[1] > COLUMNS_MAX:
        raise ScriptFailed(f"{what} has {frame.shape[1]:,} columns; the limit is {COLUMNS_MAX:,}.")
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        raise ScriptFailed(
            f"{what} has columns whose names are not text: {_listed(odd)}.",
            hint="Rename them, as by df.columns = [str(name) for name in df.columns].",
        )
    names = [str(name) for name in frame.columns]
    if "" in names:
        raise ScriptFailed(f"{what} has a column without a name, number {names.index('') + 1}.")
    if len(set(names)) < len(names):
        twice = [name for name in dict.fromkeys(names) if names.count(name) > 1]
        raise ScriptFailed(f"{what} has more than one column of these names: {_listed(twice)}.")
    long = [name for name in names if len(name) > NAME_CHARS_MAX]
    if long:
        raise ScriptFailed(
            f"{what} has column names over {NAME_CHARS_MAX:,} characters: {_listed(long)}."
        )
    broken = [name for name in names if not _is_text(name)]
    if broken:
        raise ScriptFailed(f"{what} has columns whose names are no valid text: {_listed(broken)}.")
    return names


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def _listed(names: list[Any]) -> str:
    more = ", …" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(_short(name) for name in names[:_NAMES_SHOWN]) + more


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"


def _column(column: pd.Series[Any], where: str) -> pa.Array | pa.ChunkedArray:
    dtype: Any = column.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return _categories(column, where)
    if isinstance(dtype, pd.SparseDtype):
        return _column(column.astype(dtype.subtype), where)
    if isinstance(dtype, pd.PeriodDtype | pd.IntervalDtype) or dtype.kind == "c":
        raise _unsupported(where, str(dtype))
    if dtype.kind == "O" and isinstance(dtype, np.dtype):
        return _objects(column.to_numpy(), where)
    if isinstance(dtype, np.dtype) and not dtype.isnative:
        column = column.astype(dtype.newbyteorder("="))
    try:
        return pa.array(column, from_pandas=isinstance(dtype, np.dtype))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise _unsupported(where, str(dtype)) from error


def _unsupported(where: str, kind: str) -> ScriptFailed:
    return ScriptFailed(
        f"{where}: values of the type {kind} cannot be stored.",
        hint="Convert the column, as to text by .astype(str).",
    )


def _categories(column: pd.Series[Any], where: str) -> pa.Array:
    categories = _column(pd.Series(column.cat.categories), where)
    if isinstance(categories, pa.ChunkedArray):
        categories = categories.combine_chunks()
    codes = column.cat.codes.to_numpy()
    return categories.take(pa.array(codes, mask=codes < 0))


def _objects(values: Any, where: str) -> pa.Array | pa.ChunkedArray:
    """A column of Python objects: all of one kind, as Arrow's own inference shortens some that it mixes."""
    missing = pd.isna(values)
    kinds = {each: _kind(each) for each in set(map(type, values[~missing]))}
    found = set(kinds.values())
    if None in found:
        odd = next(each for each, kind in kinds.items() if kind is None)
        at = _first(values, missing, kinds, None)
        raise ScriptFailed(
            f"{where}: values of the type {odd.__name__} cannot be stored (first in row {at + 1:,}).",
            hint="Convert the column, as to text by .astype(str).",
        )
    if len(found) > 1 and found not in _MIXES:
        raise _mixed(values, missing, kinds, where)
    for check in _CHECKS.get(next(iter(found), ""), ()):
        check(values[~missing], where)
    try:
        return pa.array(values, mask=missing, from_pandas=True)
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, OverflowError) and found == {"integer"}:
            return _large_integers(values, missing, where)
        reason = str(error).split("\n")[0][:200].rstrip(".")
        raise ScriptFailed(
            f"{where}: its values cannot be stored together: {reason}.",
            hint="Give them one shape, or make text of them, as by .map(json.dumps).",
        ) from error


def _kind(kind: type) -> str | None:
    """In which group a type is; None where there is none."""
    return next((name for name, types in _KINDS if issubclass(kind, types)), None)


def _first(values: Any, missing: Any, kinds: dict[type, str | None], wanted: str | None) -> int:
    """The first row with a value of a group."""
    return next(
        at for at, each in enumerate(values) if not missing[at] and kinds[type(each)] == wanted
    )


def _mixed(values: Any, missing: Any, kinds: dict[type, str | None], where: str) -> ScriptFailed:
    start = int(np.argmin(missing))
    first = kinds[type(values[start])]
    other, at = next(
        (type(each), at)
        for at, each in enumerate(values)
        if not missing[at] and kinds[type(each)] != first
    )
    return ScriptFailed(
        f"{where}: it mixes values of the types {type(values[start]).__name__} and {other.__name__}"
        f" (first in row {at + 1:,}).",
        hint="Make them one type, as by .astype(str) or pd.to_numeric.",
    )


def _large_integers(values: Any, missing: Any, where: str) -> pa.Array:
    """Integers past int64: as uint64 or decimals, where they fit."""
    for target in (pa.uint64(), pa.decimal128(38, 0)):
        try:
            exact = [
                None if gone else Decimal(int(each)) if target != pa.uint64() else int(each)
                for each, gone in zip(values, missing, strict=True)
            ]
            return pa.array(exact, target)
        except (pa.ArrowException, OverflowError, ValueError):
            continue
    raise ScriptFailed(f"{where}: its integers have more than 38 digits.")


def _one_zone(values: Any, where: str) -> None:
    """Times with and without a zone do not go together, and nothing is finer than microseconds."""
    if len({each.tzinfo is None for each in values}) > 1:
        raise ScriptFailed(f"{where}: it mixes times with and without a time zone.")
    _no_nanoseconds(values, where)


def _no_zone(values: Any, where: str) -> None:
    if any(each.tzinfo is not None for each in values):
        raise ScriptFailed(
            f"{where}: it has times of a day with a time zone, which would be lost.",
            hint="Make text of them, as by .astype(str), or times without a zone.",
        )


def _no_nanoseconds(values: Any, where: str) -> None:
    if any(_nanoseconds(each) for each in values):
        raise nanoseconds(where)


def _nanoseconds(value: Any) -> int:
    found: int = getattr(
        value, "nanoseconds" if isinstance(value, pd.Timedelta) else "nanosecond", 0
    )
    return found


def _in_lists(values: Any, where: str) -> None:
    """What is in lists is looked at as a column is."""
    lists = [each for each in values if not isinstance(each, np.ndarray) or each.dtype.kind == "O"]
    _inside(partial(itertools.chain.from_iterable, lists), where)


def _in_structs(values: Any, where: str) -> None:
    """And so is each field."""
    for name in dict.fromkeys(itertools.chain.from_iterable(values)):
        _inside(partial(_field, values, name), where)


def _field(values: Any, name: str) -> Iterator[Any]:
    return (each[name] for each in values if name in each)


def _inside(values: Callable[[], Iterator[Any]], where: str) -> None:
    found = {_kind(each) for each in set(map(type, values()))} - {None}
    if len(found) <= 1 and not found & _CHECKS.keys():  # Arrow takes them as they are
        return
    there = np.fromiter(values(), np.dtype(object))
    there = there[~pd.isna(there)]
    kinds = {each: _kind(each) for each in set(map(type, there))}
    found = set(kinds.values()) - {None}
    if len(found) > 1 and found not in _MIXES:
        told = " and ".join(sorted(each.__name__ for each, kind in kinds.items() if kind))
        raise ScriptFailed(
            f"{where}: its lists or structs mix values of the types {told}.",
            hint="Make them one type, or text of the whole, as by .map(json.dumps).",
        )
    for kind in found:
        for check in _CHECKS.get(kind, ()):
            check(there, where)


def nanoseconds(where: str) -> ScriptFailed:
    """The error of times finer than those that are stored."""
    return ScriptFailed(
        f"{where}: it has times with nanoseconds; microseconds are stored.",
        hint='Round them first, as by .dt.floor("us").',
    )


_KINDS: tuple[
    tuple[str, tuple[type, ...]], ...
] = (  # the first that matches: bool is an int, datetime a date
    ("text", (str,)),
    ("boolean", (bool, np.bool_)),
    ("integer", (int, np.integer)),
    ("float", (float, np.float16, np.float32, np.float64)),
    ("decimal", (Decimal,)),
    ("timestamp", (dt.datetime,)),
    ("numpy time", (np.datetime64,)),
    ("date", (dt.date,)),
    ("time", (dt.time,)),
    ("duration", (dt.timedelta,)),
    ("numpy duration", (np.timedelta64,)),
    ("bytes", (bytes, bytearray, memoryview)),
    ("list", (list, tuple, np.ndarray)),
    ("struct", (dict,)),
    ("uuid", (uuid.UUID,)),
)
_MIXES = ({"integer", "float"}, {"integer", "decimal"})  # Arrow takes these, if they are exact
_CHECKS: dict[str | None, tuple[Callable[[Any, str], None], ...]] = {
    "timestamp": (_one_zone,),
    "duration": (_no_nanoseconds,),
    "time": (_no_zone,),
    "list": (_in_lists,),
    "struct": (_in_structs,),
}


def pieces(rows: pa.Table, rows_max: int) -> Iterator[pa.Table]:
    """A table in pieces of this many rows; an empty one is one piece."""
    for first in range(0, max(rows.num_rows, 1), rows_max):
        yield rows.slice(first, rows_max)
