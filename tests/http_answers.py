"""What every answer of the tests' HTTP server is made of: the records that it has, and how they are sent."""

from __future__ import annotations

import json
import ssl
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlencode

ROWS = 25
PAGE_ROWS = 10
EMPTIED: set[str] = set()  # runs whose records are gone


def record(number: int) -> dict[str, Any]:
    """The record of that number, from 0: nested, as APIs have them."""
    return {
        "id": number,
        "name": f"item {number}",
        "price": number + 0.5,
        "changed": f"2026-01-{number % 28 + 1:02}T00:00:00Z",
        "owner": {"login": f"user-{number}", "admin": number % 2 == 0},
        "tags": ["a", f"t{number}"],
    }


class Answers(BaseHTTPRequestHandler):
    """One request: its `run`, its query, and which of the run's requests it is, from 1."""

    run: str
    where: str
    query: dict[str, str]
    number: int

    def answer(self, body: bytes, status: int = 200, /, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, value: Any, status: int = 200, /, **headers: str) -> None:
        self.answer(json.dumps(value).encode(), status, content_type="application/json", **headers)

    @property
    def home(self) -> str:
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        return f"{scheme}://{self.headers['host']}"

    def link(self, **query: Any) -> str:
        return f"{self.home}{self.where}?{urlencode({**self.query, **query})}"

    def rows(self, start: int, count: int = PAGE_ROWS) -> list[dict[str, Any]]:
        since = self.query.get("since", "")
        every = range(0 if self.run in EMPTIED else ROWS)
        found = [row for row in map(record, every) if row["changed"] >= since]
        return found[start : start + count]
