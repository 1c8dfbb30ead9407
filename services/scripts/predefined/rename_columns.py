"""Gives columns other names.

Parameters:
- names: the new names by the old ones, as {"custNo": "customer_number"} (required).
- skip_unknown: true passes over old names that are not there (default false: they are an error).
"""

from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"names": None, "skip_unknown": False}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Rename the columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    names = chosen["names"]
    if not isinstance(names, dict) or not all(isinstance(new, str) for new in names.values()):
        raise ValueError('names has to be new names by old ones, as {"old": "new"}')
    unknown = [old for old in names if old not in df.columns]
    if unknown and not chosen["skip_unknown"]:
        raise ValueError(f"there is no column {unknown[0]!r}; there are {', '.join(df.columns)}")
    renamed = [names.get(name, name) for name in df.columns]
    twice = [name for name in dict.fromkeys(renamed) if renamed.count(name) > 1]
    if twice:
        raise ValueError(f"two columns would be called {twice[0]!r}")
    df.columns = pd.Index(renamed)
    return df
