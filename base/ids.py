"""Public ids: `<type>-<sqid>`, reversible, never a permission. A key alone does where the type is known."""

from __future__ import annotations

import re
from functools import lru_cache

from sqids import Sqids

# Fixed for ever: another alphabet or length would change every id that clients have stored.
_SQIDS = Sqids(
    alphabet="kR3UVw8hZB1mS9qHxGtjL0fEcPybpA5nWdJaKQ7TXu4eYvFoszM6Ni2IlCDrgO",
    min_length=10,
    blocklist=[],  # checking 560 words costs more than the rest; 10 mixed characters rarely spell one
)
PK_MAX = 2**63 - 1
ID_LENGTH_MAX = 64  # characters; more than the longest kind and the longest sqid
_DECIMAL = re.compile(r"[1-9][0-9]{0,18}")  # of `PK_MAX` at most: 19 digits


@lru_cache(maxsize=65_536)
def public_id(kind: str, pk: int) -> str:
    """`public_id("project", 1)` -> `project-…`."""
    return f"{kind}-{_SQIDS.encode([pk])}"


def parse_id(value: str) -> tuple[str, int] | None:
    """Kind and primary key of a public id; None for anything that `public_id` did not make."""
    return _parse(value) if len(value) <= ID_LENGTH_MAX else None  # the cache keeps no megabytes


def key_of(kind: str, value: str) -> int | None:
    """The primary key that a typed id names: a public id of this kind, or the key itself in plain decimal digits.

    None for everything else: another kind, a sign, leading zeros, a number beyond 1 to `PK_MAX`.
    """
    if _DECIMAL.fullmatch(value):
        key = int(value)
        return key if key <= PK_MAX else None
    parsed = parse_id(value)
    return parsed[1] if parsed is not None and parsed[0] == kind else None


def as_public(kind: str, value: str) -> str:
    """The public id of what `value` names by that or by its key; what names nothing stays as it is."""
    key = key_of(kind, value)
    return value if key is None else public_id(kind, key)


@lru_cache(maxsize=65_536)
def _parse(value: str) -> tuple[str, int] | None:
    kind, _, code = value.partition("-")
    numbers = _SQIDS.decode(code)
    if len(numbers) != 1 or numbers[0] > PK_MAX or _SQIDS.encode(numbers) != code:
        return None
    return kind, numbers[0]
