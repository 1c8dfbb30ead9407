"""Keeps some columns, in the order that they are named in, or drops some.

Parameters (one of the two):
- columns: names of the columns to keep.
- drop: names of the columns to leave out.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "drop": None}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Keep or drop the columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if (chosen["columns"] is None) == (chosen["drop"] is None):
        raise ValueError("name either the columns to keep (columns) or those to leave out (drop)")
    named = chosen["drop"] if chosen["columns"] is None else chosen["columns"]
    if not isinstance(named, list) or len(set(named)) < len(named):
        raise ValueError("columns and drop are lists that name each column once")
    for name in named:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
    kept = named if chosen["drop"] is None else [name for name in df.columns if name not in named]
    if not kept:
        raise ValueError("no column is left")
    return df[kept]
