"""Adds a column that numbers the rows.

Parameters:
- name: of the new column (default "row_number").
- start: the first number (default 1).
- last: true puts it behind the other columns (default false: before them).
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"name": "row_number", "start": 1, "last": False}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Number the rows."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    name, start = chosen["name"], chosen["start"]
    if not isinstance(name, str) or not name:
        raise ValueError("name has to be the name of the new column")
    if name in df.columns:
        raise ValueError(f"there is a column {name!r} already")
    if not isinstance(start, int) or isinstance(start, bool):
        raise ValueError(f"start is an integer, not {start!r}")
    numbers = pd.RangeIndex(start, start + len(df)).to_numpy()
    df.insert(df.shape[1] if chosen["last"] else 0, name, numbers)
    return df
