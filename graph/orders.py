"""Orders of lists, and the cursors that are good in them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson
from tortoise.fields import DatetimeField, IntField
from tortoise.fields.data import BigIntField
from tortoise.models import Model

from base.errors import InvalidInput
from base.ids import PK_MAX
from graph.enums import Direction
from graph.selection import Shape
from models.rows import Beyond, Condition, Key, Order, Pick, Row, field_of, is_nullable

ORDERS_MAX = 5
CURSOR_CHARS_MAX = 6000  # of five columns, with names that JSON has to escape


@dataclass(frozen=True, slots=True)
class Sort:
    """An order of a list: its columns end with the primary key. Cursors are good for one list and order only."""

    name: str
    order: Order

    @classmethod
    def by(cls, list_name: str, column: str, direction: Direction | None) -> Sort:
        """Sort by one column, then by key; without a direction, smallest first."""
        return cls.of(list_name, [Key(column, direction is Direction.DESC)])

    @classmethod
    def of(cls, list_name: str, keys: Sequence[Key]) -> Sort:
        """Sort by some columns, then by the primary key in the direction of the last of them."""
        columns: dict[str, Key] = {}
        for key in keys:
            columns.setdefault(key.column, key)
        name = ",".join(map(_name, columns.values()))
        columns.setdefault("id", Key("id", keys[-1].descending))
        return cls(f"{list_name}:{name}", Order(tuple(columns.values())))

    def picks(self) -> tuple[Pick, ...]:
        """The columns that a cursor is made of, exactly as they are sorted."""
        return tuple(Pick(_pick_name(key), key.column) for key in self.order.keys)

    def cursor(self, row: Row) -> str:
        """The cursor of a row that was read with `picks`."""
        values = [_plain(getattr(row, _pick_name(key))) for key in self.order.keys]
        text = orjson.dumps([self.name, *values])
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def beyond(self, shape: Shape, cursor: str | None, field: str) -> list[Condition]:
        """What comes after a cursor; raises InvalidInput for one that this order did not make."""
        if cursor is None:
            return []
        try:
            name, *values = _decode(cursor)
            if name == self.name:
                pairs = zip(self.order.keys, values, strict=True)
                parsed = tuple(_parse(shape.model, key.column, value) for key, value in pairs)
                return [Beyond(self.order, parsed)]
        except (ValueError, TypeError, OverflowError):
            pass
        raise InvalidInput(
            f"`{field}` is not a cursor of this list in this order.",
            hint="Use a cursor from `pageInfo` or `edges` of the same field with the same `orderBy`.",
            field=field,
        )

    def reversed(self) -> Sort:
        """The same list from its other end; the cursors are the same."""
        return replace(self, order=self.order.reversed())


def _name(key: Key) -> str:
    direction = Direction.DESC if key.descending else Direction.ASC
    nulls = "" if key.nulls_first is None else f":{'first' if key.nulls_first else 'last'}"
    return f"{key.column}:{direction}{nulls}"


def _pick_name(key: Key) -> str:
    return f"key_{key.column.replace('.', '_')}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()  # with microseconds: a cursor is exact where a DateTime is rounded
    return value.value if isinstance(value, Enum) else value


def _decode(cursor: str) -> list[Any]:
    if len(cursor) > CURSOR_CHARS_MAX:
        raise ValueError
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars="-_", validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError from error
    values = orjson.loads(text)
    if not isinstance(values, list):
        raise TypeError
    return values


def _parse(model: type[Model], column: str, value: Any) -> Any:
    """A cursor's value for a column; raises ValueError, TypeError or OverflowError: a client may make one up."""
    if value is None and is_nullable(model, column):
        return None
    kind = field_of(model, column)
    if isinstance(kind, IntField | BigIntField):
        if type(value) is not int or not -PK_MAX <= value <= PK_MAX:
            raise TypeError
        return value
    if not isinstance(value, str) or "\x00" in value:
        raise TypeError
    if not isinstance(kind, DatetimeField):
        return value
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)
