"""The SQL with which a profile reads columns, and how it shows their values."""

from __future__ import annotations

import json
import math
from typing import Any

import orjson

from base.errors import InvalidInput
from base.tables import ColumnType
from storage.snapshots.cells import NESTED, json_cell, told
from storage.snapshots.filters import Stored, sort_key

VALUE_CHARS_MAX = 1000  # of a value that is shown


def hash_of(stored: Stored) -> str:
    """SQL of the 64-bit hash of a value, null for none."""
    return f"case when {stored.sql} is not null then hash({told(stored.sql, stored.type)}) end"


def sample_of(stored: Stored, scan: str, rows: int) -> str:
    """A query of how many values the first rows have, and about how many different ones; `scan` is what reads them."""
    some = f"(select {hash_of(stored)} h from {scan} limit {rows})"  # noqa: S608 - names and numbers of ours
    return f"select count(h), approx_count_distinct(h) from {some}"  # noqa: S608 - as above


def order_of(stored: Stored) -> tuple[str, str] | None:
    """SQL of the smallest and of the largest value; None for a column without an order."""
    try:
        key, _ = sort_key(stored, "column")
    except InvalidInput:
        return None
    name = stored.sql
    if key == name:
        return ends_of(name)
    known = f"filter (where lower({name}) <> 'nan')"  # as with floats, NaN is at neither end
    return f"arg_min({name}, {key}) {known}", f"arg_max({name}, {key}) {known}"


def ends_of(name: str) -> tuple[str, str]:
    """The same for what DuckDB orders by itself."""
    return f"min({name})", f"max({name})"


def double_of(stored: Stored) -> str | None:
    """SQL of the nearest double of a decimal of any width; None for what is no number."""
    if stored.type.id == "decimal":
        return f"{stored.sql}::double"
    if stored.column.type is ColumnType.DECIMAL:
        return f"try_cast({stored.sql} as double)"
    return None


def cell_of(value: str, stored: Stored) -> str:
    """SQL of the JSON of a value, the text of which is cut where it is long."""
    kind = stored.type.id
    if kind in NESTED or kind == "blob":
        text = json_cell(value, stored.type) if kind in NESTED else f"base64({value})"
        cut = f"hw_quoted(left({text}, {VALUE_CHARS_MAX}) || '…')"
        whole = json_cell(value, stored.type)
        return f"case when length({text}) > {VALUE_CHARS_MAX} then {cut} else {whole} end"
    cut = f"left({value}, {VALUE_CHARS_MAX}) || '…'"
    if kind != "varchar":
        return json_cell(value, stored.type)
    text = f"case when length({value}) > {VALUE_CHARS_MAX} then {cut} else {value} end"
    return json_cell(text, stored.type, stored.column.type)


def shown(cell: str) -> Any:
    """The value of a cell; a JSON document that no writer of JSON takes back exactly stays text."""
    try:
        value = json.loads(cell, parse_float=_finite)
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError):  # past 64 bits, half a character, too deep
        return cell
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value
