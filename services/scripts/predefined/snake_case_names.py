"""Names columns in snake_case: `Order No.` and `orderNo` become `order_no`.

A name that is taken gets a number (`order_no_2`), an empty one becomes `column`.

Parameters:
- ascii: true writes letters with accents without them, and leaves out other letters than a to z (default false).
"""

import re
import unicodedata
from typing import Any

import pandas as pd

PARAMETERS: dict[str, Any] = {"ascii": False}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Rename all columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    taken: set[str] = set()
    names = []
    for name in df.columns:
        wanted = snake_case(name, only_ascii=bool(chosen["ascii"])) or "column"
        free, number = wanted, 1
        while free in taken:
            number += 1
            free = f"{wanted}_{number}"
        taken.add(free)
        names.append(free)
    df.columns = pd.Index(names)
    return df


def snake_case(name: str, *, only_ascii: bool) -> str:
    """One name in lower case, its words joined by underscores."""
    if only_ascii:
        name = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return re.sub(r"[\W_]+", "_", name).strip("_").lower()
