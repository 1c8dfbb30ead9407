"""Drops rows that are there more than once.

Parameters:
- columns: names of the columns that make rows the same; all columns if left out.
- keep: which row stays: "first" (default), "last", or "none" of them.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "keep": "first"}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Drop the duplicates."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["keep"] not in {"first", "last", "none"}:
        raise ValueError(f"keep is first, last or none, not {chosen['keep']!r}")
    columns = list(df.columns) if chosen["columns"] is None else chosen["columns"]
    if not isinstance(columns, list) or not columns:
        raise ValueError("columns has to be a list of at least one name")
    for name in columns:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
    compared = pd.DataFrame({name: comparable(df[name]) for name in columns})
    kept = compared.duplicated(keep=False if chosen["keep"] == "none" else chosen["keep"])
    return df[~kept]


def comparable(column: Any) -> Any:
    """Lists and structs, which pandas cannot compare, as text."""
    kind = getattr(column.dtype, "pyarrow_dtype", None)
    if kind is not None and kind.num_fields:
        return column.map(repr, na_action="ignore")
    return column
