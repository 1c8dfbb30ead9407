"""Fills in missing values.

Parameters (one of the first two is required):
- values: what to fill in by column, as {"country": "unknown", "amount": 0}.
- method: "forward" (the value of the row before), "backward", "mean", "median" or "mode" (the most frequent value).
- columns: for a method, names of the columns to fill; all columns that it goes for if left out.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

PARAMETERS: dict[str, Any] = {"values": None, "method": None, "columns": None}
METHODS = ("forward", "backward", "mean", "median", "mode")


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Fill the columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    values, method, named = chosen["values"], chosen["method"], chosen["columns"]
    if (values is None) == (method is None):
        raise ValueError("give either values by column (values) or a method")
    if values is not None:
        if not isinstance(values, dict) or named is not None:
            raise ValueError('values are by column, as {"amount": 0}, and go without columns')
        for name in present(df, list(values)):
            df[name] = filled(df[name], values[name])
        return df
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(METHODS)}, not {method!r}")
    if named is None:
        is_mean = method in {"mean", "median"}
        named = [name for name in df.columns if is_number(df[name]) or not is_mean]
    for name in present(df, named):
        df[name] = by_method(df[name], method)
    return df


def present(df: pd.DataFrame, names: list[str]) -> list[str]:
    """The names, which have to be those of columns."""
    if not isinstance(names, list):
        raise ValueError("columns has to be a list of names")
    for name in names:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
    return names


def is_number(column: "pd.Series[Any]") -> bool:
    """Whether a column has a mean."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def filled(column: "pd.Series[Any]", value: Any) -> "pd.Series[Any]":
    """The column with the value where one is missing; its type stays."""
    if not column.isna().any():
        return column
    refused = f"{value!r} does not go into column {column.name!r} of type {column.dtype}"
    if isinstance(column.dtype, pd.StringDtype) and not isinstance(value, str):
        raise ValueError(refused)
    try:
        return column.fillna(typed(value, column.dtype)).astype(column.dtype)
    except (pa.ArrowException, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(refused) from error


def typed(value: Any, dtype: Any) -> Any:
    """A text of the parameters as the time, date or number that it stands for in a column of this type."""
    if not isinstance(value, str):
        return value
    if isinstance(dtype, pd.ArrowDtype):
        return pa.scalar(value).cast(dtype.pyarrow_dtype).as_py()
    if pd.api.types.is_datetime64_any_dtype(dtype):
        time = pd.Timestamp(value)
        has_zone = isinstance(dtype, pd.DatetimeTZDtype)
        return time.tz_localize("UTC") if has_zone and time.tz is None else time
    return value


def by_method(column: "pd.Series[Any]", method: str) -> "pd.Series[Any]":
    """The column filled from its own values."""
    if method == "forward":
        return column.ffill()
    if method == "backward":
        return column.bfill()
    if method == "mode":
        found = column.value_counts().sort_index(kind="stable")
        return column if found.empty else filled(column, found.idxmax())
    if not is_number(column):
        raise ValueError(f"column {column.name!r} has no {method}: it is {column.dtype}")
    value = column.mean() if method == "mean" else column.median()
    if pd.isna(value):
        return column
    is_whole = pd.api.types.is_integer_dtype(column) and float(value).is_integer()
    if pd.api.types.is_integer_dtype(column) and not is_whole:
        column = column.astype("Float64")
    return column.fillna(int(value) if is_whole else value)
