"""The texts of scripts, which are read only where they are selected, and only so many at once."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import Any

from tortoise.models import Model

from graph.context import Info, load
from models import rows
from models.rows import In

TEXTS_AT_ONCE = 8  # read by one statement; each has up to a megabyte


def text_of(info: Info, model: type[Model], pk: int) -> Awaitable[Any]:
    """The `body` of this row; raises QueryTooComplex where an operation reads too many bytes of them."""
    return load(info, pk, partial(_texts, info, model))


async def _texts(info: Info, model: type[Model], pks: Sequence[int]) -> Mapping[int, str | None]:
    found: dict[int, str | None] = {}
    for begin in range(0, len(pks), TEXTS_AT_ONCE):
        some = In("id", pks[begin : begin + TEXTS_AT_ONCE])
        for row in await rows.select(model, ("id", "body"), some):
            found[row.id] = row.body
            info.context.spend_text(len((row.body or "").encode()))
    return found
