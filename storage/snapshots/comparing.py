"""Two versions of a table side by side: their columns by name, each in a form in which both compare without loss.

A column that one side does not have is null there. Columns of the same stored type compare as they are. Whole numbers
compare as such, other numbers by their digits, a date and a timestamp as timestamps, and whatever else differs in type
by its exact text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from duckdb.sqltypes import DOUBLE, DuckDBPyType

from base.tables import Column, ColumnType
from storage.snapshots.cells import FLOATS, INTEGERS, NESTED, TIMESTAMP_TZ, TIMESTAMPS, told
from storage.snapshots.filters import Stored
from storage.snapshots.relations import exact_form


@dataclass(frozen=True, slots=True)
class Pair:
    """A column of the two sides.

    `old_forms` and `new_forms` are SQL that is equal where the cells are, and has other hashes where they are not.
    """

    column: Column
    old: Stored | None
    new: Stored | None
    old_forms: tuple[str, ...]
    new_forms: tuple[str, ...]


def pairs(old: Sequence[Stored], new: Sequence[Stored]) -> list[Pair]:
    """The columns of both sides: those of the new one in its order, then those that are gone."""
    before = {stored.column.name: stored for stored in old}
    found = [_pair(before.pop(stored.column.name, None), stored) for stored in new]
    return found + [_pair(stored, None) for stored in before.values()]


def key_forms(pair: Pair) -> tuple[str, str]:
    """The same for a column of a key that both sides have: a key is one where MERGE takes it for one."""
    if pair.old and pair.new and _is_number_text(pair.old) and _is_number_text(pair.new):
        return _digits(pair.old.sql), _digits(pair.new.sql)
    return pair.old_forms[0], pair.new_forms[0]  # of floats the other one tells zeros apart


def _pair(old: Stored | None, new: Stored | None) -> Pair:
    if old is not None and new is not None:
        return Pair(new.column, old, new, *_common(old, new))
    known = old or new
    assert known is not None
    forms = _forms(known.sql, known.type)
    nulls = ("null",) * len(forms)
    if new is None:
        return Pair(known.column, old, None, forms, nulls)
    return Pair(known.column, None, new, nulls, forms)


def _common(old: Stored, new: Stored) -> tuple[tuple[str, ...], tuple[str, ...]]:
    one, other = old.type, new.type
    kinds = {one.id, other.id}
    if str(one) == str(other) and _is_number_text(old) is _is_number_text(new):
        return _both(old.sql, new.sql, one)
    if kinds <= FLOATS:
        return _both(f"{old.sql}::double", f"{new.sql}::double", DOUBLE)
    if kinds <= INTEGERS:
        return (f"{old.sql}::varchar",), (f"{new.sql}::varchar",)
    if _is_number(old) and _is_number(new):
        return (_digits(old.sql),), (_digits(new.sql),)
    if kinds <= TIMESTAMPS | {"date"}:
        return (f"{old.sql}::timestamp",), (f"{new.sql}::timestamp",)
    return (_text(old),), (_text(new),)


def _both(old: str, new: str, stored: DuckDBPyType) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return _forms(old, stored), _forms(new, stored)


def _forms(value: str, stored: DuckDBPyType) -> tuple[str, ...]:
    form = told(value, stored)
    return tuple(exact_form(value, stored)) if form == value else (form,)


def _is_number_text(stored: Stored) -> bool:
    return stored.type.id == "varchar" and stored.column.type is ColumnType.DECIMAL


def _is_number(stored: Stored) -> bool:
    return stored.type.id in INTEGERS | FLOATS | {"decimal"} or _is_number_text(stored)


def _digits(name: str) -> str:
    return f"hw_decimal({name}::varchar)"


def _text(stored: Stored) -> str:
    """SQL of the exact text of a value, as a source would write it."""
    kind, name = stored.type.id, stored.sql
    if kind in NESTED:
        return told(name, stored.type)
    if kind in _TEXTS:
        return _TEXTS[kind].format(name)
    return f"{name}::varchar"


_TEXTS = {
    **dict.fromkeys(FLOATS, "hw_float({})"),
    **dict.fromkeys(TIMESTAMPS, "hw_timestamp({})"),
    TIMESTAMP_TZ: "hw_timestamp_tz({})",
    "date": "hw_date({})",
    "blob": "base64({})",
}
