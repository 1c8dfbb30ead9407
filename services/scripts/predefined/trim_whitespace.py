"""Trims white space at both ends of texts.

Parameters:
- columns: names of the text columns to trim; all text columns if left out.
- collapse: true makes one space of every run of white space inside a text (default false).
- empty_as_missing: true makes texts missing of which nothing is left (default false).
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "collapse": False, "empty_as_missing": False}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Trim the chosen columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    for name in text_columns(df, chosen["columns"]):
        texts = df[name].str.strip()
        if chosen["collapse"]:
            texts = texts.str.replace(r"\s+", " ", regex=True)
        if chosen["empty_as_missing"]:
            texts = texts.mask(texts == "")
        df[name] = texts
    return df


def text_columns(df: pd.DataFrame, wanted: list[str] | None) -> list[str]:
    """The columns that are wanted, which have to be text; all text columns where none are named."""
    if wanted is None:
        return [name for name in df.columns if isinstance(df[name].dtype, pd.StringDtype)]
    if not isinstance(wanted, list):
        raise ValueError("columns has to be a list of names")
    for name in wanted:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        if not isinstance(df[name].dtype, pd.StringDtype):
            raise ValueError(f"column {name!r} is no text, but {df[name].dtype}")
    return wanted
