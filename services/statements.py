"""SQL for what Tortoise cannot say in one statement: one text for both dialects, named values, plain rows."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import orjson

from models import Job
from models.database import Dialect, now_ms_sql

_NAME = re.compile(r"(?<!:):([a-z_]+)\b")
_STAMP: dict[Dialect, str] = {
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000+00:00')",
    "postgresql": "statement_timestamp()",
}
_LINES: dict[Dialect, str] = {
    "sqlite": "json_each(:lines) line",
    "postgresql": "json_array_elements(CAST(:lines AS json)) WITH ORDINALITY line(value, key)",
}


async def fetch(text: str, **values: Any) -> list[dict[str, Any]]:
    """Run a statement with `:named` values; its rows.

    `{now}` and `{stamp}` are the database's time, in milliseconds since 1970 and as a column of times keeps it;
    `{lines}` the items of the JSON list `:lines`; `{for_update}`, `{for_key_share}` and `{skip_locked}` locks, where
    there are such.
    """
    connection = Job._meta.db  # noqa: SLF001 - Tortoise keeps the connection of the moment there
    dialect: Dialect = "sqlite" if connection.capabilities.dialect == "sqlite" else "postgresql"
    statement, names = _compile(dialect, text)
    rows: list[dict[str, Any]] = await connection.execute_query_dict(
        statement, [values[name] for name in names]
    )
    return rows


@lru_cache(maxsize=256)
def _compile(dialect: Dialect, text: str) -> tuple[str, tuple[str, ...]]:
    is_postgresql = dialect == "postgresql"  # on SQLite one transaction writes at a time
    text = text.format(
        now=now_ms_sql(dialect),
        stamp=_STAMP[dialect],
        lines=_LINES[dialect],
        for_key_share="FOR KEY SHARE OF s" if is_postgresql else "",
        for_update="FOR NO KEY UPDATE" if is_postgresql else "",
        skip_locked="FOR UPDATE OF j SKIP LOCKED" if is_postgresql else "",
    )
    names = tuple(dict.fromkeys(_NAME.findall(text)))
    sign = "$" if is_postgresql else "?"
    return _NAME.sub(lambda found: f"{sign}{names.index(found[1]) + 1}", text), names


def dump(value: Any) -> str | None:
    """A value as a JSON column keeps it."""
    return None if value is None else orjson.dumps(value).decode()


def load(value: Any) -> Any:
    """What a JSON column holds: the drivers give it as text."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value
