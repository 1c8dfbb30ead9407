"""Gives columns the types in which pandas reads a CSV file: for scripts that were written for `read_csv`.

Decimals become floating-point numbers, and so do integers of which some are missing; dates, times and durations become
texts, as 2026-01-31 and 2026-01-31 12:00:00. Digits may be lost by it.

Parameters:
- columns: names of the columns to change; all columns if left out.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

PARAMETERS: dict[str, Any] = {"columns": None}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Change the types."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    columns = list(df.columns) if chosen["columns"] is None else chosen["columns"]
    if not isinstance(columns, list):
        raise ValueError("columns has to be a list of names")
    for name in columns:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        df[name] = plain(df[name])
    return df


def plain(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """A column as `read_csv` makes it."""
    dtype = column.dtype
    kind = getattr(dtype, "pyarrow_dtype", None)
    is_number = isinstance(dtype, pd.Int64Dtype | pd.UInt64Dtype)
    if is_number or (
        kind is not None and (pa.types.is_decimal(kind) or pa.types.is_floating(kind))
    ):
        numbers = column.to_numpy("float64", na_value=np.nan)
        return pd.Series(numbers, index=column.index)
    is_time = isinstance(dtype, pd.DatetimeTZDtype) or dtype.kind in "mM"
    if is_time or (kind is not None and (pa.types.is_temporal(kind) or pa.types.is_string(kind))):
        return column.astype("str").where(column.notna())
    return column
