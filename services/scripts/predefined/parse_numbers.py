"""Makes numbers of texts: integers where all of a column are, else floating-point numbers.

Parameters:
- columns: names of the text columns (required); those that are numbers already stay as they are.
- decimal: the character before the fraction (default ".").
- thousands: the character between groups of digits, as "," (default none).
- strip: characters to leave out at both ends, as "€% " (default only white space).
- errors: "fail" (default), or "missing": texts that are none become missing.
"""

from typing import Any

import pandas as pd
import pyarrow as pa

PARAMETERS: dict[str, Any] = {
    "columns": None,
    "decimal": ".",
    "thousands": None,
    "strip": "",
    "errors": "fail",
}
NUMBER = r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
INTEGER = r"[+-]?[0-9]+"
# Integers with more digits do not all fit: into int64, and into float64 where others have a fraction.
INTEGER_DIGITS, FLOAT_DIGITS = 18, 15


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Parse the chosen columns."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["errors"] not in {"fail", "missing"}:
        raise ValueError(f"errors is fail or missing, not {chosen['errors']!r}")
    if chosen["decimal"] == chosen["thousands"]:
        raise ValueError("decimal and thousands cannot be the same character")
    if not isinstance(chosen["columns"], list):
        raise ValueError("columns has to name the columns to parse")
    for name in chosen["columns"]:
        if name not in df.columns:
            raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
        column = df[name]
        if isinstance(column.dtype, pd.StringDtype):
            df[name] = parsed(column, chosen)
        elif not pd.api.types.is_numeric_dtype(column):
            raise ValueError(f"column {name!r} is no text, but {column.dtype}")
    return df


def parsed(column: "pd.Series[Any]", chosen: dict[str, Any]) -> "pd.Series[Any]":
    """A column of texts as numbers."""
    texts = column.str.strip().str.strip(chosen["strip"] + " \t\r\n\xa0")
    if chosen["thousands"]:
        texts = texts.str.replace(chosen["thousands"], "", regex=False)
    if chosen["decimal"] != ".":
        # A point that is neither is no part of a number.
        texts = texts.str.replace(".", "?", regex=False)
        texts = texts.str.replace(chosen["decimal"], ".", regex=False)
    texts = texts.mask(texts == "")
    is_number = texts.str.fullmatch(NUMBER, na=False).astype(bool)
    wrong = ~is_number & texts.notna()
    if chosen["errors"] == "fail" and wrong.any():
        row = int(wrong.to_numpy().argmax())
        raise ValueError(
            f"column {column.name!r}, row {row + 1}: {column.iloc[row]!r} is no number"
            f" ({int(wrong.sum()):,} such rows); let errors be missing to go on without them"
        )
    texts = texts.where(is_number)
    is_whole = bool(texts.str.fullmatch(INTEGER, na=True).all())
    digits = INTEGER_DIGITS if is_whole else FLOAT_DIGITS
    long = texts.str.fullmatch(rf"[+-]?[0-9]{{{digits + 1},}}", na=False).astype(bool)
    if long.any():
        row = int(long.to_numpy().argmax())
        raise ValueError(
            f"column {column.name!r}, row {row + 1}: {column.iloc[row]!r} has more than {digits} digits,"
            " of which some would be lost; let it stay text"
        )
    if not is_whole:
        return texts.astype("float64")
    whole = texts.str.removeprefix("+").astype(pd.ArrowDtype(pa.string()))
    return whole.astype(pd.ArrowDtype(pa.int64())).astype(
        "Int64" if texts.isna().any() else "int64"
    )
