"""Drops rows in which values are missing.

Parameters:
- columns: names of the columns to look at; all columns if left out.
- how: "all" (default) drops a row if all of these are missing, "any" if one of them is.
- blank_texts: true (default) takes texts without anything but white space as missing.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "how": "all", "blank_texts": True}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Drop the rows."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["how"] not in {"all", "any"}:
        raise ValueError(f"how is all or any, not {chosen['how']!r}")
    columns = list(df.columns) if chosen["columns"] is None else chosen["columns"]
    if not isinstance(columns, list) or not columns:
        raise ValueError("columns has to be a list of at least one name")
    for name in columns:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
    missing = df[columns].isna()
    if chosen["blank_texts"]:
        for name in columns:
            if isinstance(df[name].dtype, pd.StringDtype):
                missing[name] |= df[name].str.strip() == ""
    return df[~(missing.all(axis=1) if chosen["how"] == "all" else missing.any(axis=1))]
