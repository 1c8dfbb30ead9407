"""The form of object keys."""

from __future__ import annotations

import re

KEY_LENGTH_MAX = 300
KEY_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*")


def check_key(key: str) -> None:
    """Raise ValueError unless a key is made of plain names: no `..`, no leading dot, no NUL, not absolute."""
    if len(key) > KEY_LENGTH_MAX or not KEY_FORM.fullmatch(key):
        msg = f"not an object key: {key[:80]!r}"
        raise ValueError(msg)
