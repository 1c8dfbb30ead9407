"""Keeps the rows that meet conditions.

Parameters:
- conditions: a list of {"column", "operator", "value"} (required). Operators: "==", "!=", "<", "<=", ">", ">=", "in",
  "not in" (their value is a list), "contains", "starts with", "ends with", "matches" (a regular expression) of texts,
  and "is missing", "is present" (without a value). Times and dates are written as "2026-01-31T12:00".
- match: "all" (default) of the conditions, or "any" of them.
- invert: true keeps the other rows (default false).

A missing value meets no condition but "is missing".
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

PARAMETERS: dict[str, Any] = {"conditions": None, "match": "all", "invert": False}
COMPARED: dict[str, Any] = {
    "==": pc.equal,
    "!=": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
SEARCHED: dict[str, Any] = {
    "contains": pc.match_substring,
    "starts with": pc.starts_with,
    "ends with": pc.ends_with,
    "matches": pc.match_substring_regex,
}
LISTED = ("in", "not in")
BARE = ("is missing", "is present")


def run(df: pd.DataFrame, context: Any) -> pd.DataFrame:
    """Keep the rows."""
    for name in context.parameters:
        if name not in PARAMETERS:
            raise ValueError(f"unknown parameter {name!r}; there are {', '.join(PARAMETERS)}")
    chosen = PARAMETERS | context.parameters
    if chosen["match"] not in {"all", "any"}:
        raise ValueError(f"match is all or any, not {chosen['match']!r}")
    if not isinstance(chosen["conditions"], list) or not chosen["conditions"]:
        raise ValueError("conditions has to be a list of at least one condition")
    masks = [mask(df, condition) for condition in chosen["conditions"]]
    reduced = np.logical_and if chosen["match"] == "all" else np.logical_or
    kept: np.ndarray[Any, np.dtype[np.bool_]] = reduced.reduce(masks)
    return df.loc[~kept if chosen["invert"] else kept]


def mask(df: pd.DataFrame, condition: Any) -> Any:
    """Which rows meet one condition."""
    if not isinstance(condition, dict) or not condition.keys() <= {"column", "operator", "value"}:
        raise ValueError(f"a condition has column, operator and value: {condition!r}")
    name, operator = condition.get("column"), condition.get("operator")
    if name not in df.columns:
        raise ValueError(f"there is no column {name!r}; there are {', '.join(df.columns)}")
    known = [*COMPARED, *LISTED, *SEARCHED, *BARE]
    if operator not in known:
        raise ValueError(f"there is no operator {operator!r}; there are {', '.join(known)}")
    if operator in BARE:
        if "value" in condition:
            raise ValueError(f"{operator!r} has no value")
        missing = df[name].isna().to_numpy()
        return missing if operator == "is missing" else ~missing
    value = condition.get("value")
    if value is None:
        raise ValueError(f"{operator!r} needs a value; for missing ones there is 'is missing'")
    cells = pa.array(df[name], from_pandas=True)
    try:
        met = meets(cells, operator, value)
    except (pa.ArrowException, TypeError) as error:
        raise ValueError(
            f"column {name!r} of type {df[name].dtype} cannot be compared so: {operator} {value!r}"
        ) from error
    return np.asarray(pc.fill_null(met, False), bool)


def meets(cells: Any, operator: str, value: Any) -> Any:
    """Compare, with null where a cell is missing."""
    if operator in COMPARED:
        return COMPARED[operator](cells, scalar(value, cells.type))
    if operator in LISTED:
        if not isinstance(value, list):
            raise ValueError(f"{operator!r} needs a list, not {value!r}")
        found = pa.array(np.zeros(len(cells), bool))
        for each in value:
            found = pc.or_(found, pc.equal(cells, scalar(each, cells.type)))
        return found if operator == "in" else pc.invert(found)
    if not isinstance(value, str):
        raise ValueError(f"{operator!r} needs a text, not {value!r}")
    return SEARCHED[operator](cells, value)


def scalar(value: Any, kind: Any) -> Any:
    """A value of the parameters as one that cells of this type can be compared with."""
    if pa.types.is_boolean(kind) != isinstance(value, bool):
        raise TypeError("true and false go with each other only")
    if not isinstance(value, str) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.scalar(value)
    if pa.types.is_timestamp(kind):
        try:
            moment = pd.Timestamp(value)
        except ValueError as error:
            raise TypeError("no time") from error
        if kind.tz is not None and moment.tz is None:
            moment = moment.tz_localize("UTC")
        if kind.tz is None and moment.tz is not None:
            raise TypeError("a time zone goes with times that have one")
        return pa.scalar(moment.as_unit("us"), pa.timestamp("us", kind.tz))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        raise TypeError("a text is no number")
    return pa.scalar(value).cast(kind)
