"""What failed, in the words of Django REST framework, which more than one dialect speaks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from gateway.failures import MALFORMED_BODY, NO_ROUTE, Failure, Problem
from gateway.schemas import TEXT, object_of

GENERAL = "non_field_errors"  # where a mistake is of no field in particular
Errors = dict[str, Any]  # texts by field; of a list's items at their places

DETAIL = object_of(detail=TEXT)
_DETAILS = {
    "UNAUTHENTICATED": "Authentication credentials were not provided.",
    "FORBIDDEN": "You do not have permission to perform this action.",
    "NOT_FOUND": "Not found.",
    NO_ROUTE: "Not found.",
}
_TYPES = {
    "integer": "A valid integer is required.",
    "string": "Not a valid string.",
    "boolean": "Must be a valid boolean.",
    "file": "The submitted data was not a file. Check the encoding type on the form.",
    "array": 'Expected a list of items but got type "{kind}".',
    "object": "Invalid data. Expected a dictionary, but got {kind}.",
}
_RULES = {
    "required": "This field is required.",
    "null": "This field may not be null.",
    "blank": "This field may not be blank.",
    "choices": '"{given}" is not a valid choice.',
    "chars_max": "Ensure this field has no more than {wanted} characters.",
    "least": "Ensure this value is greater than or equal to {wanted}.",
    "most": "Ensure this value is less than or equal to {wanted}.",
}


def detail(failure: Failure) -> str:
    """The text of `{"detail": …}`."""
    if failure.code == MALFORMED_BODY and "form parse error" not in failure.message.lower():
        return f"JSON parse error - {failure.message}"
    return _DETAILS.get(failure.code, failure.text)


def no_such_key(given: Any) -> str:
    """What is wrong with a key that nothing has."""
    return f'Invalid pk "{given}" - object does not exist.'


def errors(problems: Sequence[Problem], keys: Collection[str] = ()) -> Errors:
    """The texts of mistakes by field; `keys` are the fields that hold keys of other things."""
    found: Errors = {}
    for problem in problems:
        name, *inner = problem.field.split(".") if problem.field else [GENERAL]
        text = _text(problem, is_key=problem.field in keys)
        if inner:
            _put(found.setdefault(name, []), inner, text)
        elif problem.wanted == "array" and problem.rule == "type":
            found[name] = {GENERAL: [text]}
        else:
            found.setdefault(name, []).append(text)
    return found


def _put(items: list[Errors], place: list[str], text: str) -> None:
    index, name = int(place[0]), ".".join(place[1:]) or GENERAL
    items.extend({} for _ in range(index + 1 - len(items)))
    items[index].setdefault(name, []).append(text)


def _text(problem: Problem, *, is_key: bool) -> str:
    kind, given = type(problem.given).__name__, problem.given
    if problem.rule == "required" and problem.wanted == "file":
        return "No file was submitted."
    if problem.rule != "type":
        text = _RULES.get(problem.rule)
    elif not is_key:
        text = _TYPES.get(problem.wanted)
    elif isinstance(given, int) and not isinstance(given, bool):
        return no_such_key(given)
    else:
        text = "Incorrect type. Expected pk value, received {kind}."
    return (text or "{message}").format(
        kind=kind, given=given, wanted=problem.wanted, message=problem.message
    )
