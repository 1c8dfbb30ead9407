"""Makes dates or times of texts.

Parameters:
- columns: names of the text columns (required); those that are times already stay as they are.
- format: how they are written, as "%d.%m.%Y %H:%M", or "mixed"; found from the first text if left out.
- day_first: true reads 01/02/2026 as the first of February (default false).
- dates_only: true makes dates without a time (default false).
- utc: true makes times in UTC, which those with different offsets need (default false).
- errors: "fail" (default), or "missing": texts that are none become missing.
"""

import warnings
from typing import Any

import pandas as pd
import pyarrow as pa

PARAMETERS: dict[str, Any] = {
    "columns": None,
    "format": None,
    "day_first": False,
    "dates_only": False,
    "utc": False,
    "errors": "fail",
}


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Parse the chosen columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["errors"] not in {"fail", "missing"}:
        raise ValueError(f"errors is fail or missing, not {chosen['errors']!r}")
    if not isinstance(chosen["columns"], list):
        raise ValueError("columns has to name the columns to parse")
    for name in chosen["columns"]:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        column = df[name]
        if isinstance(column.dtype, pd.StringDtype):
            column = parsed(column, chosen)
        elif not pd.api.types.is_datetime64_any_dtype(column):
            raise ValueError(f"column {name!r} is no text, but {column.dtype}")
        if chosen["dates_only"]:
            column = column.dt.tz_localize(None).astype(pd.ArrowDtype(pa.timestamp("us")))
            column = column.dt.floor("D").astype(pd.ArrowDtype(pa.date32()))
        df[name] = column
    return df


def parsed(column: "pd.Series[Any]", chosen: dict[str, Any]) -> "pd.Series[Any]":
    """A column of texts as times."""
    texts = column.str.strip()
    texts = texts.mask(texts == "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of formats that cannot be found: the check below tells
        try:
            found: pd.Series[Any] = pd.to_datetime(
                texts,
                errors="coerce",
                format=chosen["format"],
                dayfirst=chosen["day_first"],
                utc=chosen["utc"],
            )
        except ValueError as error:
            reason = str(error)
            if reason.startswith("Mixed timezones"):
                reason = "it has times of different offsets; let utc be true"
            raise ValueError(f"column {column.name!r}: {reason}") from error
    wrong = found.isna() & texts.notna()
    if chosen["errors"] == "fail" and wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ValueError(
            f"column {column.name!r}, row {row + 1}: {texts.iloc[row]!r} is no time as the others are"
            f" ({int(wrong.sum()):,} such rows); name a format, or let errors be missing"
        )
    return found if found.dt.unit == "us" else found.dt.as_unit("us")
