"""Where lists are and things are made: as the document has it, and as clients of other versions ask for it."""

from __future__ import annotations


def listing(noun: str) -> tuple[tuple[str, str], ...]:
    """Methods and paths of a list. The clients of Python send its filter spec in the body of a GET."""
    return (
        ("POST", f"/v1/{noun}/list"),
        ("GET", f"/v1/{noun}/list"),
        ("GET", f"/v1/{noun}"),
    )


def creating(noun: str) -> tuple[str, ...]:
    """Paths to POST something new to."""
    return (f"/v1/{noun}/create", f"/v1/{noun}")
