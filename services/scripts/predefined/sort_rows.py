"""Sorts the rows; those that are equal keep their order.

Parameters:
- columns: names of the columns to sort by, the most important first (required).
- descending: true, or a list with true or false for each of the columns (default false).
- missing: "last" (default) or "first": where rows with a missing value go.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "descending": False, "missing": "last"}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Sort the rows."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    columns, descending = chosen["columns"], chosen["descending"]
    if not isinstance(columns, list) or not columns:
        raise ValueError("columns has to name at least one column to sort by")
    for name in columns:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        kind = getattr(df[name].dtype, "pyarrow_dtype", None)
        if kind is not None and kind.num_fields:
            raise ValueError(f"column {name!r} of type {df[name].dtype} has no order")
    if chosen["missing"] not in {"first", "last"}:
        raise ValueError(f"missing is first or last, not {chosen['missing']!r}")
    if not isinstance(descending, list):
        descending = [descending] * len(columns)
    if len(descending) != len(columns) or not all(isinstance(each, bool) for each in descending):
        raise ValueError("descending is true or false, or a list with one of them for each column")
    return df.sort_values(
        columns,
        ascending=[not each for each in descending],
        na_position=chosen["missing"],
        kind="stable",
    )
