"""From a filter spec to the variables of a GraphQL list of projects."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway.fields import KEY_MAX
from gateway.ufdl.paths import PATHS, nested
from gateway.ufdl.specs import Condition, Expression, Group, Sorting, Spec, Value, unparsable

_OPERATORS = {"<": "lt", "<=": "lte", ">": "gt", ">=": "gte"}
_NOTHING: Mapping[str, Any] = {"or": []}  # the filter that nothing passes
_BY_KEY = {"field": "PK", "direction": "ASC"}


def variables(spec: Spec) -> dict[str, Any]:
    """`filter` and `orderBy`: by key, where the spec names no order.

    Raises Failure for a value that its field cannot be held against.
    """
    found: dict[str, Any] = {"and": [_filter(each) for each in spec.expressions]}
    if spec.include_inactive:
        found["deleted"] = None
    return {"filter": found, "orderBy": [_order(each) for each in spec.order_by] or [_BY_KEY]}


def _order(sorting: Sorting) -> dict[str, str]:
    order = {
        "field": PATHS[sorting.field].order,
        "direction": "ASC" if sorting.ascending else "DESC",
    }
    if sorting.nulls_first is None:
        return order
    return order | {"nulls": "FIRST" if sorting.nulls_first else "LAST"}


def _filter(expression: Expression) -> Mapping[str, Any]:
    if isinstance(expression, Group):
        inner: Mapping[str, Any] = {expression.kind: [_filter(each) for each in expression.parts]}
    else:
        inner = _condition(expression)
    return {"not": inner} if expression.invert else inner


def _condition(test: Condition) -> Mapping[str, Any]:
    path = PATHS[test.field]
    if test.kind == "isnull":
        return _NOTHING if path.null is None else nested(path.null, True)
    if path.kind == "text":
        return nested(path.place, _text(test))
    if test.kind == "contains":
        raise unparsable(test.place, f"`{test.field}` is no text, which could contain another.")
    operator = _OPERATORS.get(test.operator, "eq")
    if path.kind == "time":
        return nested(path.place, {operator: _time(test)})
    key = _key(operator, _number(test))
    return _NOTHING if key is None else nested(path.place, key)


def _text(test: Condition) -> dict[str, Any]:
    text = str(test.value)
    if test.kind == "contains":
        return {"contains": text, "ignoreCase": test.ignores_case}
    if test.kind == "compare":
        return {_OPERATORS[test.operator]: text}
    return {"eq": text, "ignoreCase": test.ignores_case}


def _number(test: Condition) -> int | float:
    """The number that a key is held against; texts may be whole numbers."""
    value: Value = test.value
    if not isinstance(value, str):
        return value
    try:
        return int(value)
    except ValueError:
        raise unparsable(test.place, f"`{test.field}` takes a whole number.") from None


def _key(operator: str, number: float) -> dict[str, int] | None:
    """The `KeyFilter`; None where no key can be so."""
    if abs(number) > KEY_MAX:
        if operator == "eq":
            return None
        reaches = (number > 0) == (operator in {"lt", "lte"})
        if reaches:
            return {"lte": KEY_MAX} if number > 0 else {"gte": -KEY_MAX}
        return {"gt": KEY_MAX} if number > 0 else {"lt": -KEY_MAX}
    below = math.floor(number)
    if below == number:
        return {operator: below}
    # Between two keys, less and at most are the same.
    return None if operator == "eq" else {"lte" if operator in {"lt", "lte"} else "gt": below}


def _time(test: Condition) -> str:
    """A point in time as GraphQL takes it; without a zone it is in UTC."""
    try:
        time = datetime.fromisoformat(test.value if isinstance(test.value, str) else "")
        zoned = time if time.tzinfo is not None else time.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        message = f"`{test.field}` takes a time such as 2026-11-21T13:28:56.123000+00:00."
        raise unparsable(test.place, message) from None
