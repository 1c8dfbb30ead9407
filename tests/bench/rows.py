"""Pages of rows of a large table, as a client sees them: over HTTP, from the request to the parsed answer."""

from __future__ import annotations

import hashlib
import statistics
import time
from typing import Any

from tests.clients import Client

ROUNDS = 9
PAGE = """query ($id: ID!, $where: [RowFilter!], $orderBy: [RowOrder!], $after: String) { dataSource(id: $id) { table {
  rows(first: 50, where: $where, orderBy: $orderBy, after: $after) { rows pageInfo { endCursor } } } } }"""

# Some 120 rows of 8,000,000 have a hash that starts so.
SPARSE = [{"column": "hash", "op": "STARTS_WITH", "value": "0bad"}]
KEY = hashlib.md5(b"7654321").hexdigest()
CASES: dict[str, tuple[dict[str, Any], int]] = {
    "first page": ({}, 60),
    "filter, few rows match": ({"where": SPARSE}, 100),
    "filter on a number": ({"where": [{"column": "quantity", "op": "EQ", "value": 7}]}, 100),
    "filter on an id": ({"where": [{"column": "id", "op": "EQ", "value": 7_654_321}]}, 100),
    "filter on a hash": ({"where": [{"column": "hash", "op": "EQ", "value": KEY}]}, 100),
    "sort by a number": ({"orderBy": [{"column": "price", "direction": "DESC"}]}, 400),
    "sort by a text": ({"orderBy": [{"column": "hash"}]}, 400),
}


def measure(client: Client, source_id: str) -> None:
    """A line a case: the first answer and the median of the next ones, in milliseconds."""
    for name, (variables, bar) in CASES.items():
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            client.data(PAGE, id=source_id, **variables)
            seconds.append(time.perf_counter() - started)
        first, *others = (each * 1000 for each in seconds)
        print(
            f"rows: {name:<24} first {first:>5.0f} ms   then {statistics.median(others):>5.0f} ms"
            f" ({min(others):.0f}-{max(others):.0f})   bar {bar} ms",
            flush=True,
        )
