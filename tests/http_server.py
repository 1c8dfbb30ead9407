"""A real HTTP server in a process of its own, on loopback: it pages in six ways, and fails in every way that servers do.

The server's memory of a `run` (a name that a test makes up) counts its requests and keeps their headers: `seen(run)`.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx

from tests.http_answers import EMPTIED, PAGE_ROWS, ROWS, record
from tests.http_circles import Circles

__all__ = ["PAGE_ROWS", "ROWS", "HttpServer", "record", "serving"]

TOKEN = "token-canary-0123456789"
CSV = b"id,city\n1,Oslo\n2,Bergen\n"
BOMB_BYTES = 256 * 1024**2
DRIPS = 1_200  # ten a second: longer than any client waits
CALL_SECONDS_MAX = 120


@dataclass(frozen=True)
class HttpServer:
    """A running server."""

    port: int
    scheme: str = "http"
    host: str = "127.0.0.1"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    def seen(self, run: str) -> list[dict[str, Any]]:
        """The requests of a run in their order: `path`, `query` and `headers`, whose names are lower case."""
        found: list[dict[str, Any]] = httpx.get(
            f"{self.url}/seen/{run}", timeout=CALL_SECONDS_MAX, trust_env=False
        ).json()
        return found

    def empty_out(self, run: str) -> None:
        """Let the run have no records from now on."""
        httpx.get(f"{self.url}/empty-out/{run}", timeout=CALL_SECONDS_MAX, trust_env=False)

    def fill_again(self, run: str) -> None:
        """Let it have them again."""
        httpx.get(f"{self.url}/fill-again/{run}", timeout=CALL_SECONDS_MAX, trust_env=False)


@contextmanager
def serving(certificate: Path | None = None) -> Iterator[HttpServer]:
    """A server until the block ends; over TLS with a certificate (with its key, in PEM)."""
    command = [
        sys.executable,
        "-m",
        "tests.http_server",
        *([str(certificate)] if certificate else []),
    ]
    root = Path(__file__).parents[1]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, stdin=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield HttpServer(port, "https" if certificate else "http")
        finally:
            process.kill()


_requests: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)


class _Handler(Circles):
    """`/<what>/<run>/…`, where `what` names a method below."""

    protocol_version = "HTTP/1.1"
    timeout = 20
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.where = parts.path
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        _, what, run, *_ = [*parts.path.split("/"), "", ""]
        self.run = run
        if what == "seen":
            self.answer_json(_requests[run])
            return
        if what in {"empty-out", "fill-again"}:
            (EMPTIED.add if what == "empty-out" else EMPTIED.discard)(run)
            self.answer_json({})
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        requests = _requests[run]
        requests.append({"path": parts.path, "query": self.query, "headers": headers})
        self.number = len(requests)
        try:
            getattr(self, f"give_{what.replace('-', '_')}")()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as in the base class
        pass

    # Paging

    def give_all(self) -> None:
        self.answer_json(self.rows(0, ROWS))

    def give_page(self) -> None:
        page = int(self.query.get("page", "1"))
        size = min(int(self.query.get("per_page", PAGE_ROWS)), PAGE_ROWS)
        self.answer_json({"data": self.rows((page - 1) * size, size), "page": page})

    def give_page_or_404(self) -> None:
        page = int(self.query["page"])
        found = self.rows((page - 1) * PAGE_ROWS)
        self.answer_json(
            {"results": found} if found else {"detail": "Invalid page."}, 200 if found else 404
        )

    def give_offset(self) -> None:
        start = int(self.query.get("offset", "0"))
        size = min(int(self.query.get("limit", PAGE_ROWS)), PAGE_ROWS)
        self.answer_json({"result": {"items": self.rows(start, size), "total": ROWS}})

    def give_cursor(self) -> None:
        start = int(self.query.get("cursor", "c0")[1:])
        after = start + PAGE_ROWS
        self.answer_json(
            {"data": self.rows(start), "meta": {"next": f"c{after}" if after < ROWS else None}}
        )

    def give_last_id(self) -> None:
        start = int(self.query.get("after", "-1")) + 1
        self.answer_json({"data": self.rows(start)})

    def give_next_url(self) -> None:
        start = int(self.query.get("start", "0"))
        after = start + PAGE_ROWS
        self.answer_json(
            {"data": self.rows(start), "next": self.link(start=after) if after < ROWS else None}
        )

    def give_link_header(self) -> None:
        start = int(self.query.get("start", "0"))
        after = start + PAGE_ROWS
        more = {
            "link": f'<{self.link(start=0)}>; rel="first", <{self.link(start=after)}>; rel="next"'
        }
        self.answer_json(self.rows(start), **(more if after < ROWS else {}))

    def give_people(self) -> None:
        """The rows of `tests/connectors/conformance.py`, by page."""
        start = (int(self.query["page"]) - 1) * 30
        numbers = range(start + 1, min(start + 30, 200) + 1)
        names = ("id", "name", "score")
        rows = [(n, f"name {n}", n / 8 if n % 3 else None) for n in numbers]
        self.answer_json({"people": [dict(zip(names, row, strict=True)) for row in rows]})

    # Shapes

    def give_widening(self) -> None:
        """A column that is a whole number on the first page, and a text and one more column on the third."""
        page = int(self.query.get("page", "1"))
        rows: list[dict[str, Any]] = [{"id": page * 10 + n, "code": n} for n in range(3)]
        rows = rows if page <= 4 else []
        if page == 3:
            rows[1] |= {"code": "x7", "new": 1}
        self.answer_json(rows)

    def give_sparse(self) -> None:
        """The newest rows have nothing but nulls, empty lists and objects; only those of the second page have values."""
        filled: dict[str, Any] = {
            "count": 7,
            "owner": {"id": 1, "tags": ["a"]},
            "notes": [{"id": 1}],
            "extra": {"a": 1},
        }
        empty: dict[str, Any] = {
            "count": None,
            "owner": {"id": None, "tags": []},
            "notes": [],
            "extra": {},
        }
        rows = [
            {"id": n, "changed": f"2026-01-0{9 - n}", **(empty if n < 3 else filled)}
            for n in range(6)
        ]
        if "since" in self.query:
            rows = [rows[0], {**rows[1], "changed": "2026-01-10"}]
        start = (int(self.query.get("page", "1")) - 1) * 3
        self.answer_json({"data": rows[start : start + 3]})

    def give_numbers(self) -> None:
        body = b'{"data": [{"id": 1, "big": 18446744073709551616, "exact": 9007199254740993, "odd": {"a": 1},'
        body += b' "many": 12345678901234567.89}, {"id": 2, "big": 1, "exact": 1, "odd": [2], "many": 1.5}], "meta": {}}'
        self.answer(body, content_type="application/json")

    def give_words(self) -> None:
        self.answer_json({"words": ["one", "two"]})

    def give_two_lists(self) -> None:
        self.answer_json({"left": [record(0)], "right": [record(1)]})

    def give_groups(self) -> None:
        self.answer_json({"groups": [{"items": [record(0), record(1)]}, {"items": [record(2)]}]})

    def give_by_id(self) -> None:
        self.answer_json({"data": {f"x{row['id']}": row for row in self.rows(0, 3)}})

    def give_one(self) -> None:
        self.answer_json({"id": 7, "name": "seven"})

    def give_nothing(self) -> None:
        self.answer_json([])

    def give_no_content(self) -> None:
        self.send_response(204)
        self.end_headers()

    def give_html(self) -> None:
        self.answer(b"<!doctype html><title>Log in</title>", content_type="text/html")

    def give_latin(self) -> None:
        body = json.dumps([{"name": "Bodø"}], ensure_ascii=False).encode("latin-1")
        self.answer(body, content_type="application/json; charset=iso-8859-1")

    def give_surrogate(self) -> None:
        self.answer(b'[{"name": "\\ud800"}]', content_type="application/json")

    def give_not_utf8(self) -> None:
        self.answer(b'[{"name": "Bod\xf8"}]', content_type="application/json")

    # Refusals and failures

    def give_locked(self) -> None:
        wanted = self.headers.get("authorization") == f"Bearer {TOKEN}"
        key = TOKEN in {self.headers.get("x-api-key"), self.query.get("api_key")}
        ok = wanted or key or self.headers.get("authorization", "").startswith("Basic ")
        self.answer_json(self.rows(0, 3) if ok else {"error": "no"}, 200 if ok else 401)

    def give_forbidden(self) -> None:
        self.answer_json({}, 403)

    def give_missing(self) -> None:
        self.answer_json({}, 404)

    def give_error_once(self) -> None:
        status = int(self.query.get("status", "500"))
        self.answer_json(self.rows(0, 3), status if self.number == 1 else 200)

    def give_errors(self) -> None:
        self.answer_json({}, 502)

    def give_throttle_seconds(self) -> None:
        self.throttle(429, "7")

    def give_throttle_date(self) -> None:
        self.throttle(503, formatdate(time.time() + 20, usegmt=True))

    def give_throttle_long(self) -> None:
        self.throttle(429, "86400")

    def give_throttle_forbidden(self) -> None:
        self.throttle(403, "7")

    def give_throttle_absurd(self) -> None:
        self.throttle(429, f"Fri, 31 Dec {10**30} 23:59:59 GMT")

    def give_used_up(self) -> None:
        """As GitHub says that the requests of this hour are used up."""
        left = {"x-ratelimit-remaining": "0"} if self.number == 1 else {}
        self.answer_json(self.rows(0, 3), 403 if self.number == 1 else 200, **left)

    def throttle(self, status: int, retry_after: str) -> None:
        if self.number == 1:
            self.answer_json({}, status, retry_after=retry_after)
        else:
            self.answer_json(self.rows(0, 3))

    def give_reset_once(self) -> None:
        """The first answer stops in its middle, with a reset."""
        self.cut(self.number == 1)

    def give_resets(self) -> None:
        self.cut(is_cut=True)

    def cut(self, is_cut: bool) -> None:  # noqa: FBT001 - two cases
        body = json.dumps(self.rows(0, 3)).encode()
        if not is_cut:
            self.answer(body)
            return
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:40])
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close_connection = True

    def give_truncated_once(self) -> None:
        body = json.dumps(self.rows(0, 3)).encode()
        self.answer(body[:40] if self.number == 1 else body)

    def give_truncated(self) -> None:
        self.answer(b'[{"id": 1}, {"id":')

    def give_page_then_error(self) -> None:
        """The third page fails as often as is tried, then the server is well again."""
        page = int(self.query.get("page", "1"))
        is_ill = page == 3 and self.number < 9
        self.answer_json({"data": self.rows((page - 1) * PAGE_ROWS)}, 500 if is_ill else 200)

    # Bodies

    def give_endless(self) -> None:
        self.send_response(200)
        self.send_header("content-type", self.query.get("type", "text/csv"))
        self.end_headers()
        self.close_connection = True
        while True:
            self.wfile.write(b"1,2,3\n" * 10_000)

    def give_dripping(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        for _ in range(DRIPS):
            self.wfile.write(b" ")
            time.sleep(0.1)

    def give_slow_head(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nx-slow: ")
        for _ in range(DRIPS):
            self.wfile.write(b"a")
            time.sleep(0.1)

    def give_bomb(self) -> None:
        self.answer(BOMB, content_encoding="gzip", content_type=self.query.get("type", "text/csv"))

    def give_zipped(self) -> None:
        parts = [json.dumps([record(0)])[:20].encode(), json.dumps([record(0)])[20:].encode()]
        self.answer(b"".join(map(gzip.compress, parts)), content_encoding="gzip")

    def give_zipped_short(self) -> None:
        self.answer(
            gzip.compress(json.dumps(self.rows(0, 9)).encode())[:-20], content_encoding="gzip"
        )

    def give_brotli(self) -> None:
        self.answer(b"\x0b\x02\x80[]\x03", content_encoding="br")

    # Redirects: `to` is where, `status` how

    def give_redirect(self) -> None:
        self.answer(
            b"",
            int(self.query.get("status", "302")),
            location=self.query["to"],
            set_cookie="session=canary-cookie; Path=/",
        )

    def give_redirects(self) -> None:
        left = int(self.query["left"])
        to = f"/redirects/{self.run}?left={left - 1}" if left > 1 else f"/all/{self.run}"
        self.answer(b"", 307, location=to)

    # Files

    def give_file(self) -> None:
        """`/file/<run>/<name>`: its ETag stays as long as nobody asks for another version."""
        body = CSV + b"3,Bod\n" * int(self.query.get("more", "0"))
        tag = f'"v{len(body)}"'
        if self.headers.get("if-none-match") == tag:
            self.send_response(304)
            self.send_header("etag", tag)
            self.end_headers()
            return
        self.answer(body, content_type="text/csv", etag=tag)

    def give_growing(self) -> None:
        """A file with one more row at each request, without an ETag."""
        self.answer(CSV + b"3,Bod\n" * self.number, content_type="text/csv")

    def give_plain_file(self) -> None:
        self.answer(CSV, content_type="text/csv")

    def give_named(self) -> None:
        """A file whose name and type are what the query says."""
        said = self.query.get
        headers = {"content_type": said("type", "application/octet-stream")}
        headers |= {"content_disposition": self.query["name"]} if "name" in self.query else {}
        body = bytes.fromhex(said("hex", "")) or said("body", CSV.decode()).encode()
        self.answer(body, int(said("status", "200")), **headers)


BOMB = b""


def _bomb() -> bytes:
    """Zeros that say `BOMB_BYTES` once they are out of their gzip."""
    return gzip.compress(bytes(BOMB_BYTES // 16), 9) * 16


def main() -> None:
    """Serve until the other end of standard input is gone."""
    global BOMB  # noqa: PLW0603 - made in the server's process only
    BOMB = _bomb()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
