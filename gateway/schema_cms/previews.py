"""The preview file of a table: its first rows, and what pandas' `describe` says of each column.

All of it is made of GraphQL's rows and profile. A column has the dtype that pandas gives it when it reads the same CSV
file: integers among which some are missing are float64, texts, dates and times `string`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gateway.dialect import Data
from gateway.schemas import ANY, COUNT, NUMBER, TEXT, Schema, list_of, object_of, or_null

_NUMBERS = {"INTEGER", "FLOAT", "DECIMAL"}
_NUMBER_OR_NULL = or_null(NUMBER)
_COUNT_OR_NULL = or_null(COUNT)
DESCRIBED = object_of(
    count=COUNT,
    unique=_COUNT_OR_NULL,
    top=ANY,
    freq=_COUNT_OR_NULL,
    **dict.fromkeys(("mean", "std", "min", "50%", "max"), _NUMBER_OR_NULL),
    dtype={"enum": ["int64", "float64", "bool", "string"]},
    sample=ANY,
    median=_NUMBER_OR_NULL,
    number_of_nans=COUNT,
    unique_values=_COUNT_OR_NULL,
)
_PARTS: dict[str, Schema] = {
    "data": list_of({"type": "object"}) | {"maxItems": 5},
    "fields": {"type": "object", "additionalProperties": DESCRIBED},
}
PREVIEW = object_of(**_PARTS)
NAMED_PREVIEW = object_of(**_PARTS, data_source=object_of(name=TEXT))


def preview(table: Data) -> Data:
    """The preview of a table with its rows and its profile."""
    columns = table["rows"]["columns"]
    types = [column["type"] for column in columns]
    names = [column["name"] for column in columns]
    rows = [
        [_plain(kind, cell) for kind, cell in zip(types, row, strict=True)]
        for row in table["rows"]["rows"]
    ]
    profiles = {each["column"]: each for each in table["profile"]}
    fields = {
        name: _field(kind, profiles[name], [row[at] for row in rows], table["rowCount"] or 0)
        for at, (name, kind) in enumerate(zip(names, types, strict=True))
        if name in profiles
    }
    return {"data": [dict(zip(names, row, strict=True)) for row in rows], "fields": fields}


def _plain(kind: str, cell: Any) -> Any:
    """A cell as pandas writes it in JSON: all numbers are numbers, and what is none is null."""
    if kind not in _NUMBERS or cell is None:
        return cell
    number = int(cell) if kind == "INTEGER" else float(cell)
    return number if math.isfinite(number) else None


def _field(kind: str, profile: Data, first: Sequence[Any], rows: int) -> Data:
    dtype = _dtype(kind, profile, rows)
    is_number = dtype in {"int64", "float64"}
    top, freq = (None, None) if is_number else _top(kind, profile, first)
    mean, std, median, least, most = (
        _plain("FLOAT", profile[name]) if is_number and kind in _NUMBERS else None
        for name in ("mean", "stddev", "median", "min", "max")
    )
    if dtype == "int64":
        least, most = (_plain(kind, profile[name]) for name in ("min", "max"))
    return {
        "count": profile["count"],
        "unique": None if is_number else profile["distinct"],
        "top": top,
        "freq": freq,
        "mean": mean,
        "std": std,
        "min": least,
        "50%": median,
        "max": most,
        "dtype": dtype,
        "sample": next((cell for cell in first if cell is not None), None),
        "median": median,
        "number_of_nans": profile["nulls"],
        "unique_values": profile["distinct"],
    }


def _dtype(kind: str, profile: Data, rows: int) -> str:
    if not profile["count"]:
        return "float64" if rows else "string"
    if kind in _NUMBERS:
        return "int64" if kind == "INTEGER" and not profile["nulls"] else "float64"
    return "bool" if kind == "BOOLEAN" and not profile["nulls"] else "string"


def _top(kind: str, profile: Data, first: Sequence[Any]) -> tuple[Any, int | None]:
    """The most frequent value; of those that tie, the one that comes first, as far as the first rows tell."""
    values = [cell for cell in first if cell is not None]
    if not profile["top"]:  # GraphQL names none where all are different
        return (values[0], 1) if values else (None, None)
    freq = profile["top"][0]["count"]
    best = [_plain(kind, each["value"]) for each in profile["top"] if each["count"] == freq]
    return next((cell for cell in values if cell in best), best[0]), freq
