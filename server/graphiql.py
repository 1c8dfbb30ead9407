"""GraphiQL, served by us whole: the page for browsers at /graphql and its assets below /graphiql/."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

ASSETS = Path(__file__).with_name("static") / "graphiql"
PREFIX = "/graphiql/"
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data:; font-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_YEAR_SECONDS = 365 * 24 * 3600
_REFERENCE = re.compile(rf'(?<=")({PREFIX}[^"?]+)(?=")')


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent. Its version is part of every reference to it, so a browser may keep it for good."""

    media_type: str
    version: str
    plain: bytes
    packed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Every asset by its name below `PREFIX`: read and compressed once, at the first visit."""
    found = {
        path.relative_to(ASSETS).as_posix(): _asset(path.suffix, path.read_bytes())
        for path in sorted(ASSETS.rglob("*"))
        if path.suffix in _TYPES and path.suffix != ".html"
    }
    html = (ASSETS / "index.html").read_text(encoding="utf-8")
    versioned = _REFERENCE.sub(
        lambda match: f"{match[1]}?v={found[match[1].removeprefix(PREFIX)].version}", html
    )
    found["index.html"] = _asset(".html", versioned.encode())
    return found


def _asset(suffix: str, content: bytes) -> Asset:
    version = hashlib.sha256(content).hexdigest()[:16]
    return Asset(_TYPES[suffix], version, content, gzip.compress(content, mtime=0))


async def page(scope: Scope, receive: Receive, send: Send) -> None:
    """The page itself, an ASGI app for a browser's GET of /graphql."""
    response = _response(Request(scope), assets()["index.html"], "no-cache")
    await response(scope, receive, send)


def routes() -> list[Route]:
    """The route of the assets."""
    return [Route(PREFIX + "{name:path}", _serve, methods=["GET"])]


def _serve(request: Request) -> Response:
    asset = assets().get(request.path_params["name"])
    if asset is None:
        return Response("There is no such file.\n", status_code=404, media_type="text/plain")
    current = request.query_params.get("v") == asset.version
    return _response(
        request, asset, f"public, max-age={_YEAR_SECONDS}, immutable" if current else "no-cache"
    )


def _response(request: Request, asset: Asset, caching: str) -> Response:
    tag = f'"{asset.version}"'
    headers = {
        "cache-control": caching,
        "content-security-policy": CONTENT_SECURITY_POLICY,
        "etag": tag,
        "vary": "Accept, Accept-Encoding",
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
    }
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    body = asset.plain
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        body = asset.packed
    return Response(body, headers=headers, media_type=asset.media_type)
