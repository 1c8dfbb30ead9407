"""Cursors: the position of a row in an immutable table, marked with the table and order that it belongs to.

A cursor holds no value of the row. The values to compare with are read from the row itself, so they are exact.
"""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from base.errors import InvalidInput
from storage.snapshots.filters import Sql

_FORM = struct.Struct(">B8sQ")  # version, mark, position
_VERSION = 1
_MARK_BYTES = 8


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key: its SQL and its SQL type. Nulls come last in either direction."""

    sql: str
    type: str
    descending: bool

    @property
    def order(self) -> str:
        """The ORDER BY term."""
        return f"{self.sql} {'desc' if self.descending else 'asc'} nulls last"

    @property
    def saved(self) -> str:
        """SQL that gives the key as a text that `restored` reads back without loss."""
        return f"hex({self.sql})" if self.type == "blob" else f"({self.sql})::varchar"

    @property
    def restored(self) -> str:
        """SQL of a saved key that comes as a parameter."""
        return "unhex(?)" if self.type == "blob" else f"?::{self.type}"


def encode(position: int, mark: bytes) -> str:
    """The cursor of the row at `position`."""
    packed = _FORM.pack(_VERSION, mark[:_MARK_BYTES], position)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(cursor: str, mark: bytes, rows: int) -> int:
    """The position in a cursor that `encode` made with the same mark; raises InvalidInput for any other."""
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, marked, position = _FORM.unpack(packed)
    except (binascii.Error, struct.error, ValueError) as error:
        raise InvalidInput("This is not a cursor of rows.", field="after") from error
    if version != _VERSION or marked != mark[:_MARK_BYTES] or position >= rows:
        raise InvalidInput(
            "The cursor belongs to another snapshot, table or order.",
            hint="Start without a cursor, or page within one snapshot: snapshot(id: …).",
            field="after",
        )
    return int(position)


def behind(keys: Sequence[Key], values: Sequence[str | None], part: int, row: int) -> Sql:
    """The condition that a row sorts behind the one with these saved keys at this row of this part."""
    text = "file_index > ? or (file_index = ? and file_row_number > ?)"
    parameters: tuple[str | int, ...] = (part, part, row)
    for key, value in zip(reversed(keys), reversed(values), strict=True):
        if value is None:
            text = f"{key.sql} is null and ({text})"
            continue
        beyond = f"{key.sql} {'<' if key.descending else '>'} {key.restored}"
        text = f"{beyond} or {key.sql} is null or ({key.sql} = {key.restored} and ({text}))"
        parameters = (value, value, *parameters)
    return Sql(text, parameters)
