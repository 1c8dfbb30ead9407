"""What a child sent, which its input may have taken over: read so that it can only ever be data."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import is_dataclass
from enum import Enum
from typing import Any

from base.errors import (
    Conflict,
    Internal,
    InvalidInput,
    NotFound,
    PlatformError,
    SandboxUnavailable,
    StorageFull,
    TimedOut,
    Unsupported,
)
from base.forks import BUG, BUG_CHARACTERS_MAX, ERROR, MESSAGE, RESULT, ChildDied, LimitExceeded

FRAMES_BYTES_MAX = 64 * 1024**2  # of all that one plain child says
PLAIN_FRAME_BYTES_MAX = 4 * 1024**2  # of JSON, which takes many times that as objects
FRAME_COST_BYTES = 256  # at which an empty frame counts, so that a flood of them ends too
_TEXT_CHARACTERS_MAX = 4000  # of an error's message
_NAME_CHARACTERS_MAX = 100
_ERRORS: Mapping[str, type[PlatformError]] = {
    kind.code: kind
    for kind in (
        *(InvalidInput, NotFound, Conflict, LimitExceeded, Unsupported, SandboxUnavailable),
        *(StorageFull, TimedOut, Internal),
    )
}
_UNREADABLE = (
    pickle.UnpicklingError,
    ArithmeticError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    TypeError,
    ValueError,
)


def read_pickled(body: bytes) -> Any:
    """The value of a frame of our own code; raises ChildDied for anything else."""
    try:
        return _Unpickler(io.BytesIO(body)).load()
    except _UNREADABLE as error:
        raise _unreadable() from error


def read_plain(kind: int, body: bytes) -> Any:
    """The value of a plain child's frame: JSON, or an error of ours by its code. Raises ChildDied for anything else."""
    try:
        value = json.loads(body)
        if kind == ERROR:
            return _error(value)
        if kind == BUG:
            summary, details = value
            return _text(summary)[:_NAME_CHARACTERS_MAX], _text(details)[-BUG_CHARACTERS_MAX:]
    except (*_UNREADABLE, RecursionError) as error:
        raise _unreadable() from error
    if kind not in {MESSAGE, RESULT}:
        raise _unreadable()
    return value


def _error(value: Mapping[str, Any]) -> PlatformError:
    kind, message, hint = _ERRORS[value["code"]], value["message"], value["hint"]
    told = _text(message)[:_TEXT_CHARACTERS_MAX]
    return kind(told, hint=None if hint is None else _text(hint)[:_TEXT_CHARACTERS_MAX])


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value.encode("utf-8", "replace").decode()


def _unreadable() -> ChildDied:
    return ChildDied("The process that did the work gave an unreadable answer.")


class _Unpickler(pickle.Unpickler):
    """Reads what a child sent, which its input may have taken over: plain values and our own data classes only."""

    _PACKAGES = frozenset({"base", "connectors", "storage", "workers"})
    _VALUES = frozenset(
        {
            *(("builtins", name) for name in ("set", "frozenset", "bytearray", "complex", "range")),
            *(("datetime", name) for name in ("date", "datetime", "time", "timedelta", "timezone")),
            ("decimal", "Decimal"),
            ("uuid", "UUID"),
            ("pathlib", "PosixPath"),
            ("pathlib", "PurePosixPath"),
            ("base.errors", "_rebuild"),
        }
    )

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._VALUES:
            return super().find_class(module, name)
        if module.partition(".")[0] in self._PACKAGES:
            found = super().find_class(module, name)
            if isinstance(found, type) and found.__module__ == module and _is_data(found):
                return found
        raise pickle.UnpicklingError(f"a child sent a {module}.{name}")


def _is_data(found: type) -> bool:
    return is_dataclass(found) or issubclass(found, PlatformError | Enum)
