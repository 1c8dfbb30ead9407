"""What every reply is wrapped in: `{"data": …, "message": "…", "status": "success" | "error"}`."""

from __future__ import annotations

from typing import Any

from gateway.dialect import Reply
from gateway.schemas import TEXT, Schema, object_of

SUCCESS, ERROR = "success", "error"


def ok(data: Any, message: str) -> Reply:
    """A reply to what succeeded."""
    return Reply(200, {"data": data, "message": message, "status": SUCCESS})


def said_no(data: Any, message: str) -> Reply:
    """A reply to what was understood and done, and came to nothing: HTTP 200 all the same."""
    return Reply(200, {"data": data, "message": message, "status": ERROR})


def counted(count: int, noun: str) -> str:
    """A number of things, as people write it."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def schema(data: Schema, *, may_say_no: bool = False) -> Schema:
    """The JSON Schema of an envelope around such data."""
    statuses = [SUCCESS, ERROR] if may_say_no else [SUCCESS]
    return object_of(data=data, message=TEXT, status={"enum": statuses})
