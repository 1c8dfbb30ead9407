"""Replaces whole values of columns by others.

Parameters:
- values: a list of {"from", "to"} (required); null as "to" makes values missing, null as "from" fills in missing ones.
- columns: names of the columns to look at; all columns of the type of a "from" if left out.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"values": None, "columns": None}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Replace the values."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    pairs = chosen["values"]
    if not isinstance(pairs, list) or not all(is_pair(pair) for pair in pairs):
        raise ValueError('values has to be a list of {"from": …, "to": …}')
    columns = list(df.columns) if chosen["columns"] is None else chosen["columns"]
    if not isinstance(columns, list):
        raise ValueError("columns has to be a list of names")
    for name in columns:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        df[name] = replaced(df[name], pairs, is_named=chosen["columns"] is not None)
    return df


def is_pair(pair: Any) -> bool:
    """Whether it says what becomes what."""
    return isinstance(pair, dict) and pair.keys() == {"from", "to"}


def replaced(
    column: "pd.Series[Any]", pairs: list[dict[str, Any]], *, is_named: bool
) -> "pd.Series[Any]":
    """The column with each value replaced once, by the first pair that it is the `from` of."""
    result, is_done = column.copy(), pd.Series(data=False, index=column.index)
    for pair in pairs:
        old, new = pair["from"], pair["to"]
        if old is not None and not goes_with(column, old):
            if is_named:
                raise ValueError(f"{old!r} is no value of column {column.name!r}: {column.dtype}")
            continue
        hit = column.isna() if old is None else (column == old).fillna(value=False).astype(bool)
        hit &= ~is_done
        is_done |= hit
        if not hit.any():
            continue
        if new is not None and not goes_with(column, new):
            raise ValueError(f"{new!r} does not go into column {column.name!r}: {column.dtype}")
        result = result.mask(hit) if new is None else result.mask(hit, new)
    return result


def goes_with(column: "pd.Series[Any]", value: Any) -> bool:
    """Whether a value of the parameters is one of the column's type."""
    if isinstance(value, str):
        return isinstance(column.dtype, pd.StringDtype)
    if isinstance(value, bool) or pd.api.types.is_bool_dtype(column):
        return isinstance(value, bool) and pd.api.types.is_bool_dtype(column)
    if isinstance(value, float):
        return pd.api.types.is_float_dtype(column)
    return isinstance(value, int) and pd.api.types.is_numeric_dtype(column)
