"""Values that are JSON text already: rows and documents that no Python object is ever made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson


@dataclass(frozen=True, slots=True)
class Serialized:
    """JSON text (UTF-8, valid, made by us) that a resolver returns in place of the value it stands for.

    The executor copies it into the answer as it is: no item of it is completed or coerced, so it must already have the
    form that the field's type promises. It may stand for a list or for a scalar, nullable or not.
    """

    body: bytes

    def __iter__(self) -> Iterator[Any]:
        """The items of a list, for executors that do not know this type."""
        return iter(orjson.loads(self.body))


def dumps(value: Any) -> bytes:
    """JSON text of an answer, with every `Serialized` in it copied as it is."""
    return orjson.dumps(value, default=_fragment, option=orjson.OPT_PASSTHROUGH_DATACLASS)


def _fragment(value: Any) -> Any:
    if isinstance(value, Serialized):
        return orjson.Fragment(value.body)
    raise TypeError(type(value).__name__)
