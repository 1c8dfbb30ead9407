"""A paging REST API with nested records: the CPU of a sync against that of dlt's `rest_api` source."""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.bench import peers
from tests.bench.processes import cpu_seconds, tree
from tests.bench.sync import connected, synced
from tests.clients import ServerProcess

ROWS = 50_000
PAGE_ROWS = 1_000
ROUNDS = 3


def record(number: int) -> dict[str, Any]:
    """A record as APIs give them: a struct, a list of texts, a list of structs."""
    return {
        "id": number,
        "name": f"item {number}",
        "price": number / 100,
        "created_at": f"2026-01-01T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}Z",
        "owner": {"id": number % 100, "login": f"user-{number % 100}", "admin": number % 7 == 0},
        "tags": ["a", f"t{number % 50}"],
        "lines": [{"sku": f"s{line}", "quantity": line} for line in range(number % 3)],
    }


PAGES = [
    json.dumps({"data": [record(start + row) for row in range(PAGE_ROWS)]}).encode()
    for start in range(0, ROWS, PAGE_ROWS)
]
EMPTY = b'{"data": []}'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        page = int(parse_qs(urlsplit(self.path).query).get("page", ["1"])[0])
        body = PAGES[page - 1] if page <= len(PAGES) else EMPTY
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        pass


def main() -> None:
    """CPU seconds of each, in turn, and their ratio. Ours is of all processes of the server."""
    web = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{web.server_port}"
    pagination = {"kind": "PAGE", "param": "page"}
    resource = {"name": "items", "path": "items", "records": "$.data[*]", "pagination": pagination}
    ours: list[float] = []
    theirs: dict[str, list[float]] = {"tables": [], "whole": []}
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp") as folder,
        ServerProcess(Path(folder) / "data") as server,
    ):
        server.wait_until_ready()
        client = server.client()
        assert server.process is not None
        source = {"connection": {"api": {"baseUrl": url, "resources": [resource]}}}
        source_id, job_id = connected(client, "api", source)
        client.wait_for_job(job_id, seconds=120)
        for at in range(ROUNDS):
            before = sum(map(cpu_seconds, tree(server.process.pid)))
            client.wait_for_job(synced(client, source_id), seconds=120)
            ours.append(sum(map(cpu_seconds, tree(server.process.pid))) - before)
            for nested, seconds in theirs.items():
                peer = Path(folder) / f"dlt-{at}-{nested}"
                peer.mkdir()
                seconds.extend(peers.run("dlt_api.py", url, peer, nested))
        rows = client.data(
            "query ($id: ID!) { dataSource(id: $id) { table { rowCount } } }", id=source_id
        )["dataSource"]["table"]["rowCount"]
        assert rows == ROWS
    web.shutdown()
    mine = statistics.median(ours)
    print(f"API {ROWS:,} records in pages of {PAGE_ROWS:,}   ours {mine:.2f} CPU s", flush=True)
    for nested, seconds in theirs.items():
        median = statistics.median(seconds)
        print(
            f"   dlt rest_api, nested values as {nested}: {median:.2f} CPU s   ratio {median / mine:.1f}"
        )


if __name__ == "__main__":
    main()
