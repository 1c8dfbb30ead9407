"""The scalars of the contract. Rows arrive with values that are written already, which pass through untouched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NewType

import strawberry
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.file_uploads import Upload
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from graph.serialized import Serialized
from models.rows import parse_stamp

__all__ = ["JSON", "SCALARS", "BigInt", "Cell", "DateTime", "Upload", "json_text", "rfc3339"]

DateTime = datetime
BigInt = NewType("BigInt", int)
Cell = NewType("Cell", object)

BIG_INT_MAX = 2**53 - 1  # the largest whole number that every JSON reader keeps exact
_STAMP = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(:\d{2}([.,]\d{1,9})?)?([Zz]|[+-]\d{2}:?\d{2})"
)
_STORED = len("2026-11-21 04:21:00.123456+00:00")


def rfc3339(value: datetime | str) -> str:
    """A point in time as the API writes it, from a datetime or from SQLite's text of one."""
    if isinstance(value, str):
        if len(value) == _STORED and value.endswith("+00:00"):
            return f"{value[:10]}T{value[11:23]}Z"
        value = parse_stamp(value)
    return value.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def json_text(value: str | bytes) -> Serialized:
    """A JSON column that goes into the answer as the text it is stored as."""
    return Serialized(value.encode() if isinstance(value, str) else value)


def _write_stamp(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value


def _read_stamp(value: Any) -> datetime:
    if not isinstance(value, str) or not _STAMP.fullmatch(value):
        raise StrawberryInputCoercionError(
            "A DateTime is an RFC 3339 text with a zone, such as 2026-11-21T04:21:00.000Z."
        )
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise StrawberryInputCoercionError("There is no such point in time.") from error


def _read_big_int(value: Any) -> int:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole or abs(value) > BIG_INT_MAX:
        raise StrawberryInputCoercionError("A BigInt is a whole number up to 2^53 - 1.")
    return int(value)


def _as_it_is(value: Any) -> Any:
    return value


SCALARS: Mapping[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="A point in time: RFC 3339 in UTC with milliseconds, such as `2026-11-21T04:21:00.000Z`. "
        "Input may have any zone, but has to name it.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc3339",
        serialize=_write_stamp,
        parse_value=_read_stamp,
    ),
    JSON: strawberry.scalar(
        name="JSON",
        description="Any JSON value: object, list, string, number, boolean or null.",
        specified_by_url="https://www.rfc-editor.org/rfc/rfc8259",
        serialize=_as_it_is,
        parse_value=_as_it_is,
    ),
    BigInt: strawberry.scalar(
        name="BigInt",
        description="A whole number as a JSON number, up to 2^53 - 1: counts of rows and bytes.",
        serialize=_as_it_is,
        parse_value=_read_big_int,
    ),
    Cell: strawberry.scalar(
        name="Cell",
        description="One value of a row: null, boolean, number, string, or JSON for nested values. Whole numbers past "
        "2^53 and decimals are strings with every digit, binary is base64, times are ISO 8601.",
        serialize=_as_it_is,
        parse_value=_as_it_is,
    ),
    Upload: strawberry.scalar(
        name="Upload",
        description="A file, sent as a part of a multipart request: "
        "https://github.com/jaydenseric/graphql-multipart-request-spec.",
        serialize=_as_it_is,
        parse_value=_as_it_is,
    ),
}
