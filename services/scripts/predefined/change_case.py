"""Writes texts in lower case, upper case or title case.

Parameters:
- columns: names of the text columns to change; all text columns if left out.
- case: "lower" (default), "upper", "title", or "fold" for comparing texts of any language.
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"columns": None, "case": "lower"}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Change the case of the chosen columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["case"] not in {"lower", "upper", "title", "fold"}:
        raise ValueError(f"case is lower, upper, title or fold, not {chosen['case']!r}")
    for name in text_columns(df, chosen["columns"]):
        texts = df[name].str
        change = {
            "lower": texts.lower,
            "upper": texts.upper,
            "title": texts.title,
            "fold": texts.casefold,
        }
        df[name] = change[chosen["case"]]()
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
