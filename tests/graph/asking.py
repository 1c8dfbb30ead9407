"""Asking the schema as the server does, without HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson

from graph import serialized
from graph.context import Context
from graph.operations import Engine, Request
from graph.schema import schema
from models.database import Database
from services.access import Viewer
from services.platform import Platform

ENGINE = Engine(schema)


class Asker:
    """One viewer's way to the schema."""

    def __init__(self, platform: Platform, viewer: Viewer | None) -> None:
        self.platform = platform
        self.viewer = viewer

    async def answer(self, query: str, **variables: Any) -> dict[str, Any]:
        """The whole answer as the client would read it."""
        context = Context(self.viewer, self.platform)
        answer = await ENGINE.execute(Request(query, variables), context)
        read: dict[str, Any] = orjson.loads(serialized.dumps(answer.body))
        return read

    async def data(self, query: str, **variables: Any) -> Any:
        """The data of an answer without errors."""
        answer = await self.answer(query, **variables)
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    async def code(self, query: str, **variables: Any) -> tuple[str, str | None]:
        """Code and field of the one error of an answer."""
        answer = await self.answer(query, **variables)
        (error,) = answer["errors"]
        return error["extensions"]["code"], error["extensions"].get("field")


@asynccontextmanager
async def statements(database: Database) -> AsyncIterator[list[str]]:
    """Collects the text of every statement that reads from the database."""
    sent: list[str] = []
    if database.dialect == "sqlite":
        reader = database.connection._reader  # type: ignore[attr-defined]
        await reader.set_trace_callback(sent.append)
        yield sent
        await reader.set_trace_callback(None)
        return
    collector = _Collector(sent)
    logger = logging.getLogger("tortoise.db_client")
    level = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(collector)
    try:
        yield sent
    finally:
        logger.removeHandler(collector)
        logger.setLevel(level)


class _Collector(logging.Handler):
    def __init__(self, sent: list[str]) -> None:
        super().__init__()
        self.sent = sent

    def emit(self, record: logging.LogRecord) -> None:
        self.sent.append(record.getMessage())
