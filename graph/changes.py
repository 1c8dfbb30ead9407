"""Partial updates: what a client named, told from what it left out."""

from __future__ import annotations

from typing import Any

from strawberry import Some


def changes(**fields: Some[Any] | None) -> dict[str, Any]:
    """The fields that were given, null included, without those that were left out."""
    return {name: field.value for name, field in fields.items() if field is not None}
