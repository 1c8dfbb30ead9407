"""What scripts are called: paths within their data source, such as `clean/trim.py`."""

from __future__ import annotations

import unicodedata

from base.errors import InvalidInput
from services import values

KEY_CHARS_MAX = 300
PREDEFINED = "local:"  # what the keys of scripts begin with that ship with Headwater
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, what turns text round, line ends


def own_key(given: str, field: str) -> str:
    """The key of a data source's own script, in the form that it is stored in; raises InvalidInput.

    Two keys that look the same are the same: composed in one way, and without anything that cannot be seen.
    """
    key = _checked(given, field)
    if unicodedata.normalize("NFKC", key).casefold().startswith(PREDEFINED):
        raise InvalidInput(
            f"Keys beginning `{PREDEFINED}` are those of scripts that ship with Headwater.",
            hint="Choose another key, such as `clean/trim.py`.",
            field=field,
        )
    return key


def any_key(given: str, field: str) -> str:
    """As `own_key`, for a key that may be a predefined script's as well."""
    if given.startswith(PREDEFINED):
        return PREDEFINED + _checked(given.removeprefix(PREDEFINED), field)
    return own_key(given, field)


def unique_key(source_pk: int, key: str) -> str:
    """What the row of this script is unique by."""
    return f"/{key}" if key.startswith(PREDEFINED) else f"{source_pk}/{key}"


def _checked(given: str, field: str) -> str:
    key = unicodedata.normalize("NFC", values.text(given, field, chars_max=KEY_CHARS_MAX))
    key = values.name(key, field, chars_max=KEY_CHARS_MAX)
    problem = None
    if any(unicodedata.category(sign) in _UNSEEN for sign in key):
        problem = "has a control character or another one that cannot be seen"
    elif "\\" in key:
        problem = "has a backslash: folders are separated by `/`"
    else:
        names = key.split("/")
        if any(name in {"", ".", ".."} for name in names):
            problem = "has an empty name, `.` or `..` between its slashes"
        elif any(name != name.strip() for name in names):
            problem = "has a space beside a slash"
    if problem:
        raise InvalidInput(
            f"`{field}` {problem}.", hint="A key is a path such as `clean/trim.py`.", field=field
        )
    return key
