"""The trace id that ties a request, its job and their log lines together, and the log format."""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

_TRACE_ID: ContextVar[str | None] = ContextVar("trace_id", default=None)
_TRACE_ID_FORM = re.compile(r"[A-Za-z0-9_.-]{8,64}")
NOISY = (
    "tortoise",
    "aiosqlite",
    "asyncio",
    "uvicorn.access",
    "pika",
    "db_client",
    "httpx",  # tells every URL, signatures and all
    "httpcore",  # tells headers
)
_OWN_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def trace_id() -> str:
    """The trace id of this context; a new one is made where there is none yet."""
    current = _TRACE_ID.get()
    if current is None:
        current = secrets.token_hex(16)
        _TRACE_ID.set(current)
    return current


def set_trace_id(value: str | None) -> str:
    """Adopt a caller's trace id if it has a safe form (no line breaks reach the log), else make one."""
    adopted = value if value and _TRACE_ID_FORM.fullmatch(value) else secrets.token_hex(16)
    _TRACE_ID.set(adopted)
    return adopted


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, trace id and whatever `extra` holds."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one record."""
        own: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "traceId": _TRACE_ID.get(),
        }
        extra = {k: v for k, v in vars(record).items() if k not in _OWN_FIELDS}
        line = own | extra | own  # ours first, and not to be replaced
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=True)


def configure_logging(level: str) -> None:
    """Send the whole process's log to stderr as JSON lines. Called once, by the process's entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(max(logging.WARNING, logging.getLevelName(level)))
