"""What the values have to be that users give: texts a database can hold, within limits that have names.

Each function returns the value to store, or raises InvalidInput (PayloadTooLarge for documents) with its input path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, TypeVar

import orjson

from base.errors import InvalidInput, PayloadTooLarge

NAME_CHARS_MAX = 200
DESCRIPTION_CHARS_MAX = 50_000
DOCUMENT_BYTES_MAX = 64 * 1024
DOCUMENT_LEVELS_MAX = 32
KEY_CHARS_MAX = 200
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")

T = TypeVar("T")


def text(value: str, field: str, *, chars_max: int) -> str:
    """A text without NUL and lone surrogates, which no database holds."""
    if len(value) > chars_max:
        raise InvalidInput(f"`{field}` takes up to {chars_max:,} characters.", field=field)
    if _UNSTORABLE.search(value):
        raise InvalidInput(
            f"`{field}` has a NUL character or a lone surrogate, which cannot be stored.",
            field=field,
        )
    return value


def storable(value: str) -> str:
    """A text of somebody else's, a source's or a script's, with a mark for each character that no database holds."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", value)


def name(value: str | None, field: str, *, chars_max: int = NAME_CHARS_MAX) -> str:
    """A name, trimmed; not empty."""
    trimmed = text((value or "").strip(), field, chars_max=chars_max)
    if not trimmed:
        raise InvalidInput(f"`{field}` is empty.", hint="Give it a name.", field=field)
    return trimmed


def description(value: str | None, field: str) -> str | None:
    """A description, or None for none."""
    return None if value is None else text(value, field, chars_max=DESCRIPTION_CHARS_MAX)


def document(value: Any, field: str) -> Any:
    """Any JSON value that every database and every reader keeps as it is."""
    _check(value, field, DOCUMENT_LEVELS_MAX)
    try:
        size = len(orjson.dumps(value))
    except TypeError as error:  # what JSON does not have, and whole numbers of more than 64 bits
        raise InvalidInput(
            f"`{field}` holds a value that JSON cannot keep exactly.",
            hint="Write whole numbers of more than 64 bits as texts.",
            field=field,
        ) from error
    if size > DOCUMENT_BYTES_MAX:
        raise PayloadTooLarge(
            f"`{field}` has {size:,} bytes; the limit is {DOCUMENT_BYTES_MAX:,}.",
            hint="Keep what is large in a file of a data source, and here what names it.",
            field=field,
        )
    return value


def document_or_empty(value: Any, field: str) -> Any:
    """As `document`; nothing is an empty object."""
    return {} if value is None else document(value, field)


def bounded(values: Sequence[T], field: str, *, items_max: int) -> Sequence[T]:
    """A list of at least one and not too many."""
    if not values:
        raise InvalidInput(f"`{field}` is empty.", hint="Name at least one.", field=field)
    if len(values) > items_max:
        raise InvalidInput(f"`{field}` takes up to {items_max:,} items.", field=field)
    return values


def between(value: int, field: str, *, least: int, most: int) -> int:
    """A whole number within a range."""
    if not least <= value <= most:
        raise InvalidInput(f"`{field}` has to be between {least:,} and {most:,}.", field=field)
    return value


def _check(value: Any, field: str, levels: int) -> None:
    if levels == 0:
        raise InvalidInput(
            f"`{field}` is nested deeper than {DOCUMENT_LEVELS_MAX} levels.", field=field
        )
    if isinstance(value, str):
        text(value, field, chars_max=DOCUMENT_BYTES_MAX)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidInput(f"`{field}` holds a number that is not finite.", field=field)
    elif isinstance(value, dict):
        for key, item in value.items():
            text(str(key), field, chars_max=DOCUMENT_BYTES_MAX)
            _check(item, field, levels - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, field, levels - 1)
